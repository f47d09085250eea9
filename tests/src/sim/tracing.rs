//! What happened, as a hash and as lines for the eye.

use super::world::{BEGIN_MS, Event, World};

impl World {
    pub(super) fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    /// Mixes what happens into the hash, and prints it if the run is traced.
    pub(super) fn note(&mut self, event: &Event) {
        let at = self.now.unsigned_abs();
        self.mix(at);
        let (kind, detail) = match event {
            Event::Deliver(of, _) => (1, of.number),
            Event::Turn(of) => (2, of.number),
            Event::Wake(of) => (3, of.number),
            Event::Store(of, _) => (4, of.number),
            Event::Arrive { partition, .. } => (5, u64::from(partition.unsigned_abs())),
            Event::Acked(_, _, batch) => (6, batch.0),
            Event::Fetch(_, _, generation) => (7, *generation),
            Event::GoOn(of) => (8, of.number),
            Event::Restart(_) => (9, 0),
            Event::HandOver(_, number) => (10, *number),
            Event::Tell(of, _) => (11, of.number),
            Event::Heartbeats => (12, 0),
            Event::Work(_, life) => (13, *life),
            Event::Place { partition, .. } => (14, u64::from(partition.unsigned_abs())),
            Event::Order(_) => (15, 0),
            Event::Stir => (16, 0),
            Event::Heal => (17, 0),
            Event::LookAround => (18, 0),
        };
        self.mix(kind);
        self.mix(detail);
        let is_telling = !matches!(
            event,
            Event::Turn(_) | Event::Heartbeats | Event::Stir | Event::LookAround
        );
        if self.is_traced && is_telling {
            self.trace(|_| {
                let mut line = format!("{event:?}");
                let end = line
                    .char_indices()
                    .nth(400)
                    .map_or(line.len(), |(at, _)| at);
                line.truncate(end);
                line
            });
        }
    }

    /// Prints a line, if the run is traced.
    #[expect(
        clippy::print_stderr,
        reason = "a trace is for the eyes of whoever asked for it"
    )]
    pub(super) fn trace(&self, line: impl FnOnce(&Self) -> String) {
        if self.is_traced {
            eprintln!("{:>7} {}", self.now - BEGIN_MS, line(self));
        }
    }
}
