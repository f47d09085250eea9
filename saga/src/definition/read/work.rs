//! The verbs that ask someone or let time pass: `do`, `wait`, `sleep`, `run`, `approve`; and `fail`.

use super::Reader;
use super::parts::Fields;
use crate::definition::keys;
use crate::definition::model::{
    Approve, Do, EARLY_MS_DEFAULT, Fail, OtherUndo, Run, Sleep, Undo, Wait,
};
use crate::definition::node::{Node, Yaml};

impl Reader<'_> {
    pub(super) fn activity(
        &mut self,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<Do> {
        let activity = self.text(argument, &format!("{place}.do"), "an activity");
        let with = self.document(fields, place, "with");
        let undo = match fields.get("undo") {
            Some(node) => self.undo(node, &format!("{place}.undo")),
            None => Undo::Absent,
        };
        let pivot = match fields.get("pivot") {
            Some(node) => self.truth(node, &format!("{place}.pivot"), "`pivot`"),
            None => false,
        };
        let name = activity.as_deref().unwrap_or_default();
        let (timeout, retry) = self.settings_of(name, fields, place);
        Some(Do {
            activity: activity?,
            with,
            undo,
            timeout,
            retry,
            pivot,
        })
    }

    fn undo(&mut self, node: &Node, place: &str) -> Undo {
        self.places.put(place, node.span);
        match &node.yaml {
            Yaml::Bool(true) => return Undo::Same,
            Yaml::Text(text) if text == "yes" || text == "true" => return Undo::Same,
            Yaml::Text(text) if text == "nothing" => return Undo::Nothing,
            Yaml::Map(_) => {}
            Yaml::Null | Yaml::Bool(false) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => {
                self.push(
                    self.places
                        .error("BS0105", node.span, "`undo` is not one of the ways to undo".to_owned())
                        .with_help(
                            "write `yes` (the same activity takes it back), `nothing`, or `{ do: other-activity }`",
                        ),
                );
                return Undo::Absent;
            }
        }
        let Some(fields) = self.fields(node, "`undo`", keys::UNDO) else {
            return Undo::Absent;
        };
        let activity = self
            .required(&fields, "do")
            .and_then(|node| self.text(node, &format!("{place}.do"), "an activity"));
        let with = self.document(&fields, place, "with");
        let name = activity.as_deref().unwrap_or_default();
        let (timeout, retry) = self.settings_of(name, &fields, place);
        match activity {
            Some(activity) => Undo::Other(Box::new(OtherUndo {
                activity,
                with,
                timeout,
                retry,
            })),
            None => Undo::Absent,
        }
    }

    pub(super) fn wait(&mut self, fields: &Fields<'_>, place: &str) -> Option<Wait> {
        let topic = self
            .required(fields, "topic")
            .and_then(|node| self.text(node, &format!("{place}.topic"), "a topic"));
        let key = self.required_logic(fields, place, "key");
        let matches = self.optional_logic(fields, place, "match");
        let accept = self.optional_logic(fields, place, "accept");
        let input = fields
            .get("input")
            .and_then(|node| self.schema(node, &format!("{place}.input"), ""));
        let early_ms = self
            .optional_duration(fields, place, "early")
            .unwrap_or(EARLY_MS_DEFAULT);
        let within_ms = self.optional_duration(fields, place, "within");
        Some(Wait {
            topic: topic?,
            key: key?,
            matches,
            accept,
            input,
            early_ms,
            within_ms,
        })
    }

    pub(super) fn sleep(&mut self, argument: &Node, place: &str) -> Option<Sleep> {
        let place = format!("{place}.sleep");
        if !matches!(argument.yaml, Yaml::Map(_)) {
            return self.duration(argument, &place).map(Sleep::For);
        }
        let fields = self.fields(argument, "`sleep`", keys::SLEEP)?;
        self.required_logic(&fields, &place, "until")
            .map(Sleep::Until)
    }

    pub(super) fn run(&mut self, argument: &Node, fields: &Fields<'_>, place: &str) -> Option<Run> {
        let saga = self.text(argument, &format!("{place}.run"), "a saga");
        let key = self.optional_logic(fields, place, "key");
        let with = self.document(fields, place, "with");
        Some(Run {
            saga: saga?,
            key,
            with,
        })
    }

    pub(super) fn approve(&mut self, fields: &Fields<'_>, place: &str) -> Approve {
        let by = fields
            .get("by")
            .and_then(|node| self.texts_of(node, &format!("{place}.by"), "`by`", "a role"));
        Approve {
            by: by.unwrap_or_default(),
            show: self.document(fields, place, "show"),
            within_ms: self.optional_duration(fields, place, "within"),
        }
    }

    pub(super) fn fail(
        &mut self,
        argument: &Node,
        fields: &Fields<'_>,
        place: &str,
    ) -> Option<Fail> {
        let code = self.text(argument, &format!("{place}.fail"), "an error code");
        let reason = fields
            .get("reason")
            .map(|node| self.template(node, &format!("{place}.reason")));
        Some(Fail {
            code: code?,
            reason,
        })
    }
}
