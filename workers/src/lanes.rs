//! Which command may run next: those of one key strictly one after the other, those of different keys side by side. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In a batch: several of one key may go together, in their order.
    Local,
    /// Outside: alone of its key, until it is freed.
    External,
    /// Outside first, then in a batch: alone of its key, until it is freed.
    Prepared,
}

/// Commands that wait, by key.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: HashMap<Arc<str>, Lane<T>>,
    /// Keys whose first waiting command is local and none of whose commands is at work, in the order they became so.
    local: VecDeque<Arc<str>>,
    /// The same for those whose first waiting command begins outside.
    external: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<(Kind, T)>,
    at_work: usize,
}

impl<T> Lanes<T> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: HashMap::new(),
            local: VecDeque::new(),
            external: VecDeque::new(),
        }
    }

    /// Adds a command behind those of the same key.
    pub(crate) fn push(&mut self, key: &Arc<str>, kind: Kind, command: T) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.waiting.push_back((kind, command));
            if lane.waiting.len() > 1 || lane.at_work > 0 {
                return;
            }
        } else {
            let lane = Lane {
                waiting: VecDeque::from([(kind, command)]),
                at_work: 0,
            };
            self.lanes.insert(Arc::clone(key), lane);
        }
        self.ready(kind).push_back(Arc::clone(key));
    }

    /// Takes what may run now, at most so many of each kind. Each one taken has to be [`Lanes::free`]d.
    pub(crate) fn take(&mut self, local_max: usize, external_max: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < local_max
            && let Some(key) = self.local.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            while taken.len() < local_max
                && matches!(lane.waiting.front(), Some((Kind::Local, _)))
                && let Some((_, command)) = lane.waiting.pop_front()
            {
                lane.at_work += 1;
                taken.push(command);
            }
        }
        let local_count = taken.len();
        while taken.len() - local_count < external_max
            && let Some(key) = self.external.pop_front()
        {
            if let Some(lane) = self.lanes.get_mut(&key)
                && let Some((_, command)) = lane.waiting.pop_front()
            {
                lane.at_work += 1;
                taken.push(command);
            }
        }
        taken
    }

    /// Says that a command of this key is through, so that the next one may run.
    pub(crate) fn free(&mut self, key: &str) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        lane.at_work -= 1;
        if lane.at_work > 0 {
            return;
        }
        match lane.waiting.front() {
            Some((kind, _)) => {
                let kind = *kind;
                if let Some((key, _)) = self.lanes.get_key_value(key) {
                    let key = Arc::clone(key);
                    self.ready(kind).push_back(key);
                }
            }
            None => {
                self.lanes.remove(key);
            }
        }
    }

    /// Takes out the waiting commands that are not to be kept. Those at work go on.
    pub(crate) fn drop_waiting(&mut self, drop: impl Fn(&T) -> bool) -> Vec<T> {
        let mut dropped = Vec::new();
        self.local.clear();
        self.external.clear();
        let (local, external) = (&mut self.local, &mut self.external);
        self.lanes.retain(|key, lane| {
            let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut lane.waiting)
                .into_iter()
                .partition(|(_, command)| drop(command));
            lane.waiting = kept;
            dropped.extend(gone.into_iter().map(|(_, command)| command));
            if lane.at_work == 0 {
                match lane.waiting.front() {
                    Some((Kind::Local, _)) => local.push_back(Arc::clone(key)),
                    Some((Kind::External | Kind::Prepared, _)) => {
                        external.push_back(Arc::clone(key))
                    }
                    None => return false,
                }
            }
            true
        });
        dropped
    }

    fn ready(&mut self, kind: Kind) -> &mut VecDeque<Arc<str>> {
        match kind {
            Kind::Local => &mut self.local,
            Kind::External | Kind::Prepared => &mut self.external,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(commands: &[(&str, Kind, u32)]) -> Lanes<u32> {
        let mut lanes = Lanes::new();
        for (key, kind, command) in commands {
            lanes.push(&Arc::from(*key), *kind, *command);
        }
        lanes
    }

    use Kind::{External, Local};

    #[test]
    fn local_commands_of_one_key_go_together_in_their_order() {
        let mut lanes = lanes(&[("a", Local, 1), ("b", Local, 2), ("a", Local, 3)]);
        assert_eq!(lanes.take(10, 10), [1, 3, 2]);
        assert!(lanes.take(10, 10).is_empty());
    }

    #[test]
    fn an_external_command_holds_its_key_until_it_is_freed() {
        let mut lanes = lanes(&[("a", External, 1), ("a", External, 2), ("b", External, 3)]);
        assert_eq!(lanes.take(10, 10), [1, 3]);
        lanes.free("b");
        assert!(lanes.take(10, 10).is_empty());
        lanes.free("a");
        assert_eq!(lanes.take(10, 10), [2]);
    }

    #[test]
    fn no_more_run_at_once_than_the_limits_say() {
        let mut lanes = lanes(&[
            ("a", Local, 1),
            ("a", Local, 2),
            ("b", Local, 3),
            ("c", External, 4),
            ("d", External, 5),
        ]);
        assert_eq!(lanes.take(1, 1), [1, 4]);
        // The rest of "a" waits for its first; "b" does not.
        assert_eq!(lanes.take(5, 0), [3]);
        lanes.free("a");
        assert_eq!(lanes.take(5, 5), [2, 5]);
    }

    #[test]
    fn a_command_behind_one_of_the_other_kind_waits_for_it() {
        let mut lanes = lanes(&[("a", Local, 1), ("a", External, 2), ("a", Local, 3)]);
        assert_eq!(lanes.take(10, 10), [1]);
        lanes.free("a");
        assert_eq!(lanes.take(10, 10), [2]);
        lanes.free("a");
        assert_eq!(lanes.take(10, 10), [3]);
        lanes.free("a");
        assert!(lanes.lanes.is_empty());
    }

    #[test]
    fn a_command_that_comes_while_its_key_is_at_work_waits() {
        let mut lanes = lanes(&[("a", Local, 1)]);
        assert_eq!(lanes.take(10, 10), [1]);
        lanes.push(&Arc::from("a"), Local, 2);
        assert!(lanes.take(10, 10).is_empty());
        lanes.free("a");
        assert_eq!(lanes.take(10, 10), [2]);
    }

    #[test]
    fn dropped_commands_never_run_and_the_others_still_do() {
        let mut lanes = lanes(&[
            ("a", Local, 1),
            ("a", Local, 2),
            ("b", External, 3),
            ("c", Local, 4),
        ]);
        assert_eq!(lanes.take(0, 1), [3]);
        lanes.push(&Arc::from("b"), External, 5);
        let mut dropped = lanes.drop_waiting(|command| *command == 1 || *command == 4);
        dropped.sort_unstable();
        assert_eq!(dropped, [1, 4]);
        assert_eq!(lanes.take(10, 10), [2]);
        lanes.free("b");
        assert_eq!(lanes.take(10, 10), [5]);
    }
}
