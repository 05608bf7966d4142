//! `MET`, continued: the declared licence.

use std::collections::BTreeSet;

use pydist::metadata::Metadata;

use crate::dist::{Body, Dist};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::{Error, Note};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[LICENCE, LICENCE_FILES];

const LICENCE: Rule = Rule {
    id: "MET009",
    title: "the license is declared once, as an SPDX expression",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects an expression that SPDX does not define, and one together with the old field License.",
    source: "PEP 639; SPDX licence list; Warehouse.",
    fix: "`license = \"MIT\"` in `[project]`; drop the licence classifiers.",
    example: "sample-1.0-py3-none-any.whl: `MITT` is not an SPDX expression: unknown term",
    check: Check::Metadata(licence),
    #[cfg(test)]
    fails: || fixture::metadata("License-Expression: MIT", "License-Expression: MITT"),
};

fn licence(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
    let Some(text) = headers.get("License-Expression") else { return out.not_applicable() };
    if let Some(classifier) = headers.all("Classifier").find(|text| text.starts_with("License ::")) {
        out.with_severity(Note)
            .found(format!("the classifier `{classifier}` is redundant beside License-Expression"));
    }
    if headers.get("License").is_some_and(|licence| !licence.is_empty()) {
        out.found("License is redundant beside License-Expression");
    }
    // `LicenseRef-…` and exceptions are part of the grammar; the index accepts
    // identifiers in any case, and deprecated ones.
    if let Err(error) = licence_expression(text) {
        out.found(format!("`{text}` is not an SPDX expression: {}", error.reason));
    }
}

const LICENCES: spdx::ParseMode = spdx::ParseMode {
    allow_slash_as_or_operator: false,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};

fn licence_expression(text: &str) -> Result<(), spdx::ParseError> {
    spdx::Expression::parse_mode(&licence_case(text), LICENCES).map(drop)
}

/// Whether the index accepts a text as a licence expression (PEP 639).
pub fn is_licence_expression(text: &str) -> bool {
    licence_expression(text).is_ok()
}

/// An expression with its identifiers in the case that SPDX uses.
fn licence_case(text: &str) -> String {
    let word = |word: &str| -> String {
        let (word, plus) = word.strip_suffix('+').map_or((word, ""), |word| (word, "+"));
        let same = |known: &&str| known.eq_ignore_ascii_case(word);
        let known = ["AND", "OR", "WITH"].into_iter().find(same);
        let known =
            known.or_else(|| spdx::identifiers::LICENSES.iter().map(|licence| licence.name).find(same));
        let known =
            known.or_else(|| spdx::identifiers::EXCEPTIONS.iter().map(|exception| exception.name).find(same));
        let reference = || {
            let (prefix, name) = word.split_at_checked(11)?;
            prefix.eq_ignore_ascii_case("LicenseRef-").then(|| format!("LicenseRef-{name}"))
        };
        let word = known.map(str::to_owned).or_else(reference).unwrap_or_else(|| word.to_owned());
        format!("{word}{plus}")
    };
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    spaced.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

const LICENCE_FILES: Rule = Rule {
    id: "MET010",
    title: "every License-File is in the archive",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects a file without a licence file that it names. In a wheel with metadata version 2.4 or later, they \
        are in `.dist-info/licenses`.",
    source: "PEP 639; Warehouse, `forklift/legacy.py`; packaging, `metadata.py`.",
    fix: "Check `license-files` in `[project]`; paths are relative to pyproject.toml. Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: License-File `LICENSE`: expected `sample-1.0.dist-info/licenses/LICENSE` in the archive",
    check: Check::Metadata(licence_files),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "License-File: LICENSE\nSummary"),
};

fn licence_files(dist: &Dist, metadata: &Metadata, out: &mut Findings) {
    // Before 2.4, only setuptools wrote the field, and twine does not send it.
    if !metadata.is_at_least(2, 4) {
        return out.not_applicable();
    }
    let members: BTreeSet<&str> = dist.members().iter().map(|member| member.name.as_str()).collect();
    for file in metadata.headers.all("License-File") {
        if let Some(why) = path_problem(file) {
            out.found(format!("License-File `{file}` {why}"));
            continue;
        }
        let expected = match &dist.body {
            Body::Wheel(wheel) => format!("{}/licenses/{file}", wheel.dist_info().unwrap_or_default()),
            Body::Sdist(sdist) => format!("{}/{file}", sdist.top().unwrap_or_default()),
            Body::Broken(_) => continue,
        };
        if !members.contains(expected.as_str()) {
            out.found(format!("License-File `{file}`: expected `{expected}` in the archive"));
        }
    }
}

/// Why a path cannot be a License-File.
fn path_problem(path: &str) -> Option<&'static str> {
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.contains("..") {
        Some("leaves the project")
    } else if path.contains('*') {
        Some("is a pattern, not a path")
    } else if path.starts_with('/') || drive {
        Some("is an absolute path")
    } else if path.contains('\\') {
        Some("has a backslash, expected `/`")
    } else if path.is_empty() || path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("is not a normal path")
    } else {
        None
    }
}
