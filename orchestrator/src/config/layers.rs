//! File, environment and flags as settings that have a place.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, nearest};
use super::keys;

/// Begins the name of every environment variable that is read.
const ENV_PREFIX: &str = "BACKSTITCH_";
/// The file that is read where it is there and none is named.
const FILE_DEFAULT: &str = "backstitch.toml";

/// Where a configuration is read from. Later ones win: file, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file, which has to be there; `None`: `backstitch.toml` in the working folder, if it is there.
    pub file: Option<PathBuf>,
    /// Environment variables; those that don't begin with `BACKSTITCH_` are passed over.
    pub env: Vec<(String, String)>,
    /// Flags: the key, its value, and how the flag is named to people.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// The default file and the environment of this process.
    pub fn of_process() -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            })
            .collect();
        Self {
            file: None,
            env,
            flags: Vec::new(),
        }
    }

    /// Takes what stands behind `--set`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoValue`] if it has no `=`.
    pub fn set(&mut self, given: &str) -> Result<(), ConfigError> {
        let Some((name, value)) = given.split_once('=') else {
            return Err(ConfigError::NoValue {
                given: given.to_owned(),
            });
        };
        self.flag(name.trim(), value, "--set");
        Ok(())
    }

    /// Takes a flag of its own.
    pub fn flag(&mut self, key: &str, value: &str, flag: &str) {
        self.flags
            .push((key.to_owned(), value.to_owned(), flag.to_owned()));
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A file that an environment variable names.
    EnvFile {
        /// The variable.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::EnvFile { name, path } => write!(f, "env {name}, file {}", path.display()),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value as it was given.
#[derive(Debug, Clone)]
pub(super) enum Given {
    /// In the environment or as a flag.
    Text(String),
    /// In a file.
    Toml(toml::Value),
}

/// One value of one key, and its place.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) given: Given,
    pub(super) origin: Origin,
}

/// Reads every layer; the settings come in the order in which later ones win.
pub(super) fn settings(sources: &Sources) -> Result<Vec<Setting>, ConfigError> {
    let mut found = Vec::new();
    if let Some(path) = file_of(sources) {
        of_file(&path, &mut found)?;
    }
    let mut env = sources.env.clone();
    env.sort();
    for (name, value) in env {
        if let Some(setting) = of_variable(&name, value)? {
            found.push(setting);
        }
    }
    for (name, value, flag) in &sources.flags {
        found.push(Setting {
            name: name.clone(),
            given: Given::Text(value.clone()),
            origin: Origin::Flag(flag.clone()),
        });
    }
    Ok(found)
}

/// The file that is read, if one is.
fn file_of(sources: &Sources) -> Option<PathBuf> {
    match &sources.file {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(FILE_DEFAULT)).filter(|path| path.is_file()),
    }
}

fn of_file(path: &Path, found: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
        path: path.to_owned(),
        wanted_by: None,
        source,
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        ConfigError::Syntax {
            path: path.to_owned(),
            detail: match line {
                Some(line) => format!("{} in line {line}", error.message()),
                None => error.message().to_owned(),
            },
        }
    })?;
    let origin = Origin::File(path.to_owned());
    flatten("", table, &origin, found);
    Ok(())
}

fn flatten(before: &str, table: toml::Table, origin: &Origin, found: &mut Vec<Setting>) {
    for (name, value) in table {
        let name = if before.is_empty() {
            name
        } else {
            format!("{before}.{name}")
        };
        if let toml::Value::Table(inner) = value {
            flatten(&name, inner, origin, found);
        } else {
            found.push(Setting {
                name,
                given: Given::Toml(value),
                origin: origin.clone(),
            });
        }
    }
}

/// Reads one environment variable; `None` if it is none of ours.
fn of_variable(name: &str, value: String) -> Result<Option<Setting>, ConfigError> {
    let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
        return Ok(None);
    };
    let origin = Origin::Env(name.to_owned());
    if !rest.contains("__") {
        return almost_ours(rest, origin);
    }
    let dotted = dotted(rest);
    let in_file = dotted
        .strip_suffix("_file")
        .or_else(|| dotted.strip_suffix(".file"))
        .filter(|base| keys::find(base).is_some());
    let setting = match in_file {
        Some(base) if keys::find(&dotted).is_none_or(|key| key.name.ends_with('*')) => {
            let path = PathBuf::from(value);
            Setting {
                name: base.to_owned(),
                given: Given::Text(read_secret(name, &path)?),
                origin: Origin::EnvFile {
                    name: name.to_owned(),
                    path,
                },
            }
        }
        Some(_) | None => Setting {
            name: dotted,
            given: Given::Text(value),
            origin,
        },
    };
    Ok(Some(setting))
}

/// Kubernetes and test scripts have `BACKSTITCH_…` variables of their own; one that lacks only an underscore is a mistake.
fn almost_ours(rest: &str, origin: Origin) -> Result<Option<Setting>, ConfigError> {
    let plain = |text: &str| text.replace(['.', '_'], "").to_ascii_lowercase();
    let name = rest.to_ascii_lowercase();
    match keys::KEYS
        .iter()
        .find(|key| plain(key.name) == plain(&name))
    {
        Some(key) => Err(ConfigError::Unknown {
            name,
            origin,
            nearest: Some(key.name.to_owned()),
        }),
        None => Ok(None),
    }
}

/// `KAFKA__SETTINGS__SASL_PASSWORD` is `kafka.settings.sasl.password`: librdkafka's names have dots.
fn dotted(rest: &str) -> String {
    let name = rest.to_ascii_lowercase().replace("__", ".");
    match name.strip_prefix("kafka.settings.") {
        Some(setting) => format!("kafka.settings.{}", setting.replace('_', ".")),
        None => name,
    }
}

/// The environment variable of a key.
pub(super) fn env_name(key: &str) -> String {
    let (section, own) = match key.strip_prefix("kafka.settings.") {
        Some(setting) => ("KAFKA__SETTINGS".to_owned(), setting.replace('.', "_")),
        None => {
            let (section, own) = key.split_once('.').unwrap_or((key, ""));
            (section.to_ascii_uppercase(), own.to_owned())
        }
    };
    format!("{ENV_PREFIX}{section}__{}", own.to_ascii_uppercase())
}

fn read_secret(name: &str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
        path: path.to_owned(),
        wanted_by: Some(name.to_owned()),
        source,
    })?;
    // Editors and `echo` end a file with a new line, which belongs to no password.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What an unknown name is answered with.
pub(super) fn unknown(setting: &Setting) -> ConfigError {
    ConfigError::Unknown {
        name: setting.name.clone(),
        origin: setting.origin.clone(),
        nearest: nearest(&setting.name),
    }
}
