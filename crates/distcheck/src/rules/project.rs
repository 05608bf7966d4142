//! `MET`, continued: the project's description of itself.

use pydist::metadata::Metadata;

use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksRelease, Hygiene};
use crate::rule::Severity::{Note, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[LICENCE_TEXT, DESCRIBED, COMPLETE];

/// Texts that identify common licences, by identifier.
const LICENCES: [(&str, &str); 6] = [
    ("MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("Apache-2.0", "Apache License Version 2.0, January 2004"),
    ("GPL-3.0", "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007"),
    ("GPL-2.0", "GNU GENERAL PUBLIC LICENSE Version 2, June 1991"),
    ("LGPL-3.0", "GNU LESSER GENERAL PUBLIC LICENSE Version 3, 29 June 2007"),
    ("MPL-2.0", "Mozilla Public License Version 2.0"),
];

const LICENCE_TEXT: Rule = Rule {
    id: "MET015",
    title: "the declared licence matches the included text",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Readers of the metadata and readers of the text assume different licences.",
    source: "SPDX licence texts; PEP 639.",
    fix: "Make LICENSE and `license` in `[project]` agree.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.dist-info/licenses/LICENSE: the metadata declares MIT, the text is Apache-2.0",
    check: Check::Metadata(licence_text),
    #[cfg(test)]
    fails: || {
        fixture::plus("sample-1.0.dist-info/licenses/LICENSE", "Apache License\n Version 2.0, January 2004\n")
    },
};

fn licence_text(dist: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
    let declared = headers.get("License-Expression").or_else(|| headers.get("License")).unwrap_or_default();
    let is =
        |id: &str| declared == id || declared == format!("{id}-only") || declared == format!("{id}-or-later");
    let declared = LICENCES.iter().map(|(id, _)| *id).find(|id| is(id));
    let (Some(declared), true) = (declared, dist.members().iter().any(|member| member.licence.is_some()))
    else {
        return out.not_applicable();
    };
    // A file may have the texts of several licences, for bundled code.
    let texts: Vec<(&str, &str)> = dist
        .members()
        .iter()
        .filter_map(|member| Some((member.name.as_str(), member.licence.as_ref()?)))
        .flat_map(|(name, text)| {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let found = LICENCES.iter().filter(move |(_, phrase)| text.contains(phrase));
            found.map(move |(id, _)| (name, *id))
        })
        .collect();
    if let [(member, found), ..] = texts[..]
        && texts.iter().all(|(_, found)| *found != declared)
    {
        out.at(member, format!("the metadata declares {declared}, the text is {found}"));
    }
}

const DESCRIBED: Rule = Rule {
    id: "MET016",
    title: "there is a summary and a description",
    severity: Warning,
    provenance: Hygiene,
    why: "The project's page on the index is empty.",
    source: "pyroma; twine check --strict.",
    fix: "`description = …` and `readme = \"README.md\"` in `[project]`.",
    example: "sample-1.0-py3-none-any.whl: there is no Summary",
    check: Check::Metadata(described),
    #[cfg(test)]
    fails: || fixture::metadata("Summary: A sample.\n", ""),
};

fn described(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    if metadata.headers.get("Summary").is_none_or(str::is_empty) {
        out.found("there is no Summary");
    }
    if metadata.description().is_none_or(|text| text.trim().is_empty()) {
        out.found("there is no description");
    }
}

const COMPLETE: Rule = Rule {
    id: "MET020",
    title: "the project page is complete",
    severity: Note,
    provenance: Hygiene,
    why: "Without a licence, a URL, an author and the supported Pythons, users cannot evaluate the project.",
    source: "pyroma.",
    fix: "`license`, `urls`, `authors` and `requires-python` in `[project]`.",
    example: "sample-1.0-py3-none-any.whl: missing: an author",
    check: Check::Metadata(complete),
    #[cfg(test)]
    fails: || fixture::metadata("Author: A. Sample\n", ""),
};

fn complete(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
    let has =
        |fields: &[&str]| fields.iter().any(|field| headers.get(field).is_some_and(|text| !text.is_empty()));
    let classified = headers.all("Classifier").any(|text| text.starts_with("License ::"));
    let missing: Vec<&str> = [
        ("a licence", classified || has(&["License-Expression", "License", "License-File"])),
        ("a URL", has(&["Project-URL", "Home-page"])),
        ("an author", has(&["Author", "Author-email", "Maintainer", "Maintainer-email"])),
        ("Requires-Python", has(&["Requires-Python"])),
    ]
    .into_iter()
    .filter_map(|(what, there)| (!there).then_some(what))
    .collect();
    if !missing.is_empty() {
        out.found(format!("missing: {}", missing.join(", ")));
    }
}
