//! Every command with its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args_kafka::{BenchCommand, BrokerArgs, GroupsCommand, RecordsCommand, TopicsCommand};
use super::text::parse_wait;
use crate::rehearsal::{Case, PAIRS_MAX};
use crate::store::{ListQuery, SagaStatus};

/// Runs sagas over Kafka: each one ends whole, every step done or every step that may have happened undone.
#[derive(Debug, Parser)]
#[command(
    name = "backstitch",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
First steps, on one machine and without Kafka:
  backstitch dev                             a broker, a store and an orchestrator, until Ctrl-C
  backstitch publish --count 3               three example orders
  backstitch list                            what became of them

Exit codes: 0 done, 1 failed or wrong, 2 not asked rightly, 3 not found.
Settings: `backstitch config keys` lists every key; each can stand in backstitch.toml, in the
environment (BACKSTITCH_STORE__URL=…) or behind --set.";

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Global {
    /// Read this file instead of ./backstitch.toml
    #[arg(long, global = true, value_name = "FILE", env = "BACKSTITCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, such as `--set engine.closing=5s`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Brokers as host:port, separated by commas (kafka.bootstrap_servers)
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) bootstrap_servers: Option<String>,
    /// Where sagas rest: postgres://…, sqlite://FILE (store.url)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Begins the names of topics and groups (kafka.prefix)
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: orders stream in, some payments are refused, every order settles
    ///
    /// Starts a broker, an orchestrator and four workers in this process, sends orders, and counts by the workers' own
    /// ledgers what was done, undone, lost or doubled. Leaves nothing behind, unless it stays.
    ///
    /// Example: backstitch demo --orders 5000 --fail-rate 0.2
    ///
    /// Example: backstitch demo --stay
    Demo(DemoArgs),
    /// Run an orchestrator until it is asked to end
    ///
    /// Takes shards over, reads source topics and the inbox, sends commands. SIGTERM and Ctrl-C drain: what runs is
    /// finished and published, and the shards are given up. Run two or more for take-over.
    ///
    /// Without kafka.bootstrap_servers it starts the embedded broker in its own process.
    ///
    /// Example: backstitch serve --bootstrap-servers kafka:9092 --store postgres://backstitch@db/backstitch
    Serve(ServeArgs),
    /// Run everything on this machine: broker, store, orchestrator, example workers
    ///
    /// The broker speaks Kafka's protocol on 127.0.0.1 (embedded.port): any client can publish to it. Everything is
    /// kept in ./.backstitch and is there again next time. Ends with Ctrl-C.
    ///
    /// Example: backstitch dev --set embedded.port=19092
    Dev(DevArgs),
    /// Run a worker of one activity of the example order
    ///
    /// The activities are check-fraud, reserve-stock, charge-payment and ship-order; each serves its undo too. Its
    /// database (workers.data_dir) holds its memory of answers and its ledger of effects. SIGTERM and Ctrl-C drain.
    ///
    /// Example: backstitch worker charge-payment --refuse-rate 0.1 --delay-ms 20
    Worker(WorkerArgs),
    /// Run the broker of this machine alone, for any Kafka client
    ///
    /// It speaks Kafka's protocol on 127.0.0.1 and keeps what it was given, across kill -9 too. Says where it serves as soon as
    /// it does; with --json in one object, so that a test suite can start it on a free port. Ends with SIGTERM or Ctrl-C.
    ///
    /// Example: backstitch broker
    ///
    /// Example: backstitch broker --listen 0 --ephemeral --auto-create-topics --json
    Broker(BrokerArgs),
    /// Make, list, show and delete topics, on the embedded broker or any Kafka
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Look at the records of a topic, decoded, and follow them as they come
    #[command(subcommand)]
    Records(RecordsCommand),
    /// Look at consumer groups and how far behind they are, reset their offsets, delete them
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Publish events to a source topic
    ///
    /// From a file with one JSON document a line, or example orders made up on the spot. With --avro, lines become the
    /// Avro record OrderPlaced. The topic has to be there: see `backstitch topics apply`.
    ///
    /// Example: backstitch publish --topic orders --file orders.jsonl --key-field order_id
    ///
    /// Example: backstitch publish --count 10 --fail-at charge-payment
    Publish(PublishArgs),
    /// Start a saga by hand
    ///
    /// Its key is NAME/KEY; the same key again is the same saga, and starts nothing twice.
    ///
    /// Example: backstitch start process-order 4711 --event '{"type": "OrderPlaced", "order_id": "4711"}'
    Start(StartArgs),
    /// List sagas, newest first
    ///
    /// Example: backstitch list --status parked --tag country=DE
    List(ListArgs),
    /// Show one saga: its ledger, its journal, and what it waits for
    ///
    /// Example: backstitch show process-order/4711
    Show(ShowArgs),
    /// Ask a saga to turn back: undo what may have run, and end
    ///
    /// Declined once its pivot is done: from there a saga only goes forward.
    ///
    /// Example: backstitch cancel process-order/4711 --reason "the customer called"
    Cancel(CancelArgs),
    /// Let a parked saga go on: what it is parked on is tried again
    ///
    /// Example: backstitch resume process-order/4711
    Resume(ResumeArgs),
    /// Try one step of a parked saga again
    ///
    /// Example: backstitch retry process-order/4711 charge_payment
    Retry(RetryArgs),
    /// Take one step of a parked saga off its ledger, and go on
    ///
    /// For what a person has put right, or accepts as it is. Needs a reason, which goes to the journal.
    ///
    /// Example: backstitch waive process-order/4711 charge_payment --reason "refunded by hand, ticket 812"
    Waive(WaiveArgs),
    /// Say yes to a step that waits for approval
    ///
    /// Who, in which role and why go to the journal. `backstitch show KEY` shows what is asked; the step may be left out
    /// where only one waits.
    ///
    /// Example: backstitch approve process-order/4711 large_order --role sales-lead
    Approve(ApproveArgs),
    /// Say no to a step that waits for approval
    ///
    /// What happens then is the definition's `on_refused`: without one, the saga turns back.
    ///
    /// Example: backstitch refuse process-order/4711 --role sales-lead --reason "over the customer's limit"
    Refuse(RefuseArgs),
    /// Stop a saga where it stands: nothing more is done, nothing is undone
    ///
    /// Example: backstitch terminate process-order/4711 --reason "test data"
    Terminate(TerminateArgs),
    /// Look at what could not be read or applied
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Measure: real processes under load, with what noise cannot touch counted
    ///
    /// Starts an orchestrator and four workers as processes of their own, on the configured Kafka and store, or on an
    /// embedded broker and SQLite of its own. Rates and times are this machine's; statements, log bytes and records a
    /// transition are not. With --naive it measures the usual way too: a transaction a transition, a polling relay.
    ///
    /// Example: backstitch bench --outstanding 500 --rate 100 --seconds 10
    ///
    /// Example: backstitch bench --naive --idle --bootstrap-servers 127.0.0.1:9092 --store postgres://postgres@127.0.0.1/postgres
    Bench(BenchArgs),
    /// Check definitions: names, types, expressions, undos
    ///
    /// Several files are checked together: a saga that is run by one should be defined by another. Schemas and contracts
    /// are read from beside the definition. The exit code is 1 if there is an error.
    ///
    /// Example: backstitch check definitions/order.yaml
    ///
    /// Example: backstitch check --deny-warnings --json definitions/*.yaml
    ///
    /// Example: backstitch check --against released/order.yaml definitions/order.yaml
    Check(CheckArgs),
    /// Explain a code of `check`: the rule, why, and an example wrong and right
    ///
    /// Example: backstitch explain BS0207
    Explain(ExplainArgs),
    /// Draw a definition: what is done from left to right, what undoes it below
    ///
    /// Text is for a terminal, SVG for documents (light and dark), Mermaid for pages that draw it themselves.
    ///
    /// Example: backstitch graph definitions/order.yaml
    ///
    /// Example: backstitch graph definitions/order.yaml --out order.svg
    Graph(GraphArgs),
    /// Walk a definition in simulated time: every step, every way it can end, every branch
    ///
    /// Runs the real core and engine over a store and a broker in memory. Steps are done, refused, fail, stay silent,
    /// answer late or twice; workers and the orchestrator crash, people cancel: each alone and in pairs. What breaks a
    /// rule is shown with its shortest history. Tests in FILE.test.yaml, beside the definition, are played first.
    ///
    /// Example: backstitch test definitions/order.yaml
    ///
    /// Example: backstitch test definitions/order.yaml --case 'p0+charge_payment:refused'
    Test(TestArgs),
    /// Begin a saga: a definition, its schemas, a worker and a test file
    ///
    /// All of it passes as written: `backstitch check`, `backstitch test`, and the worker's own tests. README.md in the
    /// folder says how it is run. Nothing that is there already is overwritten.
    ///
    /// Example: backstitch new book-room
    ///
    /// Example: backstitch new book-room --dir sagas/book-room --worker python
    New(NewArgs),
    /// What is configured, where it comes from, and what could be
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many orders
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) orders: u64,
    /// Share of orders whose payment is refused, 0 to 1
    #[arg(long, default_value_t = 0.1, value_parser = parse_share, value_name = "SHARE")]
    pub(crate) fail_rate: f64,
    /// How many orders may be on their way at once
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) outstanding: u64,
    /// Begins the chance: the same seed fails the same orders
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep serving afterwards, until Ctrl-C; what is stored then stays in ./.backstitch
    #[arg(long)]
    pub(crate) stay: bool,
}

