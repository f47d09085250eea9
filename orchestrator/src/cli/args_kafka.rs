//! The commands about Kafka itself, with their help: a broker, topics, records, groups.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::{TopicsApplyArgs, parse_pair, parse_place};
use super::point::{Point, parse_point};

/// Records printed by `records list` where nothing else is said.
const RECORDS: u32 = 50;
/// Records printed at most by `records list`.
const RECORDS_MAX: i64 = 1_000_000;

/// Of `broker`.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Where to listen, on loopback: HOST:PORT, or a port alone; 0 takes a free one. Default: 127.0.0.1 and embedded.port
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of its file, broker.db, and of broker.db-records beside it; made if it is not there. Default: embedded.dir
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep nothing: a folder of its own, gone when it ends; nothing waits for the disk
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,
    /// Make a topic when a client asks for one that is not there, as a test suite may want
    #[arg(long)]
    pub(crate) auto_create_topics: bool,
    /// Partitions of a topic that is made without a number
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) partitions: i32,
}

/// Of `topics`.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make what is missing, and change nothing that is there
    ///
    /// The inbox, the journal, the dead letters and a command topic for every activity of the definitions, undos
    /// included. Source topics belong to the services that write them: they are made on the embedded broker, elsewhere
    /// only with --sources. Twice is once.
    ///
    /// Example: backstitch topics apply --set topics.replication=3
    Apply(TopicsApplyArgs),
    /// List topics with their partitions and how much they hold
    ///
    /// RECORDS is counted by offsets: compaction and transactions make it more than there are.
    ///
    /// Example: backstitch topics list
    List(TopicsListArgs),
    /// Show one topic: its partitions, how long it keeps records, and the settings that differ from the default
    ///
    /// FIRST is the offset of the oldest record that is kept, NEXT the one that the next record gets. How long records
    /// stay (cleanup.policy, retention.ms, retention.bytes; -1 is without limit) is always shown.
    ///
    /// Example: backstitch topics show backstitch.inbox
    Show(TopicsShowArgs),
    /// Make one topic
    ///
    /// The topics that definitions need are made by `topics apply`, with the right settings.
    ///
    /// Example: backstitch topics create orders --partitions 4 --setting retention.ms=604800000
    Create(TopicsCreateArgs),
    /// Delete one topic, with all that it holds
    ///
    /// Says what would be lost; does it with --yes.
    ///
    /// Example: backstitch topics delete orders --yes
    Delete(TopicsDeleteArgs),
}

/// Of `topics list`.
#[derive(Debug, Args)]
pub(crate) struct TopicsListArgs {
    /// Kafka's own topics too, such as __consumer_offsets
    #[arg(long)]
    pub(crate) all: bool,
}

/// Of `topics show`.
#[derive(Debug, Args)]
pub(crate) struct TopicsShowArgs {
    /// The topic
    pub(crate) name: String,
    /// All settings, also those that are at their default
    #[arg(long)]
    pub(crate) all: bool,
}

/// Of `topics create`.
#[derive(Debug, Args)]
pub(crate) struct TopicsCreateArgs {
    /// The topic
    pub(crate) name: String,
    /// How many partitions. Default: topics.source_partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) partitions: Option<i32>,
    /// A setting of the topic by Kafka's name, such as `cleanup.policy=compact`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) setting: Vec<(String, String)>,
}

