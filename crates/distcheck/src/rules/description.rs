//! `MET`: the description. [`crate::restructured`] checks whether its
//! reStructuredText renders.

use pydist::metadata::Metadata;

use super::metadata::CORE;
use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::restructured::check_text;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::{Error, Note};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[CONTENT_TYPE, RESTRUCTURED, FULLY_CHECKED];

const CONTENT_TYPE: Rule = Rule {
    id: "MET012",
    title: "the description's content type is supported",
    severity: Error,
    provenance: PypiRejects,
    why: "The index renders text/plain, text/x-rst and text/markdown, in UTF-8.",
    source: CORE,
    fix: "`readme = \"README.md\"`, or `{ file = …, content-type = \"text/markdown\" }`.",
    example: "sample-1.0-py3-none-any.whl: expected text/plain, text/x-rst or text/markdown, found `text/html`",
    check: Check::Metadata(content_type),
    #[cfg(test)]
    fails: || fixture::metadata("text/markdown", "text/html"),
};

fn content_type(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let Some(text) = metadata.headers.get("Description-Content-Type") else { return out.not_applicable() };
    let (kind, mut rest) = text.split_once(';').unwrap_or((text, ""));
    let kind = kind.trim().to_ascii_lowercase();
    if !["text/plain", "text/x-rst", "text/markdown"].contains(&kind.as_str()) {
        return out.found(format!("expected text/plain, text/x-rst or text/markdown, found `{text}`"));
    }
    while !rest.trim().is_empty() {
        let Some((key, value, after)) = parameter(rest) else {
            return out.found(format!("`{text}`: expected `key=value`, found `{}`", rest.trim()));
        };
        rest = after;
        if key == "charset" && value != "UTF-8" {
            out.found(format!("expected `charset=UTF-8`, in upper case, found `charset={value}`"));
        }
        if key == "variant" && kind == "text/markdown" && !["GFM", "CommonMark"].contains(&value) {
            out.found(format!("expected `variant=GFM` or `variant=CommonMark`, found `variant={value}`"));
        }
    }
}

/// A parameter of a content type (RFC 2045, 5.1), and the text after its `;`.
fn parameter(text: &str) -> Option<(String, &str, &str)> {
    let (key, rest) = text.split_once('=')?;
    let token = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?='".contains(c))
    };
    let (key, rest) = (key.trim(), rest.trim_start());
    let (value, after) = if let Some(quoted) = rest.strip_prefix('"') {
        quoted.split_once('"').filter(|(value, _)| !value.contains('\\'))?
    } else {
        let (value, after) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        (Some(value.trim_end()).filter(|value| token(value))?, after)
    };
    let after = after.trim_start();
    let after = if after.is_empty() { after } else { after.strip_prefix(';')? };
    token(key).then(|| (key.to_ascii_lowercase(), value, after))
}

const RESTRUCTURED: Rule = Rule {
    id: "MET017",
    title: "a reStructuredText description renders",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects a description for which docutils has a warning: an unknown directive, role or target, \
    a title underline that is too short, titles out of order, markup that is not closed, a duplicate target, \
    a missing blank line. A description without a content type is reStructuredText.",
    source: "readme_renderer, `rst.py` (`halt_level` 2, no raw, no inclusion); twine check.",
    fix: "Run `twine check`, or write the description in Markdown and set its content type.",
    example: "sample-1.0-py3-none-any.whl: line 1 of the description: the underline of the title `Sample` is too short",
    check: Check::Dist(restructured),
    #[cfg(test)]
    fails: || fixture::metadata("text/markdown\n\n# Sample", "text/x-rst\n\nSample\n===="),
};

fn restructured(dist: &Dist, out: &mut Findings) {
    let Some(text) = description(dist, out) else { return };
    for (line, message) in check_text(text).mistakes {
        out.found(format!("line {line} of the description: {message}"));
    }
}

const FULLY_CHECKED: Rule = Rule {
    id: "MET021",
    title: "all of a reStructuredText description is checked",
    severity: Note,
    provenance: PypiRejects,
    why: "Some constructs of docutils are not checked here. They pass, but the index may still reject them.",
    source: "docutils, reStructuredText Markup Specification.",
    fix: "Run `twine check` on the file too.",
    example: "sample-1.0-py3-none-any.whl: not checked: tables, in line 1 of the description",
    check: Check::Dist(fully_checked),
    #[cfg(test)]
    fails: || {
        fixture::metadata(
            "text/markdown\n\n# Sample",
            "text/x-rst\n\n== ==\na  b\n== ==\n1  2\n== ==\n\nText",
        )
    },
};

fn fully_checked(dist: &Dist, out: &mut Findings) {
    let Some(text) = description(dist, out) else { return };
    for (construct, lines) in check_text(text).unchecked {
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        out.found(format!("not checked: {construct}, in line {} of the description", lines.join(", ")));
    }
}

/// The description, if it is reStructuredText.
fn description<'a>(dist: &'a Dist, out: &mut Findings) -> Option<&'a str> {
    let text = dist.metadata().and_then(|metadata| {
        let kind = metadata.headers.get("Description-Content-Type").unwrap_or("text/x-rst");
        let text = metadata.description().filter(|text| !text.trim().is_empty() && *text != "UNKNOWN");
        text.filter(|_| kind.trim().to_ascii_lowercase().starts_with("text/x-rst"))
    });
    if text.is_none() {
        out.not_applicable();
    }
    text
}
