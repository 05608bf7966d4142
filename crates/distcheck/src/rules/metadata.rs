//! `MET`: core metadata.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::metadata::Metadata;
use pydist::name;
use pydist::policy::{self, Classifier};
use pydist::requirement::Requirement;

use crate::facts::{Body, Dist};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, PypiRejects};
use crate::rule::Severity::{Error, Note};
use crate::rule::{Check, Out, Rule, some};

const CORE: &str = "PyPA \"Core metadata specifications\"; Warehouse, `forklift/metadata.py`.";
const PYPROJECT: &str = "Mend it in `[project]` of pyproject.toml and build again.";

pub(super) static RULES: &[Rule] = &[
    THERE,
    KNOWN,
    IDENTITY,
    CLASSIFIERS,
    REQUIREMENTS,
    PYTHON,
    ADDRESSES,
    SUMMARY,
    LICENCE,
    LICENCE_FILES,
    DYNAMIC,
    CONTENT_TYPE,
    FIELDS,
    ONCE,
];

const THERE: Rule = Rule {
    id: "MET001",
    title: "the metadata are there and can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "Without name, version and metadata version nothing can be uploaded or installed.",
    source: CORE,
    fix: PYPROJECT,
    example: "",
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
    why: "The index refuses others.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "",
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
    why: "The index refuses others.",
    source: CORE,
    fix: PYPROJECT,
    example: "",
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
    why: "The index refuses classifiers that it does not know and those that it has withdrawn.",
    source: "trove-classifiers (`pydist/data/classifiers.json`); Warehouse.",
    fix: "Take the spelling from the index's list of classifiers; `Private :: Do Not Upload` keeps a project from being published.",
    example: "",
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
    title: "requirements are valid and name no address",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses requirements that do not parse, and direct references (`name @ URL`).",
    source: "PEP 508, PEP 440; Warehouse.",
    fix: "Depend on a published version.",
    example: "",
    check: Check::Dist(requirements),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Requires-Dist: a @ https://example.org/a.whl\nSummary"),
};

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

const PYTHON: Rule = Rule {
    id: "MET006",
    title: "Requires-Python is a version specifier",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers cannot tell which Python the file is for.",
    source: CORE,
    fix: "For example `requires-python = \">=3.10\"`.",
    example: "",
    check: Check::Dist(python),
    #[cfg(test)]
    fails: || fixture::metadata(">=3.10", "three"),
};

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

const ADDRESSES: Rule = Rule {
    id: "MET007",
    title: "URLs and e-mail addresses are valid",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses others, and labels of more than 32 characters.",
    source: CORE,
    fix: PYPROJECT,
    example: "",
    check: Check::Dist(addresses),
    #[cfg(test)]
    fails: || fixture::metadata("https://sample.example", "sample.example"),
};

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

const SUMMARY: Rule = Rule {
    id: "MET008",
    title: "the summary is one line of at most 512 characters",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses others.",
    source: CORE,
    fix: PYPROJECT,
    example: "",
    check: Check::Dist(summary),
    #[cfg(test)]
    fails: || fixture::metadata("A sample.", &"x".repeat(513)),
};

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

const LICENCE: Rule = Rule {
    id: "MET009",
    title: "the licence is declared once, as SPDX defines",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses an expression that SPDX does not define, and one beside the old field License.",
    source: "PEP 639; SPDX licence list; Warehouse.",
    fix: "`license = \"MIT\"` in `[project]`; drop the licence classifiers.",
    example: "",
    check: Check::Dist(licence),
    #[cfg(test)]
    fails: || fixture::metadata("License-Expression: MIT", "License-Expression: MITT"),
};

fn licence(dist: &Dist, out: &mut Out) {
    let headers = &metadata!(dist, out).headers;
    let Some(text) = headers.get("License-Expression") else { return out.not_applicable() };
    if let Some(classifier) = headers.all("Classifier").find(|text| text.starts_with("License ::")) {
        out.only(Note).found(format!("the classifier `{classifier}` stands beside License-Expression"));
    }
    if headers.get("License").is_some_and(|licence| !licence.is_empty()) {
        out.found("License stands beside License-Expression");
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

/// Whether the index takes a text for a licence expression (PEP 639).
pub fn is_licence_expression(text: &str) -> bool {
    licence_expression(text).is_ok()
}

/// An expression with its words in the case that SPDX gives them.
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
    why: "The index refuses a file that lacks a licence that it names.",
    source: "PEP 639; Warehouse.",
    fix: "Check `license-files` in `[project]`; paths are relative to pyproject.toml.",
    example: "",
    check: Check::Dist(licence_files),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "License-File: LICENSE\nSummary"),
};

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
    example: "",
    check: Check::Dist(dynamic),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Dynamic: Name\nSummary"),
};

fn dynamic(dist: &Dist, out: &mut Out) {
    for field in metadata!(dist, out).headers.all("Dynamic") {
        let lower = field.to_ascii_lowercase();
        if ["name", "version", "metadata-version"].contains(&lower.as_str())
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
    example: "",
    check: Check::Dist(content_type),
    #[cfg(test)]
    fails: || fixture::metadata("text/markdown", "text/html"),
};

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

const FIELDS: Rule = Rule {
    id: "MET013",
    title: "fields are of the metadata version that is declared",
    severity: Error,
    provenance: BreaksInstall,
    why: "A field that is newer than the declared version is refused by strict readers.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "",
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
        // setuptools wrote License-File and Provides-Extra long before.
        if ["license-file", "provides-extra", "description-content-type"].contains(&lower.as_str()) {
            continue;
        }
        if let Some((_, since)) = FIELD_VERSIONS.iter().find(|(known, _)| *known == lower)
            && Version::from_str(since).is_ok_and(|since| since >= Version::new([2, 2]) && since > declared)
            && told.insert(lower)
        {
            out.found(format!("{field} is of metadata version {since}, declared is {declared}"));
        }
    }
}

const ONCE: Rule = Rule {
    id: "MET018",
    title: "fields that stand once stand once",
    severity: Error,
    provenance: PypiRejects,
    why: "Which of two values counts depends on the reader.",
    source: CORE,
    fix: "Use a current build backend.",
    example: "",
    check: Check::Dist(once),
    #[cfg(test)]
    fails: || fixture::metadata("Summary", "Version: 1.0\nSummary"),
};

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

/// The fields by which installers choose.
pub(super) const RESOLVED: [&str; 3] = ["requires-dist", "requires-python", "provides-extra"];

/// What must be equal in all files of a version, in no order.
pub(super) fn essence(metadata: &Metadata) -> Vec<(String, String)> {
    let own = ["metadata-version", "platform", "supported-platform", "dynamic", "description"];
    let mut fields: Vec<(String, String)> = metadata
        .headers
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .collect();
    fields.sort();
    fields
}
