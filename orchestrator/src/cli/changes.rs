//! What a journal entry says, in words.

use backstitch_saga::Change;
use backstitch_saga::core::{ActKind, Cause, Failure, TurnedBackBy};

use super::text::{write_span, write_time};

/// What led to a transition.
pub(crate) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Start { by: None } => "start".to_owned(),
        Cause::Start { by: Some(by) } => format!("start by {by}"),
        Cause::Reply {
            occurrence,
            direction,
            attempt,
            answer,
            worker: _,
        } => format!(
            "reply: {} {occurrence} #{attempt} {answer}",
            direction.name()
        ),
        Cause::Wake => "time passed".to_owned(),
        Cause::Act(act) => {
            let on = act
                .occurrence
                .as_deref()
                .map(|step| format!(" {step}"))
                .unwrap_or_default();
            let why = act
                .reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{}{on} by {}{why}", act_name(act.kind), act.by)
        }
    }
}

/// What changed. `at_ms` is when it was decided.
pub(crate) fn change(change: &Change, at_ms: i64) -> String {
    match change {
        Change::Began { deadline_ms, .. } => match deadline_ms {
            Some(deadline) => format!("began, to be through by {}", write_time(*deadline)),
            None => "began".to_owned(),
        },
        Change::Tagged(tags) => {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("tagged {}", tags.join(" "))
        }
        Change::Requested(request) => format!(
            "{} {} asked of {} (attempt {}, answer within {})",
            request.direction.name(),
            request.occurrence,
            request.activity,
            request.attempt,
            write_span(request.due_ms - at_ms),
        ),
        Change::Skipped { .. } => "a step passed over: its condition did not hold".to_owned(),
        Change::Left { .. } => "on to the next step".to_owned(),
        Change::Backoff {
            occurrence,
            due_ms,
            failure,
        } => format!(
            "{occurrence} {}; again in {}",
            write_failure(failure),
            write_span(due_ms - at_ms)
        ),
        Change::Extended { occurrence, due_ms } => {
            format!(
                "{occurrence} is still at it; {} more",
                write_span(due_ms - at_ms)
            )
        }
        Change::Done { occurrence, .. } => format!("{occurrence} done"),
        Change::Refused {
            occurrence,
            failure,
        } => format!("{occurrence} {}", write_failure(failure)),
        Change::Doubted {
            occurrence,
            failure,
        } => format!("{occurrence} may have run: {}", write_failure(failure)),
        Change::Undone { occurrence, asked } => {
            let how = if *asked {
                "undone"
            } else {
                "counts as undone: nothing worth undoing"
            };
            format!("{occurrence} {how}")
        }
        Change::Stuck {
            occurrence,
            failure,
        } => format!("{occurrence} cannot be undone: {}", write_failure(failure)),
        Change::Waived { occurrence } => format!("{occurrence} waived"),
        Change::TurnedBack(by) => format!("turned back: {}", turned_back(by)),
        Change::Parked(parked) => format!("parked: {}", parked.reason),
        Change::Unparked => "goes on".to_owned(),
        Change::DeadlinePassed => "its time was up".to_owned(),
        Change::Declined { act, reason } => format!("{} declined: {reason}", act_name(act.kind)),
        Change::Ended { status, .. } => status.name().to_owned(),
    }
}

/// Why a saga turned back.
pub(crate) fn turned_back(by: &TurnedBackBy) -> String {
    match by {
        TurnedBackBy::Failure {
            occurrence,
            failure,
        } => format!("{occurrence} {}", write_failure(failure)),
        TurnedBackBy::Cancel(act) => match &act.reason {
            Some(reason) => format!("cancelled by {}: {reason}", act.by),
            None => format!("cancelled by {}", act.by),
        },
        TurnedBackBy::Deadline => "its time was up".to_owned(),
    }
}

/// What went wrong.
pub(crate) fn write_failure(failure: &Failure) -> String {
    match (failure.code.as_str(), failure.reason.as_str()) {
        ("", "") => failure.kind.name().to_owned(),
        ("", reason) => format!("{} ({reason})", failure.kind.name()),
        (code, "") => format!("{} ({code})", failure.kind.name()),
        (code, reason) => format!("{} ({code}: {reason})", failure.kind.name()),
    }
}

/// The verb of an act.
pub(crate) fn act_name(kind: ActKind) -> &'static str {
    match kind {
        ActKind::Cancel => "cancel",
        ActKind::Resume => "resume",
        ActKind::Retry => "retry",
        ActKind::Waive => "waive",
        ActKind::Terminate => "terminate",
    }
}
