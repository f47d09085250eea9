//! A step: its verb, what all steps have, and sequences of steps.

use super::Reader;
use super::parts::{Fields, joined};
use crate::definition::blocks::Slot;
use crate::definition::keys::{self, VERBS, VerbKeys};
use crate::definition::limits::STEPS_NESTED_MAX;
use crate::definition::model::{OnFailure, Step, Verb};
use crate::definition::node::{Node, Yaml};
use crate::definition::place::{place_of_block, place_of_step};
use crate::definition::words::{a_step, nearest};

impl Reader<'_> {
    /// A list of steps, which stands under a key. They have no ids yet where none are written.
    pub(super) fn sequence(&mut self, node: &Node, place: &str, key: &str) -> Vec<Step> {
        self.places.put(place, node.span);
        let Yaml::List(steps) = &node.yaml else {
            self.push(
                self.places
                    .error(
                        "BS0105",
                        node.span,
                        format!("`{key}` must be a list of steps, and is {}", node.kind()),
                    )
                    .with_help("write each step as an item: `- do: charge-payment`"),
            );
            return Vec::new();
        };
        if let Some(first) = steps.first()
            && self.nested >= STEPS_NESTED_MAX
        {
            self.push(
                self.places
                    .error(
                        "BS0102",
                        first.span,
                        format!("steps inside each other, and at most {STEPS_NESTED_MAX} deep are allowed"),
                    )
                    .with_help("make a definition of its own of the inner ones, and `run` it"),
            );
            return Vec::new();
        }
        self.nested += 1;
        let steps = steps
            .iter()
            .enumerate()
            .filter_map(|(n, step)| self.step(step, &place_of_step(place, n)))
            .collect();
        self.nested -= 1;
        steps
    }

    /// A sequence inside a step.
    pub(super) fn block(
        &mut self,
        node: &Node,
        step: &str,
        slot: Slot<'_>,
        key: &str,
    ) -> Vec<Step> {
        self.sequence(node, &place_of_block(step, slot), key)
    }

    fn step(&mut self, node: &Node, place: &str) -> Option<Step> {
        let Yaml::Map(entries) = &node.yaml else {
            self.wrong_kind(node, "a step", "a map");
            return None;
        };
        let (verb, key, argument) = self.verb_of(node, entries)?;
        self.places.put(place, joined(key, argument));
        let what = a_step(verb.verb.name);
        let known: Vec<keys::Key> = keys::STEP
            .iter()
            .chain(std::iter::once(&verb.verb))
            .chain(verb.keys)
            .copied()
            .collect();
        let fields = self.fields(node, &what, &known)?;
        self.places
            .put(format!("{place}.{}", verb.verb.name), argument.span);
        let read = self.verb(verb.verb.name, argument, &fields, place);
        let (name, verb) = read.unzip();
        let id = match fields.get("id") {
            None => name.map(|name| name.replace('-', "_")),
            Some(node) => match self.text(node, &format!("{place}.id"), "an id") {
                Some(id) if id.is_empty() => {
                    self.error("BS0201", node.span, "an id without a character".to_owned());
                    None
                }
                id => id,
            },
        };
        let when = self.optional_logic(&fields, place, "when");
        let on_failure = self.reaction(&fields, "on_failure", place, Slot::OnFailure);
        let on_timeout = self.reaction(&fields, "on_timeout", place, Slot::OnTimeout);
        let on_refused = self.reaction(&fields, "on_refused", place, Slot::OnRefused);
        Some(Step {
            id: id?,
            when,
            on_failure: on_failure.unwrap_or(OnFailure::TurnBack),
            on_timeout,
            on_refused,
            verb: verb?,
        })
    }

    /// The one verb of a step, where it stands, and its argument.
    fn verb_of<'n>(
        &mut self,
        node: &Node,
        entries: &'n [(Node, Node)],
    ) -> Option<(&'static VerbKeys, &'n Node, &'n Node)> {
        let mut verbs = entries.iter().filter_map(|(key, argument)| {
            let verb = keys::verb(key.text()?)?;
            Some((verb, key, argument))
        });
        let Some(first) = verbs.next() else {
            let span = entries.first().map_or(node.span, |(key, _)| key.span);
            self.push(
                self.places
                    .error("BS0108", span, "a step without a verb".to_owned())
                    .with_help(meant(entries)),
            );
            return None;
        };
        if let Some((second, key, _)) = verbs.next() {
            let (one, other) = (first.0.verb.name, second.verb.name);
            self.push(
                self.places
                    .error(
                        "BS0111",
                        key.span,
                        format!("a step has one verb, and this one has `{one}` and `{other}`"),
                    )
                    .with_help(format!("make a step of its own of it: `- {other}: …`")),
            );
            return None;
        }
        Some(first)
    }

    /// What a step does, and the name that its argument gives it: empty where it gives none.
    fn verb(
        &mut self,
        verb: &str,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<(String, Verb)> {
        let unnamed = |verb| (String::new(), verb);
        match verb {
            "do" => {
                let asked = self.activity(argument, fields, place)?;
                Some((asked.activity.clone(), Verb::Do(asked)))
            }
            "run" => {
                let run = self.run(argument, fields, place)?;
                Some((run.saga.clone(), Verb::Run(run)))
            }
            "wait" => {
                let name = self.text(argument, &format!("{place}.wait"), "what is waited for");
                let wait = self.wait(fields, place)?;
                Some((name?, Verb::Wait(wait)))
            }
            "approve" => {
                let name = self.text(argument, &format!("{place}.approve"), "what is approved");
                let approve = self.approve(fields, place);
                Some((name?, Verb::Approve(approve)))
            }
            "parallel" => {
                let parallel = self.parallel(argument, fields, place)?;
                Some(unnamed(Verb::Parallel(parallel)))
            }
            "choose" => {
                let choose = self.choose(argument, place)?;
                Some(unnamed(Verb::Choose(choose)))
            }
            "each" => {
                let each = self.each(argument, fields, place)?;
                Some(unnamed(Verb::Each(each)))
            }
            "repeat" => {
                let repeat = self.repeat(argument, fields, place)?;
                Some(unnamed(Verb::Repeat(repeat)))
            }
            "sleep" => Some(unnamed(Verb::Sleep(self.sleep(argument, place)?))),
            "set" => {
                let place = format!("{place}.set");
                let set = self.named(argument, &place, "`set`");
                Some(unnamed(Verb::Set(set)))
            }
            "fail" => {
                let fail = self.fail(argument, fields, place)?;
                Some(unnamed(Verb::Fail(fail)))
            }
            // `end`: there are no others.
            _ => {
                let output = match argument.yaml {
                    Yaml::Null => None,
                    Yaml::Bool(_)
                    | Yaml::Number(_)
                    | Yaml::Text(_)
                    | Yaml::List(_)
                    | Yaml::Map(_) => Some(self.template(argument, &format!("{place}.end"))),
                };
                Some(unnamed(Verb::End(output)))
            }
        }
    }

    fn reaction(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        step: &str,
        slot: Slot<'_>,
    ) -> Option<OnFailure> {
        let node = fields.get(key)?;
        let place = place_of_block(step, slot);
        self.places.put(&place, node.span);
        if matches!(node.yaml, Yaml::List(_)) {
            return Some(OnFailure::Steps(self.sequence(node, &place, key)));
        }
        match node.text() {
            Some("turn_back") => return Some(OnFailure::TurnBack),
            Some("ignore") => return Some(OnFailure::Ignore),
            Some("park") => return Some(OnFailure::Park),
            _ => {}
        }
        self.push(
            self.places
                .error(
                    "BS0105",
                    node.span,
                    format!("`{key}` is neither `turn_back`, `ignore`, `park` nor a list of steps"),
                )
                .with_help(
                    "leave it out and the saga turns back; or write `ignore`, `park`, or a list of steps",
                ),
        );
        Some(OnFailure::TurnBack)
    }
}

/// What may have been meant by a step without a verb.
fn meant(entries: &[(Node, Node)]) -> String {
    let verbs: Vec<&str> = VERBS.iter().map(|verb| verb.verb.name).collect();
    let own: Vec<&str> = keys::STEP.iter().map(|key| key.name).collect();
    let near = entries
        .iter()
        .filter_map(|(key, _)| key.text())
        .filter(|key| !own.contains(key) && keys::verbs_with(key).is_empty())
        .find_map(|key| keys::verb_elsewhere(key).or_else(|| nearest(key, &verbs)));
    match near {
        Some(verb) => format!("did you mean `{verb}`?"),
        None => format!(
            "say what it does, for example `do: charge-payment`; the verbs are {}",
            verbs.join(", ")
        ),
    }
}
