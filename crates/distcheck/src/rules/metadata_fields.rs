//! `MET`: the fields that the metadata may have, and how often.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::metadata::Metadata;

use super::metadata::CORE;
use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::Error;
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[DYNAMIC, FIELDS, SINGLE_USE, UNKNOWN, TRAILING];

/// Every field, with the metadata version that introduced it.
const FIELD_VERSIONS: [(&str, &str); 32] = [
    ("metadata-version", "1.0"),
    ("name", "1.0"),
    ("version", "1.0"),
    ("platform", "1.0"),
    ("summary", "1.0"),
    ("description", "1.0"),
    ("keywords", "1.0"),
    ("home-page", "1.0"),
    ("author", "1.0"),
    ("author-email", "1.0"),
    ("license", "1.0"),
    ("supported-platform", "1.1"),
    ("download-url", "1.1"),
    ("classifier", "1.1"),
    ("requires", "1.1"),
    ("provides", "1.1"),
    ("obsoletes", "1.1"),
    ("maintainer", "1.2"),
    ("maintainer-email", "1.2"),
    ("requires-python", "1.2"),
    ("requires-external", "1.2"),
    ("requires-dist", "1.2"),
    ("provides-dist", "1.2"),
    ("obsoletes-dist", "1.2"),
    ("project-url", "1.2"),
    ("description-content-type", "2.1"),
    ("provides-extra", "2.1"),
    ("dynamic", "2.2"),
    ("license-expression", "2.4"),
    ("license-file", "2.4"),
    ("import-name", "2.5"),
    ("import-namespace", "2.5"),
];

const DYNAMIC: Rule = Rule {
    id: "MET011",
    title: "Dynamic names fields that may be dynamic",
    severity: Error,
    provenance: PypiRejects,
    why: "Name, Version and Metadata-Version are never dynamic.",
    source: "PEP 643.",
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: `Name` cannot be dynamic",
    check: Check::Metadata(dynamic),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Dynamic: Name\nSummary"),
};

fn dynamic(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    for field in metadata.headers.all("Dynamic") {
        let lower = field.to_ascii_lowercase();
        if ["name", "version", "metadata-version", "dynamic"].contains(&lower.as_str())
            || !FIELD_VERSIONS.iter().any(|(known, _)| *known == lower)
        {
            out.found(format!("`{field}` cannot be dynamic"));
        }
    }
}

const FIELDS: Rule = Rule {
    id: "MET013",
    title: "every field exists in the declared metadata version",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI and strict readers reject a field that is newer than the declared Metadata-Version.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: License-Expression is new in metadata version 2.4, the file declares 2.1",
    check: Check::Metadata(fields),
    #[cfg(test)]
    fails: || fixture::metadata("Metadata-Version: 2.4", "Metadata-Version: 2.1"),
};

fn fields(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let Ok(declared) = Version::from_str(&metadata.metadata_version) else { return out.not_applicable() };
    let mut reported = BTreeSet::new();
    for (field, _) in &metadata.headers.fields {
        let lower = field.to_ascii_lowercase();
        // setuptools wrote it earlier, and twine does not send it then.
        if lower == "license-file" {
            continue;
        }
        if let Some((_, since)) = FIELD_VERSIONS.iter().find(|(known, _)| *known == lower)
            && Version::from_str(since).is_ok_and(|since| since > declared)
            && reported.insert(lower)
        {
            out.found(format!("{field} is new in metadata version {since}, the file declares {declared}"));
        }
    }
}

const SINGLE_USE: Rule = Rule {
    id: "MET018",
    title: "single-use fields appear once",
    severity: Error,
    provenance: PypiRejects,
    why: "Readers disagree on which of two values to use, and twine rejects such metadata.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: duplicate field Version",
    check: Check::Metadata(single_use),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Version: 1.0\nSummary"),
};

/// The fields that may appear several times.
const MULTIPLE: [&str; 15] = [
    "platform",
    "supported-platform",
    "classifier",
    "requires",
    "provides",
    "obsoletes",
    "requires-dist",
    "provides-dist",
    "obsoletes-dist",
    "requires-external",
    "project-url",
    "provides-extra",
    "dynamic",
    "license-file",
    "import-name",
];

fn single_use(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (field, _) in &metadata.headers.fields {
        let lower = field.to_ascii_lowercase();
        let multiple = MULTIPLE.contains(&lower.as_str()) || lower == "import-namespace";
        let known = FIELD_VERSIONS.iter().any(|(known, _)| *known == lower);
        if known && !multiple && !seen.insert(lower) {
            out.found(format!("duplicate field {field}"));
        }
    }
    let body = metadata.headers.body.as_deref().is_some_and(|body| !body.is_empty());
    if body && metadata.headers.get("Description").is_some() {
        out.found("duplicate description, as a field and as the body");
    }
}

const UNKNOWN: Rule = Rule {
    id: "MET023",
    title: "every field is in the specification",
    severity: Error,
    provenance: PypiRejects,
    why: "twine and PyPI reject metadata with unknown fields.",
    source: "twine, `package.py`; packaging, `metadata.py`.",
    fix: "Use a current build backend, and remove custom fields.",
    example: "sample-1.0-py3-none-any.whl: unknown field Color",
    check: Check::Metadata(unknown),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Color: red\nSummary"),
};

fn unknown(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let mut reported = BTreeSet::new();
    for (field, _) in &metadata.headers.fields {
        let lower = field.to_ascii_lowercase();
        if !FIELD_VERSIONS.iter().any(|(known, _)| *known == lower) && reported.insert(lower) {
            out.found(format!("unknown field {field}"));
        }
    }
}

const TRAILING: Rule = Rule {
    id: "MET026",
    title: "names and keywords have no trailing blanks",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI compares these values as written: a trailing blank makes an unknown value.",
    source: "packaging, `metadata.py`; trove-classifiers.",
    fix: "Remove the blank from `pyproject.toml`, and use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: the value of Name ends with a blank",
    check: Check::Metadata(trailing),
    #[cfg(test)]
    fails: || fixture::metadata("Name: sample\n", "Name: sample \n"),
};

/// Fields whose values are names or keywords.
const KEYWORDS: [&str; 5] = ["classifier", "dynamic", "metadata-version", "name", "provides-extra"];

fn trailing(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    for (field, _) in &metadata.headers.trailing_blanks {
        if KEYWORDS.contains(&field.to_ascii_lowercase().as_str()) {
            out.found(format!("the value of {field} ends with a blank"));
        }
    }
}
