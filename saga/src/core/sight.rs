//! What the expressions of a definition see at a place of a running saga.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::advance::Turn;
use super::change::Change;
use super::outputs::{Outputs, items_of};
use super::part::{Caught, Part};
use crate::definition::{Verb, step_at};
use crate::expression::{EvaluationError, Expression, Scope, Template};
use crate::payload::Payload;

/// What there is at a place beside what the whole saga sees.
#[derive(Default)]
struct Around<'a> {
    locals: Vec<(String, Cow<'a, Value>)>,
    failure: Option<Value>,
}

impl Turn<'_> {
    pub(super) fn tag(&mut self) {
        let definition = self.definition;
        let mut tags = BTreeMap::new();
        for (name, template) in &definition.tags {
            // A tag that cannot be evaluated is no reason to stop an order.
            let text = match self.in_scope(&[], None, |scope| template.evaluate(scope)) {
                Ok(Value::String(text)) => text,
                // There is nothing to search by.
                Ok(Value::Null) => continue,
                Ok(value) => value.to_string(),
                Err(error) => format!("({error})"),
            };
            tags.insert(name.clone(), text);
        }
        if !tags.is_empty() {
            self.emit(Change::Tagged(tags));
        }
    }

    pub(super) fn holds(
        &self,
        place: &[u16],
        condition: &Expression,
    ) -> Result<bool, EvaluationError> {
        self.in_scope(place, None, |scope| condition.holds(scope))
    }

    pub(super) fn value(
        &self,
        place: &[u16],
        expression: &Expression,
    ) -> Result<Value, EvaluationError> {
        self.in_scope(place, None, |scope| expression.evaluate(scope))
    }

    pub(super) fn fill_value(
        &self,
        place: &[u16],
        template: &Template,
    ) -> Result<Value, EvaluationError> {
        self.in_scope(place, None, |scope| template.evaluate(scope))
    }

    pub(super) fn fill(
        &self,
        place: &[u16],
        template: &Template,
        result: Option<&Payload>,
    ) -> Result<Payload, EvaluationError> {
        self.in_scope(place, result, |scope| template.evaluate(scope))
            .map(|value| Payload::from_value(&value))
    }

    fn in_scope<T>(
        &self,
        place: &[u16],
        result: Option<&Payload>,
        with: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        let outputs = Outputs {
            saga: self.saga,
            definition: self.definition,
            from: place,
        };
        // Most steps are not inside another.
        let around = if place.len() > 1 {
            self.around(place)
        } else {
            Around::default()
        };
        with(&Scope {
            event: self.saga.event.value(),
            key: self.saga.business_key(),
            steps: &outputs,
            now_ms: self.at_ms,
            result: Some(result.map_or(&Value::Null, Payload::value)),
            failure: around.failure.as_ref(),
            message: None,
            locals: &around.locals,
            vars: &self.saga.vars,
        })
    }

    fn around(&self, place: &[u16]) -> Around<'_> {
        let mut around = Around::default();
        for depth in (1..place.len()).step_by(2) {
            let position = place[depth];
            let Some(part) = self.saga.root.at(&place[..depth]) else {
                continue;
            };
            if let Part::Recovering { caught, block, .. } = part
                && *block == position
            {
                around.failure = Some(failure_of(caught));
                continue;
            }
            let step = step_at(&self.definition.steps, &place[..depth]);
            if let (Some(items), Some(Verb::Each(each))) =
                (items_of(part), step.map(|step| &step.verb))
            {
                let item = items.value().get(usize::from(position));
                let item = item.map_or(Cow::Owned(Value::Null), Cow::Borrowed);
                around.locals.push((each.item.clone(), item));
                let index = Cow::Owned(Value::from(position));
                around.locals.push(("index".to_owned(), index));
            }
        }
        around
    }
}

/// `failure`, as the steps of `on_failure` see it.
fn failure_of(caught: &Caught) -> Value {
    json!({
        "step": caught.step,
        "kind": caught.failure.kind.name(),
        "code": caught.failure.code,
        "reason": caught.failure.reason,
    })
}
