//! What `test` tells: of one case, of all, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use backstitch_saga::core::mailbox;
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::TestArgs;
use super::changes;
use super::error::CliError;
use super::text::{table, write_span, write_table};
use crate::rehearsal::{
    Broken, Case, Coverage, End, Explored, Group, Moment, Rehearsal, Run, Share, Tested, told,
};

/// Lines of the table of outcomes.
const GROUPS_MAX: usize = 60;

// ---- one case ----------------------------------------------------------------------------------

/// Plays one case, and tells all that happens.
pub(crate) fn replay(rehearsal: &Rehearsal, case: &Case) -> Result<Answer, CliError> {
    let run = rehearsal.play(case, true).map_err(CliError::usage)?;
    let event = rehearsal.event_of(case.path).unwrap_or_default();
    let mut text = format!("{case}\nevent {event}\n{}", story(&run.story));
    let _ = write!(text, "\nends {}", ending(&run));
    if let Some(end) = &run.resumed {
        let _ = write!(text, "\nresumed, ends {}", ends(end));
    }
    for note in &run.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    let json = json!({
        "case": case.to_string(),
        "event": event,
        "run": run_json(&run),
        "story": run.story.iter().map(moment_json).collect::<Vec<_>>(),
    });
    match &run.violation {
        None => Ok(Answer::good(text, json)),
        Some(what) => {
            let _ = write!(text, "\nVIOLATION: {what}");
            Ok(Answer::bad(text, json))
        }
    }
}

fn ending(run: &Run) -> String {
    let undone = match run.undone.as_slice() {
        [] => String::new(),
        undone => format!(", undone: {}", told(undone)),
    };
    let why = run.reason.as_deref().map(|why| format!(" ({why})"));
    format!(
        "{}{} after {}{undone}",
        ends(&run.end),
        why.unwrap_or_default(),
        write_span(run.took_ms)
    )
}

fn ends(end: &End) -> String {
    match end {
        End::Parked { at: Some(at), by } => format!("parked at {at} ({by})"),
        End::Parked { at: None, by } => format!("parked ({by})"),
        End::Waiting {
            at,
            is_parked: true,
        } => format!("waiting for {at} (parked)"),
        End::Waiting { at, .. } => format!("waiting at {at}"),
        End::Nothing => "not begun".to_owned(),
        End::Completed | End::Compensated | End::Terminated => end.name().to_owned(),
    }
}

