//! What is to be drawn: the steps as boxes with their sizes, what stands below each, and the sequences inside.

use backstitch_saga::Definition;
use backstitch_saga::definition::{OnFailure, Slot, Step, Undo, Verb};

use super::drawing::{FrameRole, Line, LineRole, NodeRole};
use super::ends;
use super::metrics::Metrics;
use super::overlay::{Overlay, State};
use super::words::{Card, card_of, clean, cut, line, undo_card};

/// A box with its size.
#[derive(Debug)]
pub(super) struct Sized {
    pub(super) card: Card,
    pub(super) state: Option<State>,
    pub(super) w: i32,
    pub(super) h: i32,
    /// From its top to where ways come in and go out.
    pub(super) anchor: i32,
}

/// What stands below a step, in the lane of compensation.
#[derive(Debug)]
pub(super) struct Below {
    pub(super) sized: Sized,
    /// Whether the way back leads through it.
    pub(super) is_on_the_way: bool,
    /// Whether a way leads down to it from the step.
    pub(super) has_drop: bool,
}

/// A sequence inside a step.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) role: FrameRole,
    /// What stands above it.
    pub(super) caption: Option<String>,
    pub(super) caption_w: i32,
    pub(super) blocks: Vec<Block>,
}

impl Lane {
    pub(super) fn is_side_way(&self) -> bool {
        self.role == FrameRole::SideWay
    }

    /// Whether the saga ever gets to its end.
    pub(super) fn leaves(&self) -> bool {
        self.blocks.last().is_none_or(|block| block.leaves)
    }

    /// Whether the way back comes into it from behind.
    fn takes_back(&self) -> bool {
        let mut newest_first = self.blocks.iter().rev();
        let newest = newest_first.find(|block| block.is_point_of_no_return || block.takes_back);
        self.leaves() && newest.is_some_and(|block| !block.is_point_of_no_return)
    }
}

/// A step with all that belongs to it; or what stands before or after all steps.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) step: Option<String>,
    pub(super) head: Sized,
    pub(super) below: Option<Below>,
    pub(super) lanes: Vec<Lane>,
    /// The frame around it, of a step with sequences by its nature.
    pub(super) frame: Option<FrameRole>,
    /// Whether a way leads from its box to the next step.
    pub(super) goes_on: bool,
    /// Whether the saga ever gets to the step after it.
    pub(super) leaves: bool,
    /// Whether the saga cannot turn back any more behind it.
    pub(super) is_point_of_no_return: bool,
    /// How wide it is if nothing in it is broken into rows.
    pub(super) natural_w: i32,
    /// Whether it, or something in it, stands in the lane of compensation.
    pub(super) has_back: bool,
    /// Whether the way back comes into it: to it, or to something in it.
    pub(super) takes_back: bool,
    /// Whether the way back may lead through below its box, so that nothing else must lie there.
    pub(super) is_passed: bool,
    /// Whether the way back may lead past all sequences inside it, though it may also lead into them.
    pub(super) has_bypass: bool,
}

impl Block {
    /// From the left border of its box to the first boxes inside it.
    pub(super) fn indent(&self, m: &Metrics) -> i32 {
        let risers = 1 + i32::from(self.has_side_riser());
        m.dot / 2 + m.channel * risers + m.lead
    }

    /// Whether it has both kinds of sequences, so that two lines lead down.
    pub(super) fn has_side_riser(&self) -> bool {
        self.frame.is_some() && self.has_side_way()
    }

    pub(super) fn has_side_way(&self) -> bool {
        self.lanes.iter().any(Lane::is_side_way)
    }

