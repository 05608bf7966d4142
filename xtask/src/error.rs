//! Errors of tasks.

use toolkit::{Exit, Failure, FileError, ProcessError};

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The machine lacks something that our scripts cannot install.
    #[error("{what}")]
    Missing { what: String, hint: String },
    /// A check failed.
    #[error("{0}")]
    Check(String),
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            // Like findings of an action.
            Self::Process(ProcessError::Failed { .. }) => Exit::Findings,
            Self::Process(error) => error.exit(),
            Self::Missing { .. } => Exit::Usage,
            Self::Check(_) => Exit::Findings,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Process(error) => error.hint(),
            Self::Missing { hint, .. } => Some(hint.clone()),
            Self::Check(_) => None,
        }
    }
}
