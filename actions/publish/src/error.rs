//! What can go wrong, by phase.

use std::path::PathBuf;

use toolkit::{Exit, Failure, FileError, InputErrors};

use crate::http::HttpError;
use crate::index::{AudienceError, IndexError};

/// Why nothing, or not everything, was published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files are not fit to be published.
    #[error("{} would not be published:\n{}", count(.0.len(), "file"), lines(.0))]
    Inspect(Vec<Fault>),
    /// There is nothing to publish.
    #[error("no distribution (`.whl`, `.tar.gz`) at {}", paths(.0))]
    Nothing(Vec<PathBuf>),
    /// The manifest cannot be used.
    #[error("the manifest `{}` cannot be used", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: pydist::manifest::ManifestError,
    },
    /// The manifest is not the one that verify-dist wrote.
    #[error("the manifest `{}` has the sha256 {found}, expected {expected}", path.display())]
    ManifestHash {
        /// The manifest.
        path: PathBuf,
        /// What `manifest-sha256` says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The order of the packages cannot be told.
    #[error("the order of the packages cannot be told: {0}")]
    Order(String),
    /// The index cannot be asked what it has.
    #[error("cannot find out what {index} has of `{project}`")]
    Probe {
        /// The index.
        index: String,
        /// The project.
        project: String,
        /// Why.
        source: HttpError,
    },
    /// The index has something else under these names, or would refuse them.
    #[error("nothing was sent: {} cannot be published on {index}:\n{}", count(conflicts.len(), "file"), lines(conflicts))]
    Conflict {
        /// The index.
        index: String,
        /// The files.
        conflicts: Vec<Fault>,
    },
    /// There is no way to authenticate, or it failed.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Attestations were required, or begun, and cannot be made.
    #[error("nothing was sent: the attestations cannot be made: {0}")]
    Attest(String),
    /// Not every file is published.
    #[error("{} {index}:\n{}", unfinished(*partial, *seen), lines(faults))]
    Unfinished {
        /// The index.
        index: String,
        /// Whether some files are there, or may be.
        partial: bool,
        /// Whether some files are known to be there.
        seen: bool,
        /// Whether another run may help.
        again: bool,
        /// The files that are missing, and why.
        faults: Vec<Fault>,
    },
    /// The GitHub Release cannot be planned.
    #[error("{0}")]
    ReleaseInput(String),
    /// The GitHub Release is not complete.
    #[error("the GitHub Release is not complete: {what}")]
    Release {
        /// What failed.
        what: String,
        /// Whether files are published without it.
        partial: bool,
        /// Whether it exists with other content.
        refused: bool,
    },
    /// The HTTP client cannot be made.
    #[error("cannot set up HTTP")]
    Http(#[from] reqwest::Error),
    /// The asynchronous runtime cannot be made.
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
}

/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// What was expected, what was found.
    pub what: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Neither a password nor an identity provider.
    #[error("there is neither a `password` nor an identity provider for trusted publishing")]
    Nothing,
    /// The runner's variable is not usable.
    #[error("`ACTIONS_ID_TOKEN_REQUEST_URL` cannot be used")]
    ProviderUrl(#[source] IndexError),
    /// The identity provider gives no token.
    #[error("the identity provider gives no token")]
    Identity(#[source] HttpError),
    /// The index does not say its audience.
    #[error("{}", audience(.0))]
    Audience(#[source] HttpError),
    /// The index asks for what it must not get.
    #[error("no identity token was asked for")]
    Foreign(#[source] AudienceError),
    /// The index gives no token.
    #[error("the index exchanges the identity for no token{}", identity(claims))]
    Mint {
        /// Why.
        source: HttpError,
        /// What the identity says, a line each.
        claims: String,
    },
}

fn identity(claims: &str) -> String {
    if claims.is_empty() { String::new() } else { format!("; it says of this run:{claims}") }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn unfinished(partial: bool, seen: bool) -> &'static str {
    match (partial, seen) {
        (true, true) => "only a part is published on",
        (true, false) => "files were sent, and none of them is confirmed on",
        _ => "nothing is published on",
    }
}

fn audience(error: &HttpError) -> &'static str {
    if is_no(error) {
        "the index does not take part in trusted publishing"
    } else {
        "the index could not be asked for its audience"
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {}: {}", fault.file, fault.what)).collect::<Vec<_>>().join("\n")
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

/// Whether the answer says no, and would say it again.
fn is_no(error: &HttpError) -> bool {
    error.status().is_some() && !error.is_transient()
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Inputs(_)
            | Self::Order(_)
            | Self::ReleaseInput(_)
            | Self::Auth(AuthError::Nothing | AuthError::ProviderUrl(_)) => Exit::Usage,
            Self::Auth(AuthError::Audience(error)) if is_no(error) => Exit::Usage,
            Self::Unfinished { partial: true, .. } | Self::Release { partial: true, .. } => Exit::Partial,
            Self::Auth(AuthError::Mint { source, .. }) if !is_no(source) => Exit::Undetermined,
            Self::Inspect(_)
            | Self::Nothing(_)
            | Self::Manifest { .. }
            | Self::ManifestHash { .. }
            | Self::Conflict { .. }
            | Self::Auth(AuthError::Foreign(_) | AuthError::Mint { .. })
            | Self::Unfinished { again: false, .. }
            | Self::Release { refused: true, .. } => Exit::Findings,
            _ => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        if toolkit::interrupted() {
            return Some(
                "it was interrupted; run it again: what is there already is not sent again".to_owned(),
            );
        }
        let hint = match self {
            Self::ReleaseInput(_) => {
                "the release takes its tag from the run or from `tag`, its notes from `release-notes` or `changelog`"
            }
            Self::Inputs(_) => "`publish --help` lists the inputs",
            Self::File(_) => "look at the path and its permissions, then run it again",
            Self::Inspect(_) => "run verify-dist over exactly the files that are to be published",
            Self::Nothing(_) => "build them first, or name the files or their folder",
            Self::Manifest { .. } => "let verify-dist write it anew; it is its output `manifest`",
            Self::ManifestHash { .. } => {
                "the artifact was exchanged after verify-dist; publish the set that was verified"
            }
            Self::Order(_) => "say it by `package-order`",
            Self::Probe { source: HttpError::Redirect { .. }, .. } => {
                "name the Simple API itself by `simple-url`; pypiserver must run with `--disable-fallback`"
            }
            Self::Probe { source: HttpError::Status { status, .. }, .. }
                if matches!(status.as_u16(), 401 | 403) =>
            {
                "the index lets only some read: give `username` and `password`"
            }
            Self::Probe { .. } => {
                "look at `index` and `simple-url`; nothing was sent, so it can be run again"
            }
            Self::Conflict { .. } => {
                "a published file never changes: raise the version, or publish the bytes that are there already"
            }
            Self::Auth(error) => error.hint(),
            Self::Attest(_) => "nothing was sent: run it again, or say `attestations: off`",
            Self::Unfinished { again: true, .. } | Self::Release { refused: false, .. } => {
                "run it again: what is there already is not sent again"
            }
            Self::Unfinished { partial: true, .. } => {
                "mend what is said of each file, then run it again: what is there already is not sent again"
            }
            Self::Unfinished { .. } => {
                "mend what is said of each file, then run it again: nothing was published"
            }
            Self::Release { what, .. } if what.contains("answered 401") => {
                "look at `github-token`: GitHub does not take it"
            }
            Self::Release { what, .. } if what.contains("answered 403") || what.contains("answered 404") => {
                "give the job `permissions: contents: write`, and look at the repository"
            }
            Self::Release { what, .. } if what.contains("answered 422") => {
                "look at the tag, and at the rules that the repository has for tags and releases"
            }
            Self::Release { .. } => "compare the release and its assets with these files",
            Self::Http(_) | Self::Runtime(_) => "look at the machine's certificates, proxies and limits",
        };
        Some(hint.to_owned())
    }
}

impl AuthError {
    /// What to do. The codes are Warehouse's (`warehouse/oidc/views.py`).
    fn hint(&self) -> &'static str {
        let code = |source: &HttpError| match source {
            HttpError::Status { message, .. } => {
                message.split(':').next().unwrap_or_default().trim().to_owned()
            }
            _ => String::new(),
        };
        match self {
            Self::Nothing => {
                "set the environment variable INPUT_PASSWORD, or give the job `permissions: id-token: write`"
            }
            Self::ProviderUrl(_) => "the runner sets it; a test's own needs `allow-insecure-loopback`",
            Self::Identity(_) => {
                "look at the job's `permissions: id-token: write`; if it has them, run it again"
            }
            Self::Audience(error) if is_no(error) => "give a `password`: an API token of this index",
            Self::Audience(_) => "run it again, or give a `password`: an API token of this index",
            Self::Foreign(error) if error.taken => "give a `password`: an API token of this index",
            Self::Foreign(_) => {
                "if you trust this index with that audience, say it by `oidc-audience`; else give a `password`"
            }
            Self::Mint { source, .. } if !is_no(source) => "run it again",
            Self::Mint { source, .. } => match code(source).as_str() {
                "invalid-pending-publisher" => {
                    "the name of the pending publisher's project is taken or not allowed; set up another one"
                }
                "invalid-reuse-token" => "the identity was used before; run it again",
                "invalid-payload" | "invalid-token" => {
                    "the index does not take the identity itself: look at `index`, and at the runner's clock"
                }
                "not-enabled" => "the index has switched trusted publishing off; give a `password`, or wait",
                _ => {
                    "compare the trusted publisher that is set up on the index with this repository, workflow \
                     and environment"
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_a_token_has_its_own_advice() {
        let hint = |code: &str| {
            let source = HttpError::Status {
                url: String::new(),
                status: reqwest::StatusCode::UNPROCESSABLE_ENTITY,
                message: format!("{code}: words"),
                retry_after: None,
            };
            Error::from(AuthError::Mint { source, claims: String::new() }).hint().unwrap()
        };
        let codes = [
            "invalid-publisher",
            "invalid-token",
            "invalid-reuse-token",
            "invalid-pending-publisher",
            "not-enabled",
        ];
        let hints: std::collections::BTreeSet<String> = codes.map(hint).into();
        assert_eq!(hints.len(), codes.len());
        assert_eq!(hint("invalid-payload"), hint("invalid-token"));
    }
}
