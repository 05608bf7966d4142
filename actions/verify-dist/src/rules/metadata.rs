//! `MET`: core metadata and entry points.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::metadata::Metadata;
use pydist::name;
use pydist::policy::{self, Classifier};
use pydist::requirement::Requirement;

use super::Provenance::{BreaksInstall, BreaksRelease, Hygiene, PypiRejects};
use super::Severity::{Error, Warning};
use super::{Check, Out, Rule, some};
use crate::facts::{Body, Dist, Wheel};

const CORE: &str = "PyPA \"Core metadata specifications\"; Warehouse, `forklift/metadata.py`.";
const PYPROJECT: &str = "Mend it in `[project]` of pyproject.toml and build again.";

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "MET001",
        title: "the metadata are there and can be read",
        severity: Error,
        provenance: PypiRejects,
        why: "Without name, version and metadata version nothing can be uploaded or installed.",
        source: CORE,
        fix: PYPROJECT,
        check: Check::Dist(there),
    },
    Rule {
        id: "MET002",
        title: "the metadata version is one that the index knows",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses others.",
        source: CORE,
        fix: "Use a current build backend.",
        check: Check::Dist(known),
    },
    Rule {
        id: "MET003",
        title: "name and version are valid",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses others.",
        source: CORE,
        fix: PYPROJECT,
        check: Check::Dist(identity),
    },
    Rule {
        id: "MET004",
        title: "classifiers are known and current",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses classifiers that it does not know and those that it has withdrawn.",
        source: "trove-classifiers (`pydist/data/classifiers.json`); Warehouse.",
        fix: "Take the spelling from the index's list of classifiers; `Private :: Do Not Upload` keeps a project from being published.",
        check: Check::Dist(classifiers),
    },
    Rule {
        id: "MET005",
        title: "requirements are valid and name no address",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses requirements that do not parse, and direct references (`name @ URL`).",
        source: "PEP 508, PEP 440; Warehouse.",
        fix: "Depend on a published version.",
        check: Check::Dist(requirements),
    },
    Rule {
        id: "MET006",
        title: "Requires-Python is a version specifier",
        severity: Error,
        provenance: PypiRejects,
        why: "Installers cannot tell which Python the file is for.",
        source: CORE,
        fix: "For example `requires-python = \">=3.10\"`.",
        check: Check::Dist(python),
    },
    Rule {
        id: "MET007",
        title: "URLs and e-mail addresses are valid",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses others, and labels of more than 32 characters.",
        source: CORE,
        fix: PYPROJECT,
        check: Check::Dist(addresses),
    },
    Rule {
        id: "MET008",
        title: "the summary is one line of at most 512 characters",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses others.",
        source: CORE,
        fix: PYPROJECT,
        check: Check::Dist(summary),
    },
    Rule {
        id: "MET009",
        title: "the licence is declared once, as SPDX defines",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses an expression that SPDX does not define, and one beside the old field License.",
        source: "PEP 639; SPDX licence list; Warehouse.",
        fix: "`license = \"MIT\"` in `[project]`; drop the licence classifiers.",
        check: Check::Dist(licence),
    },
    Rule {
        id: "MET010",
        title: "every License-File is in the archive",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses a file that lacks a licence that it names.",
        source: "PEP 639; Warehouse.",
        fix: "Check `license-files` in `[project]`; paths are relative to pyproject.toml.",
        check: Check::Dist(licence_files),
    },
    Rule {
        id: "MET011",
        title: "Dynamic names fields that may be dynamic",
        severity: Error,
        provenance: PypiRejects,
        why: "Name, Version and Metadata-Version are never dynamic.",
        source: "PEP 643.",
        fix: "Use a current build backend.",
        check: Check::Dist(dynamic),
    },
    Rule {
        id: "MET012",
        title: "the description's content type is one that renders",
        severity: Error,
        provenance: PypiRejects,
        why: "The index renders text/plain, text/x-rst and text/markdown, in UTF-8.",
        source: CORE,
        fix: "`readme = \"README.md\"`, or `{ file = …, content-type = \"text/markdown\" }`.",
        check: Check::Dist(content_type),
    },
    Rule {
        id: "MET013",
        title: "fields are of the metadata version that is declared",
        severity: Error,
        provenance: BreaksInstall,
        why: "A field that is newer than the declared version is refused by strict readers.",
        source: CORE,
        fix: "Use a current build backend.",
        check: Check::Dist(fields),
    },
    Rule {
        id: "MET014",
        title: "entry points are valid and their targets are in the wheel",
        severity: Error,
        provenance: BreaksInstall,
        why: "A command that names a missing module starts with an ImportError.",
        source: "PyPA \"Entry points specification\".",
        fix: "Check `[project.scripts]`: `name = \"package.module:function\"`.",
        check: Check::Wheel(entry_points),
    },
    Rule {
        id: "MET015",
        title: "the declared licence is the one whose text is included",
        severity: Warning,
        provenance: BreaksRelease,
        why: "Whoever reads the metadata believes another licence than whoever reads the text.",
        source: "SPDX licence texts; PEP 639.",
        fix: "Make LICENSE and `license` in `[project]` say the same.",
        check: Check::Dist(licence_text),
    },
    Rule {
        id: "MET016",
        title: "there are a summary and a description",
        severity: Warning,
        provenance: Hygiene,
        why: "The project's page on the index is empty.",
        source: "pyroma; twine check --strict.",
        fix: "`description = …` and `readme = \"README.md\"` in `[project]`.",
        check: Check::Dist(described),
    },
    Rule {
        id: "MET017",
        title: "a reStructuredText description renders",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses a description that docutils cannot render.",
        source: "readme_renderer, twine check; docutils: a title line that is too short, an unknown directive or an unclosed literal.",
        fix: "Run `twine check`, or write the description in Markdown.",
        check: Check::Dist(restructured),
    },
    Rule {
        id: "MET018",
        title: "fields that stand once stand once",
        severity: Error,
        provenance: PypiRejects,
        why: "Which of two values counts depends on the reader.",
        source: CORE,
        fix: "Use a current build backend.",
        check: Check::Dist(once),
    },
];

