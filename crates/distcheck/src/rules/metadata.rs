//! `MET`: the metadata and the values of its fields.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::metadata::Metadata;
use pydist::name::{self, ProjectName};
use pydist::policy::{self, Classifier};
use pydist::requirement;

use crate::dist::{Body, Dist};
#[cfg(test)]
use crate::fixture;
use crate::python_name;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::Error;
use crate::rule::{Check, Findings, Rule, some};

pub(super) const CORE: &str = "PyPA \"Core metadata specifications\"; Warehouse, `forklift/metadata.py`.";
pub(super) const PYPROJECT: &str = "Fix it in `[project]` of pyproject.toml and rebuild.";

pub(super) static RULES: &[Rule] =
    &[PRESENT, METADATA_VERSION, IDENTITY, CLASSIFIERS, REQUIREMENTS, PYTHON, SUMMARY, IMPORT_NAMES];

const PRESENT: Rule = Rule {
    id: "MET001",
    title: "the metadata exists and can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "A file without name, version and metadata version cannot be uploaded or installed.",
    source: CORE,
    fix: PYPROJECT,
    example: "sample-1.0-py3-none-any.whl: METADATA: the required field `Name` is missing",
    check: Check::Dist(present),
    #[cfg(test)]
    fails: || fixture::metadata("Name: sample\n", ""),
};

fn present(dist: &Dist, out: &mut Findings) {
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

const METADATA_VERSION: Rule = Rule {
    id: "MET002",
    title: "the metadata version is one that the index supports",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects others.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "sample-1.0-py3-none-any.whl: expected Metadata-Version 1.0 to 2.5, found `9.9`",
    check: Check::Metadata(metadata_version),
    #[cfg(test)]
    fails: || fixture::metadata("Metadata-Version: 2.4", "Metadata-Version: 9.9"),
};

fn metadata_version(_: &Dist, metadata: &Metadata, out: &mut Findings) {
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
    example: "sample-1.0-py3-none-any.whl: `one` is not a version (PEP 440)",
    check: Check::Metadata(identity),
    #[cfg(test)]
    fails: || fixture::metadata("Version: 1.0\n", "Version: one\n"),
};

fn identity(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    if !name::is_valid(&metadata.name) {
        out.found(format!("`{}` is not a valid project name", metadata.name));
    }
    if Version::from_str(&metadata.version).is_err() {
        out.found(format!("`{}` is not a version (PEP 440)", metadata.version));
    }
}

const CLASSIFIERS: Rule = Rule {
    id: "MET004",
    title: "classifiers are known and current",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects unknown and deprecated classifiers.",
    source: "trove-classifiers (`pydist/data/classifiers.json`); Warehouse.",
    fix: "Use the spelling in the index's list of classifiers; `Private :: Do Not Upload` keeps a project from being published.",
    example: "sample-1.0-py3-none-any.whl: unknown classifier `Topic :: Nonsense`",
    check: Check::Metadata(classifiers),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Classifier: Topic :: Nonsense\nSummary"),
};

fn classifiers(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    for text in metadata.headers.all("Classifier") {
        match policy::classifier(text) {
            Classifier::Valid => {}
            Classifier::Deprecated([]) => out.found(format!("the classifier `{text}` is deprecated")),
            Classifier::Deprecated(instead) => {
                out.found(format!("the classifier `{text}` is deprecated in favour of {}", some(instead)))
            }
            Classifier::Unknown if text.starts_with("Private ::") => {
                out.found(format!("the classifier `{text}` forbids publishing"))
            }
            Classifier::Unknown => out.found(format!("unknown classifier `{text}`")),
        }
    }
}

const REQUIREMENTS: Rule = Rule {
    id: "MET005",
    title: "requirements are valid and have no URLs",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects requirements that do not parse, and direct references (`name @ URL`).",
    source: "PEP 508, PEP 440; Warehouse.",
    fix: "Depend on a published version.",
    example: "sample-1.0-py3-none-any.whl: Requires-Dist: `a` is required from the URL `https://example.org/a.whl`",
    check: Check::Metadata(requirements),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Requires-Dist: a @ https://example.org/a.whl\nSummary"),
};

fn requirements(_: &Dist, metadata: &Metadata, out: &mut Findings) {
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
    why: "Installers cannot determine which Pythons the file supports.",
    source: CORE,
    fix: "For example `requires-python = \">=3.10\"`.",
    example: "sample-1.0-py3-none-any.whl: `three` is not a version specifier",
    check: Check::Metadata(python),
    #[cfg(test)]
    fails: || fixture::metadata(">=3.10", "three"),
};

fn python(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let Some(text) = metadata.headers.get("Requires-Python") else { return out.not_applicable() };
    if requires_python(text).is_none() {
        out.found(format!("`{text}` is not a version specifier"));
    }
}

/// The specifiers, parsed as leniently as by `packaging`.
pub(super) fn requires_python(text: &str) -> Option<VersionSpecifiers> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    // An arbitrary string after `===` is allowed, but no version satisfies it.
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
    check: Check::Metadata(summary),
    #[cfg(test)]
    fails: || fixture::metadata("A sample.", &"x".repeat(513)),
};

fn summary(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let Some(text) = metadata.headers.get("Summary") else { return out.not_applicable() };
    let trailing =
        metadata.headers.trailing_blanks.iter().find(|(field, _)| field.eq_ignore_ascii_case("Summary"));
    // The index also counts trailing blanks.
    let length = text.chars().count() + trailing.map_or(0, |(_, blanks)| *blanks);
    if length > 512 {
        out.found(format!("Summary has {length} characters"));
    }
    let breaks = |c: char| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    if text.contains(breaks) {
        out.found("it has more than one line");
    }
}

const IMPORT_NAMES: Rule = Rule {
    id: "MET024",
    title: "Import-Name and Import-Namespace are module names",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI accepts dotted identifiers, each optionally followed by `; private`.",
    source: "PEP 794; packaging, `metadata.py`.",
    fix: "In `[project]`: `import-names = [\"package.module\"]`.",
    example: "sample-1.0-py3-none-any.whl: Import-Name: `not-a-name` is not the name of a module",
    check: Check::Metadata(import_names),
    #[cfg(test)]
    fails: || {
        fixture::metadata("Metadata-Version: 2.4\n", "Metadata-Version: 2.5\nImport-Name: not-a-name\n")
    },
};

fn import_names(_: &Dist, metadata: &Metadata, out: &mut Findings) {
    let headers = &metadata.headers;
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

/// The fields that resolvers read.
pub(super) const RESOLVED: [&str; 3] = ["requires-dist", "requires-python", "provides-extra"];

/// The metadata that must be equal in all files of a version: requirements, extras
/// and specifiers by their meaning, the rest as written.
pub(super) fn comparable_fields(metadata: &Metadata) -> BTreeSet<(String, String)> {
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
