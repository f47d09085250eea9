//! A client that writes down what it asked of a broker and what was answered, and holds the broker to it.
//!
//! One request is on its way at a time. When the broker dies or refuses, that request is the only thing in doubt: it may
//! have been carried out or not, and asked once more, the same as before, it must end as if it had been asked once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, EndTxnRequest};

use super::asks::{
    MOVER, add_partition, commit, create, delete_before, delete_topic, init, leave, move_offset,
};
use super::wire::{ProducerId, Wire, batch, topic_name, transactional};

const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A record of the idempotent producer, or of the transactional one for the topic `moves`.
    Put {
        topic: &'static str,
        partition: i32,
        key: Option<String>,
        value: String,
        sequence: i32,
    },
    Begin,
    MoveOffset(i64),
    End {
        commits: bool,
    },
    Offset(i64),
    DeleteBefore {
        topic: &'static str,
        offset: i64,
    },
    Create(String),
    Widen(String),
    Delete(String),
    NewId,
    /// A transaction that nobody ends.
    Leave(i64),
}

/// An offset, a key, a value.
type Record = (i64, Option<String>, String);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    Refused(i16),
}

/// What was asked and answered.
#[derive(Default)]
pub struct Diary {
    /// What is in doubt.
    pub doubt: Option<Op>,
    /// What was to come after it.
    plan: VecDeque<Op>,
    /// Whether the broker forgets what rests, so that offsets of groups may be gone.
    pub forgets: bool,
    /// Whether some transactions are left to the broker to be given up.
    pub leaves: bool,
    round: i64,
    writer: ProducerId,
    mover: ProducerId,
    /// By topic and partition: what was acknowledged, with the offset that the acknowledgement named.
    written: BTreeMap<(&'static str, i32), Vec<Record>>,
    sequences: BTreeMap<(&'static str, i32), i32>,
    /// Records of the open transaction, and its offset.
    moving: (Vec<Record>, Option<i64>),
    moved: Vec<(i64, String)>,
    offset: i64,
    moved_offset: i64,
    starts: BTreeMap<&'static str, i64>,
    topics: BTreeMap<String, usize>,
    ids: BTreeSet<i64>,
}

type Settings = &'static [(&'static str, &'static str)];

/// Topics that stay: how many partitions, and their settings.
const TOPICS: [(&str, i32, Settings); 6] = [
    ("orders", 2, &[]),
    (
        "table",
        1,
        &[
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.0"),
            ("delete.retention.ms", "1"),
        ],
    ),
    ("trail", 1, &[]),
    ("bulk", 1, &[]),
    ("moves", 1, &[]),
    ("left", 1, &[]),
];

impl Diary {
    /// Makes what the rounds need.
    pub fn open(wire: &mut Wire) -> Diary {
        let mut diary = Diary {
            offset: -1,
            moved_offset: -1,
            ..Diary::default()
        };
        for (name, partitions, settings) in TOPICS {
            let code = create(wire, name, partitions, settings).unwrap();
            assert_eq!(code, 0, "{name}");
            diary
                .topics
                .insert(name.to_owned(), usize::try_from(partitions).unwrap());
        }
        diary.writer = init(wire, None, 60_000).unwrap().unwrap();
        diary.mover = init(wire, Some(MOVER), 60_000).unwrap().unwrap();
        diary
    }

    /// One of everything. Ends early when the broker dies (an error) or refuses.
    pub fn round(&mut self, wire: &mut Wire) -> io::Result<Ended> {
        self.round += 1;
        let number = self.round;
        let mut ops = vec![self.put("orders", 0, None), self.put("orders", 1, None)];
        ops.push(Op::Offset(number));
        ops.extend([number % 3, 0, 1].map(|key| self.put("table", 0, Some(format!("key-{key}")))));
        ops.extend([0; 2].map(|_| self.put("trail", 0, None)));
        ops.push(Op::DeleteBefore {
            topic: "trail",
            offset: number * 2 - 1,
        });
        if !self.forgets {
            ops.push(Op::Begin);
            ops.extend([0; 2].map(|_| self.put("moves", 0, None)));
            ops.push(Op::MoveOffset(number));
            ops.push(Op::End {
                commits: number % 3 != 2,
            });
        }
        let topic = format!("topic-{number}");
        ops.extend([Op::Create(topic.clone()), Op::Widen(topic)]);
        if number > 1 {
            ops.push(Op::Delete(format!("topic-{}", number - 1)));
        }
        ops.push(Op::NewId);
        if self.leaves {
            ops.push(Op::Leave(number));
        }
        self.all(wire, ops)
    }

    /// Fills 18 MB of the file, which is more than the log keeps to itself, and empties them.
    pub fn bulk(&mut self, wire: &mut Wire) -> io::Result<Ended> {
        let mut ops: Vec<Op> = (0..20)
            .map(|_| self.put("bulk", 0, Some("b".repeat(900_000))))
            .collect();
        let offset = i64::from(self.sequences[&("bulk", 0)]);
        ops.push(Op::DeleteBefore {
            topic: "bulk",
            offset,
        });
        self.all(wire, ops)
    }

    /// Puts more than an answer has that is read before it is begun, of both kinds: what is sent alone, and with its neighbours.
    pub fn long(&mut self, wire: &mut Wire) -> io::Result<Ended> {
        let lengths = [9_000, 20_000].into_iter().cycle();
        let ops: Vec<Op> = lengths
            .take(12)
            .map(|length| self.put("bulk", 0, Some("b".repeat(length))))
            .collect();
        self.all(wire, ops)
    }

    /// Makes requests, until one is refused.
    fn all(&mut self, wire: &mut Wire, ops: Vec<Op>) -> io::Result<Ended> {
        self.plan.extend(ops);
        while let Some(op) = self.plan.pop_front() {
            self.doubt = Some(op);
            if let refused @ Ended::Refused(_) = self.attempt(wire, false)? {
                return Ok(refused);
            }
        }
        Ok(Ended::Done)
    }

    fn put(&mut self, topic: &'static str, partition: i32, key: Option<String>) -> Op {
        let next = self.sequences.entry((topic, partition)).or_default();
        let sequence = *next;
        let value = format!("{topic}-{partition}-{sequence:06}");
        *next += if topic == "table" { 2 } else { 1 };
        Op::Put {
            topic,
            partition,
            key,
            value,
            sequence,
        }
    }

    /// Asks once more what is in doubt, and goes on from there.
    pub fn again(&mut self, wire: &mut Wire) -> io::Result<Ended> {
        if self.doubt.is_some()
            && let refused @ Ended::Refused(_) = self.attempt(wire, true)?
        {
            return Ok(refused);
        }
        self.all(wire, Vec::new())
    }

    fn attempt(&mut self, wire: &mut Wire, again: bool) -> io::Result<Ended> {
        let op = self.doubt.clone().expect("something is asked");
        let code = self.ask(wire, &op)?;
        let known = match &op {
            Op::Create(_) => TOPIC_EXISTS,
            Op::Widen(_) => INVALID_PARTITIONS,
            Op::Delete(_) => UNKNOWN_TOPIC,
            Op::Put { .. }
            | Op::Begin
            | Op::MoveOffset(_)
            | Op::End { .. }
            | Op::Offset(_)
            | Op::DeleteBefore { .. }
            | Op::NewId
            | Op::Leave(_) => 0,
        };
        if code != 0 && !(again && code == known) {
            return Ok(Ended::Refused(code));
        }
        self.doubt = None;
        self.note(op);
        Ok(Ended::Done)
    }

    fn ask(&mut self, wire: &mut Wire, op: &Op) -> io::Result<i16> {
        match op {
            Op::Put {
                topic,
                partition,
                key,
                value,
                sequence,
            } => {
                let (producer, id) = if *topic == "moves" {
                    (self.mover, Some(MOVER))
                } else {
                    (self.writer, None)
                };
                let records = records(topic, key, value, 0);
                let words: Vec<_> = records
                    .iter()
                    .map(|(_, key, value)| (key.as_deref(), Some(value.as_str())))
                    .collect();
                let bytes = batch(producer, *sequence, id.is_some(), &words);
                let (code, offset) = wire.produce(topic, *partition, id, bytes)?;
                if code == 0 {
                    let records = self::records(topic, key, value, offset);
                    if id.is_some() {
                        self.moving.0.extend(records.iter().cloned());
                    }
                    self.written
                        .entry((topic, *partition))
                        .or_default()
                        .extend(records);
                }
                Ok(code)
            }
            Op::Begin => add_partition(wire, MOVER, self.mover, "moves"),
            Op::MoveOffset(offset) => move_offset(wire, self.mover, *offset),
            Op::End { commits } => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(transactional(MOVER))
                    .with_producer_id(self.mover.0.into())
                    .with_producer_epoch(self.mover.1)
                    .with_committed(*commits);
                Ok(wire.call(&request, 2)?.error_code)
            }
            Op::Offset(offset) => commit(wire, *offset),
            Op::DeleteBefore { topic, offset } => delete_before(wire, topic, *offset),
            Op::Create(name) => create(wire, name, 2, &[("retention.ms", "-1")]),
            Op::Widen(name) => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(topic_name(name))
                    .with_count(3);
                let request = CreatePartitionsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(30_000);
                Ok(wire.call(&request, 1)?.results[0].error_code)
            }
            Op::Delete(name) => delete_topic(wire, name),
            Op::NewId => match init(wire, None, 60_000)? {
                Ok((id, _)) => {
                    assert!(self.ids.insert(id), "producer id {id} was given out before");
                    Ok(0)
                }
                Err(code) => Ok(code),
            },
            Op::Leave(number) => leave(wire, &format!("left-{number}")),
        }
    }

