//! Errors of an attempt to make a release.

use std::time::Duration;

use index::{HttpError, RetryVerdict, Retryable};

/// How long to wait at a secondary rate limit; octocrab does not expose GitHub's
/// `retry-after`.
const LIMITED: Duration = Duration::from_secs(3);

/// Why an attempt did not complete the release.
#[derive(Debug, thiserror::Error)]
pub(super) enum Abort {
    #[error("{}", octocrab_error(.0))]
    Api(octocrab::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Refused(String),
}

// No `source`: octocrab's own text repeats the message on two lines.
impl From<octocrab::Error> for Abort {
    fn from(error: octocrab::Error) -> Self {
        Self::Api(error)
    }
}

/// The error on one line, without the URL of the documentation.
pub(super) fn octocrab_error(error: &octocrab::Error) -> String {
    match error {
        octocrab::Error::GitHub { source, .. } => {
            let details =
                source.errors.iter().flatten().map(|error| format!("; {error}")).collect::<String>();
            format!("GitHub answered {}: {}{details}", source.status_code, source.message)
        }
        other => {
            let text =
                std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string);
            text.lines().next().unwrap_or_default().to_owned()
        }
    }
}

impl Abort {
    /// Whether it is a rate limit.
    fn is_limit(&self) -> bool {
        match self {
            Self::Api(octocrab::Error::GitHub { source, .. }) => {
                let limit = source.message.to_ascii_lowercase().contains("rate limit");
                limit && matches!(source.status_code.as_u16(), 403 | 429)
            }
            Self::Http(HttpError::Status { status, retry_after: Some(_), .. }) => status.as_u16() == 403,
            _ => false,
        }
    }

    /// The status of GitHub's answer.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Api(octocrab::Error::GitHub { source, .. }) => Some(source.status_code.as_u16()),
            Self::Http(error) => error.status(),
            _ => None,
        }
    }
}

impl Retryable for Abort {
    fn verdict(&self) -> RetryVerdict {
        match self {
            Self::Http(HttpError::Status { retry_after, .. }) if self.is_limit() => {
                RetryVerdict::Again(*retry_after)
            }
            _ if self.is_limit() => RetryVerdict::Again(Some(LIMITED)),
            Self::Api(octocrab::Error::GitHub { source, .. }) => match source.status_code.as_u16() {
                408 | 429 | 500..=599 => RetryVerdict::Again(None),
                _ => RetryVerdict::Final,
            },
            Self::Api(
                octocrab::Error::Reqwest { .. }
                | octocrab::Error::Hyper { .. }
                | octocrab::Error::Service { .. },
            ) => RetryVerdict::Again(None),
            Self::Http(error) => error.verdict(),
            Self::Api(_) | Self::Refused(_) => RetryVerdict::Final,
        }
    }
}
