//! How to reach Kafka.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use super::error::BrokerError;
use super::settings::{self, Role};

/// How to reach Kafka: the same for every client of a process.
#[derive(Clone, Default)]
pub struct KafkaConfig {
    /// Brokers to begin with, as `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How this process is named in the broker's logs, quotas and metrics.
    pub client_id: String,
    /// Further librdkafka settings by their own names, e.g. `security.protocol`. They win over the defaults of [`settings`],
    /// except for those that correctness rests on: these are refused. A setting that is only a producer's (or only a
    /// consumer's) isn't given to the others.
    pub settings: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// The defaults for these brokers; the client's name is `backstitch`.
    pub fn new(bootstrap_servers: impl Into<String>) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "backstitch".to_owned(),
            settings: BTreeMap::new(),
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> KafkaConfig {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// Everything for one client: the defaults of its role, what `own` adds, and the user's settings.
    pub(crate) fn native(
        &self,
        role: Role,
        own: &[(&str, String)],
    ) -> Result<ClientConfig, BrokerError> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(BrokerError::Setting {
                key: "bootstrap.servers".to_owned(),
                reason: "is empty: name at least one broker as host:port".to_owned(),
            });
        }
        let mut native = ClientConfig::new();
        native.set("bootstrap.servers", &self.bootstrap_servers);
        if !self.client_id.is_empty() {
            native.set("client.id", &self.client_id);
        }
        for (key, value) in settings::defaults(role) {
            native.set(*key, *value);
        }
        for (key, value) in own {
            native.set(*key, value);
        }
        for (key, value) in &self.settings {
            if let Some(reason) = settings::refusal(key) {
                return Err(BrokerError::Setting {
                    key: key.clone(),
                    reason: reason.to_owned(),
                });
            }
            if settings::is_for(key, role) {
                for same in settings::other_names(key) {
                    native.remove(same);
                }
                native.set(key, value);
            }
        }
        Ok(native)
    }
}

impl fmt::Debug for KafkaConfig {
    /// Leaves out the values of secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .settings
            .iter()
            .map(|(key, value)| {
                (
                    key.as_str(),
                    if settings::is_secret(key) {
                        "…"
                    } else {
                        value.as_str()
                    },
                )
            })
            .collect();
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("settings", &shown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_correctness_rests_on_is_refused_with_its_reason() {
        let config = KafkaConfig::new("127.0.0.1:1").with("enable.idempotence", "false");
        let Err(BrokerError::Setting { key, reason }) = config.native(Role::Consumer, &[]) else {
            panic!("should have been refused, whoever asks")
        };
        assert_eq!(key, "enable.idempotence");
        assert!(reason.contains("duplicate"), "{reason}");
    }

    #[test]
    fn the_users_setting_wins_under_either_of_its_names() {
        let native = KafkaConfig::new("127.0.0.1:1")
            .with("queue.buffering.max.ms", "7")
            .native(Role::Producer, &[])
            .and_then(|c| {
                c.create_native_config()
                    .map_err(|e| BrokerError::from_kafka("configure", e))
            })
            .unwrap();
        assert_eq!(native.get("linger.ms").unwrap(), "7");
    }

    #[test]
    fn a_consumers_setting_is_kept_from_a_producer() {
        let config = KafkaConfig::new("127.0.0.1:1").with("fetch.min.bytes", "9");
        assert_eq!(
            config
                .native(Role::Producer, &[])
                .unwrap()
                .get("fetch.min.bytes"),
            None
        );
        assert_eq!(
            config
                .native(Role::Consumer, &[])
                .unwrap()
                .get("fetch.min.bytes"),
            Some("9")
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = KafkaConfig::new("127.0.0.1:1")
            .with("sasl.password", "hunter2")
            .with("ssl.key.pem", "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn no_brokers_is_an_error_that_says_so() {
        let error = KafkaConfig::new(" ").native(Role::Admin, &[]).unwrap_err();
        assert!(error.to_string().contains("bootstrap.servers"), "{error}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_its_feature_says_how_to_get_it() {
        let native = KafkaConfig::new("127.0.0.1:1")
            .with("security.protocol", "ssl")
            .native(Role::Admin, &[])
            .unwrap();
        let error = native
            .create_native_config()
            .map(|_| ())
            .map_err(|e| BrokerError::from_kafka("configure", e))
            .unwrap_err();
        assert!(matches!(error, BrokerError::NotBuiltIn { .. }), "{error:?}");
        assert!(error.to_string().contains("--features tls"), "{error}");
    }
}
