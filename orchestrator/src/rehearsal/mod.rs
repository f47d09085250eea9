//! Rehearsals: a definition is walked in simulated time, over the real core and the real machine,
//! before it runs.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `rehearse.rs` | a cast with its paths: what plays cases and tests |
//! | `explore.rs` | each path, each thing that can go otherwise on it, alone and in pairs |
//! | `test_file.rs`, `expect.rs` | tests of users, and whether they came as expected |
//! | `notation.rs`, `words.rs` | YAML with places; answers and durations as they are written |
//! | `script.rs` | what goes otherwise than it should, and the names of cases |
//! | `cast.rs`, `values.rs` | the definitions, and the data of a path |
//! | `paths.rs`, `turns.rs` | data with which each branch is taken; which branches there are |
//! | `reading.rs`, `solve.rs`, `sample.rs` | what expressions read; finding values; values that fit a schema |
//! | `run.rs`, `coverage.rs` | one run and what came of it; what was seen at work |
//! | `world.rs`, `outside.rs` | the world of a run, and what happens outside |
//! | `intake.rs` | records of source topics, and the real intake that reads them |
//! | `workers.rs`, `post.rs` | workers with a book of what really happened; records |
//! | `witness.rs`, `judge.rs` | what is checked on the way, and at the end |

mod cast;
mod coverage;
mod expect;
mod explore;
mod intake;
mod judge;
mod notation;
mod outside;
mod paths;
mod post;
mod reading;
mod rehearse;
mod run;
mod sample;
mod script;
mod solve;
mod test_file;
mod turns;
mod values;
mod witness;
mod words;
mod workers;
mod world;

pub use cast::Cast;
pub use coverage::{Coverage, Missed, Share};
pub use expect::{Expect, Tested, Unmet};
pub use explore::{Broken, Explored, Extent, Group, PAIRS_MAX, told};
pub use notation::{Place, Wrong};
pub use paths::Path;
pub use rehearse::Rehearsal;
pub use run::{End, Moment, Run};
pub use script::{Case, Fault};
pub use test_file::Test;

#[cfg(test)]
mod intake_tests;
#[cfg(test)]
mod tests;
