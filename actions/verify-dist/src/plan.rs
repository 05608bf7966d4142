//! Which files are checked against which rules.

use std::path::{Path, PathBuf};

use distcheck::{Pattern, rules};
use installs::require::Requirement;
use serde::{Serialize, Serializer};

use crate::config::{Config, Lost};
use crate::error::Error;
use crate::files::FoundFiles;
use crate::inputs::{Inputs, ManifestPath};
use crate::previous::Previous;

/// What a run would do; `--dry-run` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rules: Vec<&'static str>,
    /// `None` if `manifest` is `none`.
    pub(crate) manifest: Option<PathBuf>,
    #[serde(serialize_with = "texts")]
    pub(crate) matrix: Vec<Pattern>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) tag: Option<String>,
    /// Other archives beside the distributions.
    pub(crate) others: Vec<String>,
    /// The release to compare with.
    pub(crate) previous: Option<Previous>,
    pub(crate) lost: Lost,
    /// The required environments, as written.
    pub(crate) require: Vec<String>,
}

impl Plan {
    pub(crate) fn new(inputs: &Inputs, config: &Config) -> Result<Self, Error> {
        let matrix = inputs.matrix.iter().map(|text| text.parse()).collect::<Result<Vec<Pattern>, _>>();
        let matrix = matrix.map_err(Error::Matrix)?;
        let FoundFiles { files, other_archives: others } = FoundFiles::read(&inputs.paths)?;
        let manifest = match &inputs.manifest {
            ManifestPath::None => None,
            ManifestPath::At(path) => Some(path.clone()),
            ManifestPath::Default => Some(default_manifest(&inputs.paths, &files)),
        };
        let matrix = if matrix.is_empty() { config.matrix.clone() } else { matrix };
        let expect_sdist =
            if inputs.expect_sdist.is_empty() { &config.expect_sdist } else { &inputs.expect_sdist };
        Ok(Self {
            files,
            rules: rules::all().filter(|rule| config.selection().selects(rule)).map(|rule| rule.id).collect(),
            manifest,
            matrix,
            expect_sdist: expect_sdist.clone(),
            others,
            tag: inputs.tag.clone(),
            previous: inputs.previous.as_deref().map(Previous::parse).transpose()?,
            lost: inputs.lost.or(config.lost).unwrap_or(Lost::Warning),
            require: if inputs.require.is_empty() { config.require.clone() } else { inputs.require.clone() },
        })
    }

    /// The parsed required environments.
    pub(crate) fn required(&self) -> Result<Vec<Requirement>, Error> {
        let parse =
            |text: &String| text.parse().map_err(|source| Error::Require { text: text.clone(), source });
        self.require.iter().map(parse).collect()
    }
}

fn texts<S: Serializer>(patterns: &[Pattern], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter().map(ToString::to_string))
}

/// The default path of the manifest: beside the directory with the distributions,
/// because `twine upload dist/*` would upload a manifest in it.
fn default_manifest(paths: &[PathBuf], files: &[PathBuf]) -> PathBuf {
    const NAME: &str = "dist-manifest.json";
    let directory = paths.iter().find(|path| path.is_dir()).map(PathBuf::as_path);
    let file = paths.iter().find(|path| path.is_file());
    // A pattern is not a path: take the directory that contains all of its files.
    let contains = |one: &'_ &Path, other: &Path| other.starts_with(one);
    let parents = files.iter().filter_map(|file| file.parent());
    let common = parents.reduce(|one, other| {
        one.ancestors().find(|ancestor| contains(ancestor, other)).unwrap_or(Path::new(""))
    });
    let directory = directory.or_else(|| file?.parent()).or(common).unwrap_or(Path::new(""));
    match directory.file_name() {
        Some(_) => directory.with_file_name(NAME),
        // `.` and `..` have no name of their own.
        None => directory.join("..").join(NAME),
    }
}
