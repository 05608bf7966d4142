//! `[tool.verify-dist]`.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use distcheck::{Finding, Pattern, Selection, rules};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toolkit::choice;

use crate::error::Error;

/// The configuration of a project (`docs/reference/verify-dist-config.schema.json`).
/// Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Ids or families (`NIX`) of the rules to apply, in any case; all by default.
    pub(crate) select: Option<Vec<String>>,
    /// Accepted findings, each with its reason.
    #[serde(default)]
    pub(crate) ignore: Vec<Ignore>,
    /// Like the input `matrix`.
    #[serde(default, deserialize_with = "patterns")]
    pub(crate) matrix: Vec<Pattern>,
    /// Like the input `expect-sdist`.
    #[serde(default)]
    pub(crate) expect_sdist: Vec<String>,
    /// Like the input `require`.
    #[serde(default)]
    pub(crate) require: Vec<String>,
    /// Like the input `lost`.
    pub(crate) lost: Option<Lost>,
    /// The names that the wheels install at the top level, for CON015.
    #[serde(default)]
    pub(crate) top_level: Vec<String>,
}

choice! {
    /// The severity if an environment loses its wheel.
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(crate) enum Lost {
        /// A warning, the default.
        Warning = "warning",
        /// An error.
        Error = "error",
    }
}

/// Findings that are accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ignore {
    /// The rule's id, or a family, in any case.
    pub(crate) rule: String,
    /// The files it applies to. All by default.
    #[serde(default = "any", deserialize_with = "pattern")]
    pub(crate) files: Pattern,
    /// The members it applies to. All by default.
    #[serde(default = "any", deserialize_with = "pattern")]
    pub(crate) members: Pattern,
    /// Why it is accepted; required.
    pub(crate) reason: String,
    #[serde(skip)]
    used: Cell<bool>,
}

fn any() -> Pattern {
    "*".parse().expect("`*` is a pattern")
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.into_iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

#[derive(Deserialize)]
struct Pyproject {
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "verify-dist")]
    verify_dist: Option<Config>,
}

impl Config {
    /// Reads the file, by default `pyproject.toml` if it exists. Also returns the
    /// path, for annotations.
    pub(crate) fn read(path: Option<&Path>) -> Result<(Self, Option<PathBuf>), Error> {
        let default = Path::new("pyproject.toml");
        let path = match path {
            Some(path) => path,
            None if default.is_file() => default,
            None => return Ok((Self::default(), None)),
        };
        let text = toolkit::read_text(path)?;
        let parsed: Pyproject =
            toml::from_str(&text).map_err(|source| Error::Config { path: path.into(), source })?;
        let config = parsed.tool.and_then(|tool| tool.verify_dist).unwrap_or_default();
        for ignore in &config.ignore {
            known(path, "ignore", &ignore.rule)?;
            if ignore.reason.trim().is_empty() {
                let message = format!("`ignore` of `{}` has an empty reason", ignore.rule);
                return Err(Error::Rule { path: path.into(), message, suggestion: None });
            }
        }
        for selected in config.select.iter().flatten() {
            known(path, "select", selected)?;
        }
        Ok((config, Some(path.to_owned())))
    }

    /// The rules to apply.
    pub(crate) fn selection(&self) -> Selection {
        self.select.clone().map_or(Selection::All, Selection::Only)
    }

    /// The reason why a finding is accepted, if it is.
    pub(crate) fn accepts(&self, finding: &Finding) -> Option<&str> {
        let fits = |ignore: &&Ignore| {
            is_of(finding.rule, &ignore.rule)
                && ignore.files.matches(finding.file.as_deref().unwrap_or_default())
                && ignore.members.matches(finding.member.as_deref().unwrap_or_default())
        };
        let ignore = self.ignore.iter().find(fits)?;
        ignore.used.set(true);
        Some(&ignore.reason)
    }

    /// The ignores that matched no finding.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &Ignore> {
        self.ignore.iter().filter(|ignore| !ignore.used.get())
    }
}

/// Whether a rule has this id or belongs to this family.
fn is_of(rule: &str, text: &str) -> bool {
    let family = rule.trim_end_matches(|c: char| c.is_ascii_digit());
    rule.eq_ignore_ascii_case(text) || family.eq_ignore_ascii_case(text)
}

/// Checks that a text is the id of a rule or a family.
fn known(path: &Path, key: &str, text: &str) -> Result<(), Error> {
    if rules::all().any(|rule| is_of(rule.id, text)) {
        return Ok(());
    }
    Err(Error::Rule {
        path: path.into(),
        message: format!("`{key}` names `{text}`, which is neither a rule nor a family"),
        suggestion: rules::suggest(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_invalid_configurations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pyproject.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Config::read(Some(&path)).map_err(|error| toolkit::error_report(&error))
        };
        assert!(read("[tool.other]\nx = 1\n").is_ok());
        assert!(read("[tool.verify-dist]\nselct = []\n").unwrap_err().contains("selct"));
        assert!(read("[[tool.verify-dist.ignore]]\nrule = 'NIX004'\n").unwrap_err().contains("reason"));
        assert!(
            read("[[tool.verify-dist.ignore]]\nrule = 'NIX999'\nreason = 'x'\n")
                .unwrap_err()
                .contains("NIX999")
        );
        assert!(read("[tool.verify-dist]\nselect = ['NUX']\n").unwrap_err().contains("did you mean `NIX`"));
        assert!(read("[tool.verify-dist]\nselect = ['nix', 'Rec001']\n").is_ok());
        assert!(read("[tool.verify-dist]\nmatrix = ['a[']\n").unwrap_err().contains("a["));
    }
}
