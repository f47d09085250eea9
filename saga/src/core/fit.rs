//! Whether payloads keep to what was agreed.

use super::ledger::LineKind;
use super::message::{Answer, Direction, Reply};
use super::state::Saga;
use crate::definition::{Definition, Verb, step_at};
use crate::payload::Payload;

impl Definition {
    /// Why an event does not fit the schema that the definition declares for it, if it does not.
    pub fn event_misfit(&self, event: &Payload) -> Option<String> {
        let input = self.input.as_ref()?;
        let misfit = input.schema.as_ref()?.misfit(event.value())?;
        Some(format!("the event does not fit `{}`: {misfit}", input.path))
    }
}

impl Saga {
    /// Why the output of an answer does not fit the contract of its activity, if it does not.
    ///
    /// `None` too where there is no contract, or the answer is about nothing that this saga asked
    /// for.
    pub fn output_misfit(&self, definition: &Definition, reply: &Reply) -> Option<String> {
        if definition.activities.is_empty() || reply.direction == Direction::Undo {
            return None;
        }
        let Answer::Done(output) = &reply.answer else {
            return None;
        };
        let line = self.line(&reply.occurrence)?;
        let step = step_at(&definition.steps, &line.place)?;
        let (LineKind::Do, Verb::Do(work)) = (line.kind, &step.verb) else {
            return None;
        };
        let declared = definition.activities.get(&work.activity)?.output.as_ref()?;
        let schema = declared.schema.as_ref()?;
        let misfit = match output {
            Some(output) => schema.misfit(output.value()),
            None => schema.misfit(&serde_json::Value::Null),
        }?;
        Some(format!(
            "the output of `{}` does not fit `{}`: {misfit}",
            work.activity, declared.path
        ))
    }
}