    fn measure(&mut self, m: &Metrics) {
        let indent = self.indent(m);
        let is_simple = self.lanes.is_empty();
        if !is_simple {
            self.head.w = self.head.w.max(indent + 2 * m.channel);
        }
        if let Some(below) = self.below.as_mut().filter(|below| {
            let role = below.sized.card.role;
            is_simple && !role.is_dot() && !role.is_chip()
        }) {
            // What belongs together is equally wide.
            self.head.w = self.head.w.max(below.sized.w);
            below.sized.w = self.head.w;
        }
        let below_x = if is_simple { 0 } else { indent };
        let below_w = self
            .below
            .as_ref()
            .map_or(0, |below| below_x + below.sized.w);
        let content = |is_side_way: bool| {
            let pad = if is_side_way { 2 * m.frame_x } else { 0 };
            let lanes = self.lanes.iter();
            let widths = lanes
                .filter(|lane| lane.is_side_way() == is_side_way)
                .map(|lane| indent + pad + lane.caption_w.max(sequence_w(&lane.blocks, m)));
            widths.max().unwrap_or(0)
        };
        let own = self.head.w.max(below_w);
        let after = m.channel + m.dot + if self.has_back { m.channel } else { 0 };
        let frame = if self.frame.is_some() { m.frame_x } else { 0 };
        self.natural_w = match (is_simple, self.has_side_way()) {
            (true, _) => own,
            (false, false) => frame + own.max(content(false)) + after + frame,
            (false, true) => {
                let framed = own.max(content(false)) + frame;
                frame + framed.max(content(true)) + after
            }
        };
    }
}

/// How wide a sequence is in one row.
pub(super) fn sequence_w(blocks: &[Block], m: &Metrics) -> i32 {
    let gaps = i32::try_from(blocks.len().saturating_sub(1)).unwrap_or(0) * m.gap;
    blocks.iter().map(|block| block.natural_w).sum::<i32>() + gaps
}

/// Makes blocks of a definition.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) m: &'a Metrics,
    pub(super) overlay: Option<&'a Overlay>,
    /// Whether the saga cannot turn back any more here.
    past_pivot: bool,
}

impl<'a> Planner<'a> {
    /// All there is to draw of a definition, from its start to its ends.
    pub(super) fn plan(
        definition: &Definition,
        m: &'a Metrics,
        overlay: Option<&'a Overlay>,
    ) -> Vec<Block> {
        let mut planner = Self {
            m,
            overlay,
            past_pivot: false,
        };
        let chars_max = m.line_chars_max;
        let below = |sized, is_on_the_way| Below {
            sized,
            is_on_the_way,
            has_drop: false,
        };
        let start = planner.sized(ends::start(definition, chars_max), None);
        let compensated = planner.sized_end(ends::compensated(chars_max), State::Undone);
        let completed = planner.sized_end(ends::completed(chars_max), State::Done);
        let parked = planner.sized_end(ends::parked(definition, chars_max), State::Stuck);
        let mut blocks = vec![planner.end(start, Some(below(compensated, true)))];
        blocks.extend(planner.sequence(&definition.steps));
        blocks.push(planner.end(completed, Some(below(parked, false))));
        blocks
    }

    fn sequence(&mut self, steps: &[Step]) -> Vec<Block> {
        steps.iter().map(|step| self.block(step)).collect()
    }

