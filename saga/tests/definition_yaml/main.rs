//! Definitions as they are written: what is read, what is refused and where, what names them, and
//! how they are written again.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `reading.rs` | what a text means, and what may be left out |
//! | `refused.rs` | what is refused: its code, its line, its words |
//! | `verbs.rs` | what is refused in each verb, and where in steps inside steps |
//! | `telling.rs` | how it is told |
//! | `limits.rs` | what a definition may hold at most |
//! | `files.rs` | contracts and schemas, and definitions as one text |
//! | `hash.rs` | what the hash is of |
//! | `both_ways.rs`, `examples.rs` | each construct, in YAML and in Rust |
//! | `builder.rs` | what the builder refuses |
//! | `drawn.rs` | canonical YAML of random structures |
//! | `editor.rs`, `shape.rs` | the JSON Schema of the language, and what it says of the examples |

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a drawn seed is printed"
)]

mod both_ways;
mod builder;
mod drawn;
mod editor;
mod examples;
mod files;
mod hash;
mod limits;
mod reading;
mod refused;
mod shape;
mod telling;
mod verbs;

use backstitch_saga::definition::{Definition, Do, Verb};

const ORDER: &str = include_str!("../../../orchestrator/definitions/order.yaml");

fn read(source: &str) -> Definition {
    Definition::from_yaml(source).unwrap_or_else(|found| {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        panic!("{}", shown.join("\n"))
    })
}

fn activity(definition: &Definition, step: usize) -> &Do {
    let Verb::Do(done) = &definition.steps[step].verb else {
        panic!("step {step} asks no worker")
    };
    done
}

/// A definition around one step, which begins on line 3.
fn around(step: &str) -> String {
    format!("saga: s\nsteps:\n{step}\n")
}
