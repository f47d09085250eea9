//! The command line without anything running: configuration, help, exit codes, checking definitions.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic where its world is broken"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The command in a folder of its own, without the variables of whoever runs the test.
fn backstitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTITCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn shown(command: &mut Command) -> Value {
    let (code, out, err) = run(command.args(["config", "show", "--json"]));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn folder_with(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("backstitch.toml"), file).unwrap();
    folder
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "
        [engine]
        closing = \"1s\"
        horizon = \"2m\"
        store_wait = \"70ms\"
        [kafka.settings]
        \"ssl.ca.location\" = \"/ca.pem\"
        socket.timeout.ms = 5000
        [definitions]
        files = [\"a.yaml\", \"b.yaml\"]
    ";
    let folder = folder_with(file);
    let shown = shown(
        backstitch(folder.path())
            .env("BACKSTITCH_ENGINE__CLOSING", "2s")
            .env("BACKSTITCH_ENGINE__HORIZON", "3m")
            .env("BACKSTITCH_SCHEMAS__FILES", "c.avsc, d.avsc")
            .env("BACKSTITCH_KAFKA__SETTINGS__SECURITY_PROTOCOL", "ssl")
            .args(["--set", "engine.closing=4s", "--prefix", "acme.eu"]),
    );
    let line = |key: &str| {
        (
            shown[key]["value"].clone(),
            shown[key]["origin"].as_str().unwrap().to_owned(),
        )
    };
    for (key, value, origin) in [
        ("engine.closing", Value::from("4s"), "flag --set"),
        ("kafka.prefix", Value::from("acme.eu"), "flag --prefix"),
        (
            "engine.horizon",
            Value::from("3m"),
            "env BACKSTITCH_ENGINE__HORIZON",
        ),
        (
            "engine.store_wait",
            Value::from("70ms"),
            "file backstitch.toml",
        ),
        (
            "kafka.settings.ssl.ca.location",
            Value::from("/ca.pem"),
            "file backstitch.toml",
        ),
        (
            "kafka.settings.socket.timeout.ms",
            Value::from("5000"),
            "file backstitch.toml",
        ),
        (
            "kafka.settings.security.protocol",
            Value::from("ssl"),
            "env BACKSTITCH_KAFKA__SETTINGS__SECURITY_PROTOCOL",
        ),
        (
            "definitions.files",
            Value::from(vec!["a.yaml", "b.yaml"]),
            "file backstitch.toml",
        ),
        (
            "schemas.files",
            Value::from(vec!["c.avsc", "d.avsc"]),
            "env BACKSTITCH_SCHEMAS__FILES",
        ),
        ("embedded.port", Value::from(9092), "default"),
    ] {
        assert_eq!(line(key), (value, origin.to_owned()), "{key}");
    }
}

#[test]
fn a_secret_may_lie_in_a_file_and_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    std::fs::write(&url, "postgres://ann:hunter2@db/sagas\n").unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let mut command = backstitch(folder.path());
    command
        .env("BACKSTITCH_STORE__URL_FILE", &url)
        .env("BACKSTITCH_KAFKA__SETTINGS__SASL_PASSWORD_FILE", &password);
    let shown = shown(&mut command);
    assert_eq!(shown["store.url"]["value"], "postgres://ann:…@db/sagas");
    assert_eq!(
        shown["store.url"]["origin"],
        format!("env BACKSTITCH_STORE__URL_FILE, file {}", url.display())
    );
    assert_eq!(shown["kafka.settings.sasl.password"]["value"], "…");

    let (code, _, err) = run(backstitch(folder.path())
        .env("BACKSTITCH_STORE__URL_FILE", "nowhere")
        .args(["config", "show"]));
    assert_eq!(code, 2);
    assert!(
        err.contains("cannot read nowhere, which BACKSTITCH_STORE__URL_FILE names"),
        "{err}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_its_nearest_neighbour() {
    let folder = folder_with("[store]\nulr = \"memory://\"\n");
    let (code, out, err) = run(backstitch(folder.path()).args(["config", "show"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("error: there is no key `store.ulr` (file backstitch.toml)"),
        "{err}"
    );
    assert!(err.contains("help: did you mean `store.url`?"), "{err}");

    let bare = tempfile::tempdir().unwrap();
    for (name, meant) in [
        ("BACKSTITCH_STORE__ULR", "BACKSTITCH_STORE__URL"),
        ("BACKSTITCH_STORE_URL", "BACKSTITCH_STORE__URL"),
        (
            "BACKSTITCH_KAFKA__SECURITY__PROTOCOL",
            "BACKSTITCH_KAFKA__SETTINGS__SECURITY_PROTOCOL",
        ),
    ] {
        let (code, _, err) = run(backstitch(bare.path()).env(name, "x").args(["list"]));
        assert_eq!(code, 2, "{name}");
        assert!(err.contains(&format!("(env {name})")), "{err}");
        assert!(err.contains(&format!("did you mean {meant}?")), "{err}");
    }

    let (code, _, err) = run(backstitch(bare.path()).args(["list", "--set", "nothing.like.it=1"]));
    assert_eq!(code, 2);
    assert!(
        err.contains("(flag --set)") && err.contains("config keys"),
        "{err}"
    );
}

#[test]
fn variables_that_others_put_there_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    // As Kubernetes does for a service named `backstitch`.
    let (code, _, err) = run(backstitch(folder.path())
        .env("BACKSTITCH_SERVICE_HOST", "10.0.0.1")
        .env("BACKSTITCH_PORT_9092_TCP_ADDR", "10.0.0.1")
        .args(["config", "show"]));
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_value_that_a_key_cannot_have_is_refused_and_a_secret_one_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for (set, expected) in [
        ("embedded.port=0", "number, 1 to 65535"),
        ("embedded.port=many", "number, 1 to 65535"),
        ("engine.closing=3", "duration, 10ms to 1m"),
        ("engine.batch_bytes_max=4MB", "size, at least 1KiB"),
        ("telemetry.log_format=xml", "text or json"),
        ("engine.publishes_journal=perhaps", "true or false"),
        ("kafka.prefix=Shop_EU", "a-z, 0-9, dot and hyphen"),
    ] {
        let (code, _, err) = run(backstitch(folder.path()).args(["config", "show", "--set", set]));
        assert_eq!(code, 2, "{set}");
        assert!(err.contains(expected), "{set}: {err}");
        assert!(err.contains("(flag --set)"), "{set}: {err}");
    }
    let secret = folder_with("[schemas]\nregistry_password = [\"hunter2\"]\n");
    let (code, _, err) = run(backstitch(secret.path()).args(["config", "show"]));
    assert_eq!(code, 2);
    assert!(
        err.contains("schemas.registry_password") && !err.contains("hunter2"),
        "{err}"
    );

    let broken = folder_with("[store\nurl = 1\n");
    let (code, _, err) = run(backstitch(broken.path()).args(["config", "show"]));
    assert_eq!(code, 2);
    assert!(
        err.contains("backstitch.toml is no TOML") && err.contains("line 1"),
        "{err}"
    );
}

#[test]
fn every_key_is_listed_with_its_default_and_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = run(backstitch(folder.path()).args(["config", "keys", "--json"]));
    assert_eq!(code, 0);
    let keys: Vec<Value> = serde_json::from_str(&out).unwrap();
    let port = keys
        .iter()
        .find(|key| key["key"] == "embedded.port")
        .unwrap();
    assert_eq!(port["default"], 9092);
    assert_eq!(port["env"], "BACKSTITCH_EMBEDDED__PORT");
    for key in &keys {
        let variable = key["env"].as_str().unwrap();
        if variable.ends_with("__NAME") {
            continue;
        }
        // The default, given by the variable, is accepted and means the same.
        let default = &key["default"];
        let default = if default.is_array() {
            String::new()
        } else {
            default
                .as_str()
                .map_or_else(|| default.to_string(), str::to_owned)
        };
        let shown = shown(backstitch(folder.path()).env(variable, &default));
        let name = key["key"].as_str().unwrap();
        assert_eq!(shown[name]["value"], key["default"], "{name}");
        assert_eq!(shown[name]["origin"], format!("env {variable}"), "{name}");
    }
}

#[test]
fn a_definition_is_checked_and_a_wrong_one_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/definitions/order.yaml");
    let (code, out, _) = run(backstitch(folder.path()).args(["check", good]));
    assert_eq!(code, 0);
    assert!(out.contains("defines process-order, 4 steps"), "{out}");

    let bad = folder.path().join("bad.yaml");
    let source = std::fs::read_to_string(good).unwrap();
    let wrong = source
        .replace("saga: process-order", "saga: other-order")
        .replace("do: check-fraud", "do: check fraud");
    std::fs::write(&bad, wrong).unwrap();
    let bad = bad.to_str().unwrap();
    let (code, out, _) = run(backstitch(folder.path()).args(["check", bad, good]));
    assert_eq!(code, 1);
    assert!(
        out.contains("error[BS") && out.contains("bad.yaml:"),
        "{out}"
    );
    assert!(out.contains("defines process-order"), "{out}");
    let (code, out, _) = run(backstitch(folder.path()).args(["check", bad, "--json"]));
    assert_eq!(code, 1);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["files"][0]["diagnostics"][0]["severity"], "error");

    let (code, _, err) = run(backstitch(folder.path()).args(["check", "nowhere.yaml"]));
    assert_eq!(code, 3);
    assert!(err.starts_with("error: cannot read nowhere.yaml"), "{err}");
}

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let folder = folder_with("[embedded]\nport = 1\n");
    let (code, _, err) = run(backstitch(folder.path()).args(["list"]));
    assert_eq!(code, 3);
    assert!(
        err.contains("there is no store yet") && err.contains("backstitch dev"),
        "{err}"
    );
    assert!(!folder.path().join(".backstitch").exists());

    let (code, _, err) = run(backstitch(folder.path()).args(["topics", "apply"]));
    assert_eq!(code, 1);
    assert!(err.contains("error: no Kafka"), "{err}");
    assert!(
        err.contains("set kafka.bootstrap_servers, or start `backstitch dev` or `backstitch broker` in another"),
        "{err}"
    );

    let (code, _, err) = run(backstitch(folder.path()).args(["worker", "bake-bread"]));
    assert_eq!(code, 3);
    assert!(err.contains("charge-payment"), "{err}");

    let (code, _, err) = run(backstitch(folder.path()).args(["list", "--status", "asleep"]));
    assert_eq!(code, 2);
    assert!(err.contains("compensated"), "{err}");
}
