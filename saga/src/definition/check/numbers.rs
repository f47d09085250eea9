//! Numbers and limits.

use super::checker::Checker;
use crate::definition::limits::{
    ATTEMPTS_MAX, BRANCHES_MAX, ITEMS_MAX, LINES_MAX, ROUNDS_MAX, STEPS_MAX, STEPS_NESTED_MAX,
    TAGS_MAX,
};
use crate::definition::model::{Need, OtherUndo, Retry, Sleep, Step, Timeout, Undo, Verb};
use crate::definition::place::Span;
use crate::definition::words::written_ms;

impl Checker<'_> {
    /// Whether the steps are within what may be walked.
    pub(super) fn depths(&mut self) -> bool {
        let mut open: Vec<(&[Step], usize)> = vec![(&self.definition.steps, 1)];
        let mut count = 0_usize;
        let mut deepest = 0;
        while let Some((steps, depth)) = open.pop() {
            if !steps.is_empty() {
                deepest = deepest.max(depth);
            }
            count += steps.len();
            if deepest > STEPS_NESTED_MAX || count > STEPS_MAX {
                break;
            }
            for step in steps {
                open.extend(step.blocks().iter().map(|block| (block.steps, depth + 1)));
            }
        }
        let span = self.places.span("steps");
        if deepest > STEPS_NESTED_MAX {
            let diagnostic = self
                .places
                .error(
                    "BS0102",
                    span,
                    format!(
                        "steps inside each other, and at most {STEPS_NESTED_MAX} deep are allowed"
                    ),
                )
                .with_help("make a definition of its own of the inner ones, and `run` it");
            self.push(diagnostic);
        } else if count > STEPS_MAX {
            let diagnostic = self
                .places
                .error(
                    "BS0102",
                    span,
                    format!("{count} steps, and at most {STEPS_MAX} are allowed"),
                )
                .with_help("make a definition of its own of some of them, and `run` it");
            self.push(diagnostic);
        }
        deepest <= STEPS_NESTED_MAX && count <= STEPS_MAX
    }

    pub(super) fn numbers(&mut self) {
        let definition = self.definition;
        if definition.steps.is_empty() {
            let span = self.places.span("steps");
            self.error("BS0104", span, "a definition has at least one step");
        }
        let tags = definition.tags.len();
        if tags > TAGS_MAX {
            let span = self.places.span("tags");
            let message = format!("{tags} tags, and at most {TAGS_MAX} are allowed");
            self.error("BS0102", span, message);
        }
        self.positive(
            definition.deadline_ms,
            self.places.span("deadline"),
            "a deadline",
        );
        for position in 0..self.index.steps.len() {
            let step = self.index.steps[position].step;
            let place = self.index.steps[position].place.clone();
            self.numbers_of(step, &place);
        }
        self.lines();
    }

    fn numbers_of(&mut self, step: &Step, place: &str) {
        let span = |part: &str| self.places.span(&format!("{place}.{part}"));
        match &step.verb {
            Verb::Do(work) => {
                self.settings(&work.timeout, &work.retry, place, &work.activity);
                if let Undo::Other(other) = &work.undo {
                    let OtherUndo {
                        activity,
                        timeout,
                        retry,
                        ..
                    } = other.as_ref();
                    self.settings(timeout, retry, &format!("{place}.undo"), activity);
                }
            }
            Verb::Parallel(parallel) => {
                let count = parallel.branches.len();
                if count < 2 {
                    let message = format!("{count} branches, and side by side are at least two");
                    self.error("BS0110", self.places.span(place), message);
                }
                self.at_most(count, BRANCHES_MAX, self.places.span(place), "branches");
                if let Need::Count(need) = parallel.need {
                    let span = span("need");
                    if need == 0 {
                        self.error("BS0110", span, "none of the branches is needed");
                    } else if usize::from(need) > count {
                        let message = format!("{need} of {count} branches can never finish");
                        self.error("BS0110", span, message);
                    }
                }
            }
            Verb::Choose(choose) => {
                let count = choose.cases.len() + usize::from(choose.otherwise.is_some());
                if choose.cases.is_empty() {
                    self.error(
                        "BS0104",
                        self.places.span(place),
                        "a `choose` without a case",
                    );
                }
                self.at_most(count, BRANCHES_MAX, self.places.span(place), "cases");
            }
            Verb::Each(each) => {
                if each.at_once == 0 {
                    self.error("BS0110", span("at_once"), "no item at once would never end");
                }
                self.count(each.items_max, ITEMS_MAX, span("most"), "items");
                if each.steps.is_empty() {
                    self.error("BS0104", span("steps"), "an `each` without a step");
                }
            }
            Verb::Repeat(repeat) => {
                self.count(repeat.rounds_max, ROUNDS_MAX, span("most"), "rounds");
                if repeat.steps.is_empty() {
                    self.error("BS0104", span("repeat"), "a `repeat` without a step");
                }
            }
            Verb::Wait(wait) => {
                self.positive(wait.within_ms, span("within"), "a wait");
                self.within_deadline(wait.within_ms, span("within"));
            }
            Verb::Approve(approve) => {
                self.positive(approve.within_ms, span("within"), "a wait for a person");
                self.within_deadline(approve.within_ms, span("within"));
            }
            Verb::Sleep(Sleep::For(ms)) => {
                self.positive(Some(*ms), span("sleep"), "a sleep");
                self.within_deadline(Some(*ms), span("sleep"));
            }
            Verb::Sleep(Sleep::Until(_))
            | Verb::Run(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
    }

    fn at_most(&mut self, count: usize, most: usize, span: Span, what: &str) {
        if count > most {
            let message = format!("{count} {what}, and at most {most} are allowed");
            self.error("BS0102", span, message);
        }
    }

    fn count(&mut self, count: u16, most: u16, span: Span, what: &str) {
        if count == 0 {
            self.error("BS0110", span, format!("no {what} at all are allowed here"));
        }
        self.at_most(usize::from(count), usize::from(most), span, what);
    }

    fn settings(&mut self, timeout: &Timeout, retry: &Retry, place: &str, activity: &str) {
        // One duration stands at the key itself, parts below it.
        let span = |field: &str| {
            let bases = [
                place.to_owned(),
                format!("activities.{activity}"),
                "defaults".to_owned(),
            ];
            let written = bases.iter().find_map(|base| {
                [format!("{base}.{field}"), format!("{base}.timeout")]
                    .into_iter()
                    .find(|place| self.places.has(place))
            });
            self.places.span(written.as_deref().unwrap_or(place))
        };
        let reply = span("timeout.reply");
        self.positive(Some(timeout.reply_ms), reply, "a timeout");
        for (ms, field) in [
            (timeout.start_ms, "timeout.start"),
            (timeout.heartbeat_ms, "timeout.heartbeat"),
            (timeout.total_ms, "timeout.total"),
        ] {
            self.positive(ms, span(field), "a timeout");
        }
        self.retry(retry, place, activity);
        let reply_ms = timeout.reply_ms;
        if timeout.total_ms.is_some_and(|ms| ms > 0 && ms < reply_ms) {
            let total = timeout.total_ms.map(written_ms).unwrap_or_default();
            self.no_room(
                span("timeout.total"),
                format!(
                    "all attempts have {total}, and one may take {}",
                    written_ms(reply_ms)
                ),
                "make `total` longer than `reply`, or leave it out",
            );
        }
        if timeout.start_ms.is_some_and(|ms| ms >= reply_ms) {
            self.no_room(
                span("timeout.start"),
                format!(
                    "`start` is never reached: `reply` ends an attempt after {}",
                    written_ms(reply_ms)
                ),
                "make `start` shorter than `reply`, or leave it out",
            );
        }
        if timeout.heartbeat_ms.is_some_and(|ms| ms >= reply_ms) {
            self.no_room(
                span("timeout.heartbeat"),
                format!(
                    "`heartbeat` is never reached: `reply` ends an attempt after {}",
                    written_ms(reply_ms)
                ),
                "make `heartbeat` shorter than `reply`, or leave it out",
            );
        }
        self.within_deadline(Some(reply_ms), reply);
    }

    fn retry(&mut self, retry: &Retry, place: &str, activity: &str) {
        let span = |field: &str| self.places.written(place, activity, field);
        if retry.attempts_max == 0 || retry.attempts_max > ATTEMPTS_MAX {
            let message = format!(
                "{} attempts; the first counts, so from 1 to {ATTEMPTS_MAX}",
                retry.attempts_max
            );
            self.error("BS0110", span("retry.attempts"), message);
        }
        let (min, max) = (retry.backoff_min_ms, retry.backoff_max_ms);
        if min > max {
            let (min, max) = (written_ms(min), written_ms(max));
            let message = format!("the backoff begins at {min} and ends at {max}, which is less");
            self.error("BS0110", span("retry.backoff"), message);
        }
        self.positive(Some(min), span("retry.backoff"), "a backoff");
        if retry.jitter_percent > 100 {
            self.error(
                "BS0110",
                span("retry.jitter"),
                "a jitter of more than 100 %",
            );
        }
        self.positive(retry.budget_ms, span("retry.budget"), "a budget");
        if retry.attempts_max > 1 && retry.budget_ms.is_some_and(|ms| ms > 0 && ms < min) {
            let budget = retry.budget_ms.map(written_ms).unwrap_or_default();
            self.no_room(
                span("retry.budget"),
                format!("there is never a second attempt: the budget is {budget}, and the first backoff {}", written_ms(min)),
                "make the budget longer than the backoff, or write `attempts: 1`",
            );
        }
    }

    fn positive(&mut self, ms: Option<u64>, span: Span, what: &str) {
        if ms == Some(0) {
            self.error("BS0110", span, format!("{what} of no time at all"));
        }
    }

    fn no_room(&mut self, span: Span, message: String, help: &str) {
        let diagnostic = self.places.warning("BS0220", span, message).with_help(help);
        self.push(diagnostic);
    }

    fn within_deadline(&mut self, ms: Option<u64>, span: Span) {
        let Some(deadline) = self.definition.deadline_ms.filter(|deadline| *deadline > 0) else {
            return;
        };
        if let Some(ms) = ms.filter(|ms| *ms > deadline) {
            self.no_room(
                span,
                format!(
                    "{} is longer than the deadline of the whole saga, {}",
                    written_ms(ms),
                    written_ms(deadline)
                ),
                "make the deadline longer, or this shorter",
            );
        }
    }

    /// How many lines the ledger of a saga may get, where items and rounds are inside each other.
    fn lines(&mut self) {
        let mut worst: Option<(u64, usize)> = None;
        let mut sum = 0_u64;
        for (position, known) in self.index.steps.iter().enumerate() {
            let asks = matches!(
                known.step.verb,
                Verb::Do(_) | Verb::Wait(_) | Verb::Sleep(_) | Verb::Approve(_) | Verb::Run(_)
            );
            if !asks {
                continue;
            }
            let lines = known.around.iter().fold(1_u64, |lines, (around, _)| {
                let times = match &self.index.steps[*around].step.verb {
                    Verb::Each(each) => each.items_max,
                    Verb::Repeat(repeat) => repeat.rounds_max,
                    Verb::Do(_)
                    | Verb::Parallel(_)
                    | Verb::Choose(_)
                    | Verb::Wait(_)
                    | Verb::Sleep(_)
                    | Verb::Run(_)
                    | Verb::Approve(_)
                    | Verb::Set(_)
                    | Verb::Fail(_)
                    | Verb::End(_) => 1,
                };
                lines.saturating_mul(u64::from(times.max(1)))
            });
            sum = sum.saturating_add(lines);
            if worst.is_none_or(|(most, _)| lines > most) {
                worst = Some((lines, position));
            }
        }
        let Some((_, position)) = worst.filter(|_| sum > LINES_MAX) else {
            return;
        };
        let known = &self.index.steps[position];
        let diagnostic = self
            .places
            .warning(
                "BS0225",
                self.places.span(&known.place),
                format!("a saga may come to {sum} occurrences of steps, this one's most of all"),
            )
            .with_note(format!(
                "each is in the saga's state; {LINES_MAX} are a lot"
            ))
            .with_help(
                "say how many items or rounds there may be (`most`), or `run` a saga for each item",
            );
        self.push(diagnostic);
    }
}
