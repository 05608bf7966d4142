//! Errors, by phase.

mod auth;

use std::path::PathBuf;

use distcheck::{FilePatternError, PatternError};
use index::HttpError;
use pydist::name::ProjectName;
use toolkit::{Exit, Failure, FileError, InputErrors, count};

use crate::advice::{self, Problem};

pub use auth::AuthError;
use auth::names;

/// Why nothing, or not everything, was published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Invalid inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files must not be published.
    #[error("{} cannot be published:\n{}", count(.0.len(), "file"), lines(.0))]
    Inspect(Vec<Problem>),
    /// There is nothing to publish.
    #[error("no distribution (`.whl`, `.tar.gz`) at {}", paths(.0))]
    Nothing(Vec<PathBuf>),
    /// A pattern of `paths` is not valid.
    #[error("input `paths`: {0}")]
    Pattern(PatternError),
    /// The manifest cannot be used.
    #[error("cannot use the manifest `{}`", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: pydist::manifest::ManifestError,
    },
    /// The manifest's SHA-256 is not the expected one.
    #[error("the manifest `{}` has the SHA-256 {found}, expected {expected}", path.display())]
    ManifestHash {
        /// The manifest.
        path: PathBuf,
        /// The input `manifest-sha256`.
        expected: String,
        /// The file's SHA-256.
        found: String,
    },
    /// The order of the packages cannot be determined.
    #[error("cannot determine the upload order: {0}")]
    Order(String),
    /// A project cannot be listed on the index.
    #[error("cannot list `{project}` on {index}")]
    Probe {
        /// The index.
        index: String,
        /// The project.
        project: ProjectName,
        /// Why.
        source: HttpError,
    },
    /// The index has other content under these names, or would reject the files.
    #[error("nothing was sent: {} cannot be published on {index}:\n{}", count(conflicts.len(), "file"), lines(conflicts))]
    Conflict {
        /// The index.
        index: String,
        /// The files.
        conflicts: Vec<Problem>,
    },
    /// Trusted publishing can create at most one project per run.
    #[error(
        "nothing was sent: {} do not exist on {index} yet, and trusted publishing can create only one project in a run",
        names(projects)
    )]
    NewProjects {
        /// The index.
        index: String,
        /// The projects.
        projects: Vec<ProjectName>,
        /// Where a pending publisher is registered.
        page: Option<String>,
    },
    /// No token, and no other way to authenticate.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Attestations cannot be made.
    #[error("nothing was sent: cannot make the attestations: {0}")]
    Attest(String),
    /// The index did not keep required attestations.
    #[error("{} listed on {index} without the attestations that were sent:\n{}", count(files.len(), "file"), lines(files))]
    Unattested {
        /// The index.
        index: String,
        /// The files.
        files: Vec<Problem>,
    },
    /// Not every file is published.
    #[error("{} {index}:\n{}", unfinished(*is_partial, *is_seen), lines(problems))]
    Unfinished {
        /// The index.
        index: String,
        /// Whether some files are or may be on the index.
        is_partial: bool,
        /// Whether some files are known to be on the index.
        is_seen: bool,
        /// The files that are missing, and why.
        problems: Vec<Problem>,
    },
    /// The GitHub Release cannot be planned.
    #[error("{0}")]
    ReleaseInput(String),
    /// The GitHub Release is not complete.
    #[error("the GitHub Release is not complete: {what}")]
    Release {
        /// What failed.
        what: String,
        /// The status of GitHub's answer.
        status: Option<u16>,
        /// Whether files are published without it.
        is_partial: bool,
        /// Whether another run would fail in the same way.
        is_refused: bool,
    },
    /// The HTTP client cannot be created.
    #[error("cannot set up the HTTP client")]
    Http(#[from] reqwest::Error),
    /// The asynchronous runtime cannot be created.
    #[error("cannot start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
}

