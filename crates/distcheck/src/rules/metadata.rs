//! `MET`: core metadata.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::metadata::Metadata;
use pydist::name::{self, ProjectName};
use pydist::policy::{self, Classifier};
use pydist::requirement;

use crate::facts::{Body, Dist};
#[cfg(test)]
use crate::fixture;
use crate::python_name;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::Error;
use crate::rule::{Check, Out, Rule, some};

pub(super) const CORE: &str = "PyPA \"Core metadata specifications\"; Warehouse, `forklift/metadata.py`.";
pub(super) const PYPROJECT: &str = "Fix it in `[project]` of pyproject.toml and build again.";

pub(super) static RULES: &[Rule] = &[
    THERE,
    KNOWN,
    IDENTITY,
    CLASSIFIERS,
    REQUIREMENTS,
    PYTHON,
    SUMMARY,
    DYNAMIC,
    CONTENT_TYPE,
    FIELDS,
    ONCE,
    UNKNOWN,
    IMPORT_NAMES,
    TRAILING,
];

const THERE: Rule = Rule {
    id: "MET001",
    title: "the metadata are there and can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "Without name, version and metadata version nothing can be uploaded or installed.",
    source: CORE,
    fix: PYPROJECT,
    example: "sample-1.0-py3-none-any.whl: METADATA: the required field `Name` is missing",
    check: Check::Dist(there),
    #[cfg(test)]
    fails: || fixture::metadata("Name: sample\n", ""),
};

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

pub(super) use metadata;

const KNOWN: Rule = Rule {
    id: "MET002",
    title: "the metadata version is one that the index knows",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects others.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: expected Metadata-Version 1.0 to 2.5, found `9.9`",
    check: Check::Dist(known),
    #[cfg(test)]
    fails: || fixture::metadata("Metadata-Version: 2.4", "Metadata-Version: 9.9"),
};

fn known(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let version = metadata.metadata_version.as_str();
    if !["1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5"].contains(&version) {
        out.found(format!("expected Metadata-Version 1.0 to 2.5, found `{version}`"));
    }
}

const IDENTITY: Rule = Rule {
    id: "MET003",
    title: "name and version are valid",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects others.",
    source: CORE,
    fix: PYPROJECT,
    example: "sample-1.0-py3-none-any.whl: `one` is not a version of PEP 440",
    check: Check::Dist(identity),
    #[cfg(test)]
    fails: || fixture::metadata("Version: 1.0\n", "Version: one\n"),
};

fn identity(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    if !name::is_valid(&metadata.name) {
        out.found(format!("`{}` is not a valid project name", metadata.name));
    }
    if Version::from_str(&metadata.version).is_err() {
        out.found(format!("`{}` is not a version of PEP 440", metadata.version));
    }
}

const CLASSIFIERS: Rule = Rule {
    id: "MET004",
    title: "classifiers are known and current",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects classifiers that it does not know and those that it has withdrawn.",
    source: "trove-classifiers (`pydist/data/classifiers.json`); Warehouse.",
    fix: "Take the spelling from the index's list of classifiers; `Private :: Do Not Upload` keeps a project from being published.",
    example: "sample-1.0-py3-none-any.whl: there is no classifier `Topic :: Nonsense`",
    check: Check::Dist(classifiers),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Classifier: Topic :: Nonsense\nSummary"),
};

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

const REQUIREMENTS: Rule = Rule {
    id: "MET005",
    title: "requirements are valid and name no URL",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects requirements that do not parse, and direct references (`name @ URL`).",
    source: "PEP 508, PEP 440; Warehouse.",
    fix: "Depend on a published version.",
    example: "sample-1.0-py3-none-any.whl: Requires-Dist: `a` is required from the URL `https://example.org/a.whl`",
    check: Check::Dist(requirements),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Requires-Dist: a @ https://example.org/a.whl\nSummary"),
};

fn requirements(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    for field in ["Requires-Dist", "Provides-Dist", "Obsoletes-Dist"] {
        for text in metadata.headers.all(field) {
            match requirement::parse(text) {
                Err(error) => out.found(format!("{field}: {error}")),
                Ok(parsed) => {
                    if let Some(url) = requirement::url(&parsed) {
                        out.found(format!("{field}: `{}` is required from the URL `{url}`", parsed.name));
                    }
                }
            }
        }
    }
    for extra in metadata.headers.all("Provides-Extra") {
        if !name::is_valid(extra) {
            out.found(format!("Provides-Extra: `{extra}` is not a valid name of an extra"));
        }
    }
}

