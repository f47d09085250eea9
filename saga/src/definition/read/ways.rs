//! The verbs with steps inside: `parallel`, `choose`, `each`, `repeat`.

use super::Reader;
use super::parts::Fields;
use crate::definition::blocks::{Slot, position};
use crate::definition::keys;
use crate::definition::model::{
    AT_ONCE_DEFAULT, Case, Choose, Each, ITEMS_MAX_DEFAULT, Need, Parallel, ROUNDS_MAX_DEFAULT,
    Repeat, Step,
};
use crate::definition::node::{Node, Yaml};

/// An entry of the list under `choose`.
enum Way {
    Case(Case),
    Otherwise(Vec<Step>),
}

impl Reader<'_> {
    pub(super) fn parallel(
        &mut self,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<Parallel> {
        let need = match fields.get("need") {
            Some(node) => self.need(node, &format!("{place}.need")),
            None => Some(Need::All),
        };
        let Yaml::Map(entries) = &argument.yaml else {
            self.wrong_kind(argument, "`parallel`", "a map from names to lists of steps");
            return None;
        };
        let mut branches = Vec::new();
        for (n, (key, node)) in entries.iter().enumerate() {
            let Some(name) = self.key(key) else { continue };
            self.places
                .put(format!("{place}.parallel.{name}#"), key.span);
            let steps = self.block(node, place, Slot::Branch(position(n), name), name);
            branches.push((name.to_owned(), steps));
        }
        Some(Parallel {
            branches,
            need: need?,
        })
    }

    fn need(&mut self, node: &Node, place: &str) -> Option<Need> {
        self.places.put(place, node.span);
        let need = match &node.yaml {
            Yaml::Text(text) if text == "all" => Some(Need::All),
            Yaml::Text(text) if text == "any" => Some(Need::Count(1)),
            Yaml::Number(number) => number
                .as_u64()
                .and_then(|count| u16::try_from(count).ok())
                .map(Need::Count),
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => None,
        };
        if need.is_none() {
            self.push(
                self.places
                    .error(
                        "BS0105",
                        node.span,
                        "`need` is neither `all`, `any` nor a number of branches".to_owned(),
                    )
                    .with_help("leave it out and all branches must finish"),
            );
        }
        need
    }

    pub(super) fn choose(&mut self, argument: &Node, place: &str) -> Option<Choose> {
        let Yaml::List(entries) = &argument.yaml else {
            self.push(
                self.places
                    .error(
                        "BS0105",
                        argument.span,
                        format!("`choose` must be a list of cases, and is {}", argument.kind()),
                    )
                    .with_help("write each way as `- when: …` with `steps`, and the last one as `- else: […]`"),
            );
            return None;
        };
        let mut choose = Choose {
            cases: Vec::new(),
            otherwise: None,
        };
        for (n, entry) in entries.iter().enumerate() {
            match self.way(entry, n, place) {
                None => {}
                Some(Way::Case(case)) => choose.cases.push(case),
                Some(Way::Otherwise(steps)) => {
                    if n + 1 < entries.len() {
                        self.push(
                            self.places
                                .error(
                                    "BS0105",
                                    entry.span,
                                    "`else` is not the last of the ways".to_owned(),
                                )
                                .with_help(
                                    "what stands after it would never be tried: put it last",
                                ),
                        );
                    }
                    choose.otherwise = Some(steps);
                }
            }
        }
        Some(choose)
    }

    fn way(&mut self, node: &Node, n: usize, step: &str) -> Option<Way> {
        let has = |name: &str| match &node.yaml {
            Yaml::Map(entries) => entries.iter().any(|(key, _)| key.text() == Some(name)),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => false,
        };
        let place = format!("{step}.choose[{n}]");
        if has("else") {
            let fields = self.fields(node, "`else`", keys::ELSE)?;
            self.places.put(place, fields.span);
            let steps = fields.get("else")?;
            let slot = Slot::Otherwise(position(n));
            return Some(Way::Otherwise(self.block(steps, step, slot, "else")));
        }
        if let Some(other) = ["otherwise", "default"].into_iter().find(|name| has(name)) {
            let diagnostic = self
                .places
                .error(
                    "BS0103",
                    node.span,
                    format!("a case of `choose` has no `{other}`"),
                )
                .with_help(
                    "write what is done where no case holds as the last of the list: `- else: […]`",
                );
            self.push(diagnostic);
            return None;
        }
        let fields = self.fields(node, "a case of `choose`", keys::CASE)?;
        self.places.put(&place, fields.span);
        let when = self.required_logic(&fields, &place, "when");
        let steps = self
            .required(&fields, "steps")
            .map(|node| self.block(node, step, Slot::Case(position(n)), "steps"));
        Some(Way::Case(Case {
            when: when?,
            steps: steps?,
        }))
    }

    pub(super) fn each(
        &mut self,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<Each> {
        let item = self.text(argument, &format!("{place}.each"), "the name of an item");
        let over = self.required_logic(fields, place, "over");
        let at_once = self.optional_small(fields, place, "at_once");
        let items_max = self.optional_small(fields, place, "most");
        let steps = self
            .required(fields, "steps")
            .map(|node| self.block(node, place, Slot::Body, "steps"));
        let collect = fields
            .get("collect")
            .map(|node| self.template(node, &format!("{place}.collect")));
        Some(Each {
            item: item?,
            over: over?,
            at_once: at_once.unwrap_or(AT_ONCE_DEFAULT),
            items_max: items_max.unwrap_or(ITEMS_MAX_DEFAULT),
            steps: steps?,
            collect,
        })
    }

    pub(super) fn repeat(
        &mut self,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<Repeat> {
        let steps = self.block(argument, place, Slot::Body, "repeat");
        let until = self.required_logic(fields, place, "until");
        let rounds_max = self.optional_small(fields, place, "most");
        let pause_ms = self.optional_duration(fields, place, "pause");
        Some(Repeat {
            steps,
            until: until?,
            rounds_max: rounds_max.unwrap_or(ROUNDS_MAX_DEFAULT),
            pause_ms: pause_ms.unwrap_or(0),
        })
    }
}
