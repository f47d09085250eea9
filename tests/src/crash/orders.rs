//! The outside producer: Python, with another Kafka client and another Avro library. It also says what it sent.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::CrashError;
use super::checker::{How, Mark, Order};
use super::needs::Needs;

/// Orders a second: so that 10,000 of them last for two dozen kills.
const RATE: u32 = 200;

/// The share of orders that carry a mark.
const FAIL_RATE: &str = "0.2";

/// What marks ask for; most refuse, which is the way back.
const FAIL_HOW: &str = "refuse,refuse,refuse,refuse,refuse,refuse,refuse,fail,fail,hang";

/// The file that it writes its record to.
pub(super) const RECORD: &str = "orders.jsonl";

/// A producer at work.
#[derive(Debug)]
pub(super) struct Shop {
    child: Child,
    log: PathBuf,
}

impl Shop {
    /// Starts to place orders.
    pub(super) fn open(needs: &Needs, topic: &str, dir: &Path) -> Result<Self, CrashError> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/order_producer.py");
        let log = dir.join("shop.log");
        let out = std::fs::File::create(&log)?;
        let child = Command::new(&needs.python)
            .arg(script)
            .args([
                "--bootstrap",
                &needs.bootstrap,
                "--topic",
                topic,
                "--value",
                "avro",
            ])
            .args([
                "--orders",
                &needs.orders.to_string(),
                "--rate",
                &RATE.to_string(),
            ])
            .args(["--fail-rate", FAIL_RATE, "--fail-how", FAIL_HOW])
            .args(["--seed", &needs.seed.to_string(), "--record"])
            .arg(dir.join(RECORD))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", needs.python.display()))?;
        Ok(Self { child, log })
    }

    /// Whether every order is acknowledged.
    ///
    /// # Errors
    ///
    /// If it ended without that.
    pub(super) fn is_done(&mut self) -> Result<bool, CrashError> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let log = std::fs::read_to_string(&self.log)?;
                Err(format!("the producer ended with {status}: {log}").into())
            }
        }
    }
}

/// Reads what the producer wrote of each order that was sent and acknowledged.
pub(super) fn read(record: &str) -> Result<Vec<Order>, CrashError> {
    record.lines().map(order).collect()
}

impl Drop for Shop {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and needs not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn order(line: &str) -> Result<Order, CrashError> {
    let sent: serde_json::Value = serde_json::from_str(line)?;
    let text = |name: &str| sent.get(name).and_then(serde_json::Value::as_str);
    let id = text("order_id").ok_or_else(|| format!("an order without an id: {line}"))?;
    let mark = match (text("fail_at"), text("fail_how")) {
        (None, None) => None,
        (Some(at), Some(how)) => Some(Mark {
            at: at.to_owned(),
            how: match how {
                "refuse" => How::Refuse,
                "fail" => How::Fail,
                "hang" => How::Hang,
                other => return Err(format!("order {id} has the unknown mark {other}").into()),
            },
        }),
        (Some(_), None) | (None, Some(_)) => {
            return Err(format!("order {id} has half a mark").into());
        }
    };
    Ok(Order {
        saga: format!("process-order/{id}"),
        mark,
    })
}