const PYTHON: Rule = Rule {
    id: "MET006",
    title: "Requires-Python is a version specifier",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers cannot tell which Python the file is for.",
    source: CORE,
    fix: "For example `requires-python = \">=3.10\"`.",
    example: "sample-1.0-py3-none-any.whl: `three` is not a version specifier",
    check: Check::Dist(python),
    #[cfg(test)]
    fails: || fixture::metadata(">=3.10", "three"),
};

fn python(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Some(text) = metadata.headers.get("Requires-Python") else { return out.not_applicable() };
    if requires_python(text).is_none() {
        out.found(format!("`{text}` is not a version specifier"));
    }
}

/// The specifiers, with the liberties that `packaging` takes.
pub(super) fn requires_python(text: &str) -> Option<VersionSpecifiers> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    // An arbitrary string after `===` is allowed, and no version satisfies it.
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.starts_with("===")).collect();
    VersionSpecifiers::from_str(&parts.join(",")).ok()
}

const SUMMARY: Rule = Rule {
    id: "MET008",
    title: "the summary is one line of at most 512 characters",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects others.",
    source: CORE,
    fix: PYPROJECT,
    example: "sample-1.0-py3-none-any.whl: Summary has 513 characters",
    check: Check::Dist(summary),
    #[cfg(test)]
    fails: || fixture::metadata("A sample.", &"x".repeat(513)),
};

fn summary(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Some(text) = metadata.headers.get("Summary") else { return out.not_applicable() };
    let trailing =
        metadata.headers.trailing_blanks.iter().find(|(field, _)| field.eq_ignore_ascii_case("Summary"));
    // The index counts the blanks at the end, too.
    let length = text.chars().count() + trailing.map_or(0, |(_, blanks)| *blanks);
    if length > 512 {
        out.found(format!("Summary has {length} characters"));
    }
    let breaks = |c: char| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    if text.contains(breaks) {
        out.found("it has more than one line");
    }
}

/// Every field, with the metadata version that brought it.
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
    check: Check::Dist(dynamic),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Dynamic: Name\nSummary"),
};

fn dynamic(dist: &Dist, out: &mut Out) {
    for field in metadata!(dist, out).headers.all("Dynamic") {
        let lower = field.to_ascii_lowercase();
        if ["name", "version", "metadata-version", "dynamic"].contains(&lower.as_str())
            || !FIELD_VERSIONS.iter().any(|(known, _)| *known == lower)
        {
            out.found(format!("`{field}` cannot be dynamic"));
        }
    }
}

const CONTENT_TYPE: Rule = Rule {
    id: "MET012",
    title: "the description's content type is one that renders",
    severity: Error,
    provenance: PypiRejects,
    why: "The index renders text/plain, text/x-rst and text/markdown, in UTF-8.",
    source: CORE,
    fix: "`readme = \"README.md\"`, or `{ file = …, content-type = \"text/markdown\" }`.",
    example: "sample-1.0-py3-none-any.whl: expected text/plain, text/x-rst or text/markdown, found `text/html`",
    check: Check::Dist(content_type),
    #[cfg(test)]
    fails: || fixture::metadata("text/markdown", "text/html"),
};

fn content_type(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
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
            out.found(format!("expected `charset=UTF-8`, in capitals, found `charset={value}`"));
        }
        if key == "variant" && kind == "text/markdown" && !["GFM", "CommonMark"].contains(&value) {
            out.found(format!("expected `variant=GFM` or `variant=CommonMark`, found `variant={value}`"));
        }
    }
}

/// A parameter of a content type (RFC 2045, 5.1), and what follows its `;`.
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

const FIELDS: Rule = Rule {
    id: "MET013",
    title: "every field exists in the declared metadata version",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI and strict readers reject a field that is newer than the declared Metadata-Version.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: License-Expression is new in metadata version 2.4, the file declares 2.1",
    check: Check::Dist(fields),
    #[cfg(test)]
    fails: || fixture::metadata("Metadata-Version: 2.4", "Metadata-Version: 2.1"),
};

fn fields(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
    let Ok(declared) = Version::from_str(&metadata.metadata_version) else { return out.not_applicable() };
    let mut told = BTreeSet::new();
    for (field, _) in &metadata.headers.fields {
        let lower = field.to_ascii_lowercase();
        // setuptools wrote it long before, and twine does not send it then.
        if lower == "license-file" {
            continue;
        }
        if let Some((_, since)) = FIELD_VERSIONS.iter().find(|(known, _)| *known == lower)
            && Version::from_str(since).is_ok_and(|since| since > declared)
            && told.insert(lower)
        {
            out.found(format!("{field} is new in metadata version {since}, the file declares {declared}"));
        }
    }
}

