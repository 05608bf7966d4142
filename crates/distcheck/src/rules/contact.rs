//! `MET`, continued: web and e-mail addresses.

use std::collections::BTreeSet;

use pydist::metadata::Metadata;

use super::metadata::{CORE, PYPROJECT};
use crate::dist::Dist;
use crate::email;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[URLS, EMAILS];

const URLS: Rule = Rule {
    id: "MET007",
    title: "URLs are valid and labelled",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI accepts only http and https URLs, with unique labels of 1 to 32 characters.",
    source: CORE,
    fix: PYPROJECT,
    example: "sample-1.0-py3-none-any.whl: Project-URL: `sample.example` is not an http or https URL",
    check: Check::Metadata(urls),
    #[cfg(test)]
    fails: || fixture::metadata("https://sample.example", "sample.example"),
};

fn urls(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
    for field in ["Home-page", "Download-URL"] {
        if let Some(url) = headers.get(field).filter(|url| !url.is_empty()) {
            report(out, field, url);
        }
    }
    let mut labels = BTreeSet::new();
    for line in headers.all("Project-URL") {
        let (label, url) = line.split_once(',').unwrap_or((line, ""));
        let (label, url) = (label.trim(), url.trim());
        let length = label.chars().count();
        if length == 0 {
            out.found(format!("Project-URL: expected `label, URL`, found `{line}`"));
        } else if length > 32 {
            out.found(format!("Project-URL: the label `{label}` has {length} characters, the limit is 32"));
        }
        if !labels.insert(label) {
            out.found(format!("Project-URL: duplicate label `{label}`"));
        }
        report(out, "Project-URL", url);
    }
}

fn report(out: &mut Findings, field: &str, url: &str) {
    match url_problem(url) {
        None => {}
        Some((why, true)) => out.found(format!("{field}: `{url}` {why}")),
        Some((why, false)) => out.with_severity(Warning).found(format!("{field}: `{url}` {why}")),
    }
}

/// The problem with a URL, and whether the index rejects it (Warehouse,
/// `utils/http.py`, with the grammar of RFC 3986).
fn url_problem(url: &str) -> Option<(&'static str, bool)> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some(("is not an http or https URL", true));
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if path.contains(['[', ']']) {
        return Some(("has brackets in its path", true));
    }
    let name = host.rsplit('@').next().unwrap_or(host);
    if let Some((_, port)) = name.rsplit_once(':').filter(|_| !name.ends_with(']'))
        && !port.is_empty()
        && port.parse::<u16>().is_err()
    {
        return Some(("has no valid port", true));
    }
    if name.is_empty() || url.contains(char::is_whitespace) {
        return Some(("is not a complete URL", false));
    }
    None
}

const EMAILS: Rule = Rule {
    id: "MET022",
    title: "e-mail addresses are valid",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI validates the address of Author-email and of Maintainer-email if the field has exactly one.",
    source: "Warehouse, `forklift/metadata.py`; email-validator.",
    fix: "In `[project]`: `authors = [{ name = \"…\", email = \"user@example.org\" }]`, or omit `email`.",
    example: "sample-1.0-py3-none-any.whl: Author-email: `sample at example.org` is not an e-mail address: it has no `@`",
    check: Check::Metadata(emails),
    #[cfg(test)]
    fails: || fixture::metadata("Author: A. Sample", "Author-email: A. Sample <sample at example.org>"),
};

fn emails(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
    for field in ["Author-email", "Maintainer-email"] {
        let Some(address) = headers.get(field).and_then(email::only_address) else { continue };
        if let Some(why) = email::address_problem(&address) {
            out.found(format!("{field}: `{address}` is not an e-mail address: {why}"));
        }
    }
}
