//! Clients that are slow, stuck, half gone or at the wrong door leave nothing behind and hold up nobody.

use std::io::Write;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, GroupId, JoinGroupRequest, MetadataRequest,
};

use crate::wire::{Wire, batch, fetch_request, framed, produce_request, text};
use crate::world::World;

/// Shorter than the time that a stuck request of another could hold anything.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_request_that_comes_byte_by_byte_is_answered_and_others_meanwhile() {
    let world = World::start(&[]);
    let (mut slow, mut other) = (world.wire(), world.wire());
    for byte in framed(&MetadataRequest::default().with_topics(None), 9) {
        slow.send_bytes(&[byte]);
        other.is_served();
    }
    assert_eq!(slow.receive::<MetadataRequest>(9).topics.len(), 1);
}

#[test]
fn three_hundred_begun_requests_of_64_mib_hold_up_nobody() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let begun: Vec<Wire> = (0..300)
        .map(|_| {
            let mut wire = world.wire();
            wire.send_bytes(&(64_u32 << 20).to_be_bytes());
            wire.send_bytes(&[0, 0, 0, 9, 0, 0, 0, 7]);
            wire
        })
        .collect();
    let began = Instant::now();
    let mut other = world.wire();
    assert_eq!(other.produce("orders", 0, 1_000_000).0, 0);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let held_kib = world.figures().memory_kib - before.memory_kib;
    println!("300 begun requests of 64 MiB hold {held_kib} KiB");
    assert!(held_kib < 64 << 10, "{held_kib} KiB");
    drop((begun, other));
    world.is_as(before);
}

#[test]
fn a_client_that_reads_no_answers_holds_a_few_of_them_and_nobody_else_up() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let mut other = world.wire();
    other.make_topic("large", 1, &[]);
    for _ in 0..4 {
        assert_eq!(other.produce("large", 0, 300_000).0, 0);
    }
    let mut deaf = world.wire();
    let mut sent = 0;
    let wish = framed(&fetch_request("large", 0, 0, 0), 12);
    deaf.stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    while sent < 200 && deaf.stream.write_all(&wish).is_ok() {
        sent += 1;
    }
    for _ in 0..20 {
        other.is_served();
    }
    let held_kib = world.figures().memory_kib.saturating_sub(before.memory_kib);
    println!("{sent} answers of 900 KB that nobody reads hold {held_kib} KiB");
    assert!(held_kib < 64 << 10, "{held_kib} KiB");
    drop((deaf, other));
    world.is_as(before);
}

#[test]
fn ten_thousand_requests_before_the_first_answer_is_read_are_answered_in_order() {
    let world = World::start(&[]);
    let mut wire = world.wire();
    let one = framed(&ApiVersionsRequest::default(), 0);
    let mut all = Vec::new();
    for number in 0..10_000_u32 {
        let mut request = one.clone();
        request[8..12].copy_from_slice(&number.to_be_bytes());
        all.extend(request);
    }
    let (report, written) = channel();
    let mut stream = wire.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        stream.write_all(&all).unwrap();
        report.send(()).unwrap();
    });
    // All of them are written, or as many as the broker takes while nothing is read.
    let _ = written.recv_timeout(Duration::from_secs(1));
    for number in 0..10_000_u32 {
        assert_eq!(wire.answer()[..4], number.to_be_bytes());
    }
    writer.join().unwrap();
}

#[test]
fn a_client_that_says_no_more_still_gets_its_answers() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let mut wire = world.wire();
    wire.send(&produce_request("orders", vec![(0, batch(10))]), 9);
    wire.send(&MetadataRequest::default().with_topics(None), 9);
    let _ = wire.answer();
    assert_eq!(wire.receive::<MetadataRequest>(9).topics.len(), 1);
    // This one would wait for a day; nobody is there to send what it waits for.
    wire.send(&fetch_request("orders", 2, i32::MAX, 1), 12);
    wire.says_no_more();
    let fetched = wire.receive::<FetchRequest>(12);
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 2);
    assert_eq!(wire.rest(), b"");
    world.is_as(before);
}

#[test]
fn clients_that_vanish_in_the_middle_leave_nothing_behind() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let mut first = world.wire();
    // A member that never joins again, for which another one waits.
    let joined = first.call(&join("g", ""), 3);
    assert_eq!(joined.error_code, 0);
    let mut gone = Vec::new();
    for round in 0..60 {
        let mut wire = world.wire();
        match round % 6 {
            0 => wire.send_bytes(&[0, 0]),
            1 => wire.send_bytes(&framed(&MetadataRequest::default(), 9)[..9]),
            2 => wire.send(&fetch_request("orders", 1, i32::MAX, 1), 12),
            // Its answer is not read: the system says so with a reset.
            3 => wire.send(&produce_request("orders", vec![(0, batch(10))]), 9),
            4 => wire.send(&join("g", ""), 3),
            _ => {}
        }
        gone.push(wire);
    }
    drop(gone);
    drop(first);
    world.is_as(before);
    world.wire().is_served();
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_session_timeout_ms(1_800_000)
        .with_rebalance_timeout_ms(i32::MAX)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

#[test]
fn a_connection_that_asks_nothing_is_closed_after_its_time() {
    let world = World::start(&["--idle", "300"]);
    let before = world.at_rest();
    let (mut silent, mut half) = (world.wire(), world.wire());
    half.send_bytes(&[0, 0]);
    let mut busy = world.wire();
    busy.is_served();
    for wire in [&mut silent, &mut half, &mut busy] {
        assert_eq!(wire.rest(), b"");
    }
    world.is_as(before);
}

#[test]
fn a_connection_whose_answers_are_left_unread_is_closed_after_its_time() {
    // Answers from memory; from files, of what this broker wrote; of what it has to check on its way.
    let all = ["--idle", "300", "--tail-bytes", "0"];
    for (arguments, sizes, restarts) in [
        (&all[..2], [1_000_000; 1].as_slice(), false),
        (&all[..], &[300_000; 20], false),
        (&all[..], &[300_000; 20], true),
    ] {
        let mut world = World::start(arguments);
        let mut other = world.wire();
        other.make_topic("large", 1, &[]);
        for size in sizes {
            assert_eq!(other.produce("large", 0, *size).0, 0);
        }
        drop(other);
        if restarts {
            world = world.restart(arguments);
        }
        let before = world.at_rest();
        let mut wish = fetch_request("large", 0, 0, 0).with_max_bytes(i32::MAX);
        wish.topics[0].partitions[0].partition_max_bytes = i32::MAX;
        let wish = framed(&wish, 12);
        let deaf: Vec<Wire> = (0..4)
            .map(|_| {
                let mut wire = world.wire();
                wire.send_bytes(&wish.repeat(40));
                wire
            })
            .collect();
        world.is_as(before);
        drop(deaf);
    }
}

#[test]
fn who_speaks_another_protocol_is_closed_and_a_browser_is_told_why() {
    let world = World::start(&[]);
    let before = world.at_rest();
    let mut tls = world.wire();
    tls.send_bytes(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    assert_eq!(tls.rest(), b"");
    let mut browser = world.wire();
    browser.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost:9092\r\n\r\n");
    let said = String::from_utf8(browser.rest()).unwrap();
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert!(said.contains("Kafka's protocol"), "{said}");
    let mut ssh = world.wire();
    ssh.send_bytes(b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(ssh.rest(), b"");
    drop((tls, browser, ssh));
    world.is_as(before);
}
