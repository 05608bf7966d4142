//! The literal responses of Warehouse to rejected uploads, from its source of 2026-08-21
//! (commit `6b62157124ab`) and, where possible, a running instance in August 2026. `<help>` is
//! the URL of its help page. Also responses of other indexes, as published.

/// A recorded response.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What causes it.
    pub case: &'static str,
    /// The status.
    pub status: u16,
    /// The reason, which `code` repeats after the status.
    pub words: &'static str,
    /// How publish interprets it; empty if it only shows the message.
    pub meaning: &'static str,
}

const fn row(case: &'static str, status: u16, words: &'static str, meaning: &'static str) -> Refusal {
    Refusal { case, status, words, meaning }
}

/// All recorded responses.
pub const REFUSALS: &[Refusal] = &[
    row("read-only mode", 403, READ_ONLY, "Incident"),
    row(
        "uploads switched off by an administrator",
        403,
        "New uploads are temporarily disabled. See <help> for more information.",
        "Incident",
    ),
    row(
        "new projects switched off by an administrator",
        403,
        "New project registration temporarily disabled. See <help> for more information.",
        "Incident",
    ),
    row("no or wrong credentials", 403, CREDENTIALS, "Credentials"),
    row("expired token", 403, EXPIRED, "Expired"),
    row(
        "API token for another project",
        403,
        "Invalid API Token: project-scoped token is not valid for project: 'a'",
        "Project",
    ),
    row(
        "trusted publisher of another project",
        403,
        "Invalid API Token: OIDC scoped token is not valid for project 'a'",
        "Project",
    ),
    row(
        "token without the permission",
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
    row(
        "user without a verified email address",
        403,
        "User 'u', associated with the API token used, does not have a verified primary email address. Please add a \
         verified primary email before attempting to upload to PyPI. See <help> for more information.",
        "Account",
    ),
    row(
        "user without two-factor authentication",
        403,
        "User 'u', associated with the API token used, does not have two-factor authentication enabled. Please enable \
         two-factor authentication before attempting to upload to PyPI. See <help> for more information.",
        "Account",
    ),
    row(
        "inactive organization",
        400,
        "Organization account owning this project is inactive. This may be due to inactive billing for Company \
         Organizations, or administrator intervention for Community Organizations.",
        "Account",
    ),
    row("new project of a trusted publisher", 400, NEW_PROJECT, "NewProject"),
    row("prohibited name", 400, "The name 'a' isn't allowed. See <help> for more information.", "Name"),
    row(
        "name of a standard module",
        400,
        "The name 'io' isn't allowed (conflict with Python Standard Library module name). See <help> for more \
         information.",
        "Name",
    ),
    row(
        "name too similar to an existing one",
        400,
        "The name 'a' is too similar to an existing project. See <help> for more information.",
        "Name",
    ),
    row(
        "name that was just taken",
        409,
        "The name 'a' conflicts with an existing project. See <help> for more information.",
        "Name",
    ),
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
    row("second sdist", 400, SECOND_SDIST, ""),
    row(
        "sdist name that is not normalised",
        400,
        "Filename 'A-1.tar.gz' is invalid, should be 'a-1.tar.gz'.",
        "",
    ),
    row(
        "wheel name that is not normalised",
        400,
        "Filename 'a.b-1-py3-none-any.whl' should contain the normalized project name 'a_b', not 'a.b'.",
        "",
    ),
    row(
        "wheel without RECORD",
        400,
        "Wheel 'a-1-py3-none-any.whl' does not contain the required RECORD file: a-1.dist-info/RECORD",
        "",
    ),
    row(
        "licence file that is missing",
        400,
        "License-File LICENSE does not exist in distribution file a-1.tar.gz at a-1/LICENSE",
        "",
    ),
    row("archive that cannot be read", 400, "Invalid distribution file. File is not a zipfile", ""),
];

/// The response of another index to a duplicate file.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    /// The index, with its version if it is known.
    pub index: &'static str,
    /// The status.
    pub status: u16,
    /// The message; empty if unknown.
    pub words: &'static str,
    /// The source, with its date.
    pub source: &'static str,
    /// The content type and the body, as far as known.
    pub body: (&'static str, &'static str),
}

const JSON: &str = "application/json";
const HTML: &str = "text/html";
const TEXT: &str = "text/plain";

/// The recorded responses of other indexes.
pub const OTHERS: &[Recorded] = &[
    Recorded {
        index: "GitLab 13.3",
        status: 400,
        words: "Validation failed: File name has already been taken",
        source: "pypa/twine#697, 2020-09-22",
        body: (JSON, r#"{"message":"Validation failed: File name has already been taken"}"#),
    },
    Recorded {
        index: "Nexus 3.25",
        status: 400,
        words: "Repository does not allow updating assets: pypi-local",
        source: "pypa/twine#694, 2020-09-17",
        body: (
            HTML,
            "<!doctype html>\n<html><head><title>400 - Nexus Repository Manager</title></head><body><div>OSS \
             3.25.1-04</div><span>Error 400</span> <span>Bad Request</span><div>Repository does not allow updating \
             assets: pypi-local</div></body></html>",
        ),
    },
    Recorded {
        index: "Nexus with PostgreSQL or H2",
        status: 400,
        words: "pypi-hosted/packages/a/1/a-1-py3-none-any.whl cannot be updated",
        source: "pypa/twine#1044, 2024-01-09",
        body: (TEXT, "pypi-hosted/packages/a/1/a-1-py3-none-any.whl cannot be updated"),
    },
    Recorded {
        index: "Artifactory 6.12",
        status: 403,
        words: "Not enough permissions to delete/overwrite artifact",
        source: "pypa/twine#332, 2019-10-03",
        body: (
            JSON,
            r#"{"errors": [{"status": 403, "message": "Not enough permissions to delete/overwrite artifact 'pypi-local:a/1/a-1.tar.gz'"}]}"#,
        ),
    },
    Recorded {
        index: "Artifactory of 2025",
        status: 403,
        words: "Not enough permissions to delete/overwrite all artifacts under",
        source: "pypa/twine#1251, 2025-06-17",
        body: (
            JSON,
            r#"{"errors": [{"status": 403, "message": "Not enough permissions to delete/overwrite all artifacts under 'a/1'"}]}"#,
        ),
    },
    Recorded {
        index: "Google Artifact Registry",
        status: 400,
        words: "Requested entity already exists.",
        source: "pypa/twine#1007, 2023",
        body: (TEXT, "Requested entity already exists.\n"),
    },
    Recorded {
        index: "Azure Artifacts",
        status: 409,
        words: "The feed 'Feed' already contains file 'a-1-py3-none-any.whl' in package 'a 1'.",
        source: "astral-sh/uv#8817, 2024-11-07",
        body: (
            JSON,
            r#"{"$id":"1","innerException":null,"message":"The feed 'Feed' already contains file 'a-1-py3-none-any.whl' in package 'a 1'.","typeKey":"PackageAlreadyExistsException","errorCode":0,"eventId":3000}"#,
        ),
    },
    Recorded {
        index: "AWS CodeArtifact",
        status: 409,
        words: "",
        source: "DeytaHQ/khora#495, 2026-05-02",
        body: (TEXT, ""),
    },
    Recorded {
        index: "pypiserver 2.4",
        status: 409,
        words: "",
        source: "pypa/twine#681, 2020-08-11, and the real one in these tests",
        body: (HTML, ""),
    },
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
pub(crate) const SECOND_SDIST: &str = "Only one sdist may be uploaded per release.";
pub(crate) const DIGEST: &str =
    "The digest supplied does not match a digest calculated from the uploaded file.";
