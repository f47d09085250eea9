//! Members come, go, come back and die; partitions follow them, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstitch_broker::{ConsumerError, Producer, TopicPartition};

use crate::probe::{Event, Plan, Probe};
use crate::world::{PATIENCE, config, fill, text, to, topic, unique};

/// Payload by partition, in the order in which it was first seen.
fn first_seen(seen: &crate::probe::Seen) -> BTreeMap<i32, Vec<String>> {
    let mut by_partition: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in seen.records() {
        let payload = text(record.payload.as_ref());
        let payloads = by_partition.entry(record.partition).or_default();
        if !payloads.contains(&payload) {
            payloads.push(payload);
        }
    }
    by_partition
}

#[test]
fn a_second_member_takes_half_the_others_stay_and_nothing_is_lost() {
    let (topic, group) = (topic("rebalance", 4), unique("group"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let producer = Producer::new(&config(), |_| {}).unwrap();
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                for partition in 0..4 {
                    producer
                        .send_one(to(&topic, partition, format!("{sent:05}")))
                        .unwrap();
                }
                sent += 1;
            }
            sent
        });
        // A scope waits for its threads, so a failed assertion has to end the traffic too.
        struct EndTraffic<'a>(&'a AtomicBool);
        impl Drop for EndTraffic<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = EndTraffic(&stop);

        let first = Plan::new(&group, &topic).start();
        first.await_owned(4);
        first.await_records(200);
        let second = Plan::new(&group, &topic).start();
        second.await_owned(2);
        first.await_owned(2);
        let (one, other) = (
            first.look(|seen| seen.owned()),
            second.look(|seen| seen.owned()),
        );
        assert!(one.is_disjoint(&other), "{one:?} {other:?}");
        first.look(|seen| {
            for event in &seen.events {
                if let Event::Revoked(partitions, lost) = event {
                    assert!(!lost, "no one was thrown out");
                    assert!(
                        partitions.iter().all(|p| other.contains(p)),
                        "only what moves is taken away: {partitions:?}"
                    );
                }
            }
        });
        second.await_records(100);
        let second = second.stop();
        first.await_owned(4);

        stop.store(true, Ordering::Relaxed);
        let sent: usize = traffic.join().unwrap();
        first.await_until("all records", |seen| {
            let (one, other) = (first_seen(seen), first_seen(&second));
            (0..4).all(|partition| {
                let of = |seen: &BTreeMap<i32, Vec<String>>| -> BTreeSet<String> {
                    seen.get(&partition)
                        .into_iter()
                        .flatten()
                        .cloned()
                        .collect()
                };
                of(&one).union(&of(&other)).count() == sent
            })
        });
        for seen in [first.stop(), second] {
            for (partition, payloads) in first_seen(&seen) {
                assert!(payloads.is_sorted(), "partition {partition} is in order");
            }
        }
    });
}

#[test]
fn a_member_that_leaves_gives_its_partitions_back_at_once() {
    let (topic, group) = (topic("leave", 2), unique("group"));
    let patient =
        |plan: Plan| plan.options(|options| options.session_timeout = Duration::from_secs(30));
    let first = patient(Plan::new(&group, &topic)).start();
    first.await_owned(2);
    let second = patient(Plan::new(&group, &topic)).start();
    second.await_owned(1);
    first.await_owned(1);
    let begun = Instant::now();
    let seen = second.stop();
    assert!(seen.owned().is_empty(), "the handler is told to let go");
    first.await_owned(2);
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "before the session would have run out: {:?}",
        begun.elapsed()
    );
}

#[test]
fn a_static_member_that_comes_back_finds_its_partitions_and_no_one_else_is_disturbed() {
    let (topic, group) = (topic("static", 4), unique("group"));
    let member = |name: &str| {
        let name = name.to_owned();
        Plan::new(&group, &topic).options(move |options| {
            options.instance_id = Some(name);
            options.session_timeout = Duration::from_secs(30);
        })
    };
    let one = member("one").start();
    one.await_owned(4);
    let two = member("two").start();
    two.await_owned(2);
    one.await_owned(2);
    let (before, events) = (
        two.look(|seen| seen.owned()),
        one.look(|seen| seen.events.len()),
    );

    two.stop();
    let begun = Instant::now();
    let two = member("two").start();
    two.await_owned(2);
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "at once: {:?}",
        begun.elapsed()
    );
    assert_eq!(two.look(|seen| seen.owned()), before);
    one.look(|seen| {
        let since: Vec<&Event> = seen.events[events..]
            .iter()
            .filter(|event| matches!(event, Event::Assigned(_) | Event::Revoked(..)))
            .collect();
        assert!(since.is_empty(), "{since:?}");
    });
}

#[test]
fn a_static_name_taken_by_another_ends_the_one_who_had_it() {
    let (topic, group) = (topic("stolen", 1), unique("group"));
    let member = || {
        Plan::new(&group, &topic)
            .options(|options| options.instance_id = Some("same".to_owned()))
            .start()
    };
    let first = member();
    first.await_owned(1);
    let second = member();
    first.await_until("a fatal error", |seen| {
        seen.failures().any(ConsumerError::is_fatal)
    });
    second.await_owned(1);
    fill(&topic, 0, ["for the new one".to_owned()]);
    second.await_records(1);
}

