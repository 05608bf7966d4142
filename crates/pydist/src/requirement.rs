//! Requirements, as `Requires-Dist` holds them (PEP 508, PyPA "Dependency
//! specifiers").

use pep440_rs::{Operator, Version};
use pep508_rs::VersionOrUrl;
use url::Url;

use crate::name;

/// One requirement. After [`parse`], two requirements with the same meaning are
/// equal: the order of extras and specifiers, spaces and quotes do not matter.
pub type Requirement = pep508_rs::Requirement<Url>;

/// What markers are evaluated in.
pub use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

/// Why a text is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a requirement: {why}")]
pub struct RequirementError {
    text: String,
    why: String,
}

/// Reads a requirement; accepts what `packaging.requirements` accepts.
pub fn parse(text: &str) -> Result<Requirement, RequirementError> {
    check_names(text).map_err(|why| RequirementError { text: text.to_owned(), why })?;
    let result = text.parse::<Requirement>().or_else(|error| {
        // Only `packaging` allows `a>=1,` and `a===any-text`.
        let plain = without_arbitrary_equality(&without_trailing_commas(text));
        if plain == text { Err(error) } else { plain.parse() }
    });
    match result {
        Ok(mut requirement) => {
            requirement.extras.sort();
            requirement.extras.dedup();
            Ok(requirement)
        }
        Err(error) => Err(RequirementError { text: text.to_owned(), why: error.message.to_string() }),
    }
}

/// Rejects names on which the parser would panic: `a-[x]`, `a[x-]`.
fn check_names(text: &str) -> Result<(), String> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(text.len());
    let (project, rest) = text.split_at(end);
    let extras = rest.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next());
    let extras = extras.unwrap_or_default().split(',').map(str::trim).filter(|extra| !extra.is_empty());
    match std::iter::once(project).chain(extras).find(|name| !name::is_valid(name)) {
        Some(name) => Err(format!("`{name}` is not a valid name")),
        None => Ok(()),
    }
}

/// The text without a trailing comma after the specifiers.
fn without_trailing_commas(text: &str) -> String {
    let (specifiers, marker) = text.split_once(';').map_or((text, None), |(a, b)| (a, Some(b)));
    let trimmed = specifiers.trim_end();
    let (inner, close) = trimmed.strip_suffix(')').map_or((trimmed, ""), |inner| (inner.trim_end(), ")"));
    let Some(inner) = inner.strip_suffix(',') else { return text.to_owned() };
    let marker = marker.map(|marker| format!(" ;{marker}")).unwrap_or_default();
    format!("{inner}{close}{marker}")
}

/// Replaces the text after `===`, which need not be a version, with one.
fn without_arbitrary_equality(text: &str) -> String {
    let Some((before, after)) = text.split_once("===") else { return text.to_owned() };
    let after = after.trim_start();
    let end = after.find(|c: char| c.is_whitespace() || ",;)".contains(c)).unwrap_or(after.len());
    if end == 0 { text.to_owned() } else { format!("{before}==0{}", &after[end..]) }
}

/// The version, if the requirement allows exactly one (`a==1.0`).
pub fn pin(requirement: &Requirement) -> Option<&Version> {
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else { return None };
    let mut specifiers = specifiers.iter();
    let only = specifiers.next().filter(|_| specifiers.next().is_none())?;
    [Operator::Equal, Operator::ExactEqual].contains(only.operator()).then(|| only.version())
}

/// The address of a direct reference (`a @ URL`).
pub fn url(requirement: &Requirement) -> Option<String> {
    match &requirement.version_or_url {
        Some(VersionOrUrl::Url(url)) => Some(url.to_string()),
        _ => None,
    }
}

/// The version specifiers as text; empty if every version is allowed.
pub fn specifiers(requirement: &Requirement) -> String {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_extras_specifiers_and_urls() {
        let found = parse("Foo.bar[b, A] >= 1.0, <2 ; python_version < '3.11'").unwrap();
        assert_eq!(found.name.to_string(), "foo-bar");
        assert_eq!(specifiers(&found), ">=1.0, <2");
        let found = parse("a @ https://x.example/a.whl ; os_name == 'nt'").unwrap();
        assert_eq!(url(&found).as_deref(), Some("https://x.example/a.whl"));
        assert_eq!(pin(&parse("a==1.0").unwrap()).unwrap().to_string(), "1.0");
        assert!(pin(&parse("a~=1.0").unwrap()).is_none());
    }

    #[test]
    fn ignores_differences_in_spelling() {
        for (left, right) in [
            ("a>=1,<2", "A (<2, >=1)"),
            ("a[x,Y_z]", "a [y-z,x]"),
            ("a;python_version<\"3.8\"", "a ; python_version < '3.8'"),
            ("a; extra == 'b' and os_name == 'nt'", "a; os_name == 'nt' and extra == 'B'"),
        ] {
            assert_eq!(parse(left).unwrap(), parse(right).unwrap(), "{left}");
        }
        assert_ne!(parse("a>=1").unwrap(), parse("a>1").unwrap());
    }

    #[test]
    fn rejects_malformed_requirements() {
        for text in [
            "",
            "-a",
            "a b",
            "a>=",
            "a; python_version < '3' and",
            "a; python_version >> '3'",
            "a; python_version = '3'",
            "a; os_name == 'nt' or or os_name == 'x'",
            "a[b",
            "a[b,]",
            "a;",
            "a- ",
            "a-[b]",
            "a[b-]",
            "a[b- ]",
            "a @ ${HOME}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("a===x").is_ok() && parse("a===x; os_name == 'nt'").is_ok() && parse("a===").is_err());
        assert!(parse("a>=1,").is_ok() && parse("a (>=1,) ; os_name == 'nt'").is_ok());
    }
}
