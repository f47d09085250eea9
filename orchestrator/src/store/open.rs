//! Picks a store by its address.

use std::sync::Arc;

use super::{MemoryStore, PostgresStore, SqliteStore, Store, StoreError};

/// Opens a store, and brings its tables up to date.
///
/// | address | store |
/// | --- | --- |
/// | `postgres://…`, `postgresql://…` | Postgres; parameters as libpq names them (`sslmode`, `sslrootcert`, …) |
/// | `sqlite://FILE` | SQLite; a relative path is relative to the working folder; the file is made |
/// | `memory://` | memory, empty; nothing survives the process |
///
/// # Errors
///
/// [`StoreError::UnknownUrl`], [`StoreError::Unavailable`] if it cannot be reached, and
/// [`StoreError::Refused`] if a newer version has written it or the tables may not be made.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(PostgresStore::open(url).await?)),
        Some(("sqlite", _)) => Ok(Arc::new(SqliteStore::open(url).await?)),
        Some(("memory", "")) => Ok(Arc::new(MemoryStore::new())),
        _ => Err(StoreError::UnknownUrl {
            url: without_password(url),
        }),
    }
}

/// Blots out what stands between the user's name and the host, and every `password=`.
pub(super) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password may itself hold an `@` or a `/`: everything up to the last `@` is blotted out then.
    let shown = match rest.rfind('@') {
        Some(at) => {
            let user = rest[..at.min(end)].split(':').next().unwrap_or_default();
            format!("{user}:…{}", &rest[at..])
        }
        None => rest.to_owned(),
    };
    let shown = match shown.to_ascii_lowercase().find("password=") {
        Some(at) => format!("{}password=…", &shown[..at]),
        None => shown,
    };
    if scheme.is_empty() {
        shown
    } else {
        format!("{scheme}://{shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("mysql://ann:secret@db/x", "mysql://ann:…@db/x"),
            ("mysql://ann:se/cr@et@db/x", "mysql://ann:…@db/x"),
            ("mysql://ann@db/x", "mysql://ann:…@db/x"),
            ("ann:secret@db", "ann:…@db"),
            (
                "mysql://db/x?user=ann&Password=secret&a=b",
                "mysql://db/x?user=ann&password=…",
            ),
            ("orders.db", "orders.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
