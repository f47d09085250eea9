//! Logs to stderr, and spans by OTLP where an endpoint is set.
//!
//! Spans are made after the fact, from times that are known: what runs is never slowed down by one that is open.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backstitch_schemas::TraceParent;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, LogFormat};

pub use opentelemetry::trace::SpanKind;

/// The standard variables that name an endpoint.
const ENDPOINT_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// What an endpoint is given for spans, unless it has it already.
const TRACES_PATH: &str = "/v1/traces";
/// How long the spans that are left may take to leave at the end.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// Why telemetry can't begin. A mistake in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.log` or `RUST_LOG` can't be read.
    #[error("cannot log by `{directives}`")]
    Directives {
        /// As given.
        directives: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Spans can't be sent to the endpoint.
    #[error("cannot send spans by OTLP: {detail}")]
    Exporter {
        /// Why.
        detail: String,
    },
}

/// Logs and spans of this process. Ends with [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Takes spans that have ended, and sends them in batches from a thread of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpanSink {
    tracer: SdkTracer,
}

/// Begins to log, and to send spans where an endpoint is set. Call it outside any async task, once.
///
/// `RUST_LOG` wins over the configured directives. Where something else in the process logs already, that stays.
///
/// # Errors
///
/// [`TelemetryError`]; an endpoint that does not answer is no error.
pub fn init(config: &config::Telemetry) -> Result<Telemetry, TelemetryError> {
    let directives = std::env::var("RUST_LOG")
        .ok()
        .filter(|set| !set.trim().is_empty())
        .unwrap_or_else(|| config.log.clone());
    let filter = EnvFilter::try_new(with_quiet_library(&directives))
        .map_err(|source| TelemetryError::Directives { directives, source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error says that there is a subscriber already, as in a test.
    let _ = match config.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    let provider = endpoint(config).map(provider).transpose()?;
    Ok(Telemetry { provider })
}

/// librdkafka warns of each setting that it calls experimental, at every start of every client: its warnings are left out,
/// unless they are asked for by name.
fn with_quiet_library(directives: &str) -> String {
    if directives.contains("librdkafka") || directives.trim().is_empty() {
        return directives.to_owned();
    }
    format!("{directives},librdkafka=error")
}

/// Where spans go: `Some(None)` leaves it to the standard variables.
fn endpoint(config: &config::Telemetry) -> Option<Option<String>> {
    let configured = config.otlp_endpoint.trim();
    if !configured.is_empty() {
        let base = configured.trim_end_matches('/');
        return Some(Some(if base.ends_with(TRACES_PATH) {
            base.to_owned()
        } else {
            format!("{base}{TRACES_PATH}")
        }));
    }
    ENDPOINT_VARIABLES
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty()))
        .then_some(None)
}

fn provider(endpoint: Option<String>) -> Result<SdkTracerProvider, TelemetryError> {
    let mut exporter = SpanExporter::builder().with_http();
    if let Some(endpoint) = endpoint {
        exporter = exporter.with_endpoint(endpoint);
    }
    let exporter = exporter.build().map_err(|error| TelemetryError::Exporter {
        detail: error.to_string(),
    })?;
    let mut resource = Resource::builder();
    if std::env::var("OTEL_SERVICE_NAME").is_err() {
        resource = resource.with_service_name("backstitch");
    }
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.build())
        // Whoever began the trace decides; a trace that begins here is kept.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_batch_exporter(exporter)
        .build())
}

impl Telemetry {
    /// Where spans go; `None` where nobody wants them, so that nothing is spent on them.
    pub fn spans(&self) -> Option<SpanSink> {
        let provider = self.provider.as_ref()?;
        Some(SpanSink {
            tracer: provider.tracer("backstitch"),
        })
    }

