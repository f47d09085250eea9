//! How many commands a second one worker process carries, and what each costs in CPU.
//!
//! `cargo run --release -p backstitch-workers --example load -- [COMMANDS]`
//!
//! The broker runs in a process of its own; the figures are of this one: the worker alone, once the commands are sent.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that fails may stop at once"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use backstitch_broker::{Admin, KafkaConfig, NewTopicSpec, OutgoingRecord, Producer};
use backstitch_schemas::wire::Topics;
use backstitch_schemas::{Codec, Command, Direction};
use backstitch_workers::order::{
    OrderWorkerOptions, order_activities_with_undo, start_order_worker,
};

fn main() {
    let folder = std::env::temp_dir().join(format!("backstitch-load-{}", std::process::id()));
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("broker") => serve(arguments.next().unwrap()),
        count => {
            let count = count.map_or(50_000, |text| text.parse().unwrap());
            std::fs::create_dir_all(&folder).unwrap();
            let mut broker = Process::new(std::env::current_exe().unwrap())
                .arg("broker")
                .arg(folder.join("broker.db"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut address = String::new();
            BufReader::new(broker.stdout.take().unwrap())
                .read_line(&mut address)
                .unwrap();
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(load(address.trim(), &folder, count));
            broker.kill().unwrap();
            broker.wait().unwrap();
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// Serves until the parent closes its pipe.
fn serve(path: String) {
    let broker = EmbeddedBroker::start(EmbeddedConfig {
        path: path.into(),
        listen: ([127, 0, 0, 1], 0).into(),
        ..EmbeddedConfig::default()
    })
    .unwrap();
    println!("{}", broker.bootstrap_servers());
    let _ = std::io::stdin().read_line(&mut String::new());
}

async fn load(address: &str, folder: &std::path::Path, count: u64) {
    let kafka = KafkaConfig::new(address);
    let topics = Topics::default();
    let mut specs = vec![
        NewTopicSpec::new(topics.inbox(), 4),
        NewTopicSpec::new(topics.dead_letters(), 1),
    ];
    for activity in order_activities_with_undo() {
        specs.push(NewTopicSpec::new(topics.commands(activity), 2));
    }
    Admin::new(&kafka).unwrap().create_topics(&specs).unwrap();
    let now_ms = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_millis();
    let now_ms = i64::try_from(now_ms).unwrap();
    let codec = Codec::single_object();
    let producer = Producer::new(&kafka, |_| {}).unwrap();
    let records = (0..count).map(|number| {
        let saga = format!("process-order/{number}");
        let command = Command {
            definition: "process-order".to_owned(),
            step: "pay".to_owned(),
            direction: Direction::Do,
            attempt: 1,
            activity: "charge-payment".to_owned(),
            idempotency_key: format!("{saga}/pay/do"),
            done_key: None,
            input: format!(r#"{{"order_id":"{number}","amount":129.9,"channel":"web"}}"#)
                .into_bytes(),
            output: None,
            reply_topic: topics.inbox(),
            reply_partition: i32::try_from(number % 4).unwrap(),
            sent_at_ms: now_ms,
            deadline_ms: now_ms + 3_600_000,
            heartbeat_ms: None,
            saga: saga.clone(),
        };
        OutgoingRecord::new(
            topics.commands("charge-payment"),
            codec.encode_command(&command).unwrap(),
        )
        .with_key(saga)
    });
    producer.send(0, records.collect()).unwrap();
    producer.flush(Duration::from_mins(1)).unwrap();
    drop(producer);

    let options = OrderWorkerOptions::new(kafka, folder);
    let worker = start_order_worker("charge-payment", options).await.unwrap();
    while worker.stats().done == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (begun, from, cpu) = (Instant::now(), worker.stats(), cpu());
    while worker.stats().done < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), self::cpu() - cpu);
    worker.drain();
    let stats = worker.join().await.unwrap();
    let done = u32::try_from(stats.done - from.done).unwrap();
    let batches = u32::try_from(stats.batches - from.batches).unwrap();
    println!(
        "{:.0} commands/s, {:.0} µs CPU a command, {:.0} commands a transaction ({stats:?})",
        f64::from(done) / seconds,
        cpu.as_secs_f64() * 1e6 / f64::from(done),
        f64::from(done) / f64::from(batches),
    );
}

/// CPU time of this process so far, from Linux's own count in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
