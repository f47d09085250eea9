//! What stands in the box of a step.

use backstitch_saga::definition::{
    Approve, Do, Need, OnFailure, OtherUndo, Retry, Sleep, Step, Timeout, Undo, Verb, Wait,
};

use super::drawing::{Line, LineRole, NodeRole};

/// What stands in a box.
#[derive(Debug, Clone)]
pub(super) struct Card {
    pub(super) role: NodeRole,
    /// Short, from the top.
    pub(super) lines: Vec<Line>,
    /// The same, whole.
    pub(super) detail: String,
}

impl Card {
    /// A box with these lines, each broken and cut to so many characters.
    pub(super) fn new(role: NodeRole, whole: &[Line], chars_max: usize) -> Self {
        let mut lines = Vec::new();
        let mut detail = Vec::new();
        for line in whole {
            detail.push(clean(&line.text));
            let rows_max = match line.role {
                LineRole::Limit | LineRole::State => 1,
                LineRole::Title | LineRole::Does | LineRole::Condition | LineRole::Reaction => 2,
            };
            for text in broken(&clean(&line.text), chars_max, rows_max) {
                let role = line.role;
                lines.push(Line { text, role });
            }
        }
        Self {
            role,
            lines,
            detail: detail.join("\n"),
        }
    }
}

/// A line of a box.
pub(super) fn line(role: LineRole, text: impl Into<String>) -> Line {
    let text = text.into();
    Line { text, role }
}

/// The box of a step.
pub(super) fn card_of(step: &Step, chars_max: usize) -> Card {
    let role = match &step.verb {
        Verb::Do(Do { pivot: true, .. }) => NodeRole::Pivot,
        Verb::Parallel(_) | Verb::Choose(_) | Verb::Each(_) | Verb::Repeat(_) => NodeRole::Group,
        Verb::Fail(_) => NodeRole::Fail,
        Verb::End(_) => NodeRole::End,
        Verb::Do(_) | Verb::Wait(_) | Verb::Sleep(_) | Verb::Run(_) | Verb::Approve(_) => {
            NodeRole::Step
        }
        Verb::Set(_) => NodeRole::Step,
    };
    let mut lines = vec![
        line(LineRole::Title, &step.id),
        line(LineRole::Does, does(&step.verb)),
    ];
    if role == NodeRole::Pivot {
        lines.push(line(LineRole::Reaction, "pivot"));
    }
    if let Some(when) = &step.when {
        lines.push(line(LineRole::Condition, format!("when {}", when.source())));
    }
    conditions(&step.verb, &mut lines);
    limits(&step.verb, &mut lines);
    reactions(step, &mut lines);
    Card::new(role, &lines, chars_max)
}

/// The verb and its object.
fn does(verb: &Verb) -> String {
    match verb {
        Verb::Do(work) => format!("do {}", work.activity),
        Verb::Parallel(parallel) => {
            let count = parallel.branches.len();
            match parallel.need {
                Need::All => format!("parallel, all of {count}"),
                Need::Count(1) => format!("parallel, any of {count}"),
                Need::Count(need) => format!("parallel, {need} of {count}"),
            }
        }
        Verb::Choose(_) => "choose the first that holds".to_owned(),
        Verb::Each(each) => format!("each {} of {}", each.item, each.over.source()),
        Verb::Repeat(_) => "repeat".to_owned(),
        Verb::Wait(wait) => format!("wait for {}", wait.topic),
        Verb::Sleep(Sleep::For(ms)) => format!("sleep {}", span(*ms)),
        Verb::Sleep(Sleep::Until(until)) => format!("sleep until {}", until.source()),
        Verb::Run(run) => format!("run {}", run.saga),
        Verb::Approve(Approve { by, .. }) if by.is_empty() => "approve, by anyone".to_owned(),
        Verb::Approve(Approve { by, .. }) => {
            let roles: Vec<&str> = by.iter().map(String::as_str).collect();
            format!("approve, by {}", roles.join(" or "))
        }
        Verb::Set(variables) => {
            let names: Vec<&str> = variables.keys().map(String::as_str).collect();
            format!("set {}", names.join(", "))
        }
        Verb::Fail(fail) => format!("fail {}", fail.code),
        Verb::End(_) => "end: completed here".to_owned(),
    }
}