/// Of `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    /// Orders on their way at any time in the closed loop; 0 leaves it out
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub(crate) outstanding: u64,
    /// Orders a second in the open loop; 0 leaves it out
    #[arg(long, default_value_t = 300.0, value_name = "R")]
    pub(crate) rate: f64,
    /// Seconds that are measured at each load
    #[arg(long, default_value_t = 15, value_name = "S")]
    pub(crate) seconds: u64,
    /// Seconds of load before the measuring
    #[arg(long, default_value_t = 10, value_name = "S")]
    pub(crate) warm_seconds: u64,
    /// Share of orders that fail at some step, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_share, value_name = "SHARE")]
    pub(crate) fail_rate: f64,
    /// Measure each load so often, in turn with the others, and show the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    pub(crate) rounds: u8,
    /// Measure the usual way too, and divide; needs a Postgres
    #[arg(long)]
    pub(crate) naive: bool,
    /// Measure an idle orchestrator too
    #[arg(long)]
    pub(crate) idle: bool,
    /// Be the orchestrator of the usual way; the benchmark starts itself so
    #[arg(long, hide = true)]
    pub(crate) as_naive: bool,
    /// Something else than sagas
    #[command(subcommand)]
    pub(crate) what: Option<BenchCommand>,
}

/// Of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// A name that outlives the process, unique among orchestrators (kafka.instance_id)
    #[arg(long, value_name = "NAME")]
    pub(crate) instance_id: Option<String>,
}

