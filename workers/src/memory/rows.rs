//! Rows that handlers want inserted: collected over a batch, and written with few statements.
//!
//! Each statement on a SQLite connection is handed to the connection's own thread and back. For a small write that costs more
//! than the write, so rows of many commands share a statement.

use sqlx::{AssertSqlSafe, SqliteConnection};

/// Rows per statement: a few fixed sizes, so that each is prepared once.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// `NULL`.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[derive(Debug)]
struct Row {
    into: &'static str,
    cells: Vec<Cell>,
}

/// The rows of a transaction that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// So many are of handlers that are through; the rest is of the one that runs.
    kept: usize,
    /// A write began and did not end well: nothing of the transaction may be committed.
    broken: bool,
}

impl Rows {
    pub(super) fn push(&mut self, into: &'static str, cells: Vec<Cell>) {
        self.rows.push(Row { into, cells });
    }

    /// Keeps the rows of the handler that ran.
    pub(super) fn keep(&mut self) {
        self.kept = self.rows.len();
    }

    /// Takes back the rows of the handler that ran.
    pub(super) fn undo(&mut self) {
        self.rows.truncate(self.kept);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes the rows of the handlers that are through.
    pub(super) async fn write_kept(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let own = self.rows.split_off(self.kept);
        let kept = std::mem::replace(&mut self.rows, own);
        self.kept = 0;
        self.write(kept, connection).await
    }

    /// Writes the rows of the handler that runs, behind its savepoint.
    pub(super) async fn write_own(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let own = self.rows.split_off(self.kept);
        self.write(own, connection).await
    }

    /// Fails also if an earlier write of this transaction has failed or was given up: its rows are lost.
    async fn write(
        &mut self,
        rows: Vec<Row>,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        if self.broken {
            return Err(sqlx::Error::Protocol(
                "an earlier write of this transaction has failed".to_owned(),
            ));
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.broken = true;
        let mut groups = grouped(rows);
        for size in SIZES {
            while groups.iter().any(|(_, rows)| rows.len() >= size) {
                write_some(&mut groups, size, connection).await?;
            }
        }
        self.broken = false;
        Ok(())
    }
}

/// The rows by what they are inserted into, in order.
fn grouped(rows: Vec<Row>) -> Vec<(&'static str, Vec<Vec<Cell>>)> {
    let mut groups: Vec<(&'static str, Vec<Vec<Cell>>)> = Vec::new();
    for row in rows {
        let same = groups.iter_mut().find(|(into, rows)| {
            *into == row.into
                && rows
                    .first()
                    .is_none_or(|first| first.len() == row.cells.len())
        });
        match same {
            Some((_, rows)) => rows.push(row.cells),
            None => groups.push((row.into, vec![row.cells])),
        }
    }
    groups
}

/// Writes `size` rows of each group that has so many, with one statement text.
async fn write_some(
    groups: &mut [(&'static str, Vec<Vec<Cell>>)],
    size: usize,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let mut text = String::new();
    let mut taken = Vec::new();
    for (into, rows) in groups.iter_mut().filter(|(_, rows)| rows.len() >= size) {
        let row = format!(
            "({})",
            vec!["?"; rows.first().map_or(0, Vec::len)].join(",")
        );
        text.push_str(into);
        text.push_str(" VALUES ");
        text.push_str(&vec![row.as_str(); size].join(","));
        text.push(';');
        taken.extend(rows.drain(..size).flatten());
    }
    let mut insert = sqlx::query(AssertSqlSafe(text));
    for cell in taken {
        insert = match cell {
            Cell::Null => insert.bind(None::<i64>),
            Cell::Integer(value) => insert.bind(value),
            Cell::Real(value) => insert.bind(value),
            Cell::Text(value) => insert.bind(value),
            Cell::Blob(value) => insert.bind(value),
        };
    }
    insert.execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Memory, Remembered, SqliteMemory};
    use super::*;

    const INTO: &str = "INSERT INTO thing (name, place)";

    async fn memory(dir: &tempfile::TempDir) -> SqliteMemory {
        let mut memory = SqliteMemory::open(dir.path().join("m.db")).await.unwrap();
        let table =
            "CREATE TABLE IF NOT EXISTS thing (name TEXT NOT NULL UNIQUE, place INTEGER) STRICT";
        memory.prepare(table).await.unwrap();
        memory
    }

    fn insert(memory: &mut SqliteMemory, name: impl Into<Cell>, place: i64) {
        let row = vec![name.into(), place.into()];
        memory.tx().sqlite_insert(INTO, row).unwrap();
    }

    async fn names(memory: &mut SqliteMemory) -> Vec<String> {
        memory.begin(&[], &[]).await.unwrap();
        let names = sqlx::query_scalar("SELECT name FROM thing ORDER BY rowid")
            .fetch_all(memory.tx().sqlite().await.unwrap())
            .await
            .unwrap();
        memory.rollback().await;
        names
    }

    #[tokio::test]
    async fn rows_of_many_commands_are_there_after_the_commit_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = memory(&dir).await;
        let expected: Vec<String> = (0..151).map(|n| format!("n{n}")).collect();
        memory.begin(&[], &[]).await.unwrap();
        for name in &expected {
            insert(&mut memory, name.as_str(), 1);
            memory.keep().await.unwrap();
        }
        memory.commit().await.unwrap();
        assert_eq!(names(&mut memory).await, expected);
    }

    #[tokio::test]
    async fn a_command_that_is_taken_back_takes_its_rows_along_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = memory(&dir).await;
        memory.begin(&[], &[]).await.unwrap();
        insert(&mut memory, "kept", 1);
        memory.keep().await.unwrap();
        insert(&mut memory, "taken back", 2);
        memory.undo().await.unwrap();
        insert(&mut memory, "taken back after it was written", 3);
        memory.tx().sqlite().await.unwrap();
        memory.undo().await.unwrap();
        insert(&mut memory, "kept too", 4);
        memory.keep().await.unwrap();
        memory.commit().await.unwrap();
        assert_eq!(names(&mut memory).await, ["kept", "kept too"]);
    }

    #[tokio::test]
    async fn whoever_asks_for_the_connection_sees_all_rows_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = memory(&dir).await;
        memory.begin(&[], &[]).await.unwrap();
        insert(&mut memory, "of another", 1);
        memory.keep().await.unwrap();
        insert(&mut memory, "of its own", 2);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thing")
            .fetch_one(memory.tx().sqlite().await.unwrap())
            .await
            .unwrap();
        memory.rollback().await;
        assert_eq!(count, 2);
        assert!(names(&mut memory).await.is_empty());
    }

    #[tokio::test]
    async fn nothing_can_be_committed_once_a_row_was_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = memory(&dir).await;
        memory.begin(&[], &["a"]).await.unwrap();
        insert(&mut memory, "one", 1);
        memory.keep().await.unwrap();
        insert(&mut memory, Cell::Null, 2);
        memory.keep().await.unwrap();
        assert!(memory.tx().sqlite().await.is_err());
        memory.undo().await.unwrap();
        let entry = Entry::Begun;
        let key = "a";
        assert!(
            memory
                .remember(&[Remembered { key, entry: &entry }], 1)
                .await
                .is_err()
        );
        assert!(memory.commit().await.is_err());
        memory.rollback().await;
        assert!(names(&mut memory).await.is_empty());
        assert!(memory.begin(&[], &["a"]).await.unwrap().is_empty());
        memory.rollback().await;
    }
}