    fn block(&mut self, step: &Step) -> Block {
        let m = self.m;
        let shown = self.overlay.map(|overlay| overlay.of_step(&step.id));
        let head = self.sized(card_of(step, m.line_chars_max), shown.clone());
        let below = self.below(step, shown);
        let mut lanes = Vec::new();
        let past_before = self.past_pivot;
        let mut all_pass = true;
        for block in step.blocks() {
            self.past_pivot = past_before;
            let is_side_way = matches!(
                block.slot,
                Slot::OnFailure | Slot::OnTimeout | Slot::OnRefused
            );
            let (role, caption) = caption(step, block.slot);
            let caption = caption.map(|caption| cut(&clean(&caption), m.caption_chars_max));
            let blocks = self.sequence(block.steps);
            all_pass &= self.past_pivot || is_side_way;
            lanes.push(Lane {
                role,
                caption_w: caption
                    .as_deref()
                    .map_or(0, |caption| (m.text_width)(caption, LineRole::Title)),
                caption,
                blocks,
            });
        }
        let passes = step.when.is_none()
            && match &step.verb {
                Verb::Do(work) => work.pivot,
                // Without a case that holds it does not go on.
                Verb::Choose(_) => all_pass,
                Verb::Parallel(_) | Verb::Each(_) | Verb::Repeat(_) => false,
                Verb::Wait(_) | Verb::Sleep(_) | Verb::Run(_) | Verb::Approve(_) => false,
                Verb::Set(_) | Verb::Fail(_) | Verb::End(_) => false,
            };
        self.past_pivot = past_before || passes;
        let frame = frame_of(&step.verb);
        let lanes_leave = lanes.iter().any(Lane::leaves);
        let ends_here = matches!(step.verb, Verb::Fail(_) | Verb::End(_)) && step.when.is_none();
        let inside = lanes.iter().flat_map(|lane| &lane.blocks);
        let is_on_the_way = below.as_ref().is_some_and(|below| below.is_on_the_way);
        let has_back = is_on_the_way || inside.into_iter().any(|block| block.has_back);
        let takes_back = is_on_the_way || lanes.iter().any(Lane::takes_back);
        let goes_on = frame.is_none() && !ends_here;
        // A step that was done without its side ways; a case without anything to undo.
        let has_bypass = match frame {
            None => goes_on && below.is_none(),
            Some(FrameRole::Choose) => lanes.iter().any(|lane| lane.leaves() && !lane.takes_back()),
            Some(_) => false,
        };
        let mut block = Block {
            step: Some(step.id.clone()),
            head,
            below,
            lanes,
            frame,
            goes_on,
            leaves: goes_on || lanes_leave,
            is_point_of_no_return: passes && !past_before,
            natural_w: 0,
            has_back,
            takes_back,
            is_passed: !past_before && (has_bypass || !takes_back),
            has_bypass,
        };
        block.measure(m);
        block
    }

    fn end(&self, head: Sized, below: Option<Below>) -> Block {
        let mut block = Block {
            step: None,
            goes_on: head.card.role == NodeRole::Start,
            leaves: head.card.role == NodeRole::Start,
            head,
            has_back: below.as_ref().is_some_and(|below| below.is_on_the_way),
            takes_back: below.as_ref().is_some_and(|below| below.is_on_the_way),
            is_passed: true,
            has_bypass: false,
            below,
            lanes: Vec::new(),
            frame: None,
            is_point_of_no_return: false,
            natural_w: 0,
        };
        block.measure(self.m);
        block
    }

    fn below(&self, step: &Step, shown: Option<Option<(State, String)>>) -> Option<Below> {
        let m = self.m;
        if let Some(card) = undo_card(&step.verb, self.past_pivot, m.line_chars_max) {
            let role = card.role;
            let shown = shown.map(|shown| shown.filter(|(state, _)| state.is_of_undo()));
            let chip_h = m.line + 2 * m.chip_pad_y;
            let sized = if role.is_chip() {
                Sized {
                    w: width(m, &card.lines),
                    h: chip_h,
                    anchor: chip_h / 2,
                    card,
                    state: None,
                }
            } else {
                self.sized(card, shown)
            };
            return Some(Below {
                sized,
                is_on_the_way: !self.past_pivot,
                has_drop: role != NodeRole::OneWay,
            });
        }
        if self.past_pivot || !may_turn_back(step) {
            return None;
        }
        let card = Card {
            role: NodeRole::BackJoin,
            lines: Vec::new(),
            detail: String::new(),
        };
        Some(Below {
            sized: Sized {
                card,
                state: None,
                w: m.dot,
                h: m.dot,
                anchor: m.dot / 2,
            },
            is_on_the_way: true,
            has_drop: true,
        })
    }

    /// The box of an end; `state` if the saga is there.
    fn sized_end(&self, card: Card, state: State) -> Sized {
        let is_at = self.overlay.is_some_and(|overlay| overlay.is_at(card.role));
        let mut sized = self.sized(card, None);
        sized.state = is_at.then_some(state);
        sized
    }

