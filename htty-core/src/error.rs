//! Errors of ht.

use std::fmt;
use std::io;

/// An error with its cause and an optional hint.
#[derive(Debug)]
pub(crate) struct Error {
    what: String,
    cause: io::Error,
    hint: Option<&'static str>,
}

impl Error {
    /// Wraps a cause: `result.map_err(Error::when("cannot …"))`.
    pub(crate) fn when(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self { what: what.into(), cause, hint: None }
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}
