//! What is in force and where it came from; and the page of all keys.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::keys::{self, KEYS, Key, Secret};
use super::layers::{Origin, env_name};
use super::load::Loaded;
use super::model::{Config, Kafka, Schemas, Store, Telemetry};

/// One key with its value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The key, dotted.
    pub name: String,
    /// Its value, without secrets.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

impl Loaded {
    /// Every key with its value and origin, in the order of the table; secrets are blotted out.
    pub fn shown(&self) -> Vec<Shown> {
        let values = serde_json::to_value(&self.config).expect("a configuration is plain values");
        let mut shown = Vec::new();
        for key in KEYS {
            if let Some(stem) = key.name.strip_suffix(".*") {
                for (own, value) in at(&values, stem).as_object().into_iter().flatten() {
                    shown.push(self.show(key, format!("{stem}.{own}"), value));
                }
            } else {
                shown.push(self.show(key, key.name.to_owned(), at(&values, key.name)));
            }
        }
        shown
    }

    fn show(&self, key: &Key, name: String, value: &Value) -> Shown {
        Shown {
            origin: self.origin(&name),
            value: blotted(key, &name, value),
            name,
        }
    }
}

/// Lets a section that may hold secrets be logged without them.
macro_rules! debug_without_secrets {
    ($($section:ident $name:literal;)*) => {
        $(impl fmt::Debug for $section {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_section(f, stringify!($section), $name, self)
            }
        })*
    };
}

debug_without_secrets! {
    Kafka "kafka";
    Store "store";
    Schemas "schemas";
    Telemetry "telemetry";
}

fn write_section(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    section: &str,
    values: &impl Serialize,
) -> fmt::Result {
    let values = serde_json::to_value(values).map_err(|_| fmt::Error)?;
    let mut shown = f.debug_struct(name);
    for (own, value) in values.as_object().into_iter().flatten() {
        let name = format!("{section}.{own}");
        match (keys::find(&name), value) {
            (Some(key), value) => shown.field(own, &blotted(key, &name, value).to_string()),
            (None, Value::Object(settings)) => {
                let names: Vec<&String> = settings.keys().collect();
                shown.field(own, &names)
            }
            (None, _) => shown.field(own, &"…"),
        };
    }
    shown.finish()
}

fn blotted(key: &Key, name: &str, value: &Value) -> Value {
    let text = value.as_str().unwrap_or_default();
    let is_secret = match key.secret {
        Secret::No => false,
        Secret::InUrl => return Value::from(without_password(text)),
        Secret::Whole => true,
        Secret::ByName => is_secret_setting(name),
    };
    if is_secret && !text.is_empty() {
        Value::from("…")
    } else {
        value.clone()
    }
}

/// Whether librdkafka's setting holds a secret, by its name.
fn is_secret_setting(name: &str) -> bool {
    [
        "password",
        "secret",
        "token",
        "oauthbearer.config",
        "sasl.jaas",
    ]
    .iter()
    .any(|part| name.contains(part))
        || name.ends_with(".pem")
        || name.ends_with(".key")
}

/// Blots out the password of a URL, wherever it stands. What is shown may be less than could be, never more.
fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // A password may itself hold an `@` or a `/`: it goes up to the last `@`.
    let shown = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let blot = if password.is_empty() { "" } else { ":…" };
            format!("{name}{blot}@{rest}")
        }
        None => rest.to_owned(),
    };
    match shown.to_ascii_lowercase().find("password=") {
        Some(from) => format!("{scheme}{}password=…", &shown[..from]),
        None => format!("{scheme}{shown}"),
    }
}

/// Finds a dotted name in nested objects.
fn at<'a>(values: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(values, |value, part| &value[part])
}

/// The default of a key as a file would have it; empty for a map.
fn default_of(key: &Key) -> String {
    if key.name.ends_with('*') {
        return String::new();
    }
    let values = serde_json::to_value(Config::default()).expect("a configuration is plain values");
    at(&values, key.name).to_string()
}

