//! The meanings of indexes' refusals. Some differ only in their text, and only
//! these texts are compared; `docs/publish-refusals.md` lists them with their
//! source and date.

use index::HttpError;

/// The meaning of an index's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Uploads are temporarily switched off for everybody.
    Incident,
    /// The token has expired.
    Expired,
    /// The password or token is not valid.
    Credentials,
    /// The token is valid, but not for this project.
    Project,
    /// The user's account, or the organization, may not upload at all.
    Account,
    /// The index does not allow a new project of this name.
    Name,
    /// A trusted publisher cannot create a project by an upload.
    NewProject,
    /// Another file of this name, or this content under another name, exists.
    Exists,
    /// A file of this name existed and was deleted.
    Deleted,
    /// The file or the project is too large.
    Size,
    /// The release accepts no new files.
    OldRelease,
    /// The attestations are invalid, or not accepted from this publisher.
    Attestations,
}

/// Status, text of the message in lower case, meaning. The first match applies.
const MEANINGS: &[(u16, &str, Refusal)] = &[
    (403, "read-only mode", Refusal::Incident),
    (403, "uploads are temporarily disabled", Refusal::Incident),
    (503, "read-only mode", Refusal::Incident),
    (503, "uploads are temporarily disabled", Refusal::Incident),
    (403, "project registration temporarily disabled", Refusal::Incident),
    (403, "token is expired", Refusal::Expired),
    (403, "expired token", Refusal::Expired),
    (403, "isn't allowed to upload", Refusal::Project),
    (403, "is not valid for project", Refusal::Project),
    (403, "verified primary email", Refusal::Account),
    (403, "two-factor authentication", Refusal::Account),
    (403, "/overwrite", Refusal::Exists),
    (403, "invalid or non-existent authentication", Refusal::Credentials),
    (403, "invalid api token", Refusal::Credentials),
    (400, "non-user identities cannot create new projects", Refusal::NewProject),
    (400, "organization account owning this project is inactive", Refusal::Account),
    (400, "isn't allowed", Refusal::Name),
    (400, "too similar to an existing project", Refusal::Name),
    (400, "file already exists", Refusal::Exists),
    (400, "already been taken", Refusal::Exists),
    (400, "entity already exists", Refusal::Exists),
    (400, "does not allow updating", Refusal::Exists),
    (400, "cannot be updated", Refusal::Exists),
    (409, "conflicts with an existing project", Refusal::Name),
    (400, "previously used by a file that has since been deleted", Refusal::Deleted),
    (400, "file too large", Refusal::Size),
    (400, "project size too large", Refusal::Size),
    (400, "releases older than", Refusal::OldRelease),
    (400, "invalid attestations", Refusal::Attestations),
];

impl Refusal {
    /// The meaning of `error`, if it is a known refusal.
    pub fn of(error: &HttpError) -> Option<Self> {
        let status = error.status()?;
        let message = error.message().to_lowercase();
        let found = MEANINGS.iter().find(|row| row.0 == status && message.contains(row.1));
        match (found, status) {
            (Some(row), _) => Some(row.2),
            (None, 401 | 403) => Some(Self::Credentials),
            // Other indexes: pypiserver, Gitea, Azure Artifacts, CodeArtifact.
            (None, 409) => Some(Self::Exists),
            (None, 413) => Some(Self::Size),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::refusals::{OTHERS, REFUSALS};

    use super::*;

    fn answer(status: u16, message: &str) -> HttpError {
        HttpError::Status {
            url: String::new(),
            status: reqwest::StatusCode::from_u16(status).unwrap(),
            message: message.to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn classifies_the_recorded_answers() {
        for recorded in REFUSALS.iter().filter(|recorded| !recorded.meaning.is_empty()) {
            let found = Refusal::of(&answer(recorded.status, recorded.words));
            let found = format!("{:?}", found.unwrap());
            assert_eq!(found, recorded.meaning, "{}", recorded.words);
        }
    }

    #[test]
    fn classifies_the_answers_of_other_indexes() {
        for recorded in OTHERS {
            let found = Refusal::of(&answer(recorded.status, recorded.words)).unwrap();
            assert_eq!(found, Refusal::Exists, "{}: {}", recorded.index, recorded.words);
        }
    }

    #[test]
    fn the_document_lists_the_recorded_answers() {
        let document = include_str!("../../../docs/publish-refusals.md").replace("\\<", "<");
        for recorded in OTHERS {
            let words = if recorded.words.is_empty() { "–" } else { recorded.words };
            let row = format!("| {} | {} | {words} | {} |", recorded.index, recorded.status, recorded.source);
            assert!(document.contains(&row), "{row}");
        }
        for recorded in REFUSALS {
            let row = format!("| {} | {} | {} |", recorded.case, recorded.status, recorded.words);
            assert!(document.contains(&row), "{row}");
        }
    }

    #[test]
    fn classifies_unknown_texts_by_status() {
        assert_eq!(Refusal::of(&answer(401, "")), Some(Refusal::Credentials));
        assert_eq!(Refusal::of(&answer(409, "conflict")), Some(Refusal::Exists));
        assert_eq!(Refusal::of(&answer(400, "Invalid value for classifiers.")), None);
        assert_eq!(Refusal::of(&answer(503, "Service Unavailable")), None);
    }
}
