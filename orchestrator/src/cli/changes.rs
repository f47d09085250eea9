//! What a journal entry says, in words.

use backstitch_saga::Change;
use backstitch_saga::core::mailbox::MailChange;
use backstitch_saga::core::{
    ActKind, Ask, Cause, Failure, LineKind, Shape, Source, Told, ToldAnswer, TurnedBackBy,
};

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
        Cause::Event(source) => format!("event from {}", write_source(source)),
        Cause::Decision(decision) => {
            let on = decision
                .occurrence
                .as_deref()
                .map(|step| format!(" {step}"))
                .unwrap_or_default();
            let word = if decision.approved {
                "approved"
            } else {
                "refused"
            };
            let why = decision
                .reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{word}{on} by {}{why}", decision.by)
        }
        Cause::Want(want) if want.cancel => {
            format!("{} of {} waits no more", want.occurrence, want.saga)
        }
        Cause::Want(want) => format!("{} of {} waits", want.occurrence, want.saga),
        Cause::Undo(parent) => format!("{} takes it back", parent.saga),
    }
}

fn write_source(source: &Source) -> String {
    format!("{}/{}/{}", source.topic, source.partition, source.offset)
}

fn mail(change: &MailChange) -> String {
    match change {
        MailChange::Kept(kept) => format!(
            "event from {} kept until {}",
            write_source(&kept.source),
            write_time(kept.until_ms)
        ),
        MailChange::Waits(waiter) => format!("{} of {} waits", waiter.occurrence, waiter.saga),
        MailChange::Left(waiter) => format!("{} of {} left", waiter.occurrence, waiter.saga),
        MailChange::Given { to, source, .. } => format!(
            "event from {} given to {} of {}",
            write_source(source),
            to.occurrence,
            to.saga
        ),
        MailChange::Expired(until_ms) => {
            format!(
                "events dropped that were kept until {}",
                write_time(*until_ms)
            )
        }
    }
}

fn asked(ask: &Ask, at_ms: i64) -> String {
    let within = match ask.due_ms {
        Some(due_ms) => format!(", for {}", write_span(due_ms - at_ms)),
        None => String::new(),
    };
    match (ask.kind, ask.target.as_deref()) {
        (LineKind::Run, Some(child)) => format!("{} runs {child}", ask.occurrence),
        (LineKind::Wait, Some(mailbox)) => {
            format!("{} waits for an event in {mailbox}{within}", ask.occurrence)
        }
        (LineKind::Approve, _) => format!("{} waits for a decision{within}", ask.occurrence),
        (LineKind::Sleep, _) => format!("{} sleeps{within}", ask.occurrence),
        (LineKind::Do | LineKind::Wait | LineKind::Run, _) => {
            format!("{} begun{within}", ask.occurrence)
        }
    }
}

fn told(told: &Told) -> String {
    let answer = match &told.answer {
        ToldAnswer::Done(_) => "done",
        ToldAnswer::Stopped { .. } => "stopped",
        ToldAnswer::Refused { .. } => "refused",
    };
    format!(
        "{} {} of {} answered: {answer}",
        told.direction.name(),
        told.parent.occurrence,
        told.parent.saga
    )
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
        Change::Asked(ask) => asked(ask, at_ms),
        Change::Unwanted { occurrence, .. } => format!("{occurrence} waits no more"),
        Change::AskedBack {
            occurrence, child, ..
        } => format!("undo {occurrence} asked of {child}"),
        Change::Answered(answer) => told(answer),
        Change::UndoAsked { .. } => "its parent takes it back".to_owned(),
        Change::Entered { shape, .. } => match shape {
            Shape::Parallel(branches) => format!("{branches} branches begin"),
            Shape::Choose(case) => format!("case {case} chosen"),
            Shape::Each { id, items } => {
                let count = items.value().as_array().map_or(0, Vec::len);
                format!("{id}: {count} items")
            }
            Shape::Repeat => "rounds begin".to_owned(),
            Shape::Nothing => "failed before it began".to_owned(),
        },
        Change::NextBegan { .. } => "the next one begins".to_owned(),
        Change::Paused { due_ms, .. } => {
            format!("the next round in {}", write_span(due_ms - at_ms))
        }
        Change::Collected { .. } => "all items done".to_owned(),
        Change::Set { vars, .. } => {
            let names: Vec<&str> = vars.keys().map(String::as_str).collect();
            format!("set {}", names.join(", "))
        }
        Change::Reversed { caught, .. } => format!(
            "undone by itself, for {} {}",
            caught.occurrence,
            write_failure(&caught.failure)
        ),
        Change::Recovering { caught, .. } => {
            format!(
                "goes on by what is written for the failure of {}",
                caught.step
            )
        }
        Change::NotDecided { decision, reason } => {
            format!("the decision of {} does not count: {reason}", decision.by)
        }
        Change::Mail(change) => mail(change),
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
        TurnedBackBy::Parent => "its parent takes it back".to_owned(),
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
