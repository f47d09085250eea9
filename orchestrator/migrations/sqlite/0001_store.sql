-- The whole store: fences and positions, sagas, journal (which is the outbox), definitions.

CREATE TABLE shard (
    id                INTEGER PRIMARY KEY,
    epoch             INTEGER NOT NULL,
    owner             TEXT    NOT NULL,
    inbox_next_offset INTEGER NOT NULL,
    journal_seq       INTEGER NOT NULL,
    published_seq     INTEGER NOT NULL
) STRICT;

CREATE TABLE saga (
    key             TEXT    NOT NULL PRIMARY KEY,
    definition_hash TEXT    NOT NULL,
    shard           INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    wake_at_ms      INTEGER,
    tags            TEXT    NOT NULL,
    parked_reason   TEXT,
    state           BLOB    NOT NULL,
    started_at_ms   INTEGER NOT NULL,
    ended_at_ms     INTEGER
) STRICT;

CREATE INDEX saga_due     ON saga (shard, wake_at_ms, key) WHERE wake_at_ms IS NOT NULL;
CREATE INDEX saga_started ON saga (started_at_ms, key);
CREATE INDEX saga_parked  ON saga (started_at_ms, key) WHERE status = 2;

CREATE TABLE journal (
    shard    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    saga_key TEXT    NOT NULL,
    saga_seq INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    entry    BLOB    NOT NULL,
    PRIMARY KEY (shard, seq)
) STRICT;

-- Rows that belong to no saga are left out: nobody looks for them by saga.
CREATE INDEX journal_saga ON journal (saga_key, saga_seq) WHERE saga_seq > 0;

CREATE TABLE definition (
    hash             TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    source           TEXT    NOT NULL,
    first_seen_at_ms INTEGER NOT NULL
) STRICT;
