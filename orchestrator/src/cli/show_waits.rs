//! What a saga waits for beside its workers, who runs it, and whom it runs.

use std::sync::Arc;

use backstitch_saga::core::mailbox::Mailbox;
use backstitch_saga::core::{LineKind, Parent};
use backstitch_saga::{Definition, Line, LineStatus, Payload, Saga};
use serde_json::{Value, json};

use super::context::Context;
use super::decide::{approvals, approve_of};
use super::error::CliError;
use super::text::{now_ms, shortened, write_span};
use crate::store::{SagaStatus, Store};

/// Bytes of a document that are shown to people; the JSON has all.
const SHOWN_MAX: usize = 400;

/// What a saga waits for, who runs it, and whom it runs.
#[derive(Debug)]
pub(crate) struct Waits {
    events: Vec<Event>,
    approvals: Vec<Approval>,
    children: Vec<Child>,
    parent: Option<Parent>,
    mailbox: Option<Mailbox>,
    key: String,
}

/// A `wait`.
#[derive(Debug)]
struct Event {
    occurrence: String,
    mailbox: String,
    due_ms: Option<i64>,
}

/// An `approve`.
#[derive(Debug)]
struct Approval {
    occurrence: String,
    /// Who may decide; anybody when empty.
    by: Vec<String>,
    /// What is shown to them.
    show: Payload,
    due_ms: Option<i64>,
}

/// A `run`.
#[derive(Debug)]
struct Child {
    occurrence: String,
    key: String,
    /// As the store has it; `None` if there is no such saga.
    status: Option<SagaStatus>,
}

/// Finds out what a saga waits for; its children are looked up.
pub(crate) fn waits(
    context: &Context,
    store: &Arc<dyn Store>,
    saga: &Saga,
    definition: Option<&Definition>,
) -> Result<Waits, CliError> {
    let awaited = saga
        .lines
        .iter()
        .filter(|line| line.kind == LineKind::Wait && line.status == LineStatus::InFlight);
    let events = awaited
        .map(|line| Event {
            occurrence: line.occurrence.clone(),
            mailbox: line.target.clone().unwrap_or_default(),
            due_ms: line.due_ms,
        })
        .collect();
    let approvals = approvals(saga)
        .map(|line| Approval {
            occurrence: line.occurrence.clone(),
            by: definition
                .and_then(|definition| approve_of(definition, line))
                .map(|approve| approve.by.iter().cloned().collect())
                .unwrap_or_default(),
            show: line.input.clone(),
            due_ms: line.due_ms,
        })
        .collect();
    Ok(Waits {
        events,
        approvals,
        children: children(context, store, &saga.lines)?,
        parent: saga.parent.clone(),
        mailbox: saga.mailbox().cloned(),
        key: saga.key.clone(),
    })
}

fn children(
    context: &Context,
    store: &Arc<dyn Store>,
    lines: &[Line],
) -> Result<Vec<Child>, CliError> {
    let mut children: Vec<Child> = lines
        .iter()
        .filter(|line| line.kind == LineKind::Run)
        .filter_map(|line| {
            Some(Child {
                occurrence: line.occurrence.clone(),
                key: line.target.clone()?,
                status: None,
            })
        })
        .collect();
    let keys: Vec<String> = children.iter().map(|child| child.key.clone()).collect();
    if keys.is_empty() {
        return Ok(children);
    }
    let rows = context.block_on(store.load(&keys))?;
    for child in &mut children {
        let row = rows.iter().find(|row| row.key == child.key);
        child.status = row.map(|row| row.status);
    }
    Ok(children)
}

impl Waits {
    /// For people; empty if there is nothing to tell.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(parent) = &self.parent {
            text.push_str(&format!(
                "parent      {}, as its step {}\n",
                parent.saga, parent.occurrence
            ));
        }
        for child in &self.children {
            let status = child.status.map_or("not begun", SagaStatus::name);
            text.push_str(&format!(
                "child       {} ({status}), as step {}\n",
                child.key, child.occurrence
            ));
        }
        for event in &self.events {
            text.push_str(&format!(
                "waits       {} for an event in {}{}\n",
                event.occurrence,
                event.mailbox,
                left(event.due_ms)
            ));
        }
        for approval in &self.approvals {
            text.push_str(&self.approval_text(approval));
        }
        if let Some(mailbox) = &self.mailbox {
            text.push_str(&mailbox_text(mailbox));
        }
        text
    }

    fn approval_text(&self, approval: &Approval) -> String {
        let by = match approval.by.as_slice() {
            [] => "anybody".to_owned(),
            roles => roles.join(" or "),
        };
        let role = approval
            .by
            .first()
            .map_or_else(String::new, |role| format!(" --role {role}"));
        let (key, step) = (&self.key, &approval.occurrence);
        format!(
            "approval    {step} waits for {by}{}\n            {}\n            backstitch approve {key} {step}{role}\n            \
             backstitch refuse {key} {step}{role} --reason WHY\n",
            left(approval.due_ms),
            shortened(approval.show.as_str(), SHOWN_MAX),
        )
    }

    /// For programs: fields of the saga's document.
    pub(crate) fn json(&self) -> Value {
        let events = self.events.iter().map(|event| {
            json!({
                "step": event.occurrence,
                "mailbox": event.mailbox,
                "due_ms": event.due_ms,
            })
        });
        let approvals = self.approvals.iter().map(|approval| {
            json!({
                "step": approval.occurrence,
                "by": approval.by,
                "show": approval.show,
                "due_ms": approval.due_ms,
            })
        });
        let children = self.children.iter().map(|child| {
            json!({
                "step": child.occurrence,
                "saga": child.key,
                "status": child.status.map(SagaStatus::name),
            })
        });
        json!({
            "parent": self.parent,
            "children": children.collect::<Vec<_>>(),
            "waits": events.collect::<Vec<_>>(),
            "approvals": approvals.collect::<Vec<_>>(),
            "mailbox": self.mailbox,
        })
    }
}

fn mailbox_text(mailbox: &Mailbox) -> String {
    let mut text = String::new();
    for waiter in &mailbox.waiting {
        text.push_str(&format!(
            "waited for  by {}, step {}\n",
            waiter.saga, waiter.occurrence
        ));
    }
    for kept in &mailbox.kept {
        text.push_str(&format!(
            "kept        {}/{}/{}{}: {}\n",
            kept.source.topic,
            kept.source.partition,
            kept.source.offset,
            left(Some(kept.until_ms)),
            shortened(kept.value.as_str(), SHOWN_MAX)
        ));
    }
    text
}

fn left(due_ms: Option<i64>) -> String {
    let now = now_ms();
    match due_ms {
        Some(due) if due > now => format!(", for another {}", write_span(due - now)),
        Some(_) => ", its time is up".to_owned(),
        None => String::new(),
    }
}
