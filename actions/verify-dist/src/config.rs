//! `[tool.verify-dist]`.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use distcheck::matches;
use distcheck::{Finding, Selection, rules};
use serde::{Deserialize, Serialize};
use toolkit::FileError;

use crate::error::Error;

/// The configuration of a project. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Ids or families (`NIX`) of the rules to apply; all by default.
    pub(crate) select: Option<Vec<String>>,
    /// What is accepted, each with its reason.
    #[serde(default)]
    pub(crate) ignore: Vec<Ignore>,
    /// As the input `matrix`.
    #[serde(default)]
    pub(crate) matrix: Vec<String>,
    /// As the input `expect-sdist`.
    #[serde(default)]
    pub(crate) expect_sdist: Vec<String>,
    /// As the input `require`.
    #[serde(default)]
    pub(crate) require: Vec<String>,
    /// As the input `lost`.
    pub(crate) lost: Option<Lost>,
    /// The names that the wheels install at the top level, for CON015.
    #[serde(default)]
    pub(crate) top_level: Vec<String>,
}

/// How much it weighs that an environment loses its wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lost {
    Warning,
    Error,
}

/// Findings that are accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ignore {
    /// The rule's id.
    pub(crate) rule: String,
    /// The files it is about; `*` stands for any text. All by default.
    #[serde(default = "any")]
    pub(crate) files: String,
    /// The members it is about. All by default.
    #[serde(default = "any")]
    pub(crate) members: String,
    /// Why it is accepted; must be given.
    pub(crate) reason: String,
    #[serde(skip)]
    used: Cell<bool>,
}

fn any() -> String {
    "*".into()
}

#[derive(Deserialize)]
struct Pyproject {
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "verify-dist")]
    own: Option<Config>,
}

impl Config {
    /// Reads the file, or `pyproject.toml` here where there is one. Gives the
    /// file it came from too, for annotations.
    pub(crate) fn read(path: Option<&Path>) -> Result<(Self, Option<PathBuf>), Error> {
        let default = Path::new("pyproject.toml");
        let path = match path {
            Some(path) => path,
            None if default.is_file() => default,
            None => return Ok((Self::default(), None)),
        };
        let text = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
        let parsed: Pyproject =
            toml::from_str(&text).map_err(|source| Error::Config { path: path.into(), source })?;
        let config = parsed.tool.and_then(|tool| tool.own).unwrap_or_default();
        let fault = |message| Error::Rule { path: path.into(), message };
        for ignore in &config.ignore {
            if rules::find(&ignore.rule).is_none() {
                return Err(fault(format!(
                    "`ignore` names the rule `{}`, which does not exist",
                    ignore.rule
                )));
            }
            if ignore.reason.trim().is_empty() {
                return Err(fault(format!("`ignore` of `{}` has an empty reason", ignore.rule)));
            }
        }
        for selected in config.select.iter().flatten() {
            let one = Selection::Only(vec![selected.clone()]);
            if !rules::all().any(|rule| one.selects(rule)) {
                return Err(fault(format!(
                    "`select` names `{selected}`, which is neither a rule nor a family"
                )));
            }
        }
        Ok((config, Some(path.to_owned())))
    }

    /// The rules to apply.
    pub(crate) fn selection(&self) -> Selection {
        self.select.clone().map_or(Selection::All, Selection::Only)
    }

    /// The reason for which a finding is accepted, if it is.
    pub(crate) fn accepts(&self, finding: &Finding) -> Option<&str> {
        let fits = |ignore: &&Ignore| {
            ignore.rule.eq_ignore_ascii_case(finding.rule)
                && matches(&ignore.files, finding.file.as_deref().unwrap_or_default())
                && matches(&ignore.members, finding.member.as_deref().unwrap_or_default())
        };
        let ignore = self.ignore.iter().find(fits)?;
        ignore.used.set(true);
        Some(&ignore.reason)
    }

    /// The ignores that accepted nothing.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &Ignore> {
        self.ignore.iter().filter(|ignore| !ignore.used.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pyproject.toml");
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
        assert!(read("[tool.verify-dist]\nselect = ['NUX']\n").unwrap_err().contains("NUX"));
    }
}
