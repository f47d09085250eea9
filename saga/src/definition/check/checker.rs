//! What all checks share: the definition, where its parts stand, what was found.

use std::collections::BTreeMap;

use super::family::Family;
use super::index::Index;
use crate::definition::diagnostic::Diagnostic;
use crate::definition::model::Definition;
use crate::definition::place::{Places, Span};
use crate::expression::Type;

/// Checks a whole definition; what is wrong is pushed to `found`.
pub(in crate::definition) fn check(
    definition: &Definition,
    places: &Places,
    found: &mut Vec<Diagnostic>,
) {
    check_in(definition, places, None, found);
}

/// The same, with the definitions that it may run.
pub(super) fn check_in(
    definition: &Definition,
    places: &Places,
    family: Option<&Family<'_>>,
    found: &mut Vec<Diagnostic>,
) {
    let mut checker = Checker::new(definition, places, family, found);
    // What is nested without end is not walked.
    if !checker.depths() {
        return;
    }
    checker.index = Index::of(&definition.steps);
    checker.names();
    checker.numbers();
    checker.start_rules();
    checker.paths();
}

/// The type of what the sagas of a definition answer; nothing is known of one with an error.
pub(super) fn output_type(definition: &Definition, family: &Family<'_>) -> Type {
    let places = Places::default();
    let mut found = Vec::new();
    let mut checker = Checker::new(definition, &places, Some(family), &mut found);
    if !checker.depths() {
        return Type::Any;
    }
    checker.index = Index::of(&definition.steps);
    checker.paths();
    let outputs = std::mem::take(&mut checker.outputs);
    if found.iter().any(Diagnostic::is_error) {
        return Type::Any;
    }
    match outputs.is_empty() {
        // It never completes.
        true => Type::Any,
        false => Type::one_of(outputs),
    }
}

pub(super) struct Checker<'c> {
    pub(super) definition: &'c Definition,
    pub(super) places: &'c Places,
    pub(super) found: &'c mut Vec<Diagnostic>,
    pub(super) index: Index<'c>,
    /// What was set, by name: of each `set` of a name.
    pub(super) vars: BTreeMap<String, Type>,
    /// What the `collect` of each `each` gives, by id.
    pub(super) collected: BTreeMap<&'c str, Type>,
    /// What its sagas answer: of each place at which they complete.
    pub(super) outputs: Vec<Type>,
    /// The type of `event`.
    pub(super) event: Type,
    /// The definitions that are checked together with it.
    pub(super) family: Option<&'c Family<'c>>,
}

impl<'c> Checker<'c> {
    pub(super) fn new(
        definition: &'c Definition,
        places: &'c Places,
        family: Option<&'c Family<'c>>,
        found: &'c mut Vec<Diagnostic>,
    ) -> Self {
        let schema = definition
            .input
            .as_ref()
            .and_then(|file| file.schema.as_ref());
        Self {
            definition,
            places,
            found,
            index: Index::default(),
            vars: BTreeMap::new(),
            collected: BTreeMap::new(),
            outputs: Vec::new(),
            event: schema.map_or(Type::Any, Type::of_schema),
            family,
        }
    }

    pub(super) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(self.places.error(code, span, message.into()));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Where a part of an expression stands, whose text begins somewhere at `span`; all of `span`
    /// where quoting or folding hides it.
    pub(super) fn within(&self, span: Span, source: &str, offset: usize, len: usize) -> Span {
        let whole = self.places.word(span, source);
        if whole.len != source.chars().count() {
            return span;
        }
        Span {
            line: whole.line,
            column: whole.column + offset,
            len,
        }
    }

    /// Where a key stands before its value on the same line; at the value if it does not.
    pub(super) fn key_before(&self, value: Span, name: &str) -> Span {
        let before = Span {
            line: value.line,
            column: 1,
            len: value.column.saturating_sub(1),
        };
        let key = self.places.word(before, name);
        if key == before { value } else { key }
    }

    /// Where an item of a list of texts stands; at the list if it is not found.
    pub(super) fn item_of(&self, list: &str, item: &str) -> Span {
        let mut n = 0;
        loop {
            let place = format!("{list}[{n}]");
            if !self.places.has(&place) {
                return self.places.span(list);
            }
            let span = self.places.span(&place);
            let word = self.places.word(span, item);
            if word.len == item.chars().count() {
                return word;
            }
            n += 1;
        }
    }

    /// A verb with its article.
    pub(super) fn a(verb: &str) -> String {
        let article = if verb.starts_with(['a', 'e']) {
            "an"
        } else {
            "a"
        };
        format!("{article} `{verb}`")
    }

    /// `on line 7`, or which step it is where there are no lines.
    pub(super) fn at_step(&self, place: &str, id: &str) -> String {
        match self.places.span(place).line {
            0 => format!("step `{id}`"),
            line => format!("on line {line}"),
        }
    }

    /// The same in brackets: `line 7`, or the step's id.
    pub(super) fn line_of(&self, place: &str, id: &str) -> String {
        match self.places.span(place).line {
            0 => format!("`{id}`"),
            line => format!("line {line}"),
        }
    }
}