    /// Takes over what is now certain.
    fn note(&mut self, op: Op) {
        match op {
            Op::Put { .. } | Op::Begin | Op::NewId | Op::Leave(_) => {}
            Op::MoveOffset(offset) => self.moving.1 = Some(offset),
            Op::End { commits } => {
                let (records, offset) = std::mem::take(&mut self.moving);
                if commits {
                    self.moved.extend(
                        records
                            .into_iter()
                            .map(|(offset, _, value)| (offset, value)),
                    );
                    self.moved_offset = offset.unwrap_or(self.moved_offset);
                }
            }
            Op::Offset(offset) => self.offset = offset,
            Op::DeleteBefore { topic, offset } => drop(self.starts.insert(topic, offset)),
            Op::Create(name) => drop(self.topics.insert(name, 2)),
            Op::Widen(name) => drop(self.topics.insert(name, 3)),
            Op::Delete(name) => drop(self.topics.remove(&name)),
        }
    }

    /// Holds the broker to what was answered. What is in doubt is there once or not at all.
    pub fn check(&self, wire: &mut Wire) {
        self.check_logs(wire);
        self.check_table(wire);
        self.check_transactions(wire);
        self.check_offsets(wire);
        let mut landed = self.topics.clone();
        match self.doubt.clone() {
            Some(Op::Create(name)) => drop(landed.insert(name, 2)),
            Some(Op::Widen(name)) => drop(landed.insert(name, 3)),
            Some(Op::Delete(name)) => drop(landed.remove(&name)),
            _ => {}
        }
        let topics = wire.topics().unwrap();
        assert!(
            topics == self.topics || topics == landed,
            "{topics:?} {:?} {:?}",
            self.topics,
            self.doubt
        );
    }

