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
    /// The index has something else under these names.
    #[error("nothing was sent: {index} already has {} that differ:\n{}", count(conflicts.len(), "file"), lines(conflicts))]
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
    #[error("the attestations cannot be made: {0}")]
    Attest(String),
    /// Not every file is published.
    #[error("{} {index}:\n{}", unfinished(*partial), lines(faults))]
    Unfinished {
        /// The index.
        index: String,
        /// Whether some files are there.
        partial: bool,
        /// Whether another run may help.
        again: bool,
        /// The files that are missing, and why.
        faults: Vec<Fault>,
    },
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
    #[error("the index does not take part in trusted publishing")]
    Audience(#[source] HttpError),
    /// The index asks for what it must not get.
    #[error("no identity token was asked for")]
    Foreign(#[source] AudienceError),
    /// The index gives no token.
    #[error("the index exchanges the identity for no token")]
    Mint(#[source] HttpError),
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn unfinished(partial: bool) -> &'static str {
    if partial { "only a part is published on" } else { "nothing is published on" }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {}: {}", fault.file, fault.what)).collect::<Vec<_>>().join("\n")
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Inputs(_) | Self::Order(_) | Self::Auth(AuthError::Nothing | AuthError::ProviderUrl(_)) => {
                Exit::Usage
            }
            Self::Unfinished { partial: true, .. } | Self::Release { partial: true, .. } => Exit::Partial,
            Self::Auth(AuthError::Mint(error)) if error.is_transient() => Exit::Undetermined,
            Self::Inspect(_)
            | Self::Nothing(_)
            | Self::Manifest { .. }
            | Self::ManifestHash { .. }
            | Self::Conflict { .. }
            | Self::Auth(AuthError::Foreign(_) | AuthError::Mint(_))
            | Self::Unfinished { again: false, .. }
            | Self::Release { refused: true, .. } => Exit::Findings,
            _ => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Inspect(_) => "run verify-dist over exactly the files that are to be published",
            Self::Nothing(_) => "build them first, or name the files or their folder",
            Self::ManifestHash { .. } => {
                "the artifact was exchanged after verify-dist; publish the set that was verified"
            }
            Self::Order(_) => "say it by `package-order`",
            Self::Conflict { .. } => {
                "a published file never changes: raise the version, or publish the bytes that are there already"
            }
            Self::Auth(AuthError::Nothing) => {
                "set the environment variable INPUT_PASSWORD, or give the job `permissions: id-token: write`"
            }
            Self::Auth(AuthError::Mint(_)) => {
                "compare the trusted publisher that is set up on the index with this repository, workflow and environment"
            }
            Self::Unfinished { again: true, .. } | Self::Release { refused: false, .. } => {
                "run it again: what is there already is not sent again"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
