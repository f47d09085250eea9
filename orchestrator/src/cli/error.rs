//! What went wrong, and what helps.

use std::fmt;
use std::process::ExitCode;

use backstitch_broker::BrokerError;
use backstitch_broker::embedded::EmbeddedError;

use crate::config::{ConfigError, Unusable};
use crate::demo::LaptopError;
use crate::store::StoreError;

/// How a command ends. The numbers are documented in `backstitch --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something went wrong, or is wrong.
    Failed = 1,
    /// The command was not asked rightly.
    Usage = 2,
    /// What it is about is not there.
    NotFound = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
        })
    }
}

/// Why a command ended without doing what was asked.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    help: Option<String>,
    pub(crate) exit: Exit,
}

impl CliError {
    /// Something went wrong.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command was not asked rightly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What it is about is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            exit,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What went wrong, without what helps.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What another part of the program says, with its reasons.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self::failed(chain(error))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

/// An error with its reasons, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let reason_text = reason.to_string();
        if !text.contains(&reason_text) {
            text.push_str(": ");
            text.push_str(&reason_text);
        }
        source = reason.source();
    }
    text
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let usage = Self::usage(chain(&error));
        match error.help() {
            Some(help) => usage.with_help(help),
            None => usage,
        }
    }
}

impl From<Unusable> for CliError {
    fn from(error: Unusable) -> Self {
        match error {
            // Each diagnostic begins with its own `error`.
            Unusable::Definition { .. } => {
                Self::failed(format!("a definition can't be used\n{error}"))
                    .with_help("`backstitch check FILE` says what is wrong with a definition")
            }
            Unusable::Store(error) => error.into(),
            Unusable::File { .. }
            | Unusable::Folder { .. }
            | Unusable::DefinedTwice { .. }
            | Unusable::Schema { .. }
            | Unusable::Registry(_) => Self::of(&error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let failed = Self::of(&error);
        match error {
            StoreError::Unavailable { .. } => {
                failed.with_help("`backstitch config show` says which store is meant, and why")
            }
            StoreError::UnknownUrl { .. } => failed.with_help("set store.url, or --store"),
            StoreError::Refused { .. }
            | StoreError::ShardCount { .. }
            | StoreError::Corrupt { .. } => failed,
        }
    }
}

impl From<BrokerError> for CliError {
    fn from(error: BrokerError) -> Self {
        let failed = Self::of(&error);
        match error {
            BrokerError::Unavailable { .. } => failed.with_help(
                "is Kafka up, and kafka.bootstrap_servers right? `backstitch config show` says where it comes from",
            ),
            BrokerError::Setting { .. } => {
                failed.with_help("`backstitch config show` says where each kafka.settings.… comes from")
            }
            BrokerError::NotBuiltIn { .. }
            | BrokerError::Denied { .. }
            | BrokerError::Refused { .. }
            | BrokerError::QueueFull { .. }
            | BrokerError::Undelivered(_)
            | BrokerError::Fatal { .. } => failed,
        }
    }
}

impl From<EmbeddedError> for CliError {
    fn from(error: EmbeddedError) -> Self {
        let failed = Self::of(&error);
        match error {
            EmbeddedError::PortTaken { .. } => failed.with_help(
                "`--set embedded.port=PORT` chooses another port, `--bootstrap-servers` names the brokers to use instead",
            ),
            EmbeddedError::InUse { .. } => {
                failed.with_help("`--set embedded.dir=FOLDER` gives this one a file of its own")
            }
            EmbeddedError::NotLoopback { .. }
            | EmbeddedError::Listen { .. }
            | EmbeddedError::Storage { .. }
            | EmbeddedError::Damaged { .. }
            | EmbeddedError::RecordsMissing { .. }
            | EmbeddedError::Lock { .. }
            | EmbeddedError::Layout { .. }
            | EmbeddedError::Thread { .. } => failed,
        }
    }
}

impl From<LaptopError> for CliError {
    fn from(error: LaptopError) -> Self {
        match error {
            LaptopError::Embedded(error) => error.into(),
            LaptopError::Broker(error) => error.into(),
            LaptopError::Folder { .. }
            | LaptopError::Engine(_)
            | LaptopError::Worker(_)
            | LaptopError::Ledger(_)
            | LaptopError::Unsettled { .. } => Self::of(&error),
        }
    }
}