    /// Every record at the offset that its acknowledgement named, in order, once; the one in doubt after them or nowhere.
    fn check_logs(&self, wire: &mut Wire) {
        for (&(topic, partition), written) in self
            .written
            .iter()
            .filter(|((topic, _), _)| !["table", "moves"].contains(topic))
        {
            let (start, _) = wire.bounds(topic, partition).unwrap().unwrap();
            let before = self.starts.get(topic).copied().unwrap_or(0);
            let doubted_start = match &self.doubt {
                Some(Op::DeleteBefore { topic: of, offset }) if *of == topic => *offset,
                _ => before,
            };
            assert!(
                start == before || start == doubted_start,
                "{topic} starts at {start}, not at {before}"
            );
            let mut expected: Vec<_> = written
                .iter()
                .filter(|entry| entry.0 >= start)
                .map(|(offset, _, value)| (*offset, value.clone()))
                .collect();
            let found: Vec<_> = wire
                .read_all(topic, partition, 0)
                .unwrap()
                .unwrap()
                .into_iter()
                .map(|(offset, _, value)| (offset, value.unwrap()))
                .collect();
            if let Some(Op::Put {
                topic: of,
                partition: at,
                value,
                ..
            }) = &self.doubt
                && (*of, *at) == (topic, partition)
                && found.len() > expected.len()
            {
                expected.push((
                    expected.last().map_or(start, |last| last.0 + 1),
                    value.clone(),
                ));
            }
            assert_eq!(
                found, expected,
                "{topic}-{partition}, in doubt: {:?}",
                self.doubt
            );
        }
    }

