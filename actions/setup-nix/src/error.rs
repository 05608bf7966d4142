//! What can go wrong, by phase.

use std::path::PathBuf;

use toolkit::{Exit, Failure, FileError, InputErrors, ProcessError};

use crate::database::DatabaseError;

/// Why there is no Nix. What goes wrong with the cache alone is a warning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The inputs do not fit the machine.
    #[error("{message}")]
    Plan {
        /// What does not fit.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Reading or writing a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nix's database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Images that cannot be mounted, or unmounted.
    #[error("cannot mount the images of the cache: {0}")]
    Mount(String),
    /// The download.
    #[error("cannot download {url}")]
    Download {
        /// From where.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not what was expected.
    #[error("{source_name} has sha256 {found}, expected {expected}; nothing was installed")]
    Hash {
        /// Path or URL.
        source_name: String,
        /// Hexadecimal.
        found: String,
        /// Hexadecimal.
        expected: String,
    },
    /// A tarball of another layout.
    #[error("`{}` is no Nix tarball: {what}; nothing was installed", path.display())]
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
            Self::Download { .. } => Some("run it again, or give a local file as `tarball`".into()),
            Self::Hash { .. } => Some("check `nix-version`, `tarball` and `sha256`; if they are right, the file is not".into()),
            Self::Tarball { .. } => Some(
                "expected one directory with `store/`, `.reginfo` and `install`, compressed by xz or zstd, as on the official download site".into(),
            ),
            _ => None,
        }
    }
}
