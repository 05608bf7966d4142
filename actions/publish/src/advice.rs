//! Problems with individual files, and the hints for them.

use std::collections::BTreeSet;

use index::{Fault, HttpError, Retryable as _};

use crate::refusal::Refusal;

/// A problem with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// What was expected, what was found.
    pub what: String,
    /// What to do.
    pub advice: Advice,
}

/// What to do about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// The files must be verified first.
    Verify,
    /// The rules found errors.
    RuleErrors,
    /// The message says what to fix.
    Fix,
    /// A rerun may succeed.
    Rerun,
    /// A rerun may succeed once the index has recovered.
    Wait,
    /// The file name was used before and cannot be reused.
    NewVersion,
    /// The release accepts no new files.
    OldRelease,
    /// The release is yanked.
    Yanked,
    /// The project is archived.
    Archived,
    /// The project is quarantined.
    Quarantined,
    /// The file is too large.
    FileSize,
    /// The user or password is wrong.
    Credentials,
    /// The token is for other projects.
    OtherProject,
    /// The account may not upload.
    Account,
    /// The index does not allow the project name.
    ProjectName,
    /// A pending publisher is needed.
    PendingPublisher,
    /// The attestations are not accepted.
    Attestations,
    /// An attestation beside the files is not valid.
    Attestation,
    /// The index has the file without an attestation.
    Unattested,
    /// `simple-url` is not the Simple API of this index.
    SimpleUrl,
    /// `index` is not the upload API.
    UploadUrl,
    /// The connection failed.
    Network(NetworkFault),
}

/// [`Fault`], ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkFault {
    /// [`Fault::Name`].
    Name,
    /// [`Fault::Certificate`].
    Certificate,
}

impl Advice {
    /// The advice for an error in answer to an upload.
    pub fn of(error: &HttpError) -> Self {
        match (Refusal::of(error), error.fault()) {
            (Some(Refusal::Incident), _) => Self::Wait,
            (Some(Refusal::Credentials | Refusal::Expired), _) => Self::Credentials,
            (Some(Refusal::Project), _) => Self::OtherProject,
            (Some(Refusal::Account), _) => Self::Account,
            (Some(Refusal::Name), _) => Self::ProjectName,
            (Some(Refusal::NewProject), _) => Self::PendingPublisher,
            (Some(Refusal::Exists | Refusal::Deleted), _) => Self::NewVersion,
            (Some(Refusal::Size), _) => Self::FileSize,
            (Some(Refusal::OldRelease), _) => Self::OldRelease,
            (Some(Refusal::Attestations), _) => Self::Attestations,
            (None, Some(Fault::Name)) => Self::Network(NetworkFault::Name),
            (None, Some(Fault::Certificate)) => Self::Network(NetworkFault::Certificate),
            _ if matches!(error, HttpError::Redirect { .. }) => Self::UploadUrl,
            _ if error.is_transient() || matches!(error, HttpError::Interrupted) => Self::Rerun,
            _ => Self::Fix,
        }
    }

    /// Whether the same run may succeed later.
    pub fn is_rerun(self) -> bool {
        matches!(self, Self::Rerun | Self::Wait | Self::Network(_))
    }

    fn text(self) -> &'static str {
        match self {
            Self::Verify => "run verify-dist on exactly the files to publish",
            Self::RuleErrors => "fix the errors above; `verify-dist explain RULE` shows how for each rule",
            Self::Fix => "fix the errors above and rerun; files already uploaded are skipped",
            Self::Rerun => "rerun: files already uploaded are skipped",
            Self::Wait => {
                "the index has disabled uploads: wait until it enables them again, then rerun; files \
                 already uploaded are skipped"
            }
            Self::NewVersion => {
                "a published file never changes: publish a new version, or publish the bytes that are already there"
            }
            Self::OldRelease => {
                "PyPI accepts new files for 14 days after a release; publish these as a new version"
            }
            Self::Yanked => "un-yank the release on the index first, or publish a new version",
            Self::Archived => "un-archive the project on the index first",
            Self::Quarantined => "the index's administrators have quarantined the project; contact them",
            Self::FileSize => {
                "make the file smaller, or ask the index for a higher limit; once it is granted, set \
                 `max-file-size`"
            }
            Self::Credentials => "check `username` and `password`: the index rejected them",
            Self::OtherProject => {
                "the token is valid, but not for this project: check its scope, and the project's owners"
            }
            Self::Account => {
                "the password is correct, but the account or organization is not allowed to upload: follow \
                 the message above"
            }
            Self::ProjectName => "the index does not allow a new project of this name: choose another one",
            Self::PendingPublisher => {
                "trusted publishing can create only one project in a run: register a pending publisher for the \
                 next one, then rerun; files already uploaded are skipped"
            }
            Self::Attestations => "rerun; if it fails again, set `attestations: off`",
            Self::Attestation => {
                "remove the attestation, or regenerate it for exactly this file; for a sigstore instance \
                 other than the public one, set `trust-config`"
            }
            Self::Unattested => {
                "an index never adds an attestation to a file that it has: set `attestations: auto`, or publish \
                 a new version"
            }
            Self::SimpleUrl => "check `simple-url`: it must be the Simple API of the index in `index`",
            Self::UploadUrl => "if that is the index's upload API, set `index` to it",
            Self::Network(NetworkFault::Name) => connection(Fault::Name),
            Self::Network(NetworkFault::Certificate) => connection(Fault::Certificate),
        }
    }
}

/// The hint for a failed connection.
pub(crate) fn connection(fault: Fault) -> &'static str {
    match fault {
        Fault::Name => "check the host name in `index` and `simple-url`, and the machine's DNS and proxy",
        Fault::Certificate => {
            "if the index uses a private certificate authority, set SSL_CERT_FILE to its certificate (PEM)"
        }
        Fault::Connection => "check the network and HTTPS_PROXY, then rerun",
    }
}

/// The hints for all problems, each once.
pub(crate) fn hints(problems: &[Problem]) -> String {
    let advice: BTreeSet<Advice> = problems.iter().map(|problem| problem.advice).collect();
    let advice: Vec<&str> = advice.into_iter().map(Advice::text).collect();
    advice.join("; ")
}