fn unfinished(is_partial: bool, is_seen: bool) -> &'static str {
    match (is_partial, is_seen) {
        (true, true) => "only part of the release is on",
        (true, false) => "files were sent, but none is confirmed on",
        _ => "nothing was published on",
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("  {}: {}", problem.file, problem.what))
        .collect::<Vec<_>>()
        .join("\n")
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
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
            Self::Inputs(_) | Self::Order(_) | Self::Pattern(_) | Self::ReleaseInput(_) => Exit::Usage,
            Self::Auth(error) => error.exit(),
            Self::Unfinished { is_partial: true, .. } | Self::Release { is_partial: true, .. } => {
                Exit::Partial
            }
            Self::Unfinished { problems, .. } if problems.iter().any(|problem| problem.advice.is_rerun()) => {
                Exit::Undetermined
            }
            Self::Inspect(_)
            | Self::Nothing(_)
            | Self::Manifest { .. }
            | Self::ManifestHash { .. }
            | Self::Conflict { .. }
            | Self::NewProjects { .. }
            | Self::Unattested { .. }
            | Self::Unfinished { .. }
            | Self::Release { is_refused: true, .. } => Exit::Findings,
            _ => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        if toolkit::interrupted() {
            return Some("the run was interrupted; rerun it: files already uploaded are skipped".to_owned());
        }
        let hint = match self {
            Self::Inspect(problems) | Self::Conflict { conflicts: problems, .. } => advice::hints(problems),
            Self::Unfinished { problems, .. } => advice::hints(problems),
            Self::NewProjects { index, projects, page } => new_projects(index, projects, page.as_deref()),
            Self::Probe { source, .. } => probe(source).to_owned(),
            Self::Auth(error) => error.hint(),
            Self::Release { status, is_refused, .. } => release(*status, *is_refused).to_owned(),
            Self::ReleaseInput(_) => "set `tag`, and `release-notes` or `changelog` for the notes".to_owned(),
            Self::Inputs(_) => "`publish --help` lists the inputs".to_owned(),
            Self::Pattern(_) => {
                "`*`, `?`, `[…]` and `**` are special; quote the pattern in a shell".to_owned()
            }
            Self::File(_) => "check the path and its permissions, then rerun".to_owned(),
            Self::Nothing(_) => "build them first, or name the files or their directory".to_owned(),
            Self::Manifest { .. } => {
                "run verify-dist again, and set `manifest` to its output `manifest-path`".to_owned()
            }
            Self::ManifestHash { .. } => {
                "the artifact was replaced after verify-dist; publish the set that was verified".to_owned()
            }
            Self::Order(_) => "set `package-order`".to_owned(),
            Self::Attest(_) => "rerun, or set `attestations: off`".to_owned(),
            Self::Unattested { .. } => {
                "the index has disabled attestations and never adds them later; the files are valid: set \
                 `attestations: auto` to accept them without"
                    .to_owned()
            }
            Self::Http(_) | Self::Runtime(_) => {
                "check the certificates (SSL_CERT_FILE), the proxies and the limits of the process (ulimit)"
                    .to_owned()
            }
        };
        Some(hint)
    }
}

fn new_projects(index: &str, projects: &[ProjectName], page: Option<&str>) -> String {
    let page = page.map(|page| format!(" at {page}")).unwrap_or_default();
    let first = projects.first().map_or("", ProjectName::as_str);
    format!(
        "register a pending publisher for `{first}`{page} and publish it alone (`paths`, `manifest: none` or its \
         own manifest); then do the same for the next one. An owner can also create a project on {index} by \
         uploading its first release with an API token"
    )
}

fn probe(error: &HttpError) -> &'static str {
    match error {
        HttpError::Redirect { .. } => {
            "the page may be a login: set `simple-url` to the Simple API, and `username` and `password` (or \
             `simple-username` and `simple-password`) if it is private"
        }
        HttpError::Malformed { .. } => {
            "check `simple-url`; if the index is private, set `username` and `password`, or `simple-username` and \
             `simple-password`"
        }
        _ => match (error.status(), error.fault()) {
            (Some(401 | 403), _) => {
                "the index does not allow this user to read: set `username` and `password`, or `simple-username` \
                 and `simple-password`"
            }
            (_, Some(fault)) => advice::connection(fault),
            _ => "check `index` and `simple-url`; nothing was sent, so it is safe to rerun",
        },
    }
}

fn release(status: Option<u16>, is_refused: bool) -> &'static str {
    match status {
        Some(401) => "check `github-token`: GitHub rejected it",
        Some(403 | 404) => {
            "give the job `permissions: contents: write`, and check that the token is for this repository"
        }
        Some(422) => "check the tag, and the repository's rules for tags and releases",
        _ if !is_refused => "rerun: files already uploaded are skipped",
        _ => "compare the release and its assets with these files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Advice;

    #[test]
    fn exits_as_undetermined_only_if_a_rerun_may_help() {
        let problem = |advice| Problem { file: "a".to_owned(), what: "b".to_owned(), advice };
        let exit = |advice| {
            let problems = vec![problem(advice)];
            Error::Unfinished { index: String::new(), is_partial: false, is_seen: false, problems }.exit()
        };
        assert_eq!(exit(Advice::Wait), Exit::Undetermined);
        assert_eq!(exit(Advice::NewVersion), Exit::Findings);
    }
}