fn there(dist: &Dist, out: &mut Out) {
    let (metadata, file) = match &dist.body {
        Body::Wheel(wheel) => (&wheel.metadata, "METADATA"),
        Body::Sdist(sdist) => (&sdist.metadata, "PKG-INFO"),
        Body::Broken(_) => return out.not_applicable(),
    };
    match metadata {
        None => out.found(format!("there is no {file}")),
        Some(Err(error)) => out.found(format!("{file}: {error}")),
        Some(Ok(_)) => {}
    }
}

macro_rules! metadata {
    ($dist:ident, $out:ident) => {
        match $dist.metadata() {
            Some(metadata) => metadata,
            None => return $out.not_applicable(),
        }
    };
}

fn known(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let version = metadata.metadata_version.as_str();
    if !["1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5"].contains(&version) {
        out.found(format!("expected Metadata-Version 1.0 to 2.5, found `{version}`"));
    }
}

fn identity(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    if !name::is_valid(&metadata.name) {
        out.found(format!("`{}` is not a valid project name", metadata.name));
    }
    if Version::from_str(&metadata.version).is_err() {
        out.found(format!("`{}` is not a version of PEP 440", metadata.version));
    }
}

fn classifiers(dist: &Dist, out: &mut Out) {
    for text in metadata!(dist, out).headers.all("Classifier") {
        match policy::classifier(text) {
            Classifier::Valid => {}
            Classifier::Deprecated([]) => out.found(format!("the classifier `{text}` is withdrawn")),
            Classifier::Deprecated(instead) => {
                out.found(format!("the classifier `{text}` is withdrawn in favour of {}", some(instead)))
            }
            Classifier::Unknown if text.starts_with("Private ::") => {
                out.found(format!("the classifier `{text}` forbids publishing"))
            }
            Classifier::Unknown => out.found(format!("there is no classifier `{text}`")),
        }
    }
}

fn requirements(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    for text in metadata.requires_dist() {
        match text.parse::<Requirement>() {
            Err(error) => out.found(error.to_string()),
            Ok(Requirement { url: Some(url), name, .. }) => {
                out.found(format!("`{name}` is required from the address `{url}`"))
            }
            Ok(_) => {}
        }
    }
    for extra in metadata.headers.all("Provides-Extra") {
        if !name::is_valid(extra) {
            out.found(format!("`{extra}` is not a valid name of an extra"));
        }
    }
}

