//! Holds what was ordered, how sagas ended and what the services did against each other.
//!
//! It knows the order process as a customer does: four steps, one after the other, all but the first taken back if the order
//! fails. It shares no code with the orchestrator, and believes nobody but the services and the shop.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use backstitch_workers::order::Effect;

/// The steps of an order in their order: name, activity, and whether it leaves something to take back.
const STEPS: [(&str, &str, bool); 4] = [
    ("check_fraud", "check-fraud", false),
    ("reserve_stock", "reserve-stock", true),
    ("charge_payment", "charge-payment", true),
    ("ship_order", "ship-order", true),
];

/// An order that the shop sent, and that Kafka acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The saga that it starts.
    pub saga: String,
    /// Where it was to fail, and how.
    pub mark: Option<Mark>,
}

/// What a marked order asks of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The activity whose worker misbehaves.
    pub at: String,
    /// What it does.
    pub how: How,
}

/// How a worker misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It refuses: the order has to be taken back.
    Refuse,
    /// It fails at first; a later attempt does it.
    Fail,
    /// It does not answer at first; a later attempt does it.
    Hang,
}

/// How a saga ended, by the store's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With each step done.
    Completed,
    /// With each step undone that may have run.
    Compensated,
    /// Not: the word for how it stands.
    Open(String),
}

impl Ending {
    /// The word for it.
    pub fn word(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Open(status) => status,
        }
    }
}

/// What is wrong with one saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The saga.
    pub saga: String,
    /// What.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An order was acknowledged, and there is no saga.
    Lost,
    /// There are two sagas of one order, or one that nobody ordered.
    Unordered,
    /// The saga is not settled; how it stands.
    Unsettled(String),
    /// There is an effect that nobody ordered.
    EffectWithoutOrder,
    /// An effect happened twice: under one key, or under two.
    Doubled(String),
    /// An effect that has to be there is missing.
    Missing(String),
    /// An effect is there that must not be.
    Uncalled(String),
    /// What was to be refused was done, or the order completed in spite of it.
    NotRefused(String),
    /// An effect came before another that it follows.
    OutOfOrder(String),
    /// An undo came before its do.
    UndoBeforeDo(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.saga)?;
        match &self.fault {
            Fault::Lost => write!(f, "ordered, and there is no saga"),
            Fault::Unordered => write!(f, "a saga that nobody ordered, or a second one"),
            Fault::Unsettled(status) => write!(f, "not settled, but {status}"),
            Fault::EffectWithoutOrder => write!(f, "an effect that nobody ordered"),
            Fault::Doubled(what) => write!(f, "{what} happened twice"),
            Fault::Missing(what) => write!(f, "{what} is missing"),
            Fault::Uncalled(what) => write!(f, "{what} must not be there"),
            Fault::NotRefused(what) => write!(f, "{what} was to be refused, and was not"),
            Fault::OutOfOrder(what) => write!(f, "{what} in the wrong order"),
            Fault::UndoBeforeDo(what) => write!(f, "undo of {what} before its do"),
        }
    }
}

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Orders that completed.
    pub completed: usize,
    /// Orders that were taken back.
    pub compensated: usize,
    /// Sagas among these that no refusal turned back where it was asked for: time did.
    pub turned_back: Vec<String>,
    /// Effects that were judged.
    pub effects: usize,
    /// All that is wrong.
    pub wrongs: Vec<Wrong>,
}

/// What happened to one step of one saga.
#[derive(Debug, Default)]
struct Deeds<'e> {
    done: Vec<&'e Effect>,
    undone: Vec<&'e Effect>,
}

/// Judges everything: `orders` is the shop's record, `endings` the store's, `effects` that of all services.
pub fn check(orders: &[Order], endings: &[(String, Ending)], effects: &[Effect]) -> Verdict {
    let mut verdict = Verdict {
        effects: effects.len(),
        ..Verdict::default()
    };
    let mut by_saga: HashMap<&str, Vec<&Effect>> = HashMap::new();
    for effect in effects {
        by_saga.entry(&effect.saga).or_default().push(effect);
    }
    let mut ended: HashMap<&str, &Ending> = HashMap::new();
    for (saga, ending) in endings {
        if ended.insert(saga, ending).is_some() {
            verdict.wrong(saga, Fault::Unordered);
        }
    }
    for order in orders {
        let own = by_saga.remove(order.saga.as_str()).unwrap_or_default();
        match ended.remove(order.saga.as_str()) {
            None => verdict.wrong(&order.saga, Fault::Lost),
            Some(Ending::Open(status)) => {
                verdict.wrong(&order.saga, Fault::Unsettled(status.clone()));
            }
            Some(Ending::Completed) => {
                verdict.completed += 1;
                verdict.check_completed(order, &own);
            }
            Some(Ending::Compensated) => {
                verdict.compensated += 1;
                verdict.check_compensated(order, &own);
            }
        }
    }
    for saga in ended.into_keys() {
        verdict.wrong(saga, Fault::Unordered);
    }
    for saga in by_saga.into_keys() {
        verdict.wrong(saga, Fault::EffectWithoutOrder);
    }
    verdict
        .wrongs
        .sort_by(|a, b| (&a.saga, &a.fault).cmp(&(&b.saga, &b.fault)));
    verdict
}

impl Verdict {
    fn wrong(&mut self, saga: &str, fault: Fault) {
        self.wrongs.push(Wrong {
            saga: saga.to_owned(),
            fault,
        });
    }

