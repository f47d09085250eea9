-- The whole store: fences and positions, sagas, journal (which is the outbox), definitions.
-- Fixed-width columns come first, so that no row carries padding. Keys sort by their bytes, whatever the
-- database's locale: pages then come in the same order from every store.

CREATE TABLE shard (
    epoch             bigint NOT NULL,
    inbox_next_offset bigint NOT NULL,
    journal_seq       bigint NOT NULL,
    published_seq     bigint NOT NULL,
    id                int    PRIMARY KEY,
    owner             text   NOT NULL
) WITH (fillfactor = 50);

-- `parked` follows `status`. An index that named `status` itself, even in its predicate, would make every
-- change of status rewrite every index entry of the row; `parked` changes only when a saga is parked or resumed.
CREATE TABLE saga (
    seq             bigint   NOT NULL,
    started_at_ms   bigint   NOT NULL,
    ended_at_ms     bigint,
    wake_at_ms      bigint,
    shard           int      NOT NULL,
    status          smallint NOT NULL,
    parked          boolean  NOT NULL GENERATED ALWAYS AS (status = 2) STORED,
    key             text     COLLATE "C" PRIMARY KEY,
    definition_hash text     NOT NULL,
    tags            text     NOT NULL,
    parked_reason   text,
    state           bytea    NOT NULL
) WITH (fillfactor = 60);

CREATE INDEX saga_due     ON saga (shard, wake_at_ms, key) WHERE wake_at_ms IS NOT NULL;
CREATE INDEX saga_started ON saga (started_at_ms, key);
CREATE INDEX saga_parked  ON saga (started_at_ms, key) WHERE parked;

CREATE TABLE journal (
    seq      bigint   NOT NULL,
    saga_seq bigint   NOT NULL,
    at_ms    bigint   NOT NULL,
    shard    int      NOT NULL,
    kind     smallint NOT NULL,
    saga_key text     COLLATE "C" NOT NULL,
    entry    bytea    NOT NULL,
    PRIMARY KEY (shard, seq)
);

-- Rows that belong to no saga are left out: nobody looks for them by saga.
CREATE INDEX journal_saga ON journal (saga_key, saga_seq) WHERE saga_seq > 0;

CREATE TABLE definition (
    first_seen_at_ms bigint NOT NULL,
    hash             text   PRIMARY KEY,
    name             text   NOT NULL,
    source           text   NOT NULL
);