/// Of `dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Leave the example workers out: start your own
    #[arg(long)]
    pub(crate) no_workers: bool,
}

/// Of `worker`.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Which activity to serve
    pub(crate) activity: String,
    /// The folder of its database, <activity>.db (workers.data_dir)
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A name that outlives the process, unique among the activity's workers (kafka.instance_id)
    #[arg(long, value_name = "NAME")]
    pub(crate) instance_id: Option<String>,
    /// Share of attempts that fail, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_share, value_name = "SHARE")]
    pub(crate) fail_rate: f64,
    /// Share of orders that are refused, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_share, value_name = "SHARE")]
    pub(crate) refuse_rate: f64,
    /// Share of attempts that get no answer, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_share, value_name = "SHARE")]
    pub(crate) hang_rate: f64,
    /// How long each command takes, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) delay_ms: u64,
    /// Begins the chance: the same seed fails the same work
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Of `topics apply`.
#[derive(Debug, Args)]
pub(crate) struct TopicsApplyArgs {
    /// Make the source topics too, on a Kafka of your own
    #[arg(long)]
    pub(crate) sources: bool,
}

/// Of `publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The source topic
    #[arg(long, default_value = "orders")]
    pub(crate) topic: String,
    /// One JSON document a line; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Without --file: publish so many example orders
    #[arg(long, conflicts_with = "file", default_value_t = 1, value_name = "N")]
    pub(crate) count: u64,
    /// Without --file: the activity that shall refuse the orders, such as charge-payment
    #[arg(long, conflicts_with = "file", value_name = "ACTIVITY")]
    pub(crate) fail_at: Option<String>,
    /// The key of every record
    #[arg(long, conflicts_with = "key_field")]
    pub(crate) key: Option<String>,
    /// Take each record's key from this field of its event
    #[arg(long, value_name = "FIELD")]
    pub(crate) key_field: Option<String>,
    /// Write each line as the Avro record OrderPlaced
    #[arg(long)]
    pub(crate) avro: bool,
    /// A header of every record, such as `traceparent=00-…`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) header: Vec<String>,
}

