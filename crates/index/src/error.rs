//! Errors of requests.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::retry::{MAX_RETRY_AFTER, RetryVerdict, Retryable};

/// A response fails if no byte arrives for this long.
pub(crate) const STALL: Duration = Duration::from_secs(60);

/// Why a request failed. Messages never contain headers or queries.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection failed or broke.
    #[error("{url}: {fault}")]
    Connection {
        /// The URL without its query.
        url: String,
        /// The kind of failure.
        fault: Fault,
        /// The error of the client.
        source: reqwest::Error,
    },
    /// A timeout.
    #[error("{url}: {what} for {} s", limit.as_secs())]
    Timeout {
        /// The URL without its query.
        url: String,
        /// What did not happen in time.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// An unsuccessful status.
    #[error("{url} answered {status}{}{}", after_colon(message), wait(*retry_after))]
    Status {
        /// The URL without its query.
        url: String,
        /// The status.
        status: StatusCode,
        /// The message of the response, in one line.
        message: String,
        /// The `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("{url} answered {status}, a redirect to `{to}`, which is not followed")]
    Redirect {
        /// The URL without its query.
        url: String,
        /// The status.
        status: StatusCode,
        /// The target.
        to: String,
    },
    /// The response is too long.
    #[error("{url}: the response is longer than {limit} bytes")]
    TooLong {
        /// The URL without its query.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The response has an unexpected form.
    #[error("{url}: expected {expected}, found {found}")]
    Malformed {
        /// The URL without its query.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A file has changed since it was inspected; its last piece was not sent.
    #[error("the file changed while it was being published")]
    Changed,
    /// The user interrupted the process.
    #[error("interrupted")]
    Interrupted,
}

/// Why a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host name does not exist.
    Name,
    /// The server's certificate is not trusted.
    Certificate,
    /// Anything else, such as refused, reset, or unreachable.
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

/// Mentions a `Retry-After` that is too long to wait for.
fn wait(retry_after: Option<Duration>) -> String {
    let long = retry_after.filter(|asked| *asked > MAX_RETRY_AFTER);
    long.map(|asked| format!(" (the server asks to wait {} s)", asked.as_secs())).unwrap_or_default()
}

impl Retryable for HttpError {
    fn verdict(&self) -> RetryVerdict {
        match self {
            Self::Connection { fault: Fault::Connection, .. } => RetryVerdict::Again(None),
            Self::Timeout { .. } => RetryVerdict::Hung,
            Self::Status { status, retry_after, .. } if is_transient(status.as_u16()) => {
                RetryVerdict::Again(*retry_after)
            }
            _ => RetryVerdict::Final,
        }
    }
}

/// Whether a request with this status may succeed later.
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

    /// The message of the response, if any.
    pub fn message(&self) -> &str {
        match self {
            Self::Status { message, .. } => message,
            _ => "",
        }
    }

    /// Whether the server rejected the request permanently.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| !is_transient(status))
    }

    /// Why the connection failed, if it did.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Connection { fault, .. } => Some(*fault),
            _ => None,
        }
    }
}

/// The error of a request to `url` without a response.
pub fn connection_error(url: &str, error: reqwest::Error) -> HttpError {
    let url = url.to_owned();
    if error.is_timeout() && !error.is_connect() {
        return HttpError::Timeout { url, what: "no progress", limit: STALL };
    }
    HttpError::Connection { url, fault: fault(&error), source: error.without_url() }
}

/// Classifies `error` by its causes.
fn fault(error: &reqwest::Error) -> Fault {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = innermost(error).downcast_ref() {
            return Fault::Certificate;
        }
        // The standard library has no type for the errors of getaddrinfo(3), of which only
        // EAI_AGAIN is transient.
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

/// Unwraps I/O errors: `io::Error` does not return the wrapped error as its source, and
/// hyper-rustls nests them.
fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}
