//! A definition and an older version of it.

use std::collections::BTreeSet;

use super::index::Index;
use crate::contract::{Change, Schema};
use crate::definition::diagnostic::Diagnostic;
use crate::definition::model::{Definition, SchemaFile, Undo, Verb, Wait};
use crate::definition::place::{Places, Span};
use crate::definition::walk;

/// Pushes what does not go together with an older version; returns what sagas in flight meet, in
/// sentences for people.
pub(super) fn compare(
    newer: &Definition,
    older: &Definition,
    places: &Places,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    if newer.name != older.name {
        found.push(
            places
                .error(
                    "BS0311",
                    places.span("saga"),
                    format!("this is `{}`, and the older version is of `{}`", newer.name, older.name),
                )
                .with_help("a version is another text of the same saga; sagas of another name go on as they are"),
        );
        return Vec::new();
    }
    if newer.hash == older.hash {
        return vec![format!(
            "nothing that counts has changed: both are version {}",
            newer.hash
        )];
    }
    if let Some(pair) = both(newer.input.as_ref(), older.input.as_ref()) {
        events_changed("the start event", pair, "input", places, found);
    }
    for known in &Index::of(&newer.steps).steps {
        let Verb::Wait(wait) = &known.step.verb else {
            continue;
        };
        let before = wait_of(older, &known.step.id);
        if let Some(pair) = both(
            wait.input.as_ref(),
            before.and_then(|was| was.input.as_ref()),
        ) {
            let what = format!("what `{}` waits for", known.step.id);
            events_changed(
                &what,
                pair,
                &format!("{}.input", known.place),
                places,
                found,
            );
        }
    }
    let mut changed = BTreeSet::new();
    for (activity, contract) in &newer.activities {
        let Some(before) = older.activities.get(activity) else {
            continue;
        };
        let pairs = [
            (
                "input",
                "is given",
                both(contract.input.as_ref(), before.input.as_ref()),
            ),
            (
                "output",
                "answers",
                both(contract.output.as_ref(), before.output.as_ref()),
            ),
        ];
        let asking = steps_asking(older, activity);
        for (key, what, pair) in pairs {
            let Some((new, old)) = pair else { continue };
            let span = places.span(&format!("activities.{activity}.{key}"));
            for difference in new.compatible_with(old) {
                found.push(contract_changed(
                    places,
                    span,
                    activity,
                    what,
                    &difference,
                    &asking,
                ));
                changed.insert(activity.as_str());
            }
        }
        let gone: Vec<&str> = before
            .errors
            .iter()
            .filter(|code| !contract.errors.is_empty() && !contract.errors.contains(*code))
            .map(String::as_str)
            .collect();
        if !before.errors.is_empty() && !gone.is_empty() {
            let span = places.span(&format!("activities.{activity}.errors"));
            found.push(
                places
                    .warning(
                        "BS0310",
                        span,
                        format!("`{activity}` no longer answers with {}", gone.join(", ")),
                    )
                    .with_note("workers of the older version may still do")
                    .with_help("leave a code in place until no worker answers with it"),
            );
        }
    }
    told(newer, older, &changed)
}

/// What comes from outside has another schema than before.
fn events_changed(
    what: &str,
    (new, old): (&Schema, &Schema),
    place: &str,
    places: &Places,
    found: &mut Vec<Diagnostic>,
) {
    let span = places.span(place);
    for difference in new.compatible_with(old) {
        let message = format!("{what} has changed: {difference}");
        found.push(match difference.change {
            Change::Backward => places
                .error("BS0310", span, message)
                .with_note("events of the older schema may still come")
                .with_help("give new fields a default, and leave fields in place"),
            Change::Forward => places
                .warning("BS0310", span, message)
                .with_note("while an orchestrator still has the older version only, it cannot read the new events")
                .with_help("publish such events once the new version is everywhere"),
        });
    }
}

/// The wait of this id.
fn wait_of<'d>(definition: &'d Definition, id: &str) -> Option<&'d Wait> {
    let mut found = None;
    walk(&definition.steps, &mut |step| {
        if let Verb::Wait(wait) = &step.verb
            && step.id == id
        {
            found = Some(wait);
        }
    });
    found
}

fn both<'s>(
    new: Option<&'s SchemaFile>,
    old: Option<&'s SchemaFile>,
) -> Option<(&'s Schema, &'s Schema)> {
    Some((new?.schema.as_deref()?, old?.schema.as_deref()?))
}

fn contract_changed(
    places: &Places,
    span: Span,
    activity: &str,
    what: &str,
    difference: &crate::contract::Incompatible,
    asking: &[&str],
) -> Diagnostic {
    let diagnostic = places.error(
        "BS0310",
        span,
        format!("what `{activity}` {what} has changed: {difference}"),
    );
    let note = if asking.is_empty() {
        "no saga in flight asks it".to_owned()
    } else {
        format!(
            "sagas in flight of the older version still ask it ({})",
            asking.join(", ")
        )
    };
    diagnostic.with_note(note).with_help(
        "give new fields a default and leave fields in place, or make it another activity with workers of its own",
    )
}

/// The steps that ask the workers of an activity, forward or back.
fn steps_asking<'d>(definition: &'d Definition, activity: &str) -> Vec<&'d str> {
    let mut steps = Vec::new();
    walk(&definition.steps, &mut |step| {
        if let Verb::Do(work) = &step.verb {
            let undoes = matches!(&work.undo, Undo::Other(other) if other.activity == activity);
            if work.activity == activity || undoes {
                steps.push(step.id.as_str());
            }
        }
    });
    steps
}

fn told(newer: &Definition, older: &Definition, changed: &BTreeSet<&str>) -> Vec<String> {
    let mut told = vec![format!(
        "sagas in flight go on under the version they have started with ({}); new sagas take {}",
        older.hash, newer.hash
    )];
    if changed.is_empty() {
        told.push(
            "no saga in flight is affected: what they ask of workers has not changed".to_owned(),
        );
        return told;
    }
    let affected: Vec<&str> = {
        let mut steps = BTreeSet::new();
        for activity in changed {
            steps.extend(steps_asking(older, activity));
        }
        steps.into_iter().collect()
    };
    if affected.is_empty() {
        told.push("no saga in flight is affected: none asks what has changed".to_owned());
    } else {
        told.push(format!(
            "sagas in flight are unaffected once they are past {} and need not undo them",
            affected
                .iter()
                .map(|id| format!("`{id}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    told
}
