//! A Confluent-compatible schema registry: Confluent's, Karapace, Redpanda, Apicurio's `ccompat`.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::known::RecordKind;
use crate::writer::Writer;
use crate::{DecodeError, RegistryError, SchemaRef};

/// Schemas kept; each stays for the life of the process. A registry with more is refused further ones.
const SCHEMAS_MAX: usize = 10_000;
/// Ids kept that the registry did not know.
const UNKNOWN_MAX: usize = 1_000;
/// How long the registry is not asked again for an id that it did not know.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Bytes of the longest answer read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Schemas that one schema may need, in all.
const REFERENCES_MAX: usize = 64;

/// Where the registry is and how to enter.
#[derive(Clone)]
pub struct RegistryConfig {
    /// Its address, with the path under which it speaks Confluent's API, such as
    /// `http://localhost:8081` or `http://apicurio:8080/apis/ccompat/v7`. Only `http`: this build of the
    /// client has no TLS.
    pub url: String,
    /// User and password of basic authentication. Default none.
    pub basic_auth: Option<(String, String)>,
    /// The longest wait for one answer. Default 5 s.
    pub timeout: Duration,
    /// Whether schemas are registered where they are missing. Default true; where false, somebody else
    /// registers them and a missing one is an error.
    pub auto_register: bool,
}

impl RegistryConfig {
    /// Takes the address; everything else has its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            basic_auth: None,
            timeout: Duration::from_secs(5),
            auto_register: true,
        }
    }
}

impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("url", &self.url)
            .field("user", &self.basic_auth.as_ref().map(|(user, _)| user))
            .field("timeout", &self.timeout)
            .field("auto_register", &self.auto_register)
            .finish()
    }
}

/// A client of a schema registry that asks for each schema once.
///
/// Cheap to clone; clones share what they know. A call blocks its thread until the registry has answered,
/// once for each new schema.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RegistryConfig,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    writers: HashMap<u32, &'static Writer>,
    ids: HashMap<(String, RecordKind), u32>,
    unknown: HashMap<u32, Instant>,
}

