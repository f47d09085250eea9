//! What stands before and after all steps.

use backstitch_saga::Definition;
use backstitch_saga::definition::{OnFailure, Step, Undo, Verb, walk};

use super::drawing::{LineRole, NodeRole};
use super::words::{Card, line, span};

/// Start rules that are written out; the others are counted.
const RULES_MAX: usize = 3;
/// Reasons to park that are written out; the others are counted.
const REASONS_MAX: usize = 4;

/// What starts the saga.
pub(super) fn start(definition: &Definition, chars_max: usize) -> Card {
    let mut lines = vec![line(LineRole::Title, "start")];
    for rule in definition.start.iter().take(RULES_MAX) {
        lines.push(line(LineRole::Does, format!("from {}", rule.topic)));
        if let Some(when) = &rule.when {
            lines.push(line(LineRole::Condition, format!("when {}", when.source())));
        }
        lines.push(line(
            LineRole::Condition,
            format!("key {}", rule.key.source()),
        ));
    }
    match definition.start.len() {
        0 => lines.push(line(LineRole::Does, "by hand, or by a saga")),
        count if count > RULES_MAX => {
            let more = count - RULES_MAX;
            lines.push(line(LineRole::Does, format!("and {more} more rules")));
        }
        _ => {}
    }
    if let Some(ms) = definition.deadline_ms {
        lines.push(line(LineRole::Limit, format!("{} for all", span(ms))));
    }
    Card::new(NodeRole::Start, &lines, chars_max)
}

/// The end of a saga that did all it should.
pub(super) fn completed(chars_max: usize) -> Card {
    let lines = [line(LineRole::Title, "completed")];
    Card::new(NodeRole::Completed, &lines, chars_max)
}

/// The end of a saga that turned back.
pub(super) fn compensated(chars_max: usize) -> Card {
    let lines = [
        line(LineRole::Title, "compensated"),
        line(LineRole::Does, "all is undone"),
    ];
    Card::new(NodeRole::Compensated, &lines, chars_max)
}

/// Where a saga waits for a person, and why it may.
pub(super) fn parked(definition: &Definition, chars_max: usize) -> Card {
    let mut lines = vec![
        line(LineRole::Title, "parked"),
        line(LineRole::Does, "waits for a person if"),
    ];
    let reasons = reasons(definition);
    for reason in reasons.iter().take(REASONS_MAX) {
        lines.push(line(LineRole::Reaction, reason));
    }
    if reasons.len() > REASONS_MAX {
        let more = reasons.len() - REASONS_MAX;
        lines.push(line(LineRole::Reaction, format!("and {more} more")));
    }
    Card::new(NodeRole::Parked, &lines, chars_max)
}

fn reasons(definition: &Definition) -> Vec<String> {
    let mut chosen = Vec::new();
    let mut has_undo = false;
    let mut has_pivot = false;
    walk(&definition.steps, &mut |step: &Step| {
        match &step.verb {
            Verb::Do(work) => {
                has_pivot |= work.pivot;
                has_undo |= matches!(work.undo, Undo::Same | Undo::Other(_));
            }
            Verb::Run(_) => has_undo = true,
            Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Each(_)
            | Verb::Repeat(_)
            | Verb::Wait(_)
            | Verb::Sleep(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
        let told = [
            ("fails", Some(&step.on_failure)),
            ("times out", step.on_timeout.as_ref()),
            ("is refused", step.on_refused.as_ref()),
        ];
        for (cause, reaction) in told {
            if reaction == Some(&OnFailure::Park) {
                chosen.push(format!("{} {cause}", step.id));
            }
        }
    });
    let by_nature = [
        (has_pivot, "a step past the pivot fails"),
        (has_undo, "an undo keeps failing"),
        (true, "an expression has no value"),
    ];
    let by_nature = by_nature
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, words)| words.to_owned());
    chosen.into_iter().chain(by_nature).collect()
}
