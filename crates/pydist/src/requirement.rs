//! Requirements, as `Requires-Dist` holds them (PEP 508, PyPA "Dependency
//! specifiers").

use std::str::FromStr;

use pep440_rs::{Operator, VersionSpecifiers};

use crate::name;

/// One requirement.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The project's name as it is written.
    pub name: String,
    /// The versions that fit.
    pub specifiers: VersionSpecifiers,
    /// A direct reference (`name @ URL`).
    pub url: Option<String>,
    /// What follows `;`.
    pub marker: Option<String>,
}

/// Why a text is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a requirement: {why}")]
pub struct RequirementError {
    text: String,
    why: String,
}

/// The variables of environment markers (PEP 508, and `extras` and
/// `dependency_groups` of PEP 751).
const VARIABLES: [&str; 14] = [
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_version",
    "python_full_version",
    "implementation_name",
    "implementation_version",
    "extra",
    "extras",
    "dependency_groups",
];

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let error = |why: String| RequirementError { text: text.to_owned(), why };
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
        let (project, mut rest) = text.split_at(end.unwrap_or(text.len()));
        if !name::is_valid(project) {
            return Err(error(format!("`{project}` is not a project name")));
        }
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('[') {
            let (extras, after) = inner.split_once(']').ok_or_else(|| error("`[` is not closed".into()))?;
            let bad = extras.split(',').map(str::trim).find(|extra| !name::is_valid(extra));
            if let Some(bad) = bad.filter(|_| !extras.trim().is_empty()) {
                return Err(error(format!("`{bad}` is not the name of an extra")));
            }
            rest = after.trim_start();
        }
        let mut found = Self {
            name: project.to_owned(),
            specifiers: VersionSpecifiers::empty(),
            url: None,
            marker: None,
        };
        if let Some(url) = rest.strip_prefix('@') {
            let (url, marker) = url.split_once(" ;").map_or((url, None), |(url, marker)| (url, Some(marker)));
            found.url = Some(url.trim().to_owned());
            found.marker = marker.map(|marker| marker.trim().to_owned());
            return Ok(found);
        }
        let (versions, marker) = rest.split_once(';').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let versions = versions.trim();
        let versions =
            versions.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(versions);
        if !versions.trim().is_empty() {
            found.specifiers = versions
                .trim()
                .trim_end_matches(',')
                .parse()
                .map_err(|_| error(format!("`{versions}` is no version specifier")))?;
        }
        if let Some(marker) = marker {
            check_marker(marker).map_err(error)?;
            found.marker = Some(marker.trim().to_owned());
        }
        Ok(found)
    }
}

impl Requirement {
    /// The one version it allows (`==1.2.3`, no wildcard), if it allows one.
    pub fn pin(&self) -> Option<&pep440_rs::Version> {
        let mut specifiers = self.specifiers.iter();
        let first = specifiers.next()?;
        let exact = matches!(first.operator(), Operator::Equal | Operator::ExactEqual);
        (exact && specifiers.next().is_none()).then(|| first.version())
    }
}

/// The words of a marker: known variables, quoted strings, operators, balanced
/// parentheses.
fn check_marker(marker: &str) -> Result<(), String> {
    let mut rest = marker.trim();
    let (mut depth, mut words) = (0i32, 0);
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '(' => {
                depth += 1;
                1
            }
            ')' => {
                depth -= 1;
                1
            }
            '"' | '\'' => {
                words += 1;
                rest[1..].find(c).ok_or_else(|| format!("the marker's string {rest} is not closed"))? + 2
            }
            '<' | '>' | '=' | '!' | '~' => rest.find(|c| !"<>=!~".contains(c)).unwrap_or(rest.len()),
            c if c.is_whitespace() => c.len_utf8(),
            _ => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.'))
                    .unwrap_or(rest.len());
                let word = &rest[..end];
                let known = ["and", "or", "in", "not"].contains(&word);
                words += usize::from(!known);
                if !known
                    && !VARIABLES.contains(&word.replace('.', "_").as_str())
                    && word != "python_implementation"
                {
                    return Err(format!("the marker's `{rest}` does not start with a known variable"));
                }
                end
            }
        };
        rest = &rest[length..];
    }
    if depth != 0 {
        return Err("the marker's parentheses do not match".into());
    }
    if words < 2 {
        return Err("the marker compares nothing".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_understood() {
        let parse = |text: &str| text.parse::<Requirement>();
        assert_eq!(parse("htty-core==0.3.0").unwrap().pin().unwrap().to_string(), "0.3.0");
        assert!(
            parse("a[b,c] (>=1,<2) ; python_version < '3.11' and (extra == \"x\")").unwrap().pin().is_none()
        );
        assert_eq!(
            parse("a @ https://example.org/a.whl ; os_name == 'nt'").unwrap().url.as_deref(),
            Some("https://example.org/a.whl")
        );
        for bad in [
            "",
            "a b",
            "a[",
            "a ===",
            "a>1.0b c",
            "a; python_versoin < '3'",
            "a; (os_name == 'nt'",
            "a; os_name == 'nt",
            "-a",
            "a;",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