/// The page of all keys, `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = String::from(PREFACE);
    let mut section = "";
    for key in KEYS {
        let (own_section, own) = key.name.split_once('.').unwrap_or((key.name, ""));
        if own_section != section {
            section = own_section;
            let _ = write!(page, "\n## {section}\n\n{TABLE_HEAD}");
        }
        let default = default_of(key);
        let default = match default.as_str() {
            "" => "none".to_owned(),
            "\"\"" => "empty".to_owned(),
            written => format!("`{written}`"),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} | `{}` |",
            own.replace('*', "NAME"),
            key.kind.describe(),
            key.what.replace('|', "\\|"),
            env_name(&key.name.replace('*', "NAME")),
        );
    }
    page
}

const TABLE_HEAD: &str =
    "| key | type | default | what | environment |\n| --- | --- | --- | --- | --- |\n";

const PREFACE: &str = "\
# Configuration

<!-- Made by `backstitch config docs`; a test compares. Change orchestrator/src/config/keys.rs instead. -->

Later ones win: defaults, a TOML file (`--config FILE`, or `backstitch.toml` in the working folder if it is there), the environment, flags
(`--set section.key=value`, and `--bootstrap-servers`, `--store`, `--prefix` for what is set most often). `backstitch config show` prints what is
in force and where each value comes from, without secrets. An unknown key is refused, wherever it stands.

```toml
[kafka]
bootstrap_servers = \"kafka-1:9092,kafka-2:9092\"

[kafka.settings]
\"security.protocol\" = \"ssl\"
\"ssl.ca.location\" = \"/etc/kafka/ca.pem\"

[store]
url = \"postgres://backstitch@db/backstitch?sslmode=verify-full\"
```

In the environment a key is `BACKSTITCH_<SECTION>__<KEY>`. With `_FILE` behind its name the variable names a file that holds the value, as mounted
secrets do: `BACKSTITCH_STORE__URL_FILE=/run/secrets/store-url`. `RUST_LOG` and `OTEL_EXPORTER_OTLP_ENDPOINT` mean what they mean everywhere.

Durations are whole numbers with a unit (`250ms`, `10s`, `5m`, `1h`, `7d`); sizes are bytes, or `KiB`, `MiB`, `GiB`.
";

/// One line of the table of keys: name, type, default, environment, what.
pub(crate) fn key_line(key: &Key) -> [String; 5] {
    [
        key.name.to_owned(),
        key.kind.describe(),
        default_of(key),
        env_name(&key.name.replace('*', "NAME")),
        key.what.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    #[test]
    fn every_key_has_a_value_and_every_value_a_key() {
        let values = serde_json::to_value(Config::default()).unwrap();
        let mut names = Vec::new();
        for (section, own) in values.as_object().unwrap() {
            for name in own.as_object().unwrap().keys() {
                names.push(format!("{section}.{name}"));
            }
        }
        let mut known: Vec<String> = KEYS
            .iter()
            .map(|key| key.name.trim_end_matches(".*").to_owned())
            .collect();
        known.sort();
        names.sort();
        assert_eq!(known, names);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let mut sources = Sources::default();
        for (key, value) in [
            ("store.url", "postgres://ann:hun:ter2@db/x?password=hunter2"),
            ("schemas.registry_password", "hunter2"),
            ("schemas.registry_url", "http://ann:hunter2@registry:8081"),
            ("telemetry.otlp_endpoint", "http://ann:hunter2@otel"),
            ("kafka.settings.sasl.password", "hunter2"),
            ("kafka.settings.ssl.key.pem", "hunter2"),
            ("kafka.settings.ssl.keystore.key", "hunter2"),
            ("kafka.settings.sasl.oauthbearer.client.secret", "hunter2"),
        ] {
            sources.flag(key, value, "--set");
        }
        let loaded = load(&sources).unwrap();
        let text = format!("{:?} {loaded:?}", loaded.shown());
        assert!(!text.contains("ter2"), "{text}");
        assert!(text.contains("postgres://ann:…@db/x?password=…"), "{text}");
    }

    #[test]
    fn the_page_of_all_keys_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == markdown(),
            "run `backstitch config docs > docs/configuration.md`"
        );
    }
}