fn conditions(verb: &Verb, lines: &mut Vec<Line>) {
    let mut condition = |text: String| lines.push(line(LineRole::Condition, text));
    match verb {
        Verb::Wait(Wait {
            key,
            matches,
            accept,
            ..
        }) => {
            let matches = matches.as_ref().map_or("key", |matches| matches.source());
            condition(format!("{} == {matches}", key.source()));
            if let Some(accept) = accept {
                condition(format!("accept {}", accept.source()));
            }
        }
        Verb::Repeat(repeat) => condition(format!("until {}", repeat.until.source())),
        Verb::Run(run) => {
            if let Some(key) = &run.key {
                condition(format!("key {}", key.source()));
            }
        }
        Verb::Do(_)
        | Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Sleep(_)
        | Verb::Approve(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => {}
    }
}

fn limits(verb: &Verb, lines: &mut Vec<Line>) {
    let mut limit = |text: String| lines.push(line(LineRole::Limit, text));
    match verb {
        Verb::Do(work) => {
            limit(tries(&work.timeout, &work.retry));
            for more in patience(&work.timeout, &work.retry) {
                limit(more);
            }
        }
        Verb::Wait(Wait { within_ms, .. }) | Verb::Approve(Approve { within_ms, .. }) => {
            limit(within_ms.map_or("no time limit".to_owned(), |ms| {
                format!("within {}", span(ms))
            }));
        }
        Verb::Each(each) => limit(format!(
            "{} at once, {} at most",
            each.at_once, each.items_max
        )),
        Verb::Repeat(repeat) => {
            let pause = match repeat.pause_ms {
                0 => String::new(),
                ms => format!(", {} apart", span(ms)),
            };
            limit(format!("{} at most{pause}", repeat.rounds_max));
        }
        Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Sleep(_)
        | Verb::Run(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => {}
    }
}

/// `5s, 5 tries`.
fn tries(timeout: &Timeout, retry: &Retry) -> String {
    let tries = match retry.attempts_max {
        1 => "1 try".to_owned(),
        count => format!("{count} tries"),
    };
    format!("{}, {tries}", span(timeout.reply_ms))
}

/// What is rarely said of them.
fn patience(timeout: &Timeout, retry: &Retry) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(ms) = timeout.start_ms {
        parts.push(format!("starts in {}", span(ms)));
    }
    if let Some(ms) = timeout.heartbeat_ms {
        parts.push(format!("beats every {}", span(ms)));
    }
    let whole = [timeout.total_ms, retry.budget_ms];
    if let Some(ms) = whole.into_iter().flatten().min() {
        parts.push(format!("{} in all", span(ms)));
    }
    parts
}

/// What happens when the step does not end well, where that is not other steps.
fn reactions(step: &Step, lines: &mut Vec<Line>) {
    let told = [
        ("fails", Some(&step.on_failure)),
        ("times out", step.on_timeout.as_ref()),
        ("refused", step.on_refused.as_ref()),
    ];
    for (cause, reaction) in told {
        let words = match reaction {
            Some(OnFailure::Ignore) => "goes on",
            Some(OnFailure::Park) => "parks",
            Some(OnFailure::TurnBack) if cause != "fails" => "turns back",
            Some(OnFailure::TurnBack | OnFailure::Steps(_)) | None => continue,
        };
        lines.push(line(LineRole::Reaction, format!("{cause}: {words}")));
    }
}

/// What a step is undone by, if it can be.
pub(super) fn undo_card(verb: &Verb, past_pivot: bool, chars_max: usize) -> Option<Card> {
    let same = |name: &str, how: &str| {
        Card::new(
            NodeRole::Undo,
            &[
                line(LineRole::Title, name),
                line(LineRole::Does, format!("undo, {how}")),
            ],
            chars_max,
        )
    };
    match verb {
        Verb::Do(work) => match &work.undo {
            Undo::Same => Some(same(&work.activity, "same activity")),
            Undo::Other(other) => Some(other_undo(other, chars_max)),
            Undo::Nothing => Some(chip(NodeRole::Nothing, "undo: nothing")),
            Undo::Absent if past_pivot => Some(chip(NodeRole::OneWay, "no undo")),
            Undo::Absent => None,
        },
        Verb::Run(run) => Some(same(&run.saga, "the child turns back")),
        Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Repeat(_)
        | Verb::Wait(_)
        | Verb::Sleep(_)
        | Verb::Approve(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => None,
    }
}

fn other_undo(undo: &OtherUndo, chars_max: usize) -> Card {
    let lines = [
        line(LineRole::Title, &undo.activity),
        line(
            LineRole::Does,
            format!("undo, {}", tries(&undo.timeout, &undo.retry)),
        ),
    ];
    Card::new(NodeRole::Undo, &lines, chars_max)
}

fn chip(role: NodeRole, words: &str) -> Card {
    Card::new(role, &[line(LineRole::Does, words)], usize::MAX)
}

/// A duration in its largest whole unit, as a definition has it.
pub(super) fn span(ms: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    units
        .iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit))
        .map_or_else(
            || format!("{ms}ms"),
            |(unit, name)| format!("{}{name}", ms / unit),
        )
}

