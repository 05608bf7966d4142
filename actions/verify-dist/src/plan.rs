//! Which files are checked, against which rules.

use std::path::{Path, PathBuf};

use distcheck::rules;
use installs::require::Requirement;
use serde::Serialize;

use crate::config::{Config, Lost};
use crate::error::Error;
use crate::files::files;
use crate::inputs::Inputs;
use crate::previous::Previous;

/// What a run would do; `--dry-run` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rules: Vec<&'static str>,
    pub(crate) manifest: PathBuf,
    pub(crate) matrix: Vec<String>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) tag: Option<String>,
    /// What to compare with.
    pub(crate) previous: Option<Previous>,
    pub(crate) lost: Lost,
    /// The required environments, as they are written.
    pub(crate) require: Vec<String>,
}

impl Plan {
    pub(crate) fn new(inputs: &Inputs, config: &Config) -> Result<Self, Error> {
        let files = files(&inputs.paths)?;
        let beside = || {
            let folder = inputs.paths.iter().find(|path| path.is_dir());
            let parent = folder.or(inputs.paths.first()).and_then(|path| path.parent());
            parent.unwrap_or(Path::new("")).join("dist-manifest.json")
        };
        let either = |given: &[String], other: &[String]| {
            if given.is_empty() { other.to_vec() } else { given.to_vec() }
        };
        Ok(Self {
            files,
            rules: rules::all().filter(|rule| config.selection().selects(rule)).map(|rule| rule.id).collect(),
            manifest: inputs.manifest.clone().unwrap_or_else(beside),
            matrix: either(&inputs.matrix, &config.matrix),
            expect_sdist: either(&inputs.expect_sdist, &config.expect_sdist),
            tag: inputs.tag.clone(),
            previous: inputs.previous.as_deref().map(Previous::parse).transpose()?,
            lost: match inputs.lost.as_deref() {
                Some("error") => Lost::Error,
                Some(_) => Lost::Warning,
                None => config.lost.unwrap_or(Lost::Warning),
            },
            require: either(&inputs.require, &config.require),
        })
    }

    /// The required environments, understood.
    pub(crate) fn required(&self) -> Result<Vec<Requirement>, Error> {
        let parse =
            |text: &String| text.parse().map_err(|source| Error::Require { text: text.clone(), source });
        self.require.iter().map(parse).collect()
    }
}