    /// The newest value of each key, whatever was compacted.
    fn check_table(&self, wire: &mut Wire) {
        let fold = |records: &[Record]| -> BTreeMap<String, (i64, String)> {
            records
                .iter()
                .map(|(offset, key, value)| (key.clone().unwrap(), (*offset, value.clone())))
                .collect()
        };
        let Some(written) = self.written.get(&("table", 0)) else {
            return;
        };
        let found = wire.read_all("table", 0, 1).unwrap().unwrap();
        assert!(found.is_sorted_by(|one, next| one.0 < next.0), "{found:?}");
        let found: Vec<_> = found
            .into_iter()
            .map(|(offset, key, value)| (offset, key, value.unwrap()))
            .collect();
        let mut landed = written.clone();
        if let Some(Op::Put {
            topic: "table",
            key,
            value,
            ..
        }) = &self.doubt
        {
            let offset = written.last().map_or(0, |last| last.0 + 1);
            landed.extend(records("table", key, value, offset));
        }
        let table = fold(&found);
        assert!(
            table == fold(written) || table == fold(&landed),
            "{table:?} {:?} {:?}",
            fold(written),
            self.doubt
        );
    }

    fn check_transactions(&self, wire: &mut Wire) {
        let found: Vec<_> = wire
            .read_all("moves", 0, 1)
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|(offset, _, value)| (offset, value.unwrap()))
            .collect();
        let mut landed = self.moved.clone();
        if let Some(Op::End { commits: true }) = self.doubt {
            landed.extend(
                self.moving
                    .0
                    .iter()
                    .map(|(offset, _, value)| (*offset, value.clone())),
            );
        }
        assert!(
            found == self.moved || found == landed,
            "{found:?} {:?} {:?}",
            self.moved,
            self.doubt
        );
        let all = wire.read_all("moves", 0, 0).unwrap().unwrap();
        let values: BTreeSet<_> = all.iter().map(|record| record.2.clone()).collect();
        assert_eq!(values.len(), all.len(), "a record is there twice: {all:?}");
        for (offset, _, value) in self.written.get(&("moves", 0)).into_iter().flatten() {
            assert!(
                all.contains(&(*offset, None, Some(value.clone()))),
                "{value} was acknowledged at {offset}: {all:?}"
            );
        }
        let left = wire.read_all("left", 0, 1).unwrap().unwrap();
        assert!(left.is_empty(), "nobody committed {left:?}");
    }

    fn check_offsets(&self, wire: &mut Wire) {
        let (mut kept, mut moved) = (vec![self.offset], vec![self.moved_offset]);
        match self.doubt {
            Some(Op::Offset(offset)) => kept.push(offset),
            Some(Op::End { commits: true }) => moved.extend(self.moving.1),
            _ => {}
        }
        if self.forgets {
            kept.push(-1);
            moved.push(-1);
        }
        let found = wire.committed("readers", "orders").unwrap().unwrap();
        assert!(
            kept.contains(&found),
            "readers are at {found}, not at {kept:?}"
        );
        let found = wire.committed("movers", "orders").unwrap().unwrap();
        assert!(
            moved.contains(&found),
            "movers are at {found}, not at {moved:?}"
        );
    }
}

/// The records of a batch from this offset on. One of the table has a second one, whose key changes less often, so that
/// compaction finds batches that lose a record and keep one.
fn records(topic: &str, key: &Option<String>, value: &str, offset: i64) -> Vec<Record> {
    let mut records = vec![(offset, key.clone(), value.to_owned())];
    if topic == "table" {
        let rare = value.bytes().last().unwrap_or_default();
        records.push((offset + 1, Some(format!("rare-{rare}")), value.to_owned()));
    }
    records
}

/// All that clients can see, to be compared.
pub fn seen(wire: &mut Wire) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for (topic, partitions) in wire.topics().unwrap() {
        for partition in 0..i32::try_from(partitions).unwrap() {
            let bounds = wire.bounds(&topic, partition).unwrap();
            let records =
                [0, 1].map(|isolation| wire.read_all(&topic, partition, isolation).unwrap());
            seen.insert(
                format!("{topic}-{partition}"),
                format!("{bounds:?} {records:?}"),
            );
        }
    }
    for group in ["readers", "movers"] {
        seen.insert(
            format!("group {group}"),
            format!("{:?}", wire.committed(group, "orders").unwrap()),
        );
    }
    seen
}