impl Registry {
    /// Takes the configuration; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::BadAddress`] where the address is none, or not `http`.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let refused = |detail: String| RegistryError::BadAddress {
            url: config.url.clone(),
            detail,
        };
        let url = Url::parse(&config.url).map_err(|error| refused(error.to_string()))?;
        if url.scheme() != "http" {
            return Err(refused(format!("{} is not spoken here", url.scheme())));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                known: Mutex::default(),
            }),
        })
    }

    /// Returns the subject of a topic's values by the TopicName strategy.
    pub fn subject(topic: &str) -> String {
        format!("{topic}-value")
    }

    /// Returns the id of a record's schema under a subject, registering it where that is allowed.
    ///
    /// Doing so twice gives the same id; the second time nobody is asked.
    ///
    /// # Errors
    ///
    /// As [`RegistryError`]'s variants say.
    pub fn register(&self, subject: &str, kind: RecordKind) -> Result<u32, RegistryError> {
        let key = (subject.to_owned(), kind);
        if let Some(id) = self.known().ids.get(&key) {
            return Ok(*id);
        }
        let attempted = format!("register {} as {subject}", kind.name());
        let path = if self.inner.config.auto_register {
            format!("subjects/{subject}/versions")
        } else {
            format!("subjects/{subject}")
        };
        let body = json!({ "schemaType": "AVRO", "schema": kind.avsc() });
        let answer = self.call(&attempted, &Method::POST, &path, Some(&body))?;
        let id = answer["id"]
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| RegistryError::Refused {
                attempted,
                status: 200,
                detail: "the answer has no id".to_owned(),
            })?;
        self.known().ids.insert(key, id);
        Ok(id)
    }

    /// Returns the schema of an id; `None` where the registry has none.
    pub(crate) fn writer(&self, id: u32) -> Result<Option<&'static Writer>, RegistryError> {
        {
            let mut known = self.known();
            if let Some(writer) = known.writers.get(&id) {
                return Ok(Some(*writer));
            }
            match known.unknown.get(&id) {
                Some(asked) if asked.elapsed() < UNKNOWN_FOR => return Ok(None),
                Some(_) => {
                    known.unknown.remove(&id);
                }
                None => {}
            }
            if known.writers.len() >= SCHEMAS_MAX {
                return Err(RegistryError::Unusable {
                    id,
                    detail: format!("{SCHEMAS_MAX} schemas are in use already"),
                });
            }
        }
        let attempted = format!("fetch schema {id}");
        let path = format!("schemas/ids/{id}");
        let answer = match self.call(&attempted, &Method::GET, &path, None) {
            Err(RegistryError::Missing { .. }) => {
                let mut known = self.known();
                if known.unknown.len() >= UNKNOWN_MAX {
                    known.unknown.clear();
                }
                known.unknown.insert(id, Instant::now());
                return Ok(None);
            }
            answer => answer?,
        };
        let unusable = |detail: String| RegistryError::Unusable { id, detail };
        let text = text_of(&answer).map_err(unusable)?;
        let writer = match answer["schemaType"].as_str() {
            None | Some("AVRO") => {
                let mut references = Vec::new();
                self.references(&answer, &mut Vec::new(), &mut references)?;
                Writer::avro(text, &references).map_err(unusable)?
            }
            Some("JSON") => Writer::json(),
            Some(other) => return Err(unusable(format!("it is of type {other}"))),
        };
        // Two threads may have asked at once; the first answer stays.
        let mut known = self.known();
        let writer = *known
            .writers
            .entry(id)
            .or_insert_with(|| Box::leak(Box::new(writer)));
        Ok(Some(writer))
    }

    /// The same for a record that names the id, which is to blame where its schema is unusable.
    pub(crate) fn writer_for_record(
        &self,
        id: u32,
    ) -> Result<Option<&'static Writer>, DecodeError> {
        self.writer(id).map_err(|error| match error {
            RegistryError::Unusable { id, detail } => DecodeError::Malformed {
                record: SchemaRef::Id(id).to_string(),
                detail,
            },
            RegistryError::Unavailable { .. }
            | RegistryError::Refused { .. }
            | RegistryError::BadAddress { .. }
            | RegistryError::Missing { .. } => DecodeError::Registry(error),
        })
    }

    /// Fetches the schemas that a schema names, each after those that it names itself.
    fn references(
        &self,
        schema: &Value,
        seen: &mut Vec<(String, u64)>,
        texts: &mut Vec<String>,
    ) -> Result<(), RegistryError> {
        for reference in schema["references"].as_array().into_iter().flatten() {
            let subject = reference["subject"].as_str().unwrap_or_default().to_owned();
            let version = reference["version"].as_u64().unwrap_or_default();
            if seen.contains(&(subject.clone(), version)) {
                continue;
            }
            let attempted = format!("fetch version {version} of {subject}");
            let refused = |detail: String| RegistryError::Refused {
                attempted: attempted.clone(),
                status: 200,
                detail,
            };
            if seen.len() >= REFERENCES_MAX {
                return Err(refused(format!("more than {REFERENCES_MAX} references")));
            }
            seen.push((subject.clone(), version));
            let path = format!("subjects/{subject}/versions/{version}");
            let answer = self.call(&attempted, &Method::GET, &path, None)?;
            let text = text_of(&answer).map_err(refused)?.to_owned();
            self.references(&answer, seen, texts)?;
            texts.push(text);
        }
        Ok(())
    }

    /// Asks the registry once.
    ///
    /// On a thread of its own, because reqwest's blocking client refuses to run on a thread of an async
    /// runtime, and a consumer may well decode there.
    fn call(
        &self,
        attempted: &str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, RegistryError> {
        let (status, answer) = std::thread::scope(|scope| {
            scope
                .spawn(|| self.send(method, path, body))
                .join()
                .unwrap_or_else(|_| Err("the client panicked".into()))
        })
        .map_err(|source| RegistryError::Unavailable {
            attempted: attempted.to_owned(),
            source,
        })?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        let detail = answer["message"].as_str().unwrap_or_default().to_owned();
        match status {
            200..=299 => Ok(answer),
            404 => Err(RegistryError::Missing {
                attempted: attempted.to_owned(),
                detail,
            }),
            408 | 429 | 500..=599 => Err(RegistryError::Unavailable {
                attempted: attempted.to_owned(),
                source: format!("status {status}: {detail}").into(),
            }),
            _ => Err(RegistryError::Refused {
                attempted: attempted.to_owned(),
                status,
                detail,
            }),
        }
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String), Box<dyn std::error::Error + Send + Sync>> {
        const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
        let config = &self.inner.config;
        let url = format!("{}/{path}", config.url.trim_end_matches('/'));
        let client = Client::builder().timeout(config.timeout).build()?;
        let mut request = client
            .request(method.clone(), url)
            .header("accept", MEDIA_TYPE);
        if let Some((user, password)) = &config.basic_auth {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request
                .header("content-type", MEDIA_TYPE)
                .body(body.to_string());
        }
        let response = request.send()?;
        let status = response.status().as_u16();
        let mut answer = String::new();
        response
            .take(ANSWER_BYTES_MAX)
            .read_to_string(&mut answer)?;
        Ok((status, answer))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is kept is whole after each statement, so a panic elsewhere spoils nothing.
        self.inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn text_of(answer: &Value) -> Result<&str, String> {
    answer["schema"]
        .as_str()
        .ok_or_else(|| "the answer has no schema".to_owned())
}