/// Of `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The definition's name
    pub(crate) name: String,
    /// The business key, such as an order's number
    pub(crate) key: String,
    /// What it starts from: JSON, @FILE, or `-` for stdin
    #[arg(long, value_name = "JSON")]
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only these: running, compensating, parked, completed, compensated, terminated; may be repeated
    #[arg(long, value_parser = parse_status, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<SagaStatus>,
    /// Only sagas with this tag
    #[arg(long, value_parser = parse_pair, value_name = "NAME=VALUE")]
    pub(crate) tag: Option<(String, String)>,
    /// Only keys that begin so
    #[arg(long = "key", value_name = "BEGINNING", default_value = "")]
    pub(crate) key_prefix: String,
    /// Only sagas with a step that waits for this
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) waiting_for: Option<WaitingFor>,
    /// List mailboxes instead: what keeps events for the `wait` steps, and knows who waits for them
    #[arg(long, conflicts_with_all = ["waiting_for", "tag"])]
    pub(crate) mailboxes: bool,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ListQuery::LIMIT_MAX)))]
    pub(crate) limit: u32,
    /// Go on after a saga of the page before, as `next` of the JSON names it
    #[arg(long, value_name = "STARTED_AT_MS/KEY", value_parser = parse_after)]
    pub(crate) after: Option<(i64, String)>,
}

/// What a step of an open saga may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitingFor {
    /// A person's decision: `approve` or `refuse` it
    Approval,
    /// An event of a source topic
    Event,
    /// Another saga that it runs
    Child,
    /// The workers of an activity
    Worker,
}

/// Of `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The saga key; the business key alone where one definition has it
    pub(crate) key: String,
    /// At most so many entries of the journal, the latest
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(crate) journal: usize,
}

/// Who acts, and how long to wait for the effect.
#[derive(Debug, Clone, Args)]
pub(crate) struct By {
    /// Who asks, for the journal
    #[arg(
        long,
        env = "USER",
        default_value = "unknown",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub(crate) by: String,
    /// How long to wait until it shows in the store; 0s: not at all
    #[arg(long, default_value = "5s", value_parser = parse_wait, value_name = "DURATION")]
    pub(crate) wait: Duration,
}

/// Of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The saga key
    pub(crate) key: String,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The saga key
    pub(crate) key: String,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The saga key
    pub(crate) key: String,
    /// The step, as the ledger of `show` names it
    pub(crate) step: String,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `waive`.
#[derive(Debug, Args)]
pub(crate) struct WaiveArgs {
    /// The saga key
    pub(crate) key: String,
    /// The step, as the ledger of `show` names it
    pub(crate) step: String,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The saga key
    pub(crate) key: String,
    /// The step, as the ledger of `show` names it; the one that waits, if it is one
    pub(crate) step: Option<String>,
    /// In which role; has to be one of those that the step names, if it names any
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `refuse`.
#[derive(Debug, Args)]
pub(crate) struct RefuseArgs {
    /// The saga key
    pub(crate) key: String,
    /// The step, as the ledger of `show` names it; the one that waits, if it is one
    pub(crate) step: Option<String>,
    /// In which role; has to be one of those that the step names, if it names any
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `terminate`.
#[derive(Debug, Args)]
pub(crate) struct TerminateArgs {
    /// The saga key
    pub(crate) key: String,
    /// Why, for the journal
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: By,
}

/// Of `dead-letters`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List the latest
    ///
    /// Example: backstitch dead-letters list --limit 20
    List(DeadLettersListArgs),
    /// Show one, with its bytes and headers
    ///
    /// Example: backstitch dead-letters show 0/17
    Show(DeadLettersShowArgs),
}

/// Of `dead-letters list`.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersListArgs {
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// Of `dead-letters show`.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersShowArgs {
    /// Where it lies on the topic of dead letters, as `list` shows it
    #[arg(value_name = "PARTITION/OFFSET", value_parser = parse_place)]
    pub(crate) place: (i32, i64),
}