/// Of `topics delete`.
#[derive(Debug, Args)]
pub(crate) struct TopicsDeleteArgs {
    /// The topic
    pub(crate) name: String,
    /// Do it, and not only say what would be done
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Of `records`.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordsCommand {
    /// List records of a topic: the latest, or from some point on
    ///
    /// Without --from: the latest, the newest last. With --from: the first from there on. Values are decoded: Backstitch's
    /// own records, what schemas.files, the registry or --schema know, JSON, text; else bytes. With --json, one object a line.
    ///
    /// A point is `earliest`, `latest`, an offset (17), a time (2026-11-22T21:03:35Z, or 2026-11-22: UTC), or how long ago (15m).
    ///
    /// Example: backstitch records list orders --limit 5
    ///
    /// Example: backstitch records list backstitch.journal --from 15m --contains process-order/4711
    List(RecordsListArgs),
    /// Show one record whole: headers, value, and what a journal entry changed
    ///
    /// Example: backstitch records show orders 0/17
    ///
    /// Example: backstitch records show orders 0/17 --raw > value.bin
    Show(RecordsShowArgs),
    /// Follow a topic: print records as they come, until Ctrl-C
    ///
    /// Example: backstitch records tail backstitch.dead-letters
    ///
    /// Example: backstitch records tail orders --last 10 --json | jq .value.order_id
    Tail(RecordsTailArgs),
}

/// Which records of a topic, and how they are read.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// The topic
    pub(crate) topic: String,
    /// Only these partitions, separated by commas
    #[arg(long = "partition", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Only records with exactly this key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Only records with this text in their key, a header or their decoded value
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// How values are read.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// An Avro schema (.avsc) for values that name none that is known
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Print nothing but the values, as the bytes that they are; in a list each with a line's end
    #[arg(long, conflicts_with = "schema")]
    pub(crate) raw: bool,
}

/// Of `records list`.
#[derive(Debug, Args)]
pub(crate) struct RecordsListArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// From this point on: earliest, an offset, a time, or how long ago
    #[arg(long, value_name = "POINT", value_parser = parse_point)]
    pub(crate) from: Option<Point>,
    /// Up to this point, which is left out
    #[arg(long, value_name = "POINT", value_parser = parse_point, default_value = "latest")]
    pub(crate) until: Point,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = RECORDS, value_parser = clap::value_parser!(u32).range(1..=RECORDS_MAX))]
    pub(crate) limit: u32,
}

/// Of `records show`.
#[derive(Debug, Args)]
pub(crate) struct RecordsShowArgs {
    /// The topic
    pub(crate) topic: String,
    /// Its partition and offset, such as 0/17, as `records list` shows them
    #[arg(value_name = "PARTITION/OFFSET", value_parser = parse_place)]
    pub(crate) place: (i32, i64),
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Of `records tail`.
#[derive(Debug, Args)]
pub(crate) struct RecordsTailArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// From this point on: earliest, an offset, a time, or how long ago
    #[arg(long, value_name = "POINT", value_parser = parse_point, default_value = "latest")]
    pub(crate) from: Point,
    /// Begin with the latest so many of each partition
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(u32).range(1..=RECORDS_MAX))]
    pub(crate) last: Option<u32>,
    /// End after so many. Default: never
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

/// Of `groups`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List consumer groups: how they stand, and how many records they have yet to read
    ///
    /// Example: backstitch groups list
    List(GroupsListArgs),
    /// Show one group: its members, what each reads, what is committed, and the lag
    ///
    /// Example: backstitch groups show backstitch.worker.charge-payment
    Show(GroupsShowArgs),
    /// Reset a group's offsets in one topic, so that it reads records again or passes over some
    ///
    /// Needs one of --to and --by.
    /// Says what would change; does it with --yes. The group must have no members: stop its consumers first. An offset
    /// outside of what a partition holds becomes the nearest one in it.
    ///
    /// A point is `earliest`, `latest`, an offset (17), a time (2026-11-22T21:03:35Z, or 2026-11-22: UTC), or how long ago (15m).
    ///
    /// Example: backstitch groups reset billing --topic orders --to 2h
    ///
    /// Example: backstitch groups reset billing --topic orders --partition 3 --by=-1 --yes
    Reset(GroupsResetArgs),
    /// Delete a group without members, with its offsets
    ///
    /// Says what would be lost; does it with --yes.
    ///
    /// Example: backstitch groups delete billing --yes
    Delete(GroupsDeleteArgs),
}

/// Of `groups list`.
#[derive(Debug, Args)]
pub(crate) struct GroupsListArgs {
    /// Leave the lag out: it takes a request for each group
    #[arg(long)]
    pub(crate) quick: bool,
}