fn python(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Some(text) = metadata.headers.get("Requires-Python") else { return out.not_applicable() };
    if VersionSpecifiers::from_str(text.trim_end_matches(',')).is_err() {
        out.found(format!("`{text}` is not a version specifier"));
    }
}

fn is_url(text: &str) -> bool {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.to_ascii_lowercase().strip_prefix(scheme).map(str::to_owned));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

fn addresses(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    for field in ["Home-page", "Download-URL"] {
        if let Some(url) =
            headers.get(field).filter(|url| !url.is_empty() && *url != "UNKNOWN" && !is_url(url))
        {
            out.found(format!("{field}: `{url}` is not a web address"));
        }
    }
    for line in headers.all("Project-URL") {
        let Some((label, url)) = line.split_once(',') else {
            out.found(format!("Project-URL: expected `label, address`, found `{line}`"));
            continue;
        };
        let (label, url) = (label.trim(), url.trim());
        if label.is_empty() || label.chars().count() > 32 {
            out.found(format!("Project-URL: the label `{label}` has not 1 to 32 characters"));
        }
        if !is_url(url) {
            out.found(format!("Project-URL: `{url}` is not a web address"));
        }
    }
    for field in ["Author-email", "Maintainer-email"] {
        let Some(text) = headers.get(field) else { continue };
        // Names may hold commas in quotes: only what has an at sign counts.
        let address = |part: &str| {
            part.rsplit_once('<').map_or(part, |(_, address)| address).trim_end_matches('>').trim().to_owned()
        };
        let bad = |address: &String| {
            address.split_once('@').is_none_or(|(user, host)| {
                user.is_empty()
                    || !host.contains('.')
                    || host.ends_with('.')
                    || address.contains(' ')
                    || host.contains('@')
            })
        };
        let addresses: Vec<String> = text.split(',').filter(|part| part.contains('@')).map(address).collect();
        if addresses.is_empty() && !text.trim().is_empty() {
            out.found(format!("{field}: there is no address in `{text}`"));
        }
        for address in addresses.iter().filter(|address| bad(address)) {
            out.found(format!("{field}: `{address}` is not an e-mail address"));
        }
    }
}

fn summary(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Some(text) = metadata.headers.get("Summary") else { return out.not_applicable() };
    if text.chars().count() > 512 {
        out.found(format!("it has {} characters", text.chars().count()));
    }
    if text.contains('\n') {
        out.found("it has more than one line");
    }
}

fn licence(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    let Some(text) = headers.get("License-Expression") else { return out.not_applicable() };
    if headers.get("License").is_some_and(|licence| !licence.is_empty()) {
        out.found("License stands beside License-Expression");
    }
    // `LicenseRef-…` and exceptions are part of the grammar.
    if let Err(error) = spdx::Expression::parse(text) {
        out.found(format!("`{text}` is not an SPDX expression: {}", error.reason));
    }
}

fn licence_files(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let members: BTreeSet<&str> = dist.members().iter().map(|member| member.name.as_str()).collect();
    // Before 2.4 the field was setuptools' own, with other folders.
    if !["2.4", "2.5"].contains(&metadata.metadata_version.as_str()) {
        return out.not_applicable();
    }
    for file in metadata.headers.all("License-File") {
        let found = match &dist.body {
            Body::Wheel(wheel) => {
                let folder = wheel.dist_info().unwrap_or_default();
                [format!("{folder}/licenses/{file}"), format!("{folder}/{file}")]
                    .iter()
                    .any(|path| members.contains(path.as_str()))
            }
            _ => members.iter().any(|name| name.split_once('/').is_some_and(|(_, rest)| rest == file)),
        };
        if !found {
            out.found(format!("License-File `{file}` is not in the archive"));
        }
    }
}

