//! What is wrong with a configuration, where, and what was probably meant.

use std::path::PathBuf;

use super::keys::KEYS;
use super::layers::{Origin, env_name};

/// Why a configuration can't be used. A person has to change it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("there is no key `{name}` ({origin})")]
    Unknown {
        /// As it was given, dotted.
        name: String,
        /// Where it was given.
        origin: Origin,
        /// The key that was probably meant, if one is near.
        nearest: Option<String>,
    },
    /// A key has a value that it can't have.
    #[error("`{name}` is {given}, but has to be {expected} ({origin})")]
    Value {
        /// The key.
        name: String,
        /// The value, unless it may be a secret.
        given: String,
        /// What values it can have.
        expected: String,
        /// Where it was given.
        origin: Origin,
    },
    /// `--set` needs a key and a value.
    #[error("`--set {given}` has no value")]
    NoValue {
        /// As it was given.
        given: String,
    },
    /// A file can't be read: the configuration itself, or one that a variable ending in `_FILE` names.
    #[error("cannot read {path}{}", wanted_by.as_ref().map(|name| format!(", which {name} names")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// The variable that names it, if one does.
        wanted_by: Option<String>,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is no TOML: {detail}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the reader of TOML says, with the place.
        detail: String,
    },
    /// A key is there twice under two spellings, or the like.
    #[error("the configuration can't be read: {detail}")]
    Unreadable {
        /// What is wrong.
        detail: String,
    },
}

impl ConfigError {
    /// What to do about it, if that can be told.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unknown {
                origin, nearest, ..
            } => Some(match (nearest, origin) {
                (Some(key), Origin::Env(_) | Origin::EnvFile { .. }) => {
                    format!("did you mean {}?", env_name(key))
                }
                (Some(key), Origin::Default | Origin::File(_) | Origin::Flag(_)) => {
                    format!("did you mean `{key}`?")
                }
                (None, _) => "`backstitch config keys` lists every key".to_owned(),
            }),
            Self::NoValue { .. } => {
                Some("write `--set section.key=value`, such as `--set store.url=memory://`".into())
            }
            Self::Value { name, .. } => {
                let key = super::keys::find(name)?;
                Some(key.what.to_owned())
            }
            Self::File { .. } | Self::Syntax { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// The known key that is nearest to a name, if any is near.
pub(super) fn nearest(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("kafka.")
        && rest.contains('.')
        && !rest.starts_with("settings.")
    {
        return Some(format!("kafka.settings.{rest}"));
    }
    let plain = |text: &str| text.replace(['.', '_', '-'], "").to_ascii_lowercase();
    let wanted = plain(name);
    KEYS.iter()
        .filter(|key| !key.name.ends_with('*'))
        .map(|key| {
            let own = key.name.split_once('.').map_or("", |(_, own)| own);
            let far = distance(&wanted, &plain(key.name)).min(distance(&wanted, &plain(own)));
            (far, key.name)
        })
        .min()
        .filter(|(far, _)| *far <= (wanted.len() / 4).max(2))
        .map(|(_, name)| name.to_owned())
}

/// How many letters have to be put in, taken out or changed to come from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_told_its_neighbour() {
        for (given, meant) in [
            ("store.ulr", Some("store.url")),
            ("kafka.bootstrap_server", Some("kafka.bootstrap_servers")),
            ("bootstrap_servers", Some("kafka.bootstrap_servers")),
            (
                "kafka.security.protocol",
                Some("kafka.settings.security.protocol"),
            ),
            ("engine.batch-count-max", Some("engine.batch_count_max")),
            ("quite.something.else", None),
        ] {
            assert_eq!(nearest(given).as_deref(), meant, "{given}");
        }
    }
}