/// Everything that happened, a line a change.
fn story(moments: &[Moment]) -> String {
    let main = moments.iter().find(|one| !mailbox::is_mailbox(&one.saga));
    let mut text = String::new();
    for moment in moments {
        let of = match main {
            Some(main) if main.saga == moment.saga => String::new(),
            Some(_) | None => format!("[{}] ", moment.saga),
        };
        let since = format!("+{}", write_span(moment.since_ms));
        let _ = write!(text, "{since:>12}  {of}{}", changes::cause(&moment.cause));
        for change in &moment.changes {
            let _ = write!(
                text,
                "\n{:>12}    {}",
                "",
                changes::change(change, moment.at_ms)
            );
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

// ---- the whole ---------------------------------------------------------------------------------

/// What came of tests and walk.
pub(crate) fn report(
    rehearsal: &Rehearsal,
    file: &Path,
    args: &TestArgs,
    tested: &[(String, Tested)],
    explored: Option<&Explored>,
) -> Answer {
    let mut parts = Vec::new();
    if !tested.is_empty() {
        parts.push(tests_text(tested));
    }
    if let Some(explored) = explored {
        parts.push(outcomes_text(rehearsal, explored));
        parts.push(walked_text(rehearsal, explored, args));
        parts.push(coverage_text(&explored.coverage));
        if let Some(broken) = &explored.broken {
            parts.push(broken_text(broken, explored, file, args));
        }
    }
    let failed = tested.iter().filter(|(_, one)| !one.passed()).count();
    let is_bad = failed > 0 || explored.is_some_and(|one| one.broken.is_some());
    let json = json!({
        "ok": !is_bad,
        "definition": rehearsal.cast().name(),
        "tests": tested.iter().map(tested_json).collect::<Vec<_>>(),
        "walk": explored.map(|explored| explored_json(rehearsal, explored)),
    });
    let text = parts.join("\n\n");
    if is_bad {
        Answer::bad(text, json)
    } else {
        Answer::good(text, json)
    }
}

fn tests_text(tested: &[(String, Tested)]) -> String {
    let passed = tested.iter().filter(|(_, one)| one.passed()).count();
    let mut text = format!("{passed} of {} tests passed", tested.len());
    for (file, one) in tested {
        if one.passed() {
            let _ = write!(text, "\n  ok      {}", one.name);
            continue;
        }
        let _ = write!(text, "\n  FAILED  {} ({file}:{})", one.name, one.line);
        for unmet in &one.unmet {
            let _ = write!(
                text,
                "\n          {}: expected {}, got {}",
                unmet.what, unmet.expected, unmet.got
            );
        }
        if let Some(what) = &one.violation {
            let _ = write!(text, "\n          {what}");
        }
        if let Some(run) = &one.run {
            for line in story(&run.story).lines() {
                let _ = write!(text, "\n  {line}");
            }
            let _ = write!(text, "\n          ends {}", ending(run));
            for note in &run.notes {
                let _ = write!(text, "\n          note: {note}");
            }
        }
    }
    text
}

fn outcomes_text(rehearsal: &Rehearsal, explored: &Explored) -> String {
    let mut rows = table(["path", "ends", "undone", "saga time", "cases", "example"]);
    for group in explored.groups.iter().take(GROUPS_MAX) {
        let (least, most) = group.took_ms;
        let took = if least == most {
            write_span(least)
        } else {
            format!("{} … {}", write_span(least), write_span(most))
        };
        let undone = match group.undone.as_slice() {
            [] => "–".to_owned(),
            undone => told(undone),
        };
        rows.add_row([
            format!("p{}", group.path),
            ends(&group.end),
            undone,
            took,
            group.count.to_string(),
            group.example.clone(),
        ]);
    }
    let mut text = write_table(&rows);
    let more = explored.groups.len().saturating_sub(GROUPS_MAX);
    if more > 0 {
        let _ = write!(text, "\n… and {more} more; `--json` has them all");
    }
    text.push('\n');
    for (n, path) in rehearsal.paths().iter().enumerate() {
        let _ = write!(text, "\np{n}: {}", path.words);
    }
    text
}

fn walked_text(rehearsal: &Rehearsal, explored: &Explored, args: &TestArgs) -> String {
    let paths = rehearsal.paths().len();
    let plural = if paths == 1 { "path" } else { "paths" };
    let mut text = format!(
        "walked {} cases: {paths} {plural}, {} with one thing otherwise, {} with two (seed {})",
        explored.cases, explored.singles, explored.pairs, args.seed
    );
    if explored.pairs_cut > 0 {
        let all = explored.pairs + explored.pairs_cut;
        let _ = write!(
            text,
            "\n{} pairs were left out; `--pairs {all}` plays them all",
            explored.pairs_cut
        );
    }
    let gave_in: usize = explored.groups.iter().map(|group| group.gave_in).sum();
    if gave_in > 0 {
        let _ = write!(
            text,
            "\nin {gave_in} cases it would have gone on asking for ever: the workers gave in"
        );
    }
    let is_parked = |group: &&Group| match &group.end {
        End::Parked { .. } => true,
        End::Waiting { is_parked, .. } => *is_parked,
        End::Completed | End::Compensated | End::Terminated | End::Nothing => false,
    };
    let parked = || explored.groups.iter().filter(is_parked);
    let count: usize = parked().map(|group| group.count).sum();
    let stays: usize = parked().map(|group| group.stays).sum();
    if count > 0 {
        let _ = write!(
            text,
            "\nof {count} parked cases, a resume brings {} to an end once all goes well again",
            count - stays
        );
    }
    if let Some(group) = parked().find(|group| group.stays > 0) {
        let _ = write!(text, ", but not {stays}: such as {}", group.example);
    }
    for note in &explored.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn coverage_text(coverage: &Coverage) -> String {
    let share = |share: Share, what: &str| {
        (share.all > 0).then(|| format!("{} of {} {what}", share.seen, share.all))
    };
    let shares = [
        share(coverage.ran, "steps begun"),
        share(coverage.undone, "undos"),
        share(coverage.cases, "cases"),
        share(coverage.reactions, "reactions"),
    ];
    let shares: Vec<String> = shares.into_iter().flatten().collect();
    let mut text = format!("seen at work: {}", shares.join(", "));
    for missed in &coverage.missed {
        let _ = write!(text, "\nnever seen: {}: {}", missed.what, missed.why);
    }
    text
}

fn broken_text(broken: &Broken, explored: &Explored, file: &Path, args: &TestArgs) -> String {
    let plural = if explored.broken_count == 1 {
        "case breaks"
    } else {
        "cases break"
    };
    let children: String = args
        .children
        .iter()
        .map(|path| format!(" {}", path.display()))
        .collect();
    let tests: String = args
        .tests
        .iter()
        .map(|path| format!(" --tests {}", path.display()))
        .collect();
    let event = match &args.event {
        Some(event) => format!(" --event '{event}'"),
        None => String::new(),
    };
    format!(
        "VIOLATION: {}\n{} {plural} a rule; the shortest is {}\n{}\nreplay: backstitch test {}{children}{tests}{event} --case '{}'",
        broken.what,
        explored.broken_count,
        broken.case,
        story(&broken.story),
        file.display(),
        broken.case
    )
}

// ---- for programs ------------------------------------------------------------------------------

fn run_json(run: &Run) -> Value {
    json!({
        "status": run.end.name(),
        "at": run.end.at(),
        "reason": run.reason,
        "done": run.done,
        "undone": run.undone,
        "output": run.output,
        "tags": run.tags,
        "took_ms": run.took_ms,
        "resumed": run.resumed.as_ref().map(End::name),
        "violation": run.violation,
        "notes": run.notes,
    })
}

fn moment_json(moment: &Moment) -> Value {
    let changes = moment.changes.iter();
    json!({
        "since_ms": moment.since_ms,
        "saga": moment.saga,
        "cause": changes::cause(&moment.cause),
        "changes": changes.map(|one| changes::change(one, moment.at_ms)).collect::<Vec<_>>(),
    })
}

fn tested_json((file, one): &(String, Tested)) -> Value {
    let unmet = one.unmet.iter();
    json!({
        "test": one.name,
        "file": file,
        "line": one.line,
        "ok": one.passed(),
        "unmet": unmet
            .map(|one| json!({ "what": one.what, "expected": one.expected, "got": one.got }))
            .collect::<Vec<_>>(),
        "violation": one.violation,
        "run": one.run.as_ref().map(run_json),
        "story": match (&one.run, one.passed()) {
            (Some(run), false) => run.story.iter().map(moment_json).collect(),
            (_, _) => Vec::new(),
        },
    })
}

fn explored_json(rehearsal: &Rehearsal, explored: &Explored) -> Value {
    let groups = explored.groups.iter().map(|group| {
        json!({
            "path": group.path,
            "status": group.end.name(),
            "at": group.end.at(),
            "undone": group.undone,
            "cases": group.count,
            "took_ms": [group.took_ms.0, group.took_ms.1],
            "example": group.example,
            "gave_in": group.gave_in,
            "stays": group.stays,
        })
    });
    let coverage = &explored.coverage;
    let share = |share: Share| json!({ "seen": share.seen, "all": share.all });
    let paths = rehearsal.paths().iter().enumerate();
    json!({
        "cases": explored.cases,
        "singles": explored.singles,
        "pairs": explored.pairs,
        "pairs_cut": explored.pairs_cut,
        "paths": paths
            .map(|(n, path)| json!({ "words": path.words, "event": rehearsal.event_of(n) }))
            .collect::<Vec<_>>(),
        "outcomes": groups.collect::<Vec<_>>(),
        "coverage": {
            "steps": share(coverage.ran),
            "undos": share(coverage.undone),
            "cases": share(coverage.cases),
            "reactions": share(coverage.reactions),
            "missed": coverage.missed.iter()
                .map(|one| json!({ "saga": one.definition, "what": one.what, "why": one.why }))
                .collect::<Vec<_>>(),
        },
        "violations": explored.broken_count,
        "violation": explored.broken.as_ref().map(|broken| json!({
            "what": broken.what,
            "case": broken.case.to_string(),
            "story": broken.story.iter().map(moment_json).collect::<Vec<_>>(),
        })),
        "notes": explored.notes,
    })
}
