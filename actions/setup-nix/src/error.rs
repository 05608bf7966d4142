//! The errors of this action.

use std::path::PathBuf;

use toolkit::{Exit, Failure, FileError, InputErrors, ProcessError};

use crate::database::DatabaseError;

/// Why Nix could not be set up. Cache problems are only warnings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Invalid inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The inputs cannot be satisfied on this machine.
    #[error("{message}")]
    Plan {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A command failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nix's database is unusable.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Images could not be mounted or unmounted.
    #[error("cannot mount or unmount the images of the cache: {0}")]
    Mount(String),
    /// The download failed.
    #[error("cannot download `{url}`")]
    Download {
        /// The URL.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tarball has another hash than expected.
    #[error("`{source_name}` has SHA-256 {found}, expected {expected}; nothing was installed")]
    Hash {
        /// Path or URL.
        source_name: String,
        /// Hexadecimal.
        found: String,
        /// Hexadecimal.
        expected: String,
    },
    /// The tarball has an unexpected layout.
    #[error("`{}` is not a Nix tarball: {what}; nothing was installed", path.display())]
    Tarball {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Inputs(error) => error.exit(),
            Self::Plan { .. } => Exit::Usage,
            Self::File(error) => error.exit(),
            Self::Process(error) => error.exit(),
            Self::Database(_) | Self::Mount(_) | Self::Download { .. } => Exit::Undetermined,
            Self::Hash { .. } | Self::Tarball { .. } => Exit::Findings,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan { hint, .. } => Some(hint.clone()),
            Self::Process(error) => error.hint(),
            Self::Download { .. } => Some("retry, or set `tarball` to a local file".into()),
            Self::Hash { .. } => Some("check `nix-version`, `tarball` and `sha256`; if they are correct, the file is corrupt or was replaced".into()),
            Self::Tarball { .. } => Some(
                "pass a tarball with one directory that contains `store/`, `.reginfo` and `install`, compressed \
                 by xz or zstd"
                    .into(),
            ),
            _ => None,
        }
    }
}
