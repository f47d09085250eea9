//! Clients of all kinds come and go for as long as one likes, and the broker stays as large as it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::*;

use crate::figures::Figures;
use crate::wire::{fetch_request, framed, text, topic};
use crate::world::{FILES_READ_MAX, World};

/// Without a wish for more, in seconds.
const SECONDS: u64 = 2;
/// After each round everybody leaves, and what the broker holds is noted.
const ROUNDS: u64 = 20;
const ROUND_MAX: Duration = Duration::from_secs(60);
/// What a run of any length may add after its first third, in KiB: pages of the file that are held, and what the
/// allocator keeps. An hour of one forgotten connection a second would be a hundred times as much.
const GROWTH_MAX_KIB: f64 = 32.0 * 1024.0;

#[test]
fn clients_that_come_and_go_leave_the_broker_as_large_as_it_was() {
    let wish = std::env::var("BACKSTITCH_SOAK_SECONDS").ok();
    let seconds = wish.map_or(SECONDS, |text| text.parse().unwrap());
    let whole = Duration::from_secs(seconds);
    let round = (whole / u32::try_from(ROUNDS).unwrap()).min(ROUND_MAX);
    let world = World::start(&["--clean-every", "200"]);
    world.wire().make_topic(
        "kept",
        1,
        &[("retention.bytes", "1000000"), ("retention.ms", "60000")],
    );
    let begun = Instant::now();
    let done = AtomicU64::new(0);
    let mut noted: Vec<(f64, Figures)> = Vec::new();
    while begun.elapsed() < whole {
        let until = Instant::now() + round;
        thread::scope(|scope| {
            for number in 0..6_u64 {
                let (world, done) = (&world, &done);
                scope.spawn(move || {
                    let mut turn = 0;
                    while Instant::now() < until {
                        visit(world, number, turn);
                        turn += 1;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        noted.push((begun.elapsed().as_secs_f64(), world.at_rest()));
    }
    let late = &noted[noted.len() / 3..];
    let (first, last) = (late[0].1, late[late.len() - 1].1);
    let growth_kib = slope_kib(late) * (late[late.len() - 1].0 - late[0].0);
    println!(
        "{} visits in {:?}: {first:?} after a third, {last:?} at the end, memory grew by {growth_kib:.0} KiB",
        done.load(Ordering::Relaxed),
        begun.elapsed()
    );
    for (at, figures) in late {
        assert_eq!(figures.threads, first.threads, "after {at:.0} s");
        assert_eq!(figures.sockets, first.sockets, "after {at:.0} s");
        assert!(
            figures.files <= noted[0].1.files + FILES_READ_MAX,
            "after {at:.0} s: {figures:?}"
        );
    }
    assert!(growth_kib < GROWTH_MAX_KIB, "{growth_kib:.0} KiB");
    world.wire().is_served();
}

/// How much memory comes with each second, by least squares.
fn slope_kib(noted: &[(f64, Figures)]) -> f64 {
    let count = f64::from(u32::try_from(noted.len()).unwrap());
    let kib = |figures: &Figures| f64::from(u32::try_from(figures.memory_kib).unwrap());
    let at_mean = noted.iter().map(|(at, _)| at).sum::<f64>() / count;
    let kib_mean = noted.iter().map(|(_, figures)| kib(figures)).sum::<f64>() / count;
    let (mut together, mut alone) = (0.0, 0.0);
    for (at, figures) in noted {
        together += (at - at_mean) * (kib(figures) - kib_mean);
        alone += (at - at_mean).powi(2);
    }
    if alone == 0.0 { 0.0 } else { together / alone }
}

/// A client connects, does one kind of thing, and goes, sometimes without a good-bye.
fn visit(world: &World, number: u64, turn: u64) {
    let mut wire = world.wire();
    match (number + turn) % 6 {
        0 => {
            for _ in 0..10 {
                assert_eq!(wire.produce("kept", 0, 1_000).0, 0);
            }
            wire.send(&fetch_request("kept", 0, 100, 1), 12);
        }
        1 => {
            let name = format!("topic-{number}");
            wire.make_topic(&name, 3, &[("cleanup.policy", "delete")]);
            assert_eq!(wire.produce(&name, 2, 5_000).0, 0);
            let request = DeleteTopicsRequest::default().with_topic_names(vec![topic(&name)]);
            assert_eq!(wire.call(&request, 4).responses[0].error_code, 0);
        }
        2 => transact(&mut wire, number, turn),
        3 => meet(&mut wire, number),
        4 => {
            // Something broken, something begun, something at the wrong door.
            let whole = framed(&MetadataRequest::default().with_topics(None), 9);
            let mut bytes = whole.clone();
            let at = usize::try_from(turn).unwrap() % bytes.len();
            bytes[at] ^= 0x55;
            let pieces: [&[u8]; 4] = [&bytes, &whole[..at], b"GET / HTTP/1.1\r\n\r\n", &whole];
            wire.send_bytes(pieces[usize::try_from(turn / 7).unwrap() % 4]);
        }
        _ => {
            wire.send(&fetch_request("kept", 0, 0, 0), 12);
            wire.send(&ApiVersionsRequest::default(), 3);
            let _ = (wire.answer(), wire.answer());
        }
    }
}

/// A transaction, ended well or given up.
fn transact(wire: &mut crate::wire::Wire, number: u64, turn: u64) {
    let id = TransactionalId(text(&format!("txn-{number}")));
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id.clone()))
        .with_transaction_timeout_ms(10_000);
    let given = wire.call(&request, 2);
    assert_eq!(given.error_code, 0);
    let asked = AddPartitionsToTxnTopic::default()
        .with_name(topic("kept"))
        .with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id.clone())
        .with_v3_and_below_producer_id(given.producer_id)
        .with_v3_and_below_producer_epoch(given.producer_epoch)
        .with_v3_and_below_topics(vec![asked]);
    wire.call(&request, 2);
    let request = EndTxnRequest::default()
        .with_transactional_id(id)
        .with_producer_id(given.producer_id)
        .with_producer_epoch(given.producer_epoch)
        .with_committed(turn.is_multiple_of(2));
    assert_eq!(wire.call(&request, 2).error_code, 0);
}

/// A member joins a group of its own, and leaves it or is gone.
fn meet(wire: &mut crate::wire::Wire, number: u64) {
    let group = GroupId(text(&format!("group-{number}")));
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(vec![0; 1_000].into());
    let request = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(300)
        .with_rebalance_timeout_ms(300)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let joined = wire.call(&request, 3);
    assert_eq!(joined.error_code, 0);
    let member = MemberIdentity::default().with_member_id(joined.member_id);
    let request = LeaveGroupRequest::default()
        .with_group_id(group)
        .with_members(vec![member]);
    if number.is_multiple_of(2) {
        assert_eq!(wire.call(&request, 3).error_code, 0);
    }
}
