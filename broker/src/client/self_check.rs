//! What is asserted at start: the library is the one we know, the settings are in force, the broker answers.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::admin::Admin;
use super::config::KafkaConfig;
use super::consumer::ConsumerOptions;
use super::error::BrokerError;
use super::settings::{self, Role};

/// The oldest librdkafka whose behaviour this client was tested against (2.12.1), in the library's own numbering.
const LIBRARY_VERSION_MIN: i32 = 0x020c_01ff;

/// What the start-up check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfCheck {
    /// librdkafka's version, e.g. `2.12.1`.
    pub library_version: String,
    /// What librdkafka was built with, e.g. `ssl`, `lz4`.
    pub features: Vec<String>,
    /// The settings in force for a producer, those that were made on purpose; secrets are left out.
    pub producer_settings: BTreeMap<String, String>,
    /// The same for a consumer.
    pub consumer_settings: BTreeMap<String, String>,
    /// The cluster's id, if it has told one.
    pub cluster_id: Option<String>,
    /// How many brokers the cluster has now.
    pub broker_count: usize,
}

/// Checks the library, its build, the settings in force, and that a broker answers. Takes 15 s at most for each question to the broker.
///
/// # Errors
///
/// [`BrokerError::NotBuiltIn`] if the settings need what this build lacks, [`BrokerError::Setting`] if one is wrong, refused or not in
/// force, [`BrokerError::Unavailable`] if no broker answers.
pub fn self_check(config: &KafkaConfig) -> Result<SelfCheck, BrokerError> {
    let (version, library_version) = rdkafka::util::get_rdkafka_version();
    if version < LIBRARY_VERSION_MIN {
        return Err(BrokerError::NotBuiltIn {
            feature: format!("librdkafka 2.12.1 or later (this is {library_version})"),
            hint: "link the bundled one".to_owned(),
        });
    }
    let features = built_in()?;
    needs(config, &features)?;
    let producer_settings = in_force(config, Role::Producer, &[])?;
    let consumer_settings = in_force(
        config,
        Role::Consumer,
        &ConsumerOptions::new("self-check", ["self-check"]).native()?,
    )?;
    let admin = Admin::new(config)?;
    let broker_count = admin.broker_count()?;
    Ok(SelfCheck {
        library_version,
        features,
        producer_settings,
        consumer_settings,
        cluster_id: admin.cluster_id(),
        broker_count,
    })
}

fn built_in() -> Result<Vec<String>, BrokerError> {
    let native = ClientConfig::new()
        .create_native_config()
        .map_err(|error| BrokerError::from_kafka("configure", error))?;
    let features = native
        .get("builtin.features")
        .map_err(|error| BrokerError::from_kafka("ask for features", error))?;
    Ok(features
        .split(',')
        .map(|feature| feature.trim().to_owned())
        .filter(|feature| !feature.is_empty())
        .collect())
}

/// Compares what is asked for with what was built, for the library's own message names its source file, not our feature.
fn needs(config: &KafkaConfig, features: &[String]) -> Result<(), BrokerError> {
    let asked = |key: &str| {
        config
            .settings
            .get(key)
            .map(|value| value.to_ascii_lowercase())
            .unwrap_or_default()
    };
    let missing = |feature: &str| !features.iter().any(|built| built == feature);
    let protocol = asked("security.protocol");
    let mechanism = [asked("sasl.mechanism"), asked("sasl.mechanisms")].concat();
    let ssl_keys = config.settings.keys().any(|key| key.starts_with("ssl."));
    let needed = [
        (
            "ssl",
            protocol.ends_with("ssl") || ssl_keys,
            "rebuild with `--features tls`",
        ),
        (
            "sasl_scram",
            mechanism.starts_with("scram"),
            "rebuild with `--features tls`",
        ),
        (
            "sasl_oauthbearer",
            mechanism == "oauthbearer",
            "rebuild with `--features tls`",
        ),
        (
            "sasl_gssapi",
            mechanism == "gssapi",
            "use SCRAM, OAUTHBEARER or mTLS: this project doesn't build Kerberos in",
        ),
        (
            "zstd",
            asked("compression.type") == "zstd" || asked("compression.codec") == "zstd",
            "use lz4",
        ),
    ];
    match needed
        .into_iter()
        .find(|(feature, is_needed, _)| *is_needed && missing(feature))
    {
        Some((feature, _, hint)) => Err(BrokerError::NotBuiltIn {
            feature: feature.to_owned(),
            hint: hint.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The library's own view of the settings that were made on purpose.
fn in_force(
    config: &KafkaConfig,
    role: Role,
    own: &[(&str, String)],
) -> Result<BTreeMap<String, String>, BrokerError> {
    let asked = config.native(role, own)?;
    let native = asked
        .create_native_config()
        .map_err(|error| BrokerError::from_kafka("configure", error))?;
    let mut effective = BTreeMap::new();
    let keys = settings::defaults(role)
        .map(|(key, _)| *key)
        .chain(own.iter().map(|(key, _)| *key));
    for key in keys.chain(config.settings.keys().map(String::as_str)) {
        let Some(expected) = asked.get(key) else {
            continue;
        };
        if settings::is_secret(key) {
            continue;
        }
        let found = native
            .get(key)
            .map_err(|error| BrokerError::from_kafka(format!("read setting {key}"), error))?;
        if settings::refusal(key).is_some() && !same(&found, expected) {
            return Err(BrokerError::Setting {
                key: key.to_owned(),
                reason: format!("was set to {expected}, but the library uses {found}"),
            });
        }
        effective.insert(key.to_owned(), found);
    }
    Ok(effective)
}

/// The library has names of its own for a few values.
fn same(found: &str, expected: &str) -> bool {
    found == expected
        || matches!(
            (expected, found),
            ("all", "-1") | ("earliest", "smallest" | "beginning")
        )
        || found
            .parse::<f64>()
            .is_ok_and(|found| expected.parse::<f64>() == Ok(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "tls"))]
    #[test]
    fn what_was_not_built_in_is_named_before_any_broker_is_asked() {
        for (key, value, feature) in [
            ("security.protocol", "SASL_SSL", "ssl"),
            ("ssl.ca.location", "/ca.pem", "ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512", "sasl_scram"),
            ("sasl.mechanisms", "GSSAPI", "sasl_gssapi"),
        ] {
            let error = self_check(&KafkaConfig::new("127.0.0.1:1").with(key, value)).unwrap_err();
            let BrokerError::NotBuiltIn { feature: named, .. } = error else {
                panic!("{key}={value}: {error:?}")
            };
            assert_eq!(named, feature);
        }
    }

    #[test]
    fn every_fixed_setting_is_in_force() {
        for role in [Role::Producer, Role::Consumer, Role::Admin] {
            let settings = in_force(&KafkaConfig::new("127.0.0.1:1"), role, &[]).unwrap();
            assert_eq!(settings.len(), settings::defaults(role).count(), "{role:?}");
        }
    }
}
