//! What can go wrong when the embedded broker starts, and inside it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;

/// Why the embedded broker did not start. Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Something else listens there, perhaps a Kafka or another Backstitch.
    #[error(
        "{address} is already taken: stop what listens there (a Kafka, another backstitch), choose another port, \
         or name the brokers to use instead of the embedded one"
    )]
    PortTaken {
        /// The address that could not be had.
        address: SocketAddr,
    },
    /// The address would be reachable from other machines, and this broker asks nobody who they are.
    #[error(
        "{address} is not a loopback address: the embedded broker has no authentication, so listen on 127.0.0.1 or [::1], \
         or use Apache Kafka"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: choose another address")]
    Listen {
        /// The address that could not be had.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process (or another broker of this process) holds the file.
    #[error("broker file {} is in use by {owner}: stop that process, or give this one a file of its own", path.display())]
    InUse {
        /// The broker's file.
        path: PathBuf,
        /// Who holds it, as far as it told.
        owner: String,
    },
    /// The file cannot be opened, read or written.
    #[error("cannot {attempted} broker file {}: check the folder, its rights and the free space", path.display())]
    Storage {
        /// What was being done.
        attempted: &'static str,
        /// The broker's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// What the file holds is not what was written, or never was a broker's.
    #[error(
        "broker file {} is damaged, or is no broker's file: put a copy in its place, with its -records, or move it away, with its \
         -wal, -shm and -records, to begin anew; what can still be read of it comes out by: sqlite3 FILE .recover", path.display()
    )]
    Damaged {
        /// The broker's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Records are in a folder, or in a file of it, that is not there, or not as long as it was.
    #[error(
        "broker file {} has records in {}, which is not there, or not whole: put it back where it was; file and folder are moved and \
         copied together, while the broker is stopped", path.display(), missing.display()
    )]
    RecordsMissing {
        /// The broker's file.
        path: PathBuf,
        /// The folder of its records, or one of its files.
        missing: PathBuf,
    },
    /// The lock beside the file cannot be made.
    #[error("cannot lock broker file {}: check the folder and its rights", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file was written by a later version of the broker.
    #[error("broker file {} has layout {found}, this version knows {known}: use the version that wrote it", path.display())]
    Layout {
        /// The broker's file.
        path: PathBuf,
        /// The layout that the file has.
        found: i64,
        /// The newest layout that this version reads.
        known: i64,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread of the embedded broker: raise the limit of threads")]
    Thread {
        /// What the operating system said.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// What went wrong with the file at the start.
    pub(crate) fn of_file(
        attempted: &'static str,
        path: PathBuf,
        source: rusqlite::Error,
    ) -> EmbeddedError {
        if is_damage(&source) {
            return EmbeddedError::Damaged { path, source };
        }
        EmbeddedError::Storage {
            attempted,
            path,
            source,
        }
    }
}

/// Whether what is in the file is wrong, so that another try will not help.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// The file refused a change, or the broker is stopping. The client may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker's file took no change")]
pub(crate) struct Unavailable;

/// Why a connection is closed by the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The peer speaks something that is not this protocol, or asks for what was not advertised.
    #[error("request {api} version {version} was not advertised")]
    NotServed { api: i16, version: i16 },
    /// The request does not follow its own schema.
    #[error("request {api} version {version} cannot be read: {reason}")]
    Malformed {
        api: i16,
        version: i16,
        reason: String,
    },
    /// An answer of ours does not fit its version: our mistake.
    #[error("answer to {api} version {version} cannot be written: {reason}")]
    Unencodable {
        api: i16,
        version: i16,
        reason: String,
    },
    /// The frame is larger than the limit.
    #[error(
        "{what} of {bytes} bytes is over the limit of {limit}: send less at once, or raise request_bytes_max"
    )]
    TooLarge {
        /// The request and its client, as far as they can be told.
        what: String,
        bytes: usize,
        limit: usize,
    },
    /// The frame was begun and did not come to its end in time.
    #[error(
        "of a request of {bytes} bytes {arrived} had arrived after {after:?}: its client is stuck or too slow"
    )]
    TooSlow {
        bytes: usize,
        arrived: usize,
        after: Duration,
    },
    /// Another protocol, sent here by mistake.
    #[error("the client speaks {}, and this port speaks Kafka's protocol without it: {}", .0.name(), .0.remedy())]
    Foreign(Foreign),
    /// Nothing was asked for so long. Its client will connect again when it needs to.
    #[error("nothing was asked for {after:?}")]
    Idle { after: Duration },
    /// An answer was not taken.
    #[error("nothing of an answer was read for {after:?}: its client is stuck")]
    Unread { after: Duration },
    /// Records could not be read when their answer was on its way already. Whoever asks again is told in the answer.
    #[error("an answer is cut off: the batch at byte {position} of {} cannot be given out: {reason}; if it is damaged, the next answer says so, and the log names its topic and offset", file.display())]
    Unreadable {
        file: PathBuf,
        position: i64,
        reason: String,
    },
    /// The socket is closed or broken. No error for anybody.
    #[error("the connection ended")]
    Closed(#[from] io::Error),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// What comes to a port of Kafka by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Tls,
    Http,
}

impl Foreign {
    /// Recognises it by its first bytes, which would be a request's length of a gigabyte or so.
    pub(crate) fn known_by(head: [u8; 4]) -> Option<Foreign> {
        match &head {
            [0x16, 3, ..] => Some(Foreign::Tls),
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"PATC" | b"DELE" | b"OPTI" | b"CONN" => {
                Some(Foreign::Http)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Foreign::Tls => "TLS",
            Foreign::Http => "HTTP",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Foreign::Tls => "set its security.protocol to PLAINTEXT, or use Apache Kafka",
            Foreign::Http => "use a client of Kafka",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_the_wrong_door_is_known_and_told_the_way() {
        let tls = Foreign::known_by([0x16, 3, 1, 2]).unwrap();
        let said = RequestError::Foreign(tls).to_string();
        assert!(said.contains("TLS") && said.contains("PLAINTEXT"), "{said}");
        assert_eq!(Foreign::known_by(*b"GET "), Some(Foreign::Http));
        assert_eq!(Foreign::known_by([0x7f, 0xff, 0xff, 0xff]), None);
    }
}