/// Of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// YAML files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// An older version of the one FILE: tells what sagas in flight, events and workers would not get along with
    #[arg(long, value_name = "OLD")]
    pub(crate) against: Option<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

/// Of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// E.g. BS0207; all codes are listed without it
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// Of `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A definition
    pub(crate) file: PathBuf,
    /// What to draw it as. Default: what the ending of --out says (.svg, .mmd), else text
    #[arg(long, value_enum)]
    pub(crate) format: Option<GraphFormat>,
    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Text: in ASCII alone
    #[arg(long)]
    pub(crate) ascii: bool,
    /// Text: go on in the next row rather than be wider, where that is possible
    #[arg(long, default_value_t = 100, value_name = "COLUMNS", value_parser = clap::value_parser!(i32).range(40..=10_000))]
    pub(crate) width: i32,
}

/// What a definition is drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For a terminal
    Text,
    /// A picture that stands by itself
    Svg,
    /// A flowchart in Mermaid's language
    Mermaid,
}

/// Of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// A definition, or its tests (NAME.test.yaml beside NAME.yaml)
    pub(crate) file: PathBuf,
    /// Definitions that it runs as steps; what is not given is looked for beside FILE
    #[arg(value_name = "CHILD")]
    pub(crate) children: Vec<PathBuf>,
    /// Test files, instead of the one beside FILE; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) tests: Vec<PathBuf>,
    /// Start from this event: JSON, or @FILE. Default: that of the first test, or one that is made up
    #[arg(long, value_name = "JSON")]
    pub(crate) event: Option<String>,
    /// Play this one case, and tell all that happens
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<Case>,
    /// Play the tests alone
    #[arg(long, conflicts_with = "case")]
    pub(crate) tests_only: bool,
    /// Draws which pairs are played where there are too many: the same seed, the same pairs
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Pairs that are played at most
    #[arg(long, default_value_t = PAIRS_MAX, value_name = "N")]
    pub(crate) pairs: usize,
}

/// Of `new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The name of the saga, in kebab-case
    pub(crate) name: String,
    /// The folder to write in; made if it is not there. Default: the name
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// What the worker is written in
    #[arg(long, value_enum, default_value_t = NewWorker::Rust)]
    pub(crate) worker: NewWorker,
    /// The checkout of Backstitch that a Rust worker takes its kit from. Default: the one this program was built from
    #[arg(long, value_name = "DIR")]
    pub(crate) kit: Option<PathBuf>,
}

/// What a worker is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewWorker {
    /// With the worker kit.
    Rust,
    /// With a Kafka client and an Avro library.
    Python,
}

/// Of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what is in force, and where each value comes from; secrets are left out
    Show,
    /// List every key with its type, default and meaning
    Keys,
    /// Print the page of all keys, docs/configuration.md
    Docs,
}

fn parse_share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

fn parse_status(text: &str) -> Result<SagaStatus, String> {
    SagaStatus::from_name(text).ok_or_else(|| {
        format!(
            "there are {}",
            SagaStatus::ALL.map(SagaStatus::name).join(", ")
        )
    })
}

/// Reads `name=value`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

fn parse_after(text: &str) -> Result<(i64, String), String> {
    text.split_once('/')
        .and_then(|(at_ms, key)| Some((at_ms.parse().ok()?, key.to_owned())))
        .ok_or_else(|| "write STARTED_AT_MS/KEY, as `next` of the page before".to_owned())
}

pub(crate) fn parse_place(text: &str) -> Result<(i32, i64), String> {
    text.split_once('/')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)))
        .filter(|(partition, offset): &(i32, i64)| *partition >= 0 && *offset >= 0)
        .ok_or_else(|| "write PARTITION/OFFSET, such as 0/17".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_does_something_has_an_example_or_a_child() {
        for command in Cli::command().get_subcommands() {
            let about = command
                .get_long_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                about.contains("Example:") || command.has_subcommands(),
                "{}",
                command.get_name()
            );
        }
    }
}
