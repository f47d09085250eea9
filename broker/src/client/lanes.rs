//! Which records are with the library, and which wait behind them. Decides only: no clock, no IO.
//!
//! A lane is a partition, or what will be one. While records of a lane are on their way, later ones wait here, and then they
//! leave together: what meets behind one request is the next one. The library would hold them back just the same (an
//! idempotent producer has one request with five records or more in flight per partition), but its thread looks for them
//! without a pause until the acknowledgement comes: tens of thousands of polls a second were seen (ADR 17).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::placement::partition_of;
use super::record::OutgoingRecord;

/// Bytes of one lane that leave together: below `batch.size`, so that they make one request.
const FLIGHT_BYTES_MAX: usize = 900_000;
/// Records of one lane that leave together; the library's own `batch.num.messages`.
const FLIGHT_COUNT_MAX: usize = 10_000;
/// What a record weighs beside its key, payload and headers.
const RECORD_BYTES: usize = 64;

/// Names a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneId(usize);

/// A record in its lane, and the call that it came with.
#[derive(Debug)]
pub(super) struct Parcel<B> {
    pub(super) record: OutgoingRecord,
    /// Its place among the records of its call.
    pub(super) index: usize,
    pub(super) batch: B,
}

/// Records of one lane that leave now, in order: each is to land, and the whole is to be told as handed over.
#[derive(Debug)]
pub(super) struct Flight<B> {
    pub(super) lane: LaneId,
    pub(super) parcels: Vec<Parcel<B>>,
}

#[derive(Debug)]
struct Lane<B> {
    topic: usize,
    /// Records on their way, and 1 for the flight that is being handed over.
    flying: usize,
    waiting: VecDeque<Parcel<B>>,
}

/// The lanes of one topic.
#[derive(Debug, Default)]
struct Topic {
    /// For records that name their partition.
    named: HashMap<i32, LaneId>,
    /// For records that are placed by their key: as many as the topic is known to have partitions.
    keyed: Vec<LaneId>,
    /// Partitions that records were seen to be delivered to, counted.
    seen: usize,
}

/// How much may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Records, on their way and waiting.
    pub(super) count_max: usize,
    /// Bytes that wait.
    pub(super) bytes_max: usize,
}

/// All lanes of a producer.
#[derive(Debug)]
pub(super) struct Lanes<B> {
    room: Room,
    by_name: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    lanes: Vec<Lane<B>>,
    queued: usize,
    waiting_bytes: usize,
}

impl<B: Clone> Lanes<B> {
    pub(super) fn new(room: Room) -> Lanes<B> {
        Lanes {
            room,
            by_name: HashMap::new(),
            topics: Vec::new(),
            lanes: Vec::new(),
            queued: 0,
            waiting_bytes: 0,
        }
    }

    /// Records that are on their way or wait.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether so many more records may be admitted. An empty queue takes a call of any size.
    pub(super) fn has_room(&self, records: &[OutgoingRecord]) -> bool {
        let bytes: usize = records.iter().map(bytes_of).sum();
        self.queued == 0
            || self.queued + records.len() <= self.room.count_max
                && self.waiting_bytes + bytes <= self.room.bytes_max
    }

    /// Takes the records of a call in, and returns those that may leave at once.
    pub(super) fn admit(&mut self, records: Vec<OutgoingRecord>, batch: &B) -> Vec<Flight<B>> {
        let mut touched = BTreeSet::new();
        self.queued += records.len();
        for (index, record) in records.into_iter().enumerate() {
            let lane = self.lane_of(&record);
            touched.insert(lane);
            self.waiting_bytes += bytes_of(&record);
            self.lanes[lane.0].waiting.push_back(Parcel {
                record,
                index,
                batch: batch.clone(),
            });
        }
        touched
            .into_iter()
            .filter_map(|lane| self.launch(lane))
            .collect()
    }

