//! From settings to a [`Config`].

use std::collections::BTreeMap;

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::ConfigError;
use super::keys::{self, Key, Kind, Secret};
use super::layers::{self, Given, Origin, Setting, Sources};
use super::model::Config;
use super::value::{parse_duration, parse_size};

/// A configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The origin of each key that somebody has set.
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of a key comes from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads the configuration: defaults, then the file, then the environment, then flags.
///
/// # Errors
///
/// [`ConfigError`] for the first key that is unknown or has a value that it can't have, and for files that can't be read.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut origins = BTreeMap::new();
    for setting in layers::settings(sources)? {
        let key = keys::find(&setting.name).ok_or_else(|| layers::unknown(&setting))?;
        let value = understood(key, &setting)?;
        origins.insert(setting.name.clone(), setting.origin.clone());
        figment = figment.merge(Layer { setting, value });
    }
    let config: Config = figment.extract().map_err(|error| ConfigError::Unreadable {
        detail: error.to_string(),
    })?;
    let loaded = Loaded { config, origins };
    check_prefix(&loaded)?;
    Ok(loaded)
}

/// One setting as a layer of figment, which merges them and makes the sections.
struct Layer {
    setting: Setting,
    value: Value,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.setting.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        // The names of librdkafka's settings have dots of their own.
        let path: Vec<&str> = self
            .setting
            .name
            .splitn(
                if self.setting.name.starts_with("kafka.settings.") {
                    3
                } else {
                    2
                },
                '.',
            )
            .collect();
        let mut value = self.value.clone();
        for name in path[1..].iter().rev() {
            value = Value::from(Dict::from([((*name).to_owned(), value)]));
        }
        let dict = Dict::from([(path[0].to_owned(), value)]);
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Reads a value by what its key says of its kind.
fn understood(key: &Key, setting: &Setting) -> Result<Value, ConfigError> {
    let value = match key.kind {
        Kind::Text | Kind::Path => text(&setting.given).map(Value::from),
        Kind::Paths => list(&setting.given).map(Value::from),
        Kind::Number(min, max) => number(&setting.given)
            .filter(|number| (min..=max).contains(number))
            .map(Value::from),
        Kind::Switch => switch(&setting.given).map(Value::from),
        Kind::Duration(min, max) => text(&setting.given)
            .filter(|text| {
                parse_duration(text).is_some_and(|duration| {
                    (u128::from(min)..=u128::from(max)).contains(&duration.as_millis())
                })
            })
            .map(Value::from),
        Kind::Size(min) => text(&setting.given)
            .filter(|text| parse_size(text).is_some_and(|size| size >= min))
            .map(Value::from),
        Kind::Choice(choices) => text(&setting.given)
            .filter(|text| choices.contains(&text.as_str()))
            .map(Value::from),
    };
    value.ok_or_else(|| wrong(key, setting))
}

fn wrong(key: &Key, setting: &Setting) -> ConfigError {
    let given = match (&setting.given, key.secret) {
        (_, Secret::Whole | Secret::ByName | Secret::InUrl) => "something else".to_owned(),
        (Given::Text(text), Secret::No) => format!("`{text}`"),
        (Given::Toml(value), Secret::No) => format!("`{value}`"),
    };
    ConfigError::Value {
        name: setting.name.clone(),
        given,
        expected: key.kind.describe(),
        origin: setting.origin.clone(),
    }
}

/// Numbers and switches are texts too where a text is wanted: `client.rack = 1` means what it says.
fn text(given: &Given) -> Option<String> {
    match given {
        Given::Text(text) | Given::Toml(toml::Value::String(text)) => Some(text.clone()),
        Given::Toml(toml::Value::Integer(number)) => Some(number.to_string()),
        Given::Toml(toml::Value::Boolean(switch)) => Some(switch.to_string()),
        Given::Toml(toml::Value::Float(number)) => Some(number.to_string()),
        Given::Toml(toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_)) => {
            None
        }
    }
}

fn list(given: &Given) -> Option<Vec<String>> {
    match given {
        Given::Toml(toml::Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        Given::Text(text) | Given::Toml(toml::Value::String(text)) => Some(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        Given::Toml(
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Table(_),
        ) => None,
    }
}

fn number(given: &Given) -> Option<i64> {
    match given {
        Given::Text(text) => text.trim().replace('_', "").parse().ok(),
        Given::Toml(value) => value.as_integer(),
    }
}

fn switch(given: &Given) -> Option<bool> {
    match given {
        Given::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
        Given::Toml(value) => value.as_bool(),
    }
}

/// Topic names take other characters too, but metric names made of them would collide.
fn check_prefix(loaded: &Loaded) -> Result<(), ConfigError> {
    let prefix = &loaded.config.kafka.prefix;
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if !prefix.is_empty() && prefix.len() <= 100 && prefix.chars().all(is_good) {
        return Ok(());
    }
    Err(ConfigError::Value {
        name: "kafka.prefix".to_owned(),
        given: format!("`{prefix}`"),
        expected: "1 to 100 of a-z, 0-9, dot and hyphen".to_owned(),
        origin: loaded.origin("kafka.prefix"),
    })
}
