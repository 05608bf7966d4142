//! What a real Warehouse answers to uploads, word for word, recorded from its
//! source of 2026-08-21 and, where it could be provoked, from a running
//! instance in August 2026. `<help>` stands for its help page.

/// One recorded answer.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What provokes it.
    pub case: &'static str,
    /// The status.
    pub status: u16,
    /// The reason, which the answer's `code` repeats after the status.
    pub words: &'static str,
    /// What publish takes it to mean; empty if it only shows the words.
    pub meaning: &'static str,
}

const fn row(case: &'static str, status: u16, words: &'static str, meaning: &'static str) -> Refusal {
    Refusal { case, status, words, meaning }
}

/// All recorded answers.
pub const REFUSALS: &[Refusal] = &[
    row("read-only mode", 403, READ_ONLY, "Incident"),
    row(
        "uploads switched off by an administrator",
        403,
        "New uploads are temporarily disabled. See <help> for more information.",
        "Incident",
    ),
    row("no or wrong credentials", 403, CREDENTIALS, "Credentials"),
    row("token past its time", 403, EXPIRED, "Expired"),
    row(
        "token for another project",
        403,
        "The given token isn't allowed to upload to project 'a'. See <help> for more information.",
        "Project",
    ),
    row(
        "user without a role in the project",
        403,
        "The user 'u' isn't allowed to upload to project 'a'. See <help> for more information.",
        "Project",
    ),
    row("new project of a trusted publisher", 400, NEW_PROJECT, "NewProject"),
    row(
        "same name, other bytes; other name, same bytes",
        400,
        "File already exists ('a-1.tar.gz', with blake2_256 hash '00'). See <help> for more information.",
        "Exists",
    ),
    row(
        "file name of a deleted file",
        400,
        "This filename was previously used by a file that has since been deleted. Use a different version. See <help> \
         for more information.",
        "Deleted",
    ),
    row(
        "file above the project's limit",
        400,
        "File too large. Limit for project 'a' is 100 MB. See <help> for more information.",
        "Size",
    ),
    row(
        "project above its limit",
        400,
        "Project size too large. Limit for project 'a' total size is 10 GB. See <help>",
        "Size",
    ),
    row("file for an old release", 400, OLD_RELEASE, "OldRelease"),
    row(
        "attestation that does not verify",
        400,
        "Invalid attestations supplied during upload: Could not verify the uploaded artifact using the included \
         attestation: certificate expired",
        "Attestations",
    ),
    row("attestation with a password", 400, NOT_TRUSTED, "Attestations"),
    row("empty list of attestations", 400, EMPTY_ATTESTATIONS, "Attestations"),
    row("wrong digest", 400, DIGEST, ""),
    row(
        "platform tag",
        400,
        "Binary wheel 'a-1-py3-none-linux_x86_64.whl' has an unsupported platform tag 'linux_x86_64'.",
        "",
    ),
    row("second sdist", 400, "Only one sdist may be uploaded per release.", ""),
];

pub(crate) const READ_ONLY: &str = "Read-only mode: Uploads are temporarily disabled.";
pub(crate) const CREDENTIALS: &str =
    "Invalid or non-existent authentication information. See <help> for more information.";
pub(crate) const EXPIRED: &str = "Invalid API Token: token is expired";
pub(crate) const NEW_PROJECT: &str = "Non-user identities cannot create new projects. This was probably caused by \
    successfully using a pending publisher but specifying the project name incorrectly (either in the publisher or in \
    your project's metadata). Please ensure that both match. See: <help>";
pub(crate) const OLD_RELEASE: &str = "Uploading new files to releases older than 14 days is not allowed.";
pub(crate) const NOT_TRUSTED: &str = "Invalid attestations supplied during upload: Attestations are only supported \
    when using Trusted Publishing";
pub(crate) const EMPTY_ATTESTATIONS: &str = "Invalid attestations supplied during upload: Malformed attestations: an \
    empty attestation set is not permitted";
pub(crate) const DIGEST: &str =
    "The digest supplied does not match a digest calculated from the uploaded file.";
