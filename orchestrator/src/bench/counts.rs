//! What the machine's noise cannot touch.

use backstitch_broker::{Admin, BrokerError, KafkaConfig};
use sqlx::{Connection, PgConnection};

/// Records in all topics whose names begin so, and in the source topic.
pub(super) fn records(kafka: &KafkaConfig, prefix: &str, source: &str) -> Result<u64, BrokerError> {
    let admin = Admin::new(kafka)?;
    let mut count = 0;
    for (topic, partitions) in admin.list_topics()? {
        if topic != source && !topic.starts_with(&format!("{prefix}.")) {
            continue;
        }
        for partition in 0..partitions {
            let (low, high) = admin.watermarks(&topic, partition)?;
            count += u64::try_from(high - low).unwrap_or(0);
        }
    }
    Ok(count)
}

/// Where Postgres' log stands, in bytes; `None` for other stores.
pub(super) async fn wal_bytes(url: &str) -> Option<u64> {
    if !url.starts_with("postgres") {
        return None;
    }
    let mut connection = PgConnection::connect(url).await.ok()?;
    let query = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    let bytes: i64 = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .ok()?;
    u64::try_from(bytes).ok()
}