/// The text on one line, and without characters that act on whoever shows it: controls, joiners, marks of direction.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::new();
    let mut was_blank = true;
    for c in text.chars() {
        if c.is_whitespace() {
            if !was_blank {
                cleaned.push(' ');
            }
            was_blank = true;
            continue;
        }
        was_blank = false;
        let acts = c.is_control()
            || matches!(u32::from(c),
                0xad | 0x300..=0x36f | 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
                | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0xfffe | 0xffff | 0xe0000..=0xe0fff);
        cleaned.push(if acts { '\u{fffd}' } else { c });
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

/// The text, or its beginning with an ellipsis; at most so many characters.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The text on at most so many lines, broken where words end if that leaves no line two thirds empty.
fn broken(text: &str, chars_max: usize, rows_max: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut rest = text;
    while rows.len() + 1 < rows_max && rest.chars().count() > chars_max {
        let end = rest
            .char_indices()
            .nth(chars_max)
            .map_or(rest.len(), |(at, _)| at);
        let (row, more) = rest.split_at(joint(rest, end).unwrap_or(end));
        rows.push(row.trim_end().to_owned());
        rest = more.trim_start();
    }
    rows.push(cut(rest, chars_max));
    rows
}

/// Where a text is best broken before `end`: behind a blank, else behind a sign that joins words.
fn joint(text: &str, end: usize) -> Option<usize> {
    let head = &text[..end];
    let is_far = |at: &usize| text[..*at].chars().count() * 3 >= head.chars().count();
    // A blank just behind the line's end is as good.
    let blank = if text[end..].starts_with(' ') {
        Some(end)
    } else {
        head.rfind(' ').map(|at| at + 1)
    };
    let sign = || head.rfind(['-', '_', '.', '/']).map(|at| at + 1);
    blank.filter(is_far).or_else(|| sign().filter(is_far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_condition_is_broken_at_a_blank_and_then_cut() {
        assert_eq!(
            broken("event.total > 1000 && event.country == \"DE\"", 20, 2),
            ["event.total > 1000", "&& event.country ==…"]
        );
        assert_eq!(broken("abcdefgh", 5, 2), ["abcde", "fgh"]);
        assert_eq!(broken("abc", 5, 2), ["abc"]);
        assert_eq!(
            broken("hold_seats_for_everybody", 16, 2),
            ["hold_seats_for_", "everybody"]
        );
    }

    #[test]
    fn a_duration_is_written_in_its_largest_whole_unit() {
        for (ms, written) in [
            (0, "0ms"),
            (1_500, "1500ms"),
            (5_000, "5s"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(span(ms), written);
        }
    }

    #[test]
    fn nothing_in_a_text_acts_on_who_shows_it() {
        assert_eq!(
            clean(" a\n b\u{1b}[2J\u{202e}c "),
            "a b\u{fffd}[2J\u{fffd}c"
        );
    }
}