    /// Notes that records of a lane are off the queue: delivered to `partition`, or failed. Returns what leaves next.
    pub(super) fn land(
        &mut self,
        lane: LaneId,
        count: usize,
        partition: Option<i32>,
    ) -> Vec<Flight<B>> {
        self.queued -= count;
        if let Some(seen) = partition.and_then(|partition| usize::try_from(partition + 1).ok()) {
            let topic = &mut self.topics[self.lanes[lane.0].topic];
            topic.seen = topic.seen.max(seen);
        }
        self.arrive(lane, count)
    }

    /// Notes that all records of a flight are with the library. Returns what leaves next, if all of them have landed already.
    pub(super) fn handed_over(&mut self, lane: LaneId) -> Vec<Flight<B>> {
        self.arrive(lane, 1)
    }

    fn arrive(&mut self, lane: LaneId, count: usize) -> Vec<Flight<B>> {
        self.lanes[lane.0].flying -= count;
        if self.lanes[lane.0].flying > 0 {
            return Vec::new();
        }
        self.relaid(lane)
            .into_iter()
            .filter_map(|lane| self.launch(lane))
            .collect()
    }

    /// Lets what waits in a lane leave, if nothing of it is on its way.
    fn launch(&mut self, id: LaneId) -> Option<Flight<B>> {
        let lane = &mut self.lanes[id.0];
        if lane.flying > 0 {
            return None;
        }
        let (mut bytes, mut parcels) = (0, Vec::new());
        while let Some(next) = lane.waiting.front() {
            let size = bytes_of(&next.record);
            if !parcels.is_empty()
                && (bytes + size > FLIGHT_BYTES_MAX || parcels.len() >= FLIGHT_COUNT_MAX)
            {
                break;
            }
            bytes += size;
            parcels.extend(lane.waiting.pop_front());
        }
        if parcels.is_empty() {
            return None;
        }
        lane.flying = parcels.len() + 1;
        self.waiting_bytes -= bytes;
        Some(Flight { lane: id, parcels })
    }

    fn lane_of(&mut self, record: &OutgoingRecord) -> LaneId {
        let topic = match self.by_name.get(&record.topic) {
            Some(known) => *known,
            None => {
                self.topics.push(Topic::default());
                self.by_name
                    .insert(Arc::clone(&record.topic), self.topics.len() - 1);
                self.topics.len() - 1
            }
        };
        if let Some(partition) = record.partition {
            if let Some(known) = self.topics[topic].named.get(&partition) {
                return *known;
            }
            let lane = self.new_lane(topic);
            self.topics[topic].named.insert(partition, lane);
            return lane;
        }
        let known = self.topics[topic].keyed.len();
        // Another number of lanes would give keys other lanes: not while one of them is in use.
        if known < self.topics[topic].seen.max(1)
            && self.topics[topic]
                .keyed
                .iter()
                .all(|lane| self.is_idle(*lane))
        {
            self.widen(topic);
        }
        let keyed = &self.topics[topic].keyed;
        keyed[place(record, keyed.len())]
    }

    /// A topic's only lane for keys was made before its partitions were known: what waits in it is laid into one lane each,
    /// in order. Returns the lanes that may go on.
    fn relaid(&mut self, lane: LaneId) -> Vec<LaneId> {
        let topic = self.lanes[lane.0].topic;
        if self.topics[topic].keyed != [lane] || self.topics[topic].seen < 2 {
            return vec![lane];
        }
        let waiting = std::mem::take(&mut self.lanes[lane.0].waiting);
        self.widen(topic);
        let keyed = self.topics[topic].keyed.clone();
        for parcel in waiting {
            let to = keyed[place(&parcel.record, keyed.len())];
            self.lanes[to.0].waiting.push_back(parcel);
        }
        keyed
    }

    fn widen(&mut self, topic: usize) {
        while self.topics[topic].keyed.len() < self.topics[topic].seen.max(1) {
            let lane = self.new_lane(topic);
            self.topics[topic].keyed.push(lane);
        }
    }

    fn new_lane(&mut self, topic: usize) -> LaneId {
        self.lanes.push(Lane {
            topic,
            flying: 0,
            waiting: VecDeque::new(),
        });
        LaneId(self.lanes.len() - 1)
    }

