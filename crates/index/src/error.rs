//! Why a request has no usable answer.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::retry::{PATIENCE, Retryable, Verdict};

/// Without a byte for this long, an answer has failed.
pub(crate) const STALL: Duration = Duration::from_secs(60);

/// Why a request has no usable answer. No message holds a header or a query.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or one that broke.
    #[error("{url}: {fault}")]
    Connection {
        /// Without query.
        url: String,
        /// What kind of failure.
        fault: Fault,
        /// What the client says.
        source: reqwest::Error,
    },
    /// Time ran out.
    #[error("{url}: {what} for {} s", limit.as_secs())]
    Timeout {
        /// Without query.
        url: String,
        /// What did not happen.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A status that is not a success.
    #[error("{url} answered {status}{}{}", after_colon(message), wait(*retry_after))]
    Status {
        /// Without query.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the answer says, in one line.
        message: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("{url} answered {status}, a redirect to `{to}`, which is not followed")]
    Redirect {
        /// Without query.
        url: String,
        /// The status.
        status: StatusCode,
        /// Where to.
        to: String,
    },
    /// An answer past the limit.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// Without query.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// An answer of an unexpected form.
    #[error("{url}: expected {expected}, found {found}")]
    Malformed {
        /// Without query.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A file that is no longer what was inspected; its last piece was not sent.
    #[error("the file changed while it was being published")]
    Changed,
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host name does not exist.
    Name,
    /// The server's certificate is not trusted.
    Certificate,
    /// Anything else: refused, reset, unreachable.
    Connection,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the host name does not resolve",
            Self::Certificate => "the server's certificate is not trusted",
            Self::Connection => "the connection failed",
        })
    }
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A wait that is longer than we are ready to wait.
fn wait(retry_after: Option<Duration>) -> String {
    let long = retry_after.filter(|asked| *asked > PATIENCE);
    long.map(|asked| format!(" (it asks to wait {} s)", asked.as_secs())).unwrap_or_default()
}

impl Retryable for HttpError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Connection { fault: Fault::Connection, .. } => Verdict::Again(None),
            Self::Timeout { .. } => Verdict::Hung,
            Self::Status { status, retry_after, .. } if is_transient(status.as_u16()) => {
                Verdict::Again(*retry_after)
            }
            _ => Verdict::Final,
        }
    }
}

/// Whether a server that answers `status` may answer differently later.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

impl HttpError {
    /// The status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    /// What the server said, if it said something.
    pub fn message(&self) -> &str {
        match self {
            Self::Status { message, .. } => message,
            _ => "",
        }
    }

    /// Whether the answer was a refusal that the server would repeat.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| !is_transient(status))
    }

    /// Why there is no connection, if there is none.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Connection { fault, .. } => Some(*fault),
            _ => None,
        }
    }
}

/// The error of a request to `url` that got no answer.
pub fn connection_error(url: &str, error: reqwest::Error) -> HttpError {
    let url = url.to_owned();
    if error.is_timeout() && !error.is_connect() {
        return HttpError::Timeout { url, what: "no progress", limit: STALL };
    }
    HttpError::Connection { url, fault: fault(&error), source: error.without_url() }
}

/// What kind of failure `error` is, by its causes.
fn fault(error: &reqwest::Error) -> Fault {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = innermost(error).downcast_ref() {
            return Fault::Certificate;
        }
        // The standard library has no type for what getaddrinfo(3) says. Of
        // its answers, only EAI_AGAIN may change.
        let text = innermost(error).to_string();
        if text == "invalid dns name" {
            return Fault::Name;
        }
        if text.starts_with("failed to lookup address") {
            let passing = ["Temporary failure", "Try again"].iter().any(|word| text.contains(word));
            return if passing { Fault::Connection } else { Fault::Name };
        }
        cause = error.source();
    }
    Fault::Connection
}

/// What an I/O error holds: `io::Error` does not name it as its source, and
/// hyper-rustls puts one into another.
fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}
