//! What a definition may hold at most. Each is refused with its number, never truncated.

pub use crate::expression::limits::*;

/// Size of a definition's text. 1 MiB.
pub const DEFINITION_BYTES_MAX: usize = 1_048_576;

/// Bytes of the files that a definition names, all together. 1 MiB: they are stored with it.
pub const FILES_BYTES_MAX: usize = 1_048_576;

/// Levels of lists and maps in a definition's text. 96: a step in a step takes up to four.
pub const YAML_DEPTH_MAX: usize = 96;

/// Values in a definition's text, each use of an alias counted. 200,000.
pub const YAML_NODES_MAX: usize = 200_000;

/// Steps of a definition. 1,000: they are in the state of each of its sagas.
pub const STEPS_MAX: usize = 1_000;

/// Steps inside each other, the outermost counted. 16.
pub const STEPS_NESTED_MAX: usize = 16;

/// Branches of a `parallel`, and cases of a `choose`. 100: they are in the state side by side.
pub const BRANCHES_MAX: usize = 100;

/// Items of an `each`. 10,000; more are better split into sagas of their own.
pub const ITEMS_MAX: u16 = 10_000;

/// Rounds of a `repeat`. 10,000: each has lines of its own in the ledger.
pub const ROUNDS_MAX: u16 = 10_000;

/// Occurrences of steps that a saga may come to without a warning, items and rounds multiplied.
/// 20,000.
pub const LINES_MAX: u64 = 20_000;

/// Size of a literal in a definition that is sent to someone, as JSON. 64 KiB.
pub const LITERAL_BYTES_MAX: usize = 65_536;

/// Start rules of a definition. 100: each record of their topics is held against them.
pub const START_RULES_MAX: usize = 100;

/// Tags of a definition. 32: each is a search term of each of its sagas.
pub const TAGS_MAX: usize = 32;

/// Characters of a name of a saga, activity, step or tag. 100, so that the topic of an activity
/// stays within Kafka's 249.
pub const NAME_CHARS_MAX: usize = 100;

/// Characters of the name of a topic, as Kafka has it. 249.
pub const TOPIC_CHARS_MAX: usize = 249;

/// Attempts at a step. 1,000,000; a backoff without an end is a deadline's business.
pub const ATTEMPTS_MAX: u32 = 1_000_000;

/// Any duration. 3,650 days, in milliseconds.
pub const DURATION_MS_MAX: u64 = 3_650 * 24 * 60 * 60 * 1_000;

/// Errors that are shown for one definition; the rest is counted. 100.
pub const DIAGNOSTICS_MAX: usize = 100;
