//! Answers leave in the order of their requests, however these come.

use std::io::Write as _;
use std::thread;

use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, ProduceRequest};

use crate::frames::{framed, understood};
use crate::wire::{batch, fetch_request, produce_request};
use crate::world::World;

const SEED: u64 = 20_261_129;
/// Requests of one client.
const REQUESTS: i32 = 3_000;

#[derive(Debug, Clone, Copy)]
enum Asked {
    Versions,
    Produce,
    /// Nobody answers it.
    ProduceUnanswered,
    Fetch,
}

/// Numbers that look drawn (splitmix64, Steele and others, OOPSLA 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % limit
    }
}

fn request(asked: Asked, number: i32, topic: &str, bytes: usize) -> Vec<u8> {
    let produce = || produce_request(topic, vec![(0, batch(bytes))]);
    match asked {
        Asked::Versions => framed(&ApiVersionsRequest::default(), 0, number),
        Asked::Produce => framed(&produce(), 9, number),
        Asked::ProduceUnanswered => framed(&produce().with_acks(0), 9, number),
        Asked::Fetch => framed(&fetch_request(topic, 0, 0, 0), 12, number),
    }
}

/// One request at a time, several at once, or parts of one: the client draws how it sends, and reads its answers beside that.
fn talk(world: &World, client: u64) {
    let mut wire = world.wire();
    let topic = format!("talk-{client}");
    wire.make_topic(&topic, 1, &[]);
    let mut dice = Dice(SEED + client);
    let plan: Vec<(Asked, usize)> = (0..REQUESTS)
        .map(|_| {
            let asked = match dice.below(10) {
                0 => Asked::Versions,
                1 => Asked::ProduceUnanswered,
                2 => Asked::Fetch,
                _ => Asked::Produce,
            };
            let bytes = if dice.below(50) == 0 { 100_000 } else { 100 };
            (asked, bytes)
        })
        .collect();
    let mut next_offset = 0;
    let mut numbered = (0..REQUESTS).zip(&plan);
    let mut acknowledged = 0;
    while numbered.len() > 0 {
        let acknowledged_before = acknowledged;
        let together = if dice.below(2) == 0 {
            1
        } else {
            1 + dice.below(20)
        };
        let together: Vec<(i32, &(Asked, usize))> = numbered
            .by_ref()
            .take(usize::try_from(together).unwrap())
            .collect();
        let bytes: Vec<u8> = together
            .iter()
            .flat_map(|(number, (asked, bytes))| request(*asked, *number, &topic, *bytes))
            .collect();
        let cut = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        let mut stream = wire.stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                stream.write_all(&bytes[..cut]).unwrap();
                stream.write_all(&bytes[cut..]).unwrap();
            });
            for (number, (asked, _)) in together {
                match asked {
                    Asked::ProduceUnanswered => next_offset += 1,
                    Asked::Versions => assert_eq!(wire.answer()[..4], number.to_be_bytes()),
                    Asked::Produce => {
                        let answer = understood::<ProduceRequest>(wire.answer(), 9, number);
                        let taken = &answer.responses[0].partition_responses[0];
                        assert_eq!((taken.error_code, taken.base_offset), (0, next_offset));
                        next_offset += 1;
                        acknowledged = next_offset;
                    }
                    Asked::Fetch => {
                        let answer = understood::<FetchRequest>(wire.answer(), 12, number);
                        let fetched = &answer.responses[0].partitions[0];
                        assert_eq!(fetched.error_code, 0);
                        // What was acknowledged before the request was sent is there.
                        assert!(fetched.high_watermark >= acknowledged_before);
                    }
                }
            }
        });
    }
    println!("client {client}: {REQUESTS} requests, {next_offset} records");
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let request = |number, bytes| request(Asked::Produce, number, "orders", bytes);
    // Of each size a frame's parts may have come: of its length, of its head, of its records.
    for (number, part) in (0..).zip([1, 3, 4, 5, 6, 50, 70_000, 199_000]) {
        let next = request(number + 100, 200_000);
        wire.send_bytes(&[&request(number, 100)[..], &next[..part]].concat());
        let answer = understood::<ProduceRequest>(wire.answer(), 9, number);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        wire.send_bytes(&next[part..]);
        let _ = understood::<ProduceRequest>(wire.answer(), 9, number + 100);
    }
}

#[test]
fn clients_that_send_one_request_at_a_time_or_many_are_answered_in_order() {
    println!("seed {SEED}");
    let world = World::start(&[]);
    let before = world.at_rest();
    thread::scope(|scope| {
        for client in 0..3 {
            let world = &world;
            scope.spawn(move || talk(world, client));
        }
    });
    world.is_as(before);
}
