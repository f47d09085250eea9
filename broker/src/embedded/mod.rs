//! The embedded broker: a durable Kafka endpoint over a SQLite file and files of records, on loopback, inside the process.
//!
//! | layer | files |
//! | --- | --- |
//! | door | `config`, `error`, `server` (start, stop, accept), `listen` |
//! | wire | `connection` (order of answers), `frame` (requests off the wire), `outlet` (answers onto it), `lent` (records onto it from their files), `vectored` (pieces), `memory` (what they may hold), `protocol` (versions, dispatch), `shape` (requests that claim too much) |
//! | requests | `produce`, `fetch` with `fetched`, `list_offsets`, `metadata`, `offsets`, `membership`, `group_admin`, `admin`, `configs` with `broker_settings`, `log_dirs`, `txn_api`, `txn_admin` |
//! | rules | `ranges`, `batch`, `records`, `record_rules`, `codec`, `fold`, `unpacked`, `sequence`, `settings`, `setting_docs`, `policy`, `retention`, `compaction`, `group` with `group_call`, `group_member`, `group_round`: pure |
//! | state | `partition`, `topics` (committed, shared), `coordinator` (groups), `txn` |
//! | file | `writer` (group commit) with `changes`, `checkpoint` (its log), `ledger` with `ledger_load`, `topic_change`, `swap` (the writer's view), `layout`, `storage` (lock, cold reads), `segments` with `segment_file`, `open_files`, `appender` (records beside it), `ahead` (what they have before it) |
//! | cleaning | `cleaner` (rounds, retention) woken by `news`, `sweeper` (compaction), `expiry` (offsets, producers), `mover` (segments), `space` (pages, log), `spare` (a full disk) |
//! | tests | `failpoint` (where a test lets the broker die or its file refuse; in no release) |
//!
//! A change goes through `writer`: it is made in `ledger`, committed with all others that wait, and only then shown to
//! readers and acknowledged. It is for one machine: no replication, no TLS, no access control.

mod admin;
mod ahead;
#[cfg(test)]
mod ahead_tests;
mod appender;
mod batch;
mod broker;
mod broker_settings;
mod changes;
mod checkpoint;
mod cleaner;
mod codec;
mod compaction;
mod config;
mod configs;
mod connection;
mod coordinator;
mod error;
mod expiry;
mod failpoint;
mod fetch;
mod fetched;
mod fold;
mod frame;
#[cfg(test)]
mod fuzz_draw;
#[cfg(test)]
mod fuzz_tests;
mod group;
mod group_admin;
mod group_call;
mod group_member;
mod group_round;
#[cfg(test)]
mod group_tests;
mod layout;
mod ledger;
mod ledger_load;
mod lent;
#[cfg(test)]
mod lent_tests;
mod list_offsets;
mod listen;
#[cfg(test)]
mod listing_tests;
mod log_dirs;
mod membership;
mod memory;
mod metadata;
mod mover;
mod news;
mod offsets;
mod open_files;
mod outlet;
mod partition;
mod policy;
mod produce;
#[cfg(test)]
mod produce_tests;
mod protocol;
#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod quota_tests;
mod ranges;
mod record_rules;
mod records;
mod retention;
mod segment_file;
#[cfg(test)]
mod segment_tests;
mod segments;
mod sequence;
mod server;
mod setting_docs;
mod settings;
mod shape;
mod space;
mod spare;
mod storage;
mod swap;
mod sweeper;
mod topic_change;
mod topics;
mod txn;
mod txn_admin;
mod txn_api;
mod unpacked;
mod vectored;
mod waker;
mod writer;

pub use config::EmbeddedConfig;
pub use error::EmbeddedError;
#[cfg(feature = "failpoints")]
pub use failpoint::{Does, Failpoint, Point, arm, disarm, reached, wait_for};
pub use server::EmbeddedBroker;
