//! The whole run: an empty database, ten processes, orders from outside, kills, and the verdict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstitch_broker::{Admin, KafkaConfig, read_all};
use backstitch_schemas::wire::Topics;
use backstitch_workers::order::read_ledger;
use tokio::runtime::Runtime;

use super::CrashError;
use super::chance::Chance;
use super::checker::{self, Verdict};
use super::fleet::{Fleet, Orders};
use super::journal::{self, JournalVerdict};
use super::needs::Needs;
use super::orders::{self, Shop};
use super::servers::{self, Database, Outage, Server};

/// Between two kills.
const KILL_EVERY: Duration = Duration::from_secs(2);

/// From the first order to the last one settled.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(200);

/// From the last one settled until nothing is left to read or publish.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(40);

/// Between two looks at the processes.
const LOOK: Duration = Duration::from_millis(50);

/// Between two questions to Postgres or Kafka.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// At this share of settled orders, in percent, a server is killed.
const OUTAGES: [(usize, Server); 2] = [(30, Server::Postgres), (60, Server::Kafka)];

/// Records of the journal topic that are read at most.
const RECORDS_MAX: usize = 10_000_000;

/// Wrongs that are shown.
const SHOWN_MAX: usize = 20;

/// Runs the tier, prints what was seen, and cleans up.
///
/// # Errors
///
/// If anything is wrong, or the run could not be carried through; the text says what, with the logs' last lines.
pub fn run() -> Result<(), CrashError> {
    let needs = Needs::from_env()?;
    let dir = tempfile::Builder::new()
        .prefix("backstitch-crash.")
        .tempdir()?;
    let name = format!("crash-{}-{}", needs.seed, std::process::id());
    say(&format!(
        "seed {}: BACKSTITCH_CRASH_SEED={} makes the same choices again",
        needs.seed, needs.seed
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let database = runtime.block_on(Database::create(&needs.postgres, &name))?;
    let world = World {
        kafka: KafkaConfig::new(needs.bootstrap.as_str()),
        topics: Topics::new(name.as_str()),
        source: format!("{name}.orders"),
        dir: dir.path().to_owned(),
        needs,
        runtime,
        database,
    };
    let outcome = world.play();
    let cleaned = world.clean(&name);
    outcome.and(cleaned)
}

struct World {
    needs: Needs,
    dir: PathBuf,
    runtime: Runtime,
    database: Database,
    kafka: KafkaConfig,
    topics: Topics,
    /// The topic of orders.
    source: String,
}

impl World {
    fn play(&self) -> Result<(), CrashError> {
        let orders = self.orders()?;
        make_topics(&orders)?;
        let mut fleet = Fleet::start(orders, members())?;
        let outcome = self.tell(&mut fleet);
        outcome.map_err(|error| {
            let tails = fleet.tails(SHOWN_MAX);
            format!("{error}\nkilled:{}\n{tails}", fleet.history()).into()
        })
    }

    fn tell(&self, fleet: &mut Fleet<'_>) -> Result<(), CrashError> {
        let began = Instant::now();
        let mut shop = Shop::open(&self.needs, &self.source, &self.dir)?;
        if let Err(error) = self.kill_until_settled(fleet, &mut shop) {
            // What is wrong already may tell why.
            let wrongs = self.judge_effects().map_or_else(
                |error| format!("the effects cannot be judged: {error}"),
                |verdict| list(&verdict.wrongs),
            );
            return Err(format!("{error}\n  {wrongs}").into());
        }
        let settled_s = began.elapsed().as_secs_f64();
        self.await_quiet(fleet)?;
        fleet.drain()?;
        let unpublished = self.runtime.block_on(self.database.unpublished_count())?;
        say(&format!(
            "{} orders settled in {settled_s:.1} s under {} kills:{}",
            self.needs.orders,
            fleet.kill_count(),
            fleet.history()
        ));
        let mut wrongs = fleet.panics()?;
        if unpublished != 0 {
            wrongs.push(format!(
                "{unpublished} journal rows are not marked as published after the drain"
            ));
        }
        let verdict = self.judge_effects()?;
        wrongs.extend(verdict.wrongs.iter().map(ToString::to_string));
        let journal = self.judge_journal()?;
        wrongs.extend(journal.wrongs.iter().cloned());
        wrongs.extend(self.judge_together(&verdict, &journal)?);
        if wrongs.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} wrongs, seed {}:\n  {}",
            wrongs.len(),
            self.needs.seed,
            list(&wrongs)
        )
        .into())
    }

    /// Kills one process after the other until every order has its saga's end.
    fn kill_until_settled(&self, fleet: &mut Fleet<'_>, shop: &mut Shop) -> Result<(), CrashError> {
        let mut chance = Chance::new(self.needs.seed);
        let until = Instant::now() + SETTLE_WAIT_MAX;
        let mut outages = OUTAGES.iter().peekable();
        let mut outage_now = None;
        let mut kill_at = Instant::now() + KILL_EVERY;
        let mut ask_at = Instant::now() + ASK_EVERY;
        let mut settled = 0;
        loop {
            fleet.tend()?;
            let is_sold_out = shop.is_done()?;
            if Instant::now() >= kill_at {
                kill_at += KILL_EVERY;
                fleet.kill(chance.below(fleet.len()))?;
            }
            if Instant::now() >= ask_at {
                ask_at = Instant::now() + ASK_EVERY;
                // Postgres is away for a while, and the first orchestrator has to make the tables.
                settled = self
                    .runtime
                    .block_on(self.database.ended_count())
                    .unwrap_or(settled);
            }
            if outage_now.is_none()
                && let Some((_, server)) =
                    outages.next_if(|(percent, _)| settled * 100 >= self.needs.orders * percent)
            {
                say(&format!("{settled} settled: {server:?} is killed"));
                outage_now = Some(Outage::begin(*server, &self.needs));
            }
            if let Some(outage) = &mut outage_now
                && outage.is_over()?
            {
                outage_now = None;
            }
            if is_sold_out
                && settled >= self.needs.orders
                && outage_now.is_none()
                && outages.peek().is_none()
            {
                return Ok(());
            }
            if Instant::now() >= until {
                let shop = if is_sold_out { "are" } else { "are not" };
                return Err(format!(
                    "{settled} of {} orders have settled within {SETTLE_WAIT_MAX:?}; all {shop} sent",
                    self.needs.orders
                )
                .into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until everybody has read everything: a repeated command that still lies there could yet have its effect.
    fn await_quiet(&self, fleet: &mut Fleet<'_>) -> Result<(), CrashError> {
        let admin = Admin::new(&self.kafka)?;
        let groups = servers::groups(&self.topics, &self.source);
        let until = Instant::now() + QUIET_WAIT_MAX;
        loop {
            fleet.tend()?;
            let mut rest = Vec::new();
            for (group, topics) in &groups {
                let lag = servers::lag(&admin, group, topics)?;
                if lag > 0 {
                    rest.push(format!("{group} has {lag} records to read"));
                }
            }
            let unpublished = self.runtime.block_on(self.database.unpublished_count())?;
            if unpublished > 0 {
                rest.push(format!("{unpublished} journal rows are to be published"));
            }
            if rest.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(format!("after {QUIET_WAIT_MAX:?} {}", rest.join(", ")).into());
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    fn judge_effects(&self) -> Result<Verdict, CrashError> {
        let record = std::fs::read_to_string(self.dir.join(orders::RECORD))?;
        let orders = orders::read(&record)?;
        let mut effects = Vec::new();
        for activity in ACTIVITIES {
            let path = self.workers_dir().join(format!("{activity}.db"));
            effects.extend(self.runtime.block_on(read_ledger(path))?);
        }
        let endings = self.runtime.block_on(self.database.endings())?;
        let mut verdict = checker::check(&orders, &endings, &effects);
        if orders.len() != self.needs.orders {
            let fault = checker::Fault::Lost;
            let saga = format!("the shop, of {} acknowledged orders", orders.len());
            verdict.wrongs.push(checker::Wrong { saga, fault });
        }
        let marks = orders.iter().filter(|order| order.mark.is_some()).count();
        let again = effects.iter().filter(|effect| effect.attempt > 1).count();
        say(&format!(
            "{} orders, {marks} marked: {} completed, {} compensated, {} of these turned back by time; {} effects, {again} \
             of a later attempt",
            orders.len(),
            verdict.completed,
            verdict.compensated,
            verdict.turned_back.len(),
            verdict.effects,
        ));
        Ok(verdict)
    }

    fn judge_journal(&self) -> Result<JournalVerdict, CrashError> {
        let rows = self.runtime.block_on(self.database.journal())?;
        let records = read_all(&self.kafka, &self.topics.journal(), RECORDS_MAX)?;
        let values: Vec<Vec<u8>> = records
            .into_iter()
            .map(|record| record.payload.unwrap_or_default())
            .collect();
        let verdict = journal::check(&rows, &values);
        say(&format!(
            "{} journal rows, {} records on the topic ({} repeated); {} sagas folded, turned back: {:?}",
            verdict.rows,
            verdict.records,
            verdict
                .records
                .saturating_sub(verdict.rows + verdict.definitions),
            verdict.folded,
            verdict.turned_back,
        ));
        Ok(verdict)
    }

    /// What the two verdicts, each found by itself, have to say of each other.
    fn judge_together(
        &self,
        effects: &Verdict,
        journal: &JournalVerdict,
    ) -> Result<Vec<String>, CrashError> {
        let mut wrongs = Vec::new();
        if effects.turned_back.len() != journal.unanswered() {
            wrongs.push(format!(
                "{} orders were turned back without a refusal, {} for want of an answer; the first: {:?}",
                effects.turned_back.len(),
                journal.unanswered(),
                effects.turned_back.first()
            ));
        }
        for (saga, ending) in self.runtime.block_on(self.database.endings())? {
            let folded = journal.status.get(&saga).map_or("nothing", String::as_str);
            if ending.word() != folded {
                wrongs.push(format!(
                    "{saga} is {} in the store, and its journal folds to {folded}",
                    ending.word()
                ));
            }
        }
        let letters = read_all(&self.kafka, &self.topics.dead_letters(), RECORDS_MAX)?;
        if let Some(first) = letters.first() {
            wrongs.push(format!(
                "{} dead letters; the first: {:?}",
                letters.len(),
                first.headers
            ));
        }
        Ok(wrongs)
    }

    fn orders(&self) -> Result<Orders<'_>, CrashError> {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("crash-order.yaml");
        let definition = std::fs::read_to_string(template)?.replace("crash-orders", &self.source);
        let path = self.dir.join("order.yaml");
        std::fs::write(&path, definition)?;
        Ok(Orders {
            bin: &self.needs.bin,
            logs: self.dir.join("logs"),
            env: vec![
                (
                    "BACKSTITCH_KAFKA__BOOTSTRAP_SERVERS",
                    self.needs.bootstrap.clone(),
                ),
                ("BACKSTITCH_KAFKA__PREFIX", self.topics.prefix().to_owned()),
                // The least that Kafka takes: how long an owner is missed where nobody takes its name.
                ("BACKSTITCH_KAFKA__SESSION_TIMEOUT", "6s".to_owned()),
                ("BACKSTITCH_STORE__URL", self.database.url()),
                ("BACKSTITCH_DEFINITIONS__FILES", path.display().to_string()),
                (
                    "BACKSTITCH_WORKERS__DATA_DIR",
                    self.workers_dir().display().to_string(),
                ),
            ],
        })
    }

    fn workers_dir(&self) -> PathBuf {
        self.dir.join("workers")
    }

    fn clean(self, name: &str) -> Result<(), CrashError> {
        servers::remove_topics(&self.kafka, name)?;
        self.runtime.block_on(self.database.drop())
    }
}

/// The activities of the four services.
const ACTIVITIES: [&str; 4] = [
    "check-fraud",
    "reserve-stock",
    "charge-payment",
    "ship-order",
];

/// Two orchestrators, and two workers of each activity.
fn members() -> Vec<(String, Vec<String>)> {
    let mut members = Vec::new();
    for n in 1..=2 {
        members.push((format!("serve-{n}"), vec!["serve".to_owned()]));
        for activity in ACTIVITIES {
            let args = vec!["worker".to_owned(), activity.to_owned()];
            members.push((format!("{activity}-{n}"), args));
        }
    }
    members
}

fn make_topics(orders: &Orders<'_>) -> Result<(), CrashError> {
    let output = orders
        .command()
        .args(["topics", "apply", "--sources"])
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`topics apply` ended with {}: {said}", output.status).into())
}

/// The first few, a line each.
fn list<T: ToString>(wrongs: &[T]) -> String {
    let first = wrongs.iter().take(SHOWN_MAX).map(ToString::to_string);
    first.collect::<Vec<_>>().join("\n  ")
}

/// What the run tells goes to the test's own output.
#[expect(
    clippy::print_stderr,
    reason = "a tier of minutes has to say where it is"
)]
fn say(text: &str) {
    eprintln!("crash: {text}");
}