    /// A box with its size; with a line for how far a saga is, if that is asked for.
    fn sized(&self, mut card: Card, shown: Option<Option<(State, String)>>) -> Sized {
        let m = self.m;
        let mut state = None;
        if let Some(shown) = shown {
            let (is, words) = shown.unzip();
            state = is;
            let words = cut(&words.unwrap_or_default(), m.line_chars_max);
            card.lines.push(line(LineRole::State, words));
        }
        let count = i32::try_from(card.lines.len()).unwrap_or(i32::MAX);
        Sized {
            // Room for the state, so that the picture stays as it is when the saga moves.
            w: width(m, &card.lines).max(m.box_min),
            h: count * m.line + 2 * m.pad_y,
            anchor: m.anchor,
            card,
            state,
        }
    }
}

fn width(m: &Metrics, lines: &[Line]) -> i32 {
    let widest = lines
        .iter()
        .map(|line| (m.text_width)(&line.text, line.role))
        .max();
    widest.unwrap_or(0) + 2 * m.pad_x
}

/// Whether a step that leaves nothing to undo can make the saga turn back.
fn may_turn_back(step: &Step) -> bool {
    let turns = |reaction: &Option<OnFailure>| {
        *reaction.as_ref().unwrap_or(&step.on_failure) == OnFailure::TurnBack
    };
    match &step.verb {
        Verb::Do(work) => work.undo == Undo::Absent && step.on_failure == OnFailure::TurnBack,
        Verb::Fail(_) => step.on_failure == OnFailure::TurnBack,
        Verb::Wait(wait) => wait.within_ms.is_some() && turns(&step.on_timeout),
        Verb::Approve(approve) => {
            turns(&step.on_refused) || (approve.within_ms.is_some() && turns(&step.on_timeout))
        }
        Verb::Parallel(_) | Verb::Choose(_) | Verb::Each(_) | Verb::Repeat(_) => false,
        Verb::Run(_) | Verb::Sleep(_) | Verb::Set(_) | Verb::End(_) => false,
    }
}

fn frame_of(verb: &Verb) -> Option<FrameRole> {
    match verb {
        Verb::Parallel(_) => Some(FrameRole::Parallel),
        Verb::Choose(_) => Some(FrameRole::Choose),
        Verb::Each(_) => Some(FrameRole::Each),
        Verb::Repeat(_) => Some(FrameRole::Repeat),
        Verb::Do(_) | Verb::Wait(_) | Verb::Sleep(_) | Verb::Run(_) | Verb::Approve(_) => None,
        Verb::Set(_) | Verb::Fail(_) | Verb::End(_) => None,
    }
}

/// What stands above a sequence inside a step.
fn caption(step: &Step, slot: Slot<'_>) -> (FrameRole, Option<String>) {
    match slot {
        Slot::Branch(_, name) => (FrameRole::Parallel, Some(name.to_owned())),
        Slot::Case(n) => {
            let Verb::Choose(choose) = &step.verb else {
                return (FrameRole::Choose, None);
            };
            let case = choose.cases.get(usize::from(n));
            let when = case.map(|case| format!("when {}", case.when.source()));
            (FrameRole::Choose, when)
        }
        Slot::Otherwise(_) => (FrameRole::Choose, Some("else".to_owned())),
        Slot::Body => (frame_of(&step.verb).unwrap_or(FrameRole::Each), None),
        Slot::OnFailure => (FrameRole::SideWay, Some("if it fails".to_owned())),
        Slot::OnTimeout => (FrameRole::SideWay, Some("if it times out".to_owned())),
        Slot::OnRefused => (FrameRole::SideWay, Some("if it is refused".to_owned())),
    }
}

/// What a reader is told of a frame.
pub(super) fn frame_title(role: FrameRole, step: &str, caption: Option<&str>) -> String {
    let step = clean(step);
    match role {
        FrameRole::Parallel => format!("parallel {step}"),
        FrameRole::Choose => format!("choose {step}"),
        FrameRole::Each => format!("each {step}"),
        FrameRole::Repeat => format!("repeat {step}"),
        FrameRole::SideWay => format!("{step}: {}", caption.unwrap_or_default()),
    }
}
