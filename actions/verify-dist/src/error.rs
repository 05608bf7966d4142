//! Errors that prevent a verdict.

use std::path::{Path, PathBuf};

use distcheck::{FilePatternError, PatternError, rules};
use installs::require::RequirementError;
use toolkit::{Exit, Failure, FileError, InputErrors};

use crate::inputs::SPEC;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inputs are invalid.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The configuration is invalid.
    #[error("`{}`: the table `tool.verify-dist` is invalid", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: toml::de::Error,
    },
    /// The configuration names an unknown rule.
    #[error("`{}`: {message}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
        /// A rule or family that may have been meant.
        suggestion: Option<&'static str>,
    },
    /// A rule that does not exist.
    #[error("unknown rule `{0}`")]
    UnknownRule(String),
    /// Nothing to check.
    #[error("no distribution (`.whl` or `.tar.gz`) in {0}")]
    Nothing(String),
    /// A path that does not exist.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// A pattern that matches nothing.
    #[error("no file matches `{}`", .0.display())]
    NoMatch(PathBuf),
    /// An invalid pattern in `matrix`.
    #[error("`matrix`: {0}")]
    Matrix(PatternError),
    /// An invalid pattern in `paths`.
    #[error("input `paths`: {0}")]
    Pattern(PatternError),
    /// A duplicate file name.
    #[error("`{0}` is in two of the given directories")]
    DuplicateFile(String),
    /// An unknown environment in `require`.
    #[error("`require`: cannot use `{text}`")]
    Require {
        /// The text, as written.
        text: String,
        /// Why.
        source: RequirementError,
    },
    /// An unknown environment in `--why`.
    #[error("`--why`: cannot use `{text}`")]
    Why {
        /// The text, as written.
        text: String,
        /// Why.
        source: RequirementError,
    },
    /// The input `previous` does not name an index or a directory.
    #[error(
        "`previous`: expected `pypi`, `testpypi`, the https URL of a Simple API or a directory, found `{0}`"
    )]
    Previous(String),
    /// The index cannot be queried.
    #[error("cannot read `{url}`")]
    Index {
        /// The page.
        url: String,
        /// Why.
        source: index::HttpError,
    },
    /// The HTTP client cannot be created.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The asynchronous runtime cannot be created.
    #[error("cannot start the asynchronous runtime")]
    Runtime {
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<FilePatternError> for Error {
    fn from(error: FilePatternError) -> Self {
        match error {
            FilePatternError::Pattern(error) => Self::Pattern(error),
            FilePatternError::File(error) => Self::File(error),
        }
    }
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Inputs(_)
            | Self::Config { .. }
            | Self::Rule { .. }
            | Self::UnknownRule(_)
            | Self::Matrix(_)
            | Self::Pattern(_)
            | Self::Nothing(_)
            | Self::Missing(_)
            | Self::NoMatch(_)
            | Self::Previous(_)
            | Self::Require { .. }
            | Self::Why { .. }
            | Self::DuplicateFile(_) => Exit::Usage,
            Self::Index { .. } | Self::Client(_) | Self::Runtime { .. } => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Require { .. } | Self::Why { .. } => Some(
                "name a system, an architecture and a Python, such as `alpine-3.20 aarch64 cp312`; `verify-dist installs` lists them"
                    .into(),
            ),
            Self::UnknownRule(id) => {
                Some(did_you_mean(rules::suggest(id), "`verify-dist rules` lists all rules"))
            }
            Self::Rule { suggestion, .. } => {
                Some(did_you_mean(*suggestion, "`verify-dist rules` lists all rules"))
            }
            Self::Missing(path) => Some(did_you_mean(
                command_like(path),
                "build the distributions first, then pass their directory",
            )),
            Self::Nothing(_) | Self::NoMatch(_) => Some("build the distributions first, then pass their directory".into()),
            Self::Index { .. } => {
                Some("rerun, or omit `previous`: no other check needs the network".into())
            }
            Self::DuplicateFile(_) => Some(
                "remove one of the copies; if two jobs built it, build it in only one of them".into(),
            ),
            _ => None,
        }
    }
}

fn did_you_mean(name: Option<&str>, otherwise: &str) -> String {
    name.map_or_else(|| otherwise.to_owned(), |name| format!("did you mean `{name}`?"))
}

/// The command that the user may have meant by a path.
fn command_like(path: &Path) -> Option<&'static str> {
    let text = path.to_str()?;
    let names = SPEC.commands.iter().map(|command| command.name);
    names
        .filter(|name| strsim::osa_distance(name, text) <= 2)
        .min_by_key(|name| strsim::osa_distance(name, text))
}
