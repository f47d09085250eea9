//! The house's walls: imports go down only, between crates and inside the orchestrator (ARCHITECTURE.md).

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may use of ours, beside its own tests.
const OURS: [(&str, &[&str]); 6] = [
    ("backstitch-saga", &[]),
    ("backstitch-schemas", &[]),
    ("backstitch-broker", &[]),
    (
        "backstitch-workers",
        &["backstitch-schemas", "backstitch-broker"],
    ),
    (
        "backstitch-orchestrator",
        &[
            "backstitch-saga",
            "backstitch-schemas",
            "backstitch-broker",
            "backstitch-workers",
        ],
    ),
    (
        "backstitch-tests",
        &[
            "backstitch-saga",
            "backstitch-schemas",
            "backstitch-broker",
            "backstitch-workers",
            "backstitch-orchestrator",
        ],
    ),
];

/// All that the core may use of others: nothing that reads a clock, a file or a socket.
const PURE: [&str; 6] = [
    "blake3",
    "cel",
    "serde",
    "serde-saphyr",
    "serde_json",
    "thiserror",
];

/// Inside the orchestrator: which modules a module may not name.
const UPWARD: [(&str, &[&str]); 5] = [
    (
        "store",
        &["engine", "cli", "demo", "bench", "config", "telemetry"],
    ),
    ("engine", &["cli", "demo", "bench", "config"]),
    (
        "graph",
        &["store", "engine", "cli", "demo", "bench", "config"],
    ),
    ("demo", &["cli", "bench", "config"]),
    ("rehearsal", &["cli", "demo", "bench", "config"]),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The direct dependencies of each crate, without those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap();
            let used = all.iter().filter(|dependency| dependency["kind"] != "dev");
            (name(package), used.map(name).collect())
        })
        .collect()
}

#[test]
fn crates_use_only_crates_below_them() {
    let found = dependencies();
    let known: BTreeSet<&str> = OURS.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(there, known, "a new crate needs a place in the house");
    for (name, allowed) in OURS {
        let ours = found[name]
            .iter()
            .filter(|used| used.starts_with("backstitch-"));
        let upward: Vec<&String> = ours
            .filter(|used| !allowed.contains(&used.as_str()))
            .collect();
        assert!(upward.is_empty(), "{name} uses {upward:?}");
    }
}

#[test]
fn the_core_uses_nothing_that_does_io() {
    let found = dependencies();
    let used = found["backstitch-saga"].iter().map(String::as_str);
    let other: Vec<&str> = used.filter(|used| !PURE.contains(used)).collect();
    assert!(other.is_empty(), "the core uses {other:?}");
}

#[test]
fn the_core_bans_the_clock_and_chance() {
    let bans = std::fs::read_to_string(top().join("saga/clippy.toml")).unwrap();
    for banned in [
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "std::collections::HashMap",
    ] {
        assert!(bans.contains(banned), "{banned}");
    }
}

#[test]
fn modules_of_the_orchestrator_name_none_above_them() {
    let source = top().join("orchestrator/src");
    let mut wrong = Vec::new();
    let mut lines_read = 0;
    for (module, above) in UPWARD {
        for file in files_of(&source, module) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (index, line) in text.lines().enumerate() {
                lines_read += 1;
                let code = line.split("//").next().unwrap_or_default();
                if let Some(name) = above.iter().find(|name| names(code, name)) {
                    wrong.push(format!(
                        "{}:{} names {name}: {line}",
                        file.display(),
                        index + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lines_read > 1_000, "only {lines_read} lines were read");
}

/// The files of a module: `<module>.rs` and all in `<module>/`.
fn files_of(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = vec![source.join(format!("{module}.rs"))];
    files.retain(|file| file.exists());
    let mut folders = vec![source.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Whether a line of code names a top module of its crate: `crate::cli`, or `crate::{engine, cli}`.
fn names(code: &str, module: &str) -> bool {
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        let listed = rest.strip_prefix('{').map_or_else(
            || vec![rest],
            |list| {
                list.split('}')
                    .next()
                    .unwrap_or_default()
                    .split(',')
                    .collect()
            },
        );
        let is_it = |path: &str| {
            let path = path.trim();
            path.strip_prefix(module)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        if listed.into_iter().any(is_it) {
            return true;
        }
    }
    false
}

#[test]
fn a_line_that_names_a_module_is_seen() {
    for (code, is_seen) in [
        ("use crate::cli::Answer;", true),
        ("use crate::{store, cli};", true),
        ("    crate::cli::main()", true),
        ("use crate::client::Answer;", false),
        ("use super::cli_like;", false),
        ("use crate::{store, client};", false),
    ] {
        assert_eq!(names(code, "cli"), is_seen, "{code}");
    }
}