    /// Sends what is left, for 5 s at most. Call it outside any async task, when everything else has ended.
    pub fn shutdown(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(SHUTDOWN_WAIT)
        {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

impl SpanSink {
    /// Records a span that has ended.
    ///
    /// Its parent is the given W3C `traceparent`; without one, or with one that is not valid, it begins a trace. A parent that is
    /// not sampled keeps it from being sent. Times are milliseconds since the Unix epoch. Doesn't block: above the queue's
    /// 2,048 spans it is dropped.
    pub fn record(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        traceparent: Option<&str>,
        start_ms: i64,
        end_ms: i64,
        kind: SpanKind,
        attributes: &[(&'static str, String)],
    ) {
        let parent = traceparent.and_then(TraceParent::parse);
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(parent.trace_id),
                SpanId::from_bytes(parent.span_id),
                TraceFlags::new(parent.flags),
                true,
                TraceState::NONE,
            )),
            None => Context::new(),
        };
        let attributes: Vec<KeyValue> = attributes
            .iter()
            .map(|(name, value)| KeyValue::new(*name, value.clone()))
            .collect();
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(time(start_ms))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &context);
        span.end_with_timestamp(time(end_ms));
    }
}

fn time(at_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Takes OTLP exports and gives out the path and the body of each.
    fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut request_line = String::new();
                reader.read_line(&mut request_line).unwrap();
                let mut length = 0;
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    if header.trim().is_empty() {
                        break;
                    }
                    if let Some((name, value)) = header.split_once(':')
                        && name.eq_ignore_ascii_case("content-length")
                    {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
                let path = request_line.split(' ').nth(1).unwrap().to_owned();
                if tell.send((path, body)).is_err() {
                    return;
                }
            }
        });
        (address, told)
    }

    fn telemetry_to(endpoint: &str) -> Telemetry {
        let config = config::Telemetry {
            otlp_endpoint: endpoint.to_owned(),
            ..config::Telemetry::default()
        };
        init(&config).unwrap()
    }

    fn holds(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_span_is_exported_under_the_trace_and_the_parent_that_it_came_with() {
        let (address, told) = collector();
        let telemetry = telemetry_to(&address);
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        telemetry.spans().unwrap().record(
            "process backstitch.inbox",
            Some(parent),
            1_000,
            2_000,
            SpanKind::Consumer,
            &[("saga.id", "process-order/4711".to_owned())],
        );
        telemetry.shutdown();
        let (path, body) = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(path, TRACES_PATH);
        let parent = TraceParent::parse(parent).unwrap();
        // Fields 1 and 4 of a span are its trace and its parent, as 16 and 8 bytes.
        assert!(holds(&body, &[&[0x0a, 16], &parent.trace_id[..]].concat()));
        assert!(holds(&body, &[&[0x22, 8], &parent.span_id[..]].concat()));
        assert!(holds(&body, b"process backstitch.inbox"));
        assert!(holds(&body, b"process-order/4711"));
        assert!(holds(&body, &1_000_000_000_u64.to_le_bytes()));
        assert!(holds(&body, &2_000_000_000_u64.to_le_bytes()));
    }

    #[test]
    fn a_parent_that_was_not_sampled_keeps_its_children_at_home() {
        let (address, told) = collector();
        let telemetry = telemetry_to(&format!("{address}/v1/traces"));
        let spans = telemetry.spans().unwrap();
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let none: &[(&str, String)] = &[];
        spans.record("unwanted", Some(unsampled), 1, 2, SpanKind::Internal, none);
        spans.record(
            "begins a trace",
            Some("nonsense"),
            1,
            2,
            SpanKind::Internal,
            none,
        );
        telemetry.shutdown();
        let (path, body) = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(path, TRACES_PATH);
        assert!(holds(&body, b"begins a trace"));
        assert!(!holds(&body, b"unwanted"));
    }

    #[test]
    fn without_an_endpoint_there_is_no_sink() {
        assert!(endpoint(&config::Telemetry::default()).is_none());
        assert!(telemetry_to("").spans().is_none());
    }

    #[test]
    fn directives_that_mean_nothing_are_an_error() {
        let config = config::Telemetry {
            log: "backstitch=loud".to_owned(),
            ..config::Telemetry::default()
        };
        assert!(matches!(
            init(&config),
            Err(TelemetryError::Directives { directives, .. }) if directives == "backstitch=loud"
        ));
    }
}