/// The fact plays both parts: it starts itself as another process, which joins the group and is killed.
#[test]
fn the_partitions_of_a_member_that_dies_are_taken_over() {
    const ROLE: &str = "BACKSTITCH_TEST_MEMBER";
    if let Ok(role) = std::env::var(ROLE) {
        let (group, topic) = role.split_once(' ').unwrap();
        return live_until_killed(group, topic);
    }
    let (topic, group) = (topic("dies", 2), unique("group"));
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "groups::the_partitions_of_a_member_that_dies_are_taken_over",
            "--nocapture",
        ])
        .env(ROLE, format!("{group} {topic}"))
        .env("BACKSTITCH_TEST_BOOTSTRAP", crate::world::bootstrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open until it is dead: the test harness in that process ends it when it can't print.
    let mut stdout = BufReader::new(doomed.stdout.take().unwrap());
    let joined = stdout
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .any(|line| line.ends_with("member has 2"));
    assert!(joined, "the other process joins");

    let survivor = quick(&group, &topic).start();
    survivor.await_owned(1);
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let begun = Instant::now();
    survivor.await_owned(2);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(25), "{waited:?}");
    for partition in 0..2 {
        fill(&topic, partition, ["alive".to_owned()]);
    }
    survivor.await_records(2);
}

fn quick(group: &str, topic: &str) -> Plan {
    Plan::new(group, topic).options(|options| options.session_timeout = Duration::from_secs(6))
}

fn live_until_killed(group: &str, topic: &str) {
    let member: Probe = quick(group, topic).start();
    member.await_owned(2);
    println!("member has 2");
    member.await_until("being killed", |_| false);
}

#[test]
fn a_member_that_hangs_loses_its_partitions_is_told_and_may_come_back() {
    let (topic, group) = (topic("hangs", 1), unique("group"));
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let hanging = quick(&group, &topic)
        .options(|options| options.handler_time_max = Duration::from_secs(6))
        .on_records(move |_| {
            let _ = hang.recv_timeout(PATIENCE);
        })
        .start();
    hanging.await_owned(1);
    fill(&topic, 0, ["work".to_owned()]);
    let other = quick(&group, &topic).start();
    other.await_owned(1);
    other.await_records(1);
    hanging.look(|seen| assert_eq!(seen.owned().len(), 1, "it doesn't know yet"));

    drop(release);
    hanging.await_until("being told that they are lost", |seen| {
        seen.events
            .iter()
            .any(|event| matches!(event, Event::Revoked(_, true)))
    });
    other.stop();
    hanging.await_owned(1);
}

#[test]
fn a_handler_that_does_not_let_go_delays_a_stop_but_does_not_hang_it() {
    let (topic, group) = (topic("clings", 1), unique("group"));
    let (release, cling) = std::sync::mpsc::channel::<()>();
    let probe = Plan::new(&group, &topic)
        .on_revoked(move |_, _| {
            let _ = cling.recv_timeout(PATIENCE);
        })
        .start();
    probe.await_owned(1);
    let begun = Instant::now();
    probe.stop();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert!(
        waited > Duration::from_secs(9),
        "it was given its time: {waited:?}"
    );
    drop(release);
}

#[test]
fn a_handler_that_panics_ends_its_consumer_which_leaves_the_group() {
    let (topic, group) = (topic("panics", 1), unique("group"));
    let panicking = Plan::new(&group, &topic)
        .options(|options| options.session_timeout = Duration::from_secs(30))
        .on_records(|_| panic!("on purpose"))
        .start();
    panicking.await_owned(1);
    assert!(panicking.is_running());
    fill(&topic, 0, ["work".to_owned()]);
    crate::world::eventually("its end", || !panicking.is_running());
    let begun = Instant::now();
    let other = Plan::new(&group, &topic).start();
    other.await_records(1);
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn two_groups_read_the_same_topic_each_for_itself() {
    let topic = topic("groups", 2);
    fill(&topic, 0, (0..10).map(|n| n.to_string()));
    let (one, other) = (
        Plan::new(&unique("group"), &topic).start(),
        Plan::new(&unique("group"), &topic).start(),
    );
    one.await_records(10);
    other.await_records(10);
}

#[test]
fn partitions_that_are_added_are_assigned() {
    let (topic, group) = (topic("added", 1), unique("group"));
    let mut plan = Plan::new(&group, &topic);
    plan.config = plan
        .config
        .with("topic.metadata.refresh.interval.ms", "1000");
    let probe = plan.start();
    probe.await_owned(1);
    crate::world::admin().add_partitions(&topic, 3).unwrap();
    probe.await_owned(3);
    fill(&topic, 2, ["there".to_owned()]);
    probe.await_records(1);
    let control = probe.control();
    control.commit(vec![(TopicPartition::new(topic.as_str(), 2), 1)]);
    assert_eq!(probe.stop().payloads(), ["there"]);
}
