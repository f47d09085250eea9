//! A thousand connections at once.

use std::io::ErrorKind;
use std::time::Duration;

use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};

use crate::figures::{files_max, processor_time};
use crate::wire::{Wire, batch, fetch_request, produce_request};
use crate::world::World;

/// What the broker serves unless told otherwise.
const CONNECTIONS: usize = 1_000;
/// How long the idle crowd is watched.
const WATCHED: Duration = Duration::from_secs(1);

#[test]
fn a_thousand_clients_are_served_at_once_and_cost_little_while_they_wait() {
    let world = World::start(&[]);
    world.wire().make_topic("pulse", 1, &[]);
    let before = world.at_rest();
    // Where fewer files may be open, broker and test have as many as there can be.
    let count = CONNECTIONS.min(files_max() - 64) - 1;
    let mut pulse = world.wire();
    let mut crowd: Vec<Wire> = (0..count).map(|_| world.wire()).collect();
    let names = MetadataRequest::default().with_topics(None);
    crowd.iter_mut().for_each(|wire| wire.send(&names, 9));
    for wire in &mut crowd {
        assert_eq!(wire.receive::<MetadataRequest>(9).topics.len(), 2);
    }
    let connected = world.figures();

    let wish = produce_request("orders", vec![(0, batch(100))]);
    crowd.iter_mut().for_each(|wire| wire.send(&wish, 9));
    for wire in &mut crowd {
        let answer = wire.receive::<ProduceRequest>(9);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    for wire in &mut crowd {
        assert!(wire.fetch("orders", 0) > 0);
    }
    let served = world.figures();

    // All wait for the same record.
    let wish = fetch_request("pulse", 0, 55_000, 1);
    crowd.iter_mut().for_each(|wire| wire.send(&wish, 12));
    let quiet = &crowd[0].stream;
    quiet.set_read_timeout(Some(WATCHED)).unwrap();
    let busy = processor_time(world.pid());
    let silence = quiet.peek(&mut [0]).unwrap_err().kind();
    assert!(matches!(
        silence,
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    let first = processor_time(world.pid());
    let silence = quiet.peek(&mut [0]).unwrap_err().kind();
    assert!(matches!(
        silence,
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    let idle = processor_time(world.pid()) - first;
    quiet
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let percent = 100.0 * idle.as_secs_f64() / WATCHED.as_secs_f64();
    println!(
        "{count} connections: {connected:?} connected, {served:?} served, {before:?} before; \
         waiting takes {percent:.1} % of a processor ({:?} in the first {WATCHED:?})",
        first - busy
    );
    assert!(percent < 10.0, "{percent} %");
    assert_eq!(pulse.produce("pulse", 0, 10).0, 0);
    for wire in &mut crowd {
        let answer = wire.receive::<FetchRequest>(12);
        assert_eq!(answer.responses[0].partitions[0].high_watermark, 1);
    }

    assert!(served.sockets <= before.sockets + count + 1, "{served:?}");
    // One each: none of them sends a request before the one ahead of it is answered.
    assert!(served.threads <= before.threads + count + 1, "{served:?}");
    let each_kib = (served.memory_kib - before.memory_kib) / count;
    assert!(each_kib <= 256, "{each_kib} KiB per connection");
    drop((crowd, pulse));
    world.is_as(before);
}