/// Of `groups show`.
#[derive(Debug, Args)]
pub(crate) struct GroupsShowArgs {
    /// The group
    pub(crate) group: String,
}

/// Of `groups reset`.
#[derive(Debug, Args)]
pub(crate) struct GroupsResetArgs {
    /// The group; one that is not there is made
    pub(crate) group: String,
    /// The topic
    #[arg(long)]
    pub(crate) topic: String,
    /// Only these partitions, separated by commas
    #[arg(long = "partition", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// To this point: earliest, latest, an offset, a time, or how long ago
    #[arg(long, value_name = "POINT", value_parser = parse_point, required_unless_present = "by", conflicts_with = "by")]
    pub(crate) to: Option<Point>,
    /// By so many records of each partition from where it stands; `--by=-100` reads 100 again
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) by: Option<i64>,
    /// Do it, and not only say what would be done
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Of `groups delete`.
#[derive(Debug, Args)]
pub(crate) struct GroupsDeleteArgs {
    /// The group
    pub(crate) group: String,
    /// Do it, and not only say what would be done
    #[arg(long)]
    pub(crate) yes: bool,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let named = text.replacen("localhost:", "127.0.0.1:", 1);
    named
        .parse()
        .map_err(|_| "write HOST:PORT, such as 127.0.0.1:9092, or a port alone".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port_alone() {
        for (written, meant) in [
            ("9093", "127.0.0.1:9093"),
            ("0", "127.0.0.1:0"),
            ("localhost:9093", "127.0.0.1:9093"),
            ("[::1]:9093", "[::1]:9093"),
        ] {
            assert_eq!(parse_listen(written).unwrap().to_string(), meant);
        }
        for wrong in ["", "kafka", "kafka:9092", "127.0.0.1", "70000"] {
            assert!(parse_listen(wrong).is_err(), "{wrong}");
        }
    }
}

/// What else `bench` measures.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure the embedded broker: records produced and read a second, how soon they are acknowledged, its start
    ///
    /// Starts `backstitch broker` on a folder of its own, with a durable commit before each acknowledgement. Where a Kafka
    /// is configured, it is measured in turn with it, by the same clients, and the figures are divided.
    ///
    /// Example: backstitch bench broker --partitions 4 --producers 1
    ///
    /// Example: backstitch bench broker --rounds 3 --bootstrap-servers 127.0.0.1:9092
    Broker(BenchBrokerArgs),
}

/// Of `bench broker`.
#[derive(Debug, Args)]
pub(crate) struct BenchBrokerArgs {
    /// Partitions of the topic, one point each
    #[arg(long, default_value = "1,4,16", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(1..=1_000), value_name = "N")]
    pub(crate) partitions: Vec<i32>,
    /// Producers at once, one point each
    #[arg(long, default_value = "1,8", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub(crate) producers: Vec<u16>,
    /// Bytes of a record
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=900_000), value_name = "BYTES")]
    pub(crate) record_bytes: u32,
    /// Records that each producer has on their way
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub(crate) outstanding: u64,
    /// Records a second, of all producers together, at which acknowledgements are timed; 0 leaves it out
    #[arg(long, default_value_t = 2_000.0, value_name = "R")]
    pub(crate) rate: f64,
    /// Time answers at that rate once more, on a topic that loses its oldest records meanwhile
    #[arg(long)]
    pub(crate) cleaning: bool,
    /// Seconds that are measured at each point
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..), value_name = "S")]
    pub(crate) seconds: u64,
    /// Seconds of load before the measuring
    #[arg(long, default_value_t = 2, value_name = "S")]
    pub(crate) warm_seconds: u64,
    /// Measure each point so often, in turn with the others, and show the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    pub(crate) rounds: u8,
    /// Measure how it starts on so many MB of data, and what it uses when idle; 0 leaves it out
    #[arg(long, default_value_t = 0, value_name = "MB")]
    pub(crate) start_mb: u64,
}
