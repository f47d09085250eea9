//! How the file is laid out, and how a file of an earlier layout is brought to this one.
//!
//! Migrations go forward only. Each is one SQL transaction together with its number, so a crash leaves the file at the
//! one layout or at the other.

use rusqlite::Connection;

use super::failpoint::{Point, reach};
use super::ledger::now_ms;

/// The layout this version writes.
pub(crate) const LAYOUT: i64 = 4;
/// A file of an earlier version is rebuilt, so that it can shrink from then on, when no more than this is in it.
const REBUILD_BYTES_MAX: i64 = 64 << 20;

/// What `partition`, `horizon` and the times of layout 2 are for is told in `cleaner` and `expiry`; what a batch has of a
/// segment, and `segment` itself, in `segments`.
const SCHEMA: &str = "
create table setting (name text primary key, value text not null) strict, without rowid;
create table topic (id integer primary key autoincrement, name text not null unique, uuid text not null) strict;
create table topic_config (topic integer not null, name text not null, value text not null, primary key (topic, name)) strict, without rowid;
create table partition (id integer primary key autoincrement, topic integer not null, position integer not null,
    start integer not null, compacted integer not null default 0, unique (topic, position)) strict;
create table batch (id integer primary key, last_offset integer not null, max_timestamp integer not null, bytes blob not null,
    segment integer, position integer, length integer) strict;
create table horizon (batch integer primary key, due_ms integer not null) strict;
create table producer (partition integer not null, producer_id integer not null, epoch integer not null, taken blob not null,
    touched_ms integer not null, primary key (partition, producer_id)) strict, without rowid;
create table group_offset (group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, committed_ms integer not null default 0,
    primary key (group_id, topic, position)) strict, without rowid;
create table txn (id text primary key, producer_id integer not null, epoch integer not null, timeout_ms integer not null,
    started_ms integer, touched_ms integer not null default 0) strict, without rowid;
create table txn_partition (txn text not null, partition integer not null, first_offset integer, primary key (txn, partition)) strict, without rowid;
create table txn_offset (txn text not null, group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, primary key (txn, group_id, topic, position)) strict, without rowid;
create table aborted (partition integer not null, marker_offset integer not null, producer_id integer not null,
    first_offset integer not null, primary key (partition, marker_offset)) strict, without rowid;
";

/// From layout 1: what the cleaner notes, and since when offsets and transactional ids have rested. They count from now.
const FROM_1: &str = "
alter table partition add column compacted integer not null default 0;
create table horizon (batch integer primary key, due_ms integer not null) strict;
alter table group_offset add column committed_ms integer not null default 0;
alter table txn add column touched_ms integer not null default 0;
";

/// From layout 2: where a batch is whose bytes are in a segment.
const FROM_2: &str = "
alter table batch add column segment integer;
alter table batch add column position integer;
alter table batch add column length integer;
";

/// `live`: bytes of the batches that are in a segment. Whoever puts one in counts it; what takes one out is counted by what
/// happens to its row.
///
/// `indexed`: up to which of its bytes the file names all that a segment has; the largest number where it gets no more.
const SEGMENTS: &str = "
create table segment (id integer primary key autoincrement, live integer not null,
    indexed integer not null default 9223372036854775807) strict;
create trigger batch_gone after delete on batch when old.segment is not null begin
    update segment set live = live - old.length where id = old.segment;
end;
create trigger batch_moved after update of segment on batch when old.segment is not null begin
    update segment set live = live - old.length where id = old.segment;
end;
";

/// From layout 3: no segment of before has anything that the file does not name.
const FROM_3: &str = "
alter table segment add column indexed integer not null default 9223372036854775807;
";