    /// Each step was done, once, one after the other, and none undone.
    fn check_completed(&mut self, order: &Order, effects: &[&Effect]) {
        let deeds = self.sort(&order.saga, effects);
        if let Some(mark) = &order.mark
            && mark.how == How::Refuse
        {
            self.wrong(&order.saga, Fault::NotRefused(mark.at.clone()));
        }
        for ((step, ..), deed) in STEPS.iter().zip(&deeds) {
            if deed.done.is_empty() {
                self.wrong(&order.saga, Fault::Missing(format!("do of {step}")));
            }
            if !deed.undone.is_empty() {
                self.wrong(&order.saga, Fault::Uncalled(format!("undo of {step}")));
            }
        }
        let dos: Vec<&Effect> = deeds
            .iter()
            .flat_map(|deed| deed.done.iter().copied())
            .collect();
        self.check_rising(&order.saga, "dos", &dos);
    }

    /// What was done was undone, once, after it, newest first; nothing was done at or after the step that was refused.
    fn check_compensated(&mut self, order: &Order, effects: &[&Effect]) {
        let deeds = self.sort(&order.saga, effects);
        let mut has_gap = false;
        for ((step, _, is_undoable), deed) in STEPS.iter().zip(&deeds) {
            match (deed.done.first(), deed.undone.first()) {
                (None, None) => has_gap = true,
                (None, Some(_)) => {
                    self.wrong(
                        &order.saga,
                        Fault::Uncalled(format!("undo of {step}, never done,")),
                    );
                }
                (Some(_), _) if has_gap => {
                    self.wrong(
                        &order.saga,
                        Fault::Uncalled(format!("do of {step} after a gap")),
                    );
                }
                (Some(_), None) if *is_undoable => {
                    self.wrong(&order.saga, Fault::Missing(format!("undo of {step}")));
                }
                (Some(_), None) => {}
                (Some(_), Some(_)) if !is_undoable => {
                    self.wrong(&order.saga, Fault::Uncalled(format!("undo of {step}")));
                }
                // Both stand in the ledger of one service, whose numbers are its transactions' order.
                (Some(done), Some(undone)) if undone.seq < done.seq => {
                    self.wrong(&order.saga, Fault::UndoBeforeDo((*step).to_owned()));
                }
                (Some(_), Some(_)) => {}
            }
        }
        let dos: Vec<&Effect> = deeds
            .iter()
            .flat_map(|deed| deed.done.iter().copied())
            .collect();
        self.check_rising(&order.saga, "dos", &dos);
        let undos: Vec<&Effect> = deeds
            .iter()
            .rev()
            .flat_map(|deed| deed.undone.iter().copied())
            .collect();
        self.check_rising(&order.saga, "undos", &undos);
        if let (Some(last_do), Some(first_undo)) = (dos.last(), undos.first())
            && first_undo.at_ms < last_do.at_ms
        {
            self.wrong(&order.saga, Fault::OutOfOrder("dos and undos".to_owned()));
        }
        self.check_mark(order, &deeds);
    }

    /// Whether the order was turned back where it was asked to be.
    fn check_mark(&mut self, order: &Order, deeds: &[Deeds<'_>]) {
        let done_count = deeds
            .iter()
            .take_while(|deed| !deed.done.is_empty())
            .count();
        let refused_at = order
            .mark
            .as_ref()
            .filter(|mark| mark.how == How::Refuse)
            .and_then(|mark| {
                STEPS
                    .iter()
                    .position(|(_, activity, _)| *activity == mark.at)
            });
        match refused_at {
            Some(place) if done_count == place => {}
            Some(place) if done_count > place => {
                self.wrong(&order.saga, Fault::NotRefused(STEPS[place].1.to_owned()));
            }
            Some(_) | None => self.turned_back.push(order.saga.clone()),
        }
    }

    /// Puts effects to their steps, and says which happened twice.
    fn sort<'e>(&mut self, saga: &str, effects: &[&'e Effect]) -> Vec<Deeds<'e>> {
        let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
        let mut deeds: Vec<Deeds<'_>> = STEPS.iter().map(|_| Deeds::default()).collect();
        for effect in effects {
            *keys.entry(&effect.key).or_default() += 1;
            let place = STEPS.iter().position(|(step, ..)| *step == effect.step);
            match (place, effect.direction.as_str()) {
                (Some(place), "do") => deeds[place].done.push(effect),
                (Some(place), "undo") => deeds[place].undone.push(effect),
                (Some(_) | None, other) => {
                    let what = format!("{other} of {}", effect.step);
                    self.wrong(saga, Fault::Uncalled(what));
                }
            }
        }
        for (key, count) in keys {
            if count > 1 {
                self.wrong(saga, Fault::Doubled(format!("the effect of key {key}")));
            }
        }
        for ((step, ..), deed) in STEPS.iter().zip(&deeds) {
            for (direction, of_step) in [("do", &deed.done), ("undo", &deed.undone)] {
                let is_told = of_step.windows(2).all(|pair| pair[0].key == pair[1].key);
                if of_step.len() > 1 && !is_told {
                    let what = format!("{direction} of {step}, under several keys,");
                    self.wrong(saga, Fault::Doubled(what));
                }
            }
        }
        deeds
    }

    /// One machine has one clock, and a step is asked for only after the one before it has answered.
    fn check_rising(&mut self, saga: &str, what: &str, effects: &[&Effect]) {
        if effects.windows(2).any(|pair| pair[1].at_ms < pair[0].at_ms) {
            let steps: Vec<&str> = effects.iter().map(|effect| effect.step.as_str()).collect();
            self.wrong(
                saga,
                Fault::OutOfOrder(format!("{what} ({})", steps.join(", "))),
            );
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
