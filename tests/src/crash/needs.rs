//! What the environment has to provide. `scripts/test --only crash` does.

use std::path::PathBuf;

use super::CrashError;

/// Orders of a run, unless `BACKSTITCH_CRASH_ORDERS` says otherwise.
const ORDERS: usize = 10_000;

/// Everything that the tier is given.
#[derive(Debug)]
pub(super) struct Needs {
    /// The program under test.
    pub(super) bin: PathBuf,
    /// Kafka, one broker.
    pub(super) bootstrap: String,
    /// Its folder, for `scripts/real-kafka.sh`.
    pub(super) kafka_dir: PathBuf,
    /// Where that script finds the jars.
    pub(super) kafka_jars: PathBuf,
    /// Postgres, as its superuser.
    pub(super) postgres: String,
    /// Its folder, for `scripts/real-postgres.sh`.
    pub(super) postgres_dir: PathBuf,
    /// A Python with confluent-kafka and fastavro.
    pub(super) python: PathBuf,
    /// Chooses who is killed, and the orders.
    pub(super) seed: u64,
    /// How many orders.
    pub(super) orders: usize,
}

impl Needs {
    /// Reads the environment; says all that is missing at once.
    pub(super) fn from_env() -> Result<Self, CrashError> {
        let mut missing = Vec::new();
        let mut need = |name: &'static str| {
            let value = std::env::var(name).unwrap_or_default();
            if value.is_empty() {
                missing.push(name);
            }
            value
        };
        let needs = Self {
            bin: need("BACKSTITCH_BIN").into(),
            bootstrap: need("BACKSTITCH_TEST_BOOTSTRAP"),
            kafka_dir: need("BACKSTITCH_TEST_KAFKA_DIR").into(),
            kafka_jars: need("KAFKA_JARS").into(),
            postgres: need("BACKSTITCH_TEST_POSTGRES"),
            postgres_dir: need("BACKSTITCH_TEST_POSTGRES_DIR").into(),
            python: need("BACKSTITCH_TEST_PYTHON").into(),
            seed: number("BACKSTITCH_CRASH_SEED")?.unwrap_or_else(seed_of_now),
            orders: number("BACKSTITCH_CRASH_ORDERS")?.map_or(Ok(ORDERS), usize::try_from)?,
        };
        if !missing.is_empty() {
            return Err(format!(
                "the crash tier needs servers and a program that `scripts/test --only crash` provides; not set: {}",
                missing.join(", ")
            )
            .into());
        }
        if !needs.bin.is_file() {
            return Err(format!(
                "BACKSTITCH_BIN: there is no {}; build it",
                needs.bin.display()
            )
            .into());
        }
        Ok(needs)
    }
}

/// Another one each second; the run prints it.
fn seed_of_now() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs()
}

fn number(name: &str) -> Result<Option<u64>, CrashError> {
    std::env::var(name)
        .ok()
        .map(|text| {
            text.parse()
                .map_err(|error| format!("{name}={text}: {error}").into())
        })
        .transpose()
}