    fn is_idle(&self, lane: LaneId) -> bool {
        let lane = &self.lanes[lane.0];
        lane.flying == 0 && lane.waiting.is_empty()
    }
}

fn place(record: &OutgoingRecord, lanes: usize) -> usize {
    let lanes = i32::try_from(lanes).unwrap_or(i32::MAX);
    // Without a key the library takes any partition, and there is no order to keep.
    let place = record
        .key
        .as_ref()
        .map_or(0, |key| partition_of(key, lanes));
    usize::try_from(place).unwrap_or(0)
}

fn bytes_of(record: &OutgoingRecord) -> usize {
    let key = record.key.as_ref().map_or(0, Vec::len);
    let payload = record.payload.as_ref().map_or(0, Vec::len);
    RECORD_BYTES + key + payload + record.headers.byte_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        count_max: 100,
        bytes_max: 1 << 20,
    };

    fn lanes() -> Lanes<u32> {
        Lanes::new(ROOM)
    }

    fn record(topic: &str, partition: impl Into<Option<i32>>, text: &str) -> OutgoingRecord {
        OutgoingRecord {
            partition: partition.into(),
            ..OutgoingRecord::new(topic, text).with_key(text)
        }
    }

    fn told(flights: &[Flight<u32>]) -> Vec<Vec<String>> {
        let of = |flight: &Flight<u32>| {
            let texts = flight
                .parcels
                .iter()
                .map(|parcel| parcel.record.payload.clone());
            texts
                .map(|text| String::from_utf8(text.unwrap()).unwrap())
                .collect()
        };
        flights.iter().map(of).collect()
    }

    #[test]
    fn what_meets_behind_a_request_leaves_together_after_it() {
        let mut lanes = lanes();
        let first = lanes.admit(vec![record("t", 0, "a"), record("t", 0, "b")], &1);
        assert_eq!(told(&first), [["a", "b"]]);
        assert!(lanes.admit(vec![record("t", 0, "c")], &2).is_empty());
        assert!(lanes.admit(vec![record("t", 0, "d")], &3).is_empty());
        assert!(
            lanes.land(first[0].lane, 2, Some(0)).is_empty(),
            "it is still being handed over"
        );
        let next = lanes.handed_over(first[0].lane);
        assert_eq!(told(&next), [["c", "d"]]);
        assert_eq!((next[0].parcels[0].batch, next[0].parcels[1].batch), (2, 3));
        assert_eq!(lanes.queued(), 2);
    }

    #[test]
    fn a_partition_waits_for_no_other() {
        let mut lanes = lanes();
        lanes.admit(vec![record("t", 0, "a")], &1);
        assert_eq!(told(&lanes.admit(vec![record("t", 1, "b")], &2)), [["b"]]);
        assert_eq!(told(&lanes.admit(vec![record("u", 0, "c")], &3)), [["c"]]);
    }

    #[test]
    fn records_of_a_lane_leave_side_by_side_whatever_lies_between_them() {
        let mut lanes = lanes();
        let mixed = [(0, "a"), (1, "b"), (0, "c"), (1, "d")];
        let records = mixed.map(|(partition, text)| record("t", partition, text));
        assert_eq!(
            told(&lanes.admit(records.to_vec(), &1)),
            [["a", "c"], ["b", "d"]]
        );
    }

    #[test]
    fn keys_get_lanes_of_their_own_once_the_partitions_are_known() {
        let mut lanes = lanes();
        let keys = ["21", "foobar", "abc"];
        let first = lanes.admit(keys.map(|key| record("t", None, key)).to_vec(), &1);
        assert_eq!(told(&first), [keys]);
        lanes.admit(keys.map(|key| record("t", None, key)).to_vec(), &2);
        lanes.handed_over(first[0].lane);
        lanes.land(first[0].lane, 1, Some(1));
        let next = lanes.land(first[0].lane, 2, Some(0));
        // Java puts them into 1 of 2, 0 of 2 and 1 of 2.
        let places = keys.map(|key| partition_of(key.as_bytes(), 2));
        for flight in &next {
            let of: Vec<i32> = flight
                .parcels
                .iter()
                .map(|parcel| places[parcel.index])
                .collect();
            assert!(of.windows(2).all(|pair| pair[0] == pair[1]), "{of:?}");
        }
        assert_eq!(
            next.iter()
                .map(|flight| flight.parcels.len())
                .sum::<usize>(),
            3
        );
        assert_eq!(next.len(), 2);
    }

    #[test]
    fn a_flight_is_no_larger_than_a_request() {
        let mut lanes = Lanes::new(Room {
            count_max: 10,
            bytes_max: 1 << 30,
        });
        let large = "x".repeat(FLIGHT_BYTES_MAX / 2);
        let records = (0..3).map(|_| record("t", 0, &large)).collect();
        // Key and payload: each alone is over the limit.
        let first = lanes.admit(records, &1);
        assert_eq!(first[0].parcels.len(), 1);
        lanes.land(first[0].lane, 1, None);
        assert_eq!(lanes.handed_over(first[0].lane)[0].parcels.len(), 1);
    }

    #[test]
    fn there_is_room_for_so_many_and_for_one_call_of_any_size() {
        let mut lanes = lanes();
        let many: Vec<OutgoingRecord> = (0..150).map(|_| record("t", 0, "a")).collect();
        assert!(lanes.has_room(&many));
        let flights = lanes.admit(many, &1);
        assert!(!lanes.has_room(&[record("t", 1, "b")]));
        lanes.handed_over(flights[0].lane);
        lanes.land(flights[0].lane, 51, None);
        assert!(lanes.has_room(&[record("t", 1, "b")]));
    }

    /// Whatever is sent, lands and is learned, in whatever order: each record leaves once, and those of one key in order.
    #[test]
    fn records_of_a_key_keep_their_order_and_none_is_forgotten() {
        for seed in 1..200_u64 {
            let mut random = seed;
            let mut below = move |n: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                usize::try_from(random % n).unwrap()
            };
            let mut lanes = lanes();
            let (mut sent, mut flying) = (0, Vec::new());
            let mut left: Vec<(String, u32)> = Vec::new();
            let partitions = i32::try_from(1 + below(5)).unwrap();
            let mut leave = |flights: Vec<Flight<u32>>, flying: &mut Vec<(LaneId, Option<i32>)>| {
                for flight in flights {
                    flying.push((flight.lane, None));
                    for parcel in flight.parcels {
                        let key = parcel.record.key.unwrap();
                        flying.push((flight.lane, Some(partition_of(&key, partitions))));
                        left.push((String::from_utf8(key).unwrap(), parcel.batch));
                    }
                }
            };
            for _ in 0..300 {
                if sent < 150 && below(2) == 0 {
                    let keys: Vec<String> =
                        (0..below(4)).map(|_| format!("k{}", below(9))).collect();
                    let records = keys.iter().map(|key| record("t", None, key)).collect();
                    sent += keys.len();
                    let batch = u32::try_from(sent).unwrap();
                    leave(lanes.admit(records, &batch), &mut flying);
                } else if !flying.is_empty() {
                    let (lane, partition) = flying.swap_remove(below(flying.len() as u64));
                    let next = match partition {
                        None => lanes.handed_over(lane),
                        some => lanes.land(lane, 1, some),
                    };
                    leave(next, &mut flying);
                }
            }
            while let Some((lane, partition)) = flying.pop() {
                let next = match partition {
                    None => lanes.handed_over(lane),
                    some => lanes.land(lane, 1, some),
                };
                leave(next, &mut flying);
            }
            assert_eq!((left.len(), lanes.queued()), (sent, 0), "seed {seed}");
            for key in 0..9 {
                let of: Vec<u32> = left
                    .iter()
                    .filter(|(name, _)| *name == format!("k{key}"))
                    .map(|(_, batch)| *batch)
                    .collect();
                assert!(of.is_sorted(), "seed {seed}: {of:?}");
            }
        }
    }
}
