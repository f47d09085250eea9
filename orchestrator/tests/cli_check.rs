//! `check` and `explain`, as a user runs them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PAY: &str = "saga: pay
input: schemas/order.avsc
start: { topic: orders, key: event.order_id }
steps:
  - do: charge-card
    with: { amount: =event.total }
    undo: yes
  - run: ship
    with: { order_id: =event.order_id }
";

const SHIP: &str = "saga: ship
steps:
  - do: book-carrier
    undo: yes
";

const ORDER: &str = r#"{ "type": "record", "name": "Order", "fields": [
  { "name": "order_id", "type": "string" }, { "name": "total", "type": "long" } ] }"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The exit code, and what it says on stdout and stderr.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_backstitch"))
        .current_dir(folder)
        .env_clear()
        .args(args)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn json(folder: &Path, args: &[&str]) -> (i32, Value) {
    let (code, out, err) = run(folder, &[args, &["--json"]].concat());
    (
        code,
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")),
    )
}

#[test]
fn schemas_are_read_from_beside_the_definition() {
    let folder = folder(&[
        ("sagas/pay.yaml", &PAY.replace("event.total", "event.totl")),
        ("sagas/schemas/order.avsc", ORDER),
    ]);
    let (code, out, _) = run(folder.path(), &["check", "sagas/pay.yaml"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("error[BS0301]: `event` has no field `totl`"),
        "{out}"
    );
    assert!(out.contains("┌─ sagas/pay.yaml:6:28"), "{out}");
    assert!(out.contains("= did you mean `total`?"), "{out}");
}

#[test]
fn files_that_run_each_other_are_checked_together() {
    let folder = folder(&[
        ("pay.yaml", PAY),
        ("ship.yaml", SHIP),
        ("schemas/order.avsc", ORDER),
    ]);
    let (code, out, _) = run(folder.path(), &["check", "pay.yaml", "ship.yaml"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches("ok: ").count(), 2, "{out}");
    let other = SHIP.replace("saga: ship", "saga: shop");
    std::fs::write(folder.path().join("ship.yaml"), other).unwrap();
    let (code, answer) = json(folder.path(), &["check", "pay.yaml", "ship.yaml"]);
    assert_eq!(code, 0);
    let told = &answer["files"][0]["diagnostics"][0];
    assert_eq!(
        (&told["code"], &told["severity"]),
        (&"BS0228".into(), &"warning".into())
    );
    assert_eq!((&told["line"], &told["column"]), (&8.into(), &10.into()));
    assert_eq!(told["help"], "did you mean `shop`?");
}

#[test]
fn warnings_end_with_1_where_they_are_denied() {
    let wait = "saga: w\nsteps:\n  - wait: paid\n    topic: payments\n    key: message.id\n";
    let folder = folder(&[("wait.yaml", wait)]);
    let (code, out, _) = run(folder.path(), &["check", "wait.yaml"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("warning[BS0219]") && out.contains("ok: wait.yaml"),
        "{out}"
    );
    let (code, out, _) = run(folder.path(), &["check", "--deny-warnings", "wait.yaml"]);
    assert_eq!(code, 1);
    assert!(out.contains("warnings are denied: wait.yaml"), "{out}");
    let (code, answer) = json(folder.path(), &["check", "--deny-warnings", "wait.yaml"]);
    assert_eq!((code, &answer["ok"]), (1, &false.into()));
}

#[test]
fn a_version_is_held_against_an_older_one() {
    let wider = ORDER.replace(" ] }", ", { \"name\": \"tax\", \"type\": \"long\" } ] }");
    let folder = folder(&[
        ("old/pay.yaml", PAY),
        ("old/schemas/order.avsc", ORDER),
        ("new/pay.yaml", PAY),
        ("new/schemas/order.avsc", &wider),
    ]);
    let against = ["check", "--against", "old/pay.yaml", "new/pay.yaml"];
    let (code, out, _) = run(folder.path(), &against);
    assert_eq!(code, 1);
    assert!(
        out.contains("error[BS0310]: the start event has changed: `.tax`"),
        "{out}"
    );
    let kept = wider.replace("\"long\" } ] }", "\"long\", \"default\": 0 } ] }");
    std::fs::write(folder.path().join("new/schemas/order.avsc"), kept).unwrap();
    let (code, answer) = json(folder.path(), &against);
    assert_eq!(code, 0, "{answer}");
    let told = answer["files"][0]["in_flight"].as_array().unwrap();
    assert!(
        told[1]
            .as_str()
            .unwrap()
            .starts_with("no saga in flight is affected"),
        "{told:?}"
    );
    let (code, _, err) = run(
        folder.path(),
        &[
            "check",
            "--against",
            "old/pay.yaml",
            "new/pay.yaml",
            "old/pay.yaml",
        ],
    );
    assert_eq!(code, 2, "{err}");
}

#[test]
fn each_code_is_explained() {
    let folder = folder(&[]);
    let (code, out, _) = run(folder.path(), &["explain", "bs0207"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("BS0207: a step may have run"), "{out}");
    assert!(
        out.contains("Wrong:\n\n    saga: ") && out.contains("Right:\n\n    saga: "),
        "{out}"
    );
    let (_, list, _) = run(folder.path(), &["explain"]);
    assert!(
        list.lines().count() > 40 && list.contains("BS0310  "),
        "{list}"
    );
    let (code, _, err) = run(folder.path(), &["explain", "BS9999"]);
    assert_eq!(code, 3);
    assert!(err.contains("there is no code BS9999"), "{err}");
}