/// Why the file cannot be used as it is.
#[derive(Debug)]
pub(crate) enum LayoutError {
    /// A later version wrote it.
    Unknown(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for LayoutError {
    fn from(error: rusqlite::Error) -> LayoutError {
        LayoutError::Sqlite(error)
    }
}

/// Lays out a new file, or brings an earlier one to this layout.
pub(crate) fn lay_out(db: &Connection) -> Result<(), LayoutError> {
    let found = db.query_row("pragma user_version", [], |row| row.get(0))?;
    let steps = match found {
        0 => format!("{SCHEMA} {SEGMENTS}"),
        1 => {
            let now = now_ms();
            format!(
                "{FROM_1} update group_offset set committed_ms = {now}; update txn set touched_ms = {now};
                 {FROM_2} {SEGMENTS}"
            )
        }
        2 => format!("{FROM_2} {SEGMENTS}"),
        3 => FROM_3.to_owned(),
        LAYOUT => return Ok(()),
        found => return Err(LayoutError::Unknown(found)),
    };
    db.execute_batch(&format!(
        "begin immediate; {steps} pragma user_version = {LAYOUT};"
    ))?;
    if found != 0 {
        tracing::info!(
            from = found,
            to = LAYOUT,
            "embedded broker: the file is brought to a new layout"
        );
    }
    reach(Point::LaidOut)?;
    Ok(db.execute_batch("commit")?)
}

/// Whether deleted pages can be given back while the broker serves. Only a rebuild can change that of a file: a small
/// one is rebuilt here, a large one is served as it is.
pub(crate) fn make_shrinkable(db: &Connection) -> rusqlite::Result<bool> {
    let number = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
    if number("pragma auto_vacuum")? != 0 {
        return Ok(true);
    }
    let pages = number("pragma page_count")? - number("pragma freelist_count")?;
    if pages * number("pragma page_size")? > REBUILD_BYTES_MAX {
        tracing::warn!(
            file = db.path().unwrap_or_default(),
            "embedded broker: this file was made by an earlier version and does not get smaller, its free pages are used \
             again; to let it shrink, stop the broker and run: sqlite3 FILE 'pragma auto_vacuum = incremental; vacuum'"
        );
        return Ok(false);
    }
    // Without the room for a second copy, it is served as it is as well.
    let rebuilt = reach(Point::Rebuilding)
        .and_then(|()| db.execute_batch("pragma auto_vacuum = incremental; vacuum"));
    match rebuilt {
        Ok(()) => Ok(true),
        Err(error) => {
            tracing::warn!(%error, "embedded broker: the file could not be rebuilt, and does not get smaller");
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first version laid out.
    const LAYOUT_1: &str = "
create table setting (name text primary key, value text not null) strict, without rowid;
create table topic (id integer primary key autoincrement, name text not null unique, uuid text not null) strict;
create table topic_config (topic integer not null, name text not null, value text not null, primary key (topic, name)) strict, without rowid;
create table partition (id integer primary key autoincrement, topic integer not null, position integer not null,
    start integer not null, unique (topic, position)) strict;
create table batch (id integer primary key, last_offset integer not null, max_timestamp integer not null, bytes blob not null) strict;
create table producer (partition integer not null, producer_id integer not null, epoch integer not null, taken blob not null,
    touched_ms integer not null, primary key (partition, producer_id)) strict, without rowid;
create table group_offset (group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, primary key (group_id, topic, position)) strict, without rowid;
create table txn (id text primary key, producer_id integer not null, epoch integer not null, timeout_ms integer not null,
    started_ms integer) strict, without rowid;
create table txn_partition (txn text not null, partition integer not null, first_offset integer, primary key (txn, partition)) strict, without rowid;
create table txn_offset (txn text not null, group_id text not null, topic text not null, position integer not null, committed integer not null,
    leader_epoch integer not null, metadata text not null, primary key (txn, group_id, topic, position)) strict, without rowid;
create table aborted (partition integer not null, marker_offset integer not null, producer_id integer not null,
    first_offset integer not null, primary key (partition, marker_offset)) strict, without rowid;
";

    fn columns(db: &Connection) -> Vec<(String, String, String)> {
        let mut find = db
            .prepare(
                "select tables.name, columns.name, columns.type from sqlite_schema tables, pragma_table_info(tables.name) columns
                 where tables.type = 'table' and tables.name not like 'sqlite_%' order by tables.name, columns.name",
            )
            .unwrap();
        let rows = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let mut columns: Vec<_> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        let mut find = db
            .prepare("select name, tbl_name, sql from sqlite_schema where type = 'trigger' order by name")
            .unwrap();
        let triggers = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        columns.extend(triggers.unwrap().map(Result::unwrap));
        columns
    }

    fn count(db: &Connection, query: &str) -> i64 {
        db.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn old_file(path: &std::path::Path, layout: i64) -> Connection {
        let db = Connection::open(path).unwrap();
        db.execute_batch(&format!(
            "pragma journal_mode = wal; begin; {LAYOUT_1} pragma user_version = 1; commit;
             insert into batch values (1, 0, 5, zeroblob(100000)), (2, 1, 6, x'02');
             insert into group_offset values ('readers', 'orders', 0, 7, 0, 'note');
             insert into txn values ('writer', 1000, 0, 60000, null);"
        ))
        .unwrap();
        if layout >= 2 {
            db.execute_batch(&format!(
                "{FROM_1} update group_offset set committed_ms = {}; pragma user_version = 2",
                now_ms()
            ))
            .unwrap();
        }
        if layout >= 3 {
            let segments = SEGMENTS.replace(
                ",\n    indexed integer not null default 9223372036854775807",
                "",
            );
            db.execute_batch(&format!(
                "{FROM_2} {segments} insert into segment values (1, 7); pragma user_version = 3"
            ))
            .unwrap();
        }
        db
    }

    #[test]
    fn an_earlier_file_keeps_its_rows_gets_the_columns_of_a_new_one_and_can_shrink() {
        let folder = tempfile::tempdir().unwrap();
        let new = Connection::open(folder.path().join("new.db")).unwrap();
        lay_out(&new).unwrap();
        for layout in [1, 2, 3] {
            let old = old_file(&folder.path().join(format!("old-{layout}.db")), layout);
            lay_out(&old).unwrap();
            assert!(make_shrinkable(&old).unwrap());
            assert_eq!(columns(&old), columns(&new), "{layout}");
            assert_eq!(count(&old, "pragma user_version"), LAYOUT);
            assert_eq!(count(&old, "pragma auto_vacuum"), 2);
            assert_eq!(count(&old, "select sum(length(bytes)) from batch"), 100_001);
            let aged = "select count(*) from group_offset where committed = 7 and committed_ms > 1600000000000";
            assert_eq!(count(&old, aged), 1, "its offsets rest since now");
            let open = "select count(*) from segment where indexed < 9223372036854775807";
            assert_eq!(count(&old, open), 0, "its segments get no more");
            lay_out(&old).unwrap();
            assert_eq!(
                columns(&old),
                columns(&new),
                "a second time nothing happens"
            );
        }
    }

    #[test]
    fn a_migration_that_is_cut_off_leaves_the_earlier_layout_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let before = columns(&old_file(&path, 1));
        let cut = Connection::open(&path).unwrap();
        cut.execute_batch(&format!("begin immediate; {FROM_1}"))
            .unwrap();
        drop(cut); // As a kill does, it leaves the transaction without its commit.
        let db = Connection::open(&path).unwrap();
        assert_eq!(
            (columns(&db), count(&db, "pragma user_version")),
            (before, 1)
        );
        lay_out(&db).unwrap();
        assert_eq!(count(&db, "pragma user_version"), LAYOUT);
    }

    #[test]
    fn a_file_of_a_later_version_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!("pragma user_version = {}", LAYOUT + 1))
            .unwrap();
        assert!(matches!(lay_out(&db), Err(LayoutError::Unknown(found)) if found == LAYOUT + 1));
    }
}