const ONCE: Rule = Rule {
    id: "MET018",
    title: "single-use fields appear once",
    severity: Error,
    provenance: PypiRejects,
    why: "Which of two values counts depends on the reader. twine sends no file with such metadata.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: duplicate field Version",
    check: Check::Dist(once),
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

fn once(dist: &Dist, out: &mut Out) {
    let metadata = metadata!(dist, out);
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
        out.found("the description is given twice, as a field and as the body");
    }
}

const UNKNOWN: Rule = Rule {
    id: "MET023",
    title: "every field is one of the specification",
    severity: Error,
    provenance: PypiRejects,
    why: "twine and PyPI reject metadata with a field that they do not know.",
    source: "twine, `package.py`; packaging, `metadata.py`.",
    fix: "Use a current build backend, and remove fields of your own.",
    example: "sample-1.0-py3-none-any.whl: unknown field Colour",
    check: Check::Dist(unknown),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Colour: red\nSummary"),
};

fn unknown(dist: &Dist, out: &mut Out) {
    let mut told = BTreeSet::new();
    for (field, _) in &metadata!(dist, out).headers.fields {
        let lower = field.to_ascii_lowercase();
        if !FIELD_VERSIONS.iter().any(|(known, _)| *known == lower) && told.insert(lower) {
            out.found(format!("unknown field {field}"));
        }
    }
}

const IMPORT_NAMES: Rule = Rule {
    id: "MET024",
    title: "Import-Name and Import-Namespace are names of modules",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI accepts dotted identifiers, each optionally followed by `; private`.",
    source: "PEP 794; packaging, `metadata.py`.",
    fix: "In `[project]`: `import-names = [\"package.module\"]`.",
    example: "sample-1.0-py3-none-any.whl: Import-Name: `not-a-name` is not the name of a module",
    check: Check::Dist(import_names),
    #[cfg(test)]
    fails: || {
        fixture::metadata("Metadata-Version: 2.4\n", "Metadata-Version: 2.5\nImport-Name: not-a-name\n")
    },
};

fn import_names(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    for field in ["Import-Name", "Import-Namespace"] {
        let count = headers.all(field).count();
        for text in headers.all(field) {
            let (module, option) =
                text.split_once(';').map_or((text, None), |(module, option)| (module, Some(option)));
            let module = module.trim_end();
            let alone = field == "Import-Name" && count == 1 && module.is_empty() && option.is_none();
            if !alone && !module.split('.').all(python_name::is_identifier) {
                out.found(format!("{field}: `{module}` is not the name of a module"));
            } else if option.is_some_and(|option| option.trim_start() != "private") {
                out.found(format!("{field}: expected `; private`, found `{text}`"));
            }
        }
    }
}

const TRAILING: Rule = Rule {
    id: "MET026",
    title: "names and keywords do not end with blanks",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI compares these values as they are written: a blank at the end makes another, unknown value.",
    source: "packaging, `metadata.py`; trove-classifiers.",
    fix: "Remove the blank from `pyproject.toml`, and use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: the value of Name ends with a blank",
    check: Check::Dist(trailing),
    #[cfg(test)]
    fails: || fixture::metadata("Name: sample\n", "Name: sample \n"),
};

/// Fields whose values are names or keywords.
const KEYWORDS: [&str; 5] = ["classifier", "dynamic", "metadata-version", "name", "provides-extra"];

fn trailing(dist: &Dist, out: &mut Out) {
    for (field, _) in &metadata!(dist, out).headers.trailing_blanks {
        if KEYWORDS.contains(&field.to_ascii_lowercase().as_str()) {
            out.found(format!("the value of {field} ends with a blank"));
        }
    }
}

/// The fields by which installers choose.
pub(super) const RESOLVED: [&str; 3] = ["requires-dist", "requires-python", "provides-extra"];

/// What must be equal in all files of a version: requirements, extras and
/// specifiers by their meaning, the rest as it is written.
pub(super) fn essence(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let own = ["metadata-version", "platform", "supported-platform", "dynamic", "description"];
    let meaning = |field: &str, value: &str| match field {
        "requires-dist" => requirement::parse(value).ok().map(|requirement| requirement.to_string()),
        "requires-python" => requires_python(value).map(|specifiers| specifiers.to_string()),
        "provides-extra" => Some(ProjectName::new(value).to_string()),
        _ => None,
    };
    let fields = metadata.headers.fields.iter().map(|(field, value)| (field.to_ascii_lowercase(), value));
    fields
        .filter(|(field, _)| !own.contains(&field.as_str()))
        .map(|(field, value)| {
            let value = meaning(&field, value).unwrap_or_else(|| value.clone());
            (field, value)
        })
        .collect()
}