/// Every field, with the metadata version that brought it.
const FIELDS: [(&str, &str); 32] = [
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

fn dynamic(dist: &Dist, out: &mut Out) {
    for field in metadata!(dist, out).headers.all("Dynamic") {
        let lower = field.to_ascii_lowercase();
        if ["name", "version", "metadata-version"].contains(&lower.as_str())
            || !FIELDS.iter().any(|(known, _)| *known == lower)
        {
            out.found(format!("`{field}` cannot be dynamic"));
        }
    }
}

fn content_type(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Some(text) = metadata.headers.get("Description-Content-Type") else { return out.not_applicable() };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    if !["text/plain", "text/x-rst", "text/markdown"].contains(&kind.as_str()) {
        return out.found(format!("`{text}` is none of text/plain, text/x-rst, text/markdown"));
    }
    for part in parts {
        match part
            .split_once('=')
            .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
        {
            Some((key, value)) if key == "charset" && !value.eq_ignore_ascii_case("utf-8") => {
                out.found(format!("the charset is `{value}`, not UTF-8"))
            }
            Some((key, value))
                if key == "variant"
                    && kind == "text/markdown"
                    && !["GFM", "CommonMark"].contains(&value.as_str()) =>
            {
                out.found(format!("the Markdown variant `{value}` is not known"));
            }
            _ => {}
        }
    }
}

fn fields(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Ok(declared) = Version::from_str(&metadata.metadata_version) else { return out.not_applicable() };
    let mut told = BTreeSet::new();
    for (field, _) in &metadata.headers.fields {
        let lower = field.to_ascii_lowercase();
        // setuptools wrote License-File and Provides-Extra long before.
        if ["license-file", "provides-extra", "description-content-type"].contains(&lower.as_str()) {
            continue;
        }
        if let Some((_, since)) = FIELDS.iter().find(|(known, _)| *known == lower)
            && Version::from_str(since).is_ok_and(|since| since >= Version::new([2, 2]) && since > declared)
            && told.insert(lower)
        {
            out.found(format!("{field} is of metadata version {since}, declared is {declared}"));
        }
    }
}

fn entry_points(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(text) = &wheel.entry_points else { return out.not_applicable() };
    let members: BTreeSet<&str> = wheel.members.iter().map(|member| member.name.as_str()).collect();
    let tops: BTreeSet<&str> = members.iter().filter_map(|name| name.split(['/', '.']).next()).collect();
    let (mut group, mut seen) = (String::new(), BTreeSet::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim().clone_into(&mut group);
            continue;
        }
        let Some((name, target)) = line.split_once('=').filter(|_| !group.is_empty()) else {
            out.found(format!("entry_points.txt: `{line}` is neither a group nor `name = target`"));
            continue;
        };
        let (name, target) = (name.trim(), target.split('[').next().unwrap_or_default().trim());
        if !seen.insert((group.clone(), name.to_owned())) {
            out.found(format!("entry_points.txt: `{name}` stands twice in [{group}]"));
        }
        let (module, attribute) = target
            .split_once(':')
            .map_or((target, None), |(module, attribute)| (module.trim(), Some(attribute.trim())));
        let is_path = |path: &str| {
            !path.is_empty()
                && path.split('.').all(|part| {
                    !part.is_empty()
                        && !part.starts_with(|c: char| c.is_ascii_digit())
                        && part.chars().all(|c| c.is_alphanumeric() || c == '_')
                })
        };
        let script = ["console_scripts", "gui_scripts"].contains(&group.as_str());
        if script && (attribute.is_none() || name.is_empty() || name.contains(['/', '\\'])) {
            out.found(format!("entry_points.txt: `{line}` is not `name = module:function`"));
        } else if !is_path(module) || attribute.is_some_and(|attribute| !is_path(attribute)) {
            out.found(format!("entry_points.txt: `{target}` is not the path of an object"));
        } else if script {
            // Only a module of a package that is here can be looked up.
            let path = module.replace('.', "/");
            let top = module.split('.').next().unwrap_or(module);
            let here = |name: &&str| {
                name.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            let moved = |name: &&str| name.contains(".data/") && name.contains(&format!("/{path}"));
            if tops.contains(top) && !members.iter().any(|name| here(name) || moved(name)) {
                out.found(format!("entry_points.txt: `{name}` starts `{module}`, which is not in the wheel"));
            }
        }
    }
}

/// Texts that no other common licence has, by identifier.
const LICENCES: [(&str, &str); 6] = [
    ("MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("Apache-2.0", "Apache License Version 2.0, January 2004"),
    ("GPL-3.0", "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007"),
    ("GPL-2.0", "GNU GENERAL PUBLIC LICENSE Version 2, June 1991"),
    ("LGPL-3.0", "GNU LESSER GENERAL PUBLIC LICENSE Version 3, 29 June 2007"),
    ("MPL-2.0", "Mozilla Public License Version 2.0"),
];

fn licence_text(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    let declared = headers.get("License-Expression").or_else(|| headers.get("License")).unwrap_or_default();
    let is =
        |id: &str| declared == id || declared == format!("{id}-only") || declared == format!("{id}-or-later");
    let declared = LICENCES.iter().map(|(id, _)| *id).find(|id| is(id));
    let (Some(declared), true) = (declared, dist.members().iter().any(|member| member.licence.is_some()))
    else {
        return out.not_applicable();
    };
    let texts: Vec<(&str, &str)> = dist
        .members()
        .iter()
        .filter_map(|member| {
            let text = member.licence.as_ref()?.split_whitespace().collect::<Vec<_>>().join(" ");
            Some((member.name.as_str(), LICENCES.iter().find(|(_, phrase)| text.contains(phrase))?.0))
        })
        .collect();
    if let [(member, found), ..] = texts[..]
        && texts.iter().all(|(_, found)| *found != declared)
    {
        out.at(member, format!("the metadata say {declared}, the text is {found}"));
    }
}

fn described(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    if metadata.headers.get("Summary").is_none_or(str::is_empty) {
        out.found("there is no Summary");
    }
    if metadata.description().is_none_or(|text| text.trim().is_empty()) {
        out.found("there is no description");
    }
}

/// Directives that docutils has and the index allows or renders.
const DIRECTIVES: [&str; 50] = [
    "attention",
    "caution",
    "code",
    "code-block",
    "sourcecode",
    "danger",
    "error",
    "hint",
    "important",
    "note",
    "tip",
    "warning",
    "admonition",
    "image",
    "figure",
    "topic",
    "sidebar",
    "parsed-literal",
    "rubric",
    "epigraph",
    "highlights",
    "pull-quote",
    "compound",
    "container",
    "table",
    "list-table",
    "csv-table",
    "contents",
    "sectnum",
    "section-numbering",
    "header",
    "footer",
    "target-notes",
    "meta",
    "math",
    "replace",
    "unicode",
    "date",
    "class",
    "role",
    "default-role",
    "title",
    "line-block",
    "include",
    "raw",
    "restructuredtext-test-directive",
    "imagemap",
    "footnotes",
    "citations",
    "citation",
];

fn restructured(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let kind = metadata.headers.get("Description-Content-Type").unwrap_or_default();
    let Some(text) = metadata.description().filter(|_| kind.starts_with("text/x-rst")) else {
        return out.not_applicable();
    };
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines {
        let trimmed = line.trim_start();
        if let Some((name, _)) = trimmed.strip_prefix(".. ").and_then(|rest| rest.split_once("::"))
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_:".contains(c))
            && trimmed.len() == line.len()
            && !DIRECTIVES.contains(&name.to_ascii_lowercase().as_str())
        {
            out.found(format!("the directive `{name}` is not known to docutils"));
        }
    }
}

fn once(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    for field in [
        "Metadata-Version",
        "Name",
        "Version",
        "Summary",
        "Requires-Python",
        "License-Expression",
        "Description-Content-Type",
        "Home-page",
        "License",
        "Author",
        "Author-email",
    ] {
        if headers.all(field).count() > 1 {
            out.found(format!("{field} stands more than once"));
        }
    }
}

/// Equal in all that matters to an installer, for comparison between wheels.
pub(super) fn essence(metadata: &Metadata) -> Vec<(String, String)> {
    let relevant = [
        "requires-dist",
        "requires-python",
        "provides-extra",
        "license-expression",
        "license",
        "classifier",
        "summary",
    ];
    let mut fields: Vec<(String, String)> = metadata
        .headers
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| relevant.contains(&name.as_str()))
        .collect();
    fields.sort();
    fields
}
