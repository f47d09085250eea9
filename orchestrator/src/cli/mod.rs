//! The command line.
//!
//! A command is a plain function: it may block (Kafka's administration, a registry), and enters the async world only
//! to talk to the store or to serve.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `args.rs`, `args_kafka.rs` | every command with its help |
//! | `run.rs` | from arguments to a command, from its answer to an exit code |
//! | `error.rs` | what went wrong and what helps |
//! | `answer.rs`, `text.rs` | what is printed: text for people, JSON for programs |
//! | `context.rs` | the configuration in use: Kafka, store, codec |
//! | `act.rs` … `worker.rs` | one file a command |

mod act;
mod answer;
mod args;
mod args_kafka;
mod bench;
mod bench_broker;
mod broker;
mod changes;
mod check;
mod config;
mod context;
mod dead_letters;
mod decide;
mod demo;
mod error;
mod explain;
mod graph;
mod groups;
mod groups_change;
mod list;
mod new;
mod patience;
mod point;
mod publish;
mod record_read;
mod record_write;
mod records;
mod records_find;
mod run;
mod serve;
mod show;
mod show_waits;
mod start;
mod test;
mod test_report;
mod text;
mod topics;
mod topics_change;
mod topics_show;
mod worker;

pub use run::main;
