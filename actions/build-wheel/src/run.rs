//! Carries a plan out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pydist::digest;
use pydist::filename::DistName;
use pydist::tags::Platform;
use toolkit::{Env, FileError, Ui, write_atomic};

use crate::error::Error;
use crate::inputs::Backend;
use crate::plan::Plan;
use crate::repair::{self, Change, Contents, Floor, Options};
use crate::smoke::{self, Smoke};
use crate::{backend, reproduce, sdist};

/// The way to the world.
pub(crate) struct Ports<'a> {
    /// For the user.
    pub ui: &'a Ui,
    /// The environment.
    pub env: &'a Env,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Where the distribution is.
    pub path: PathBuf,
    /// Its name.
    pub name: DistName,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// The lowest system that it runs on.
    pub floor: Option<Floor>,
    /// What was repaired.
    pub changes: Vec<Change>,
    /// What is suspicious.
    pub warnings: Vec<Change>,
    /// What came of trying it out.
    pub smoke: Smoke,
    /// Whether a second build gave the same bytes; `None`: not asked.
    pub reproducible: Option<bool>,
    /// How long the build took.
    pub build_time: Duration,
    /// How long reading, repairing and writing took.
    pub repair_time: Duration,
    /// How long trying it out took.
    pub smoke_time: Duration,
}

/// A distribution before it is written.
pub(crate) struct Made {
    /// Its name.
    pub name: DistName,
    /// Its bytes.
    pub bytes: Vec<u8>,
    floor: Option<Floor>,
    changes: Vec<Change>,
    warnings: Vec<Change>,
    contents: Contents,
}

/// Builds, repairs, tries out and writes, in this order: nothing is in the
/// output folder unless all went well.
pub(crate) fn run(plan: &Plan, ports: &Ports<'_>) -> Result<Outcome, Error> {
    let temp = ports.env.get("RUNNER_TEMP").map_or_else(std::env::temp_dir, PathBuf::from);
    let staging = tempfile::Builder::new().prefix("build-wheel-").tempdir_in(&temp);
    let staging = staging.map_err(FileError::new("create a folder in", &temp))?;

    let start = Instant::now();
    let build = || backend::build(plan, staging.path(), ports.ui);
    let built = if plan.build.is_some() { ports.ui.group("Build", build)? } else { build()? };
    let build_time = start.elapsed();
    let start = Instant::now();
    let made = make(plan, &built)?;
    let repair_time = start.elapsed();
    for Change { file, what } in &made.changes {
        ports.ui.info(format!("repaired {file}: {what}"));
    }
    for Change { file, what } in &made.warnings {
        ports.ui.warning(format!("{file} {what}"));
    }
    let reproducible = if plan.verify_reproducible {
        reproduce::verify(plan, &made, staging.path(), ports)?;
        Some(true)
    } else {
        None
    };
    let start = Instant::now();
    let smoke = smoke::test(plan, &made.name, &made.bytes, &made.contents, staging.path(), ports)?;
    let smoke_time = start.elapsed();

    let path = plan.out_dir.join(made.name.to_string());
    write_atomic(&path, &made.bytes)?;
    Ok(Outcome {
        path,
        sha256: digest::hex(&digest::sha256(&made.bytes)),
        size: made.bytes.len() as u64,
        name: made.name,
        floor: made.floor,
        changes: made.changes,
        warnings: made.warnings,
        smoke,
        reproducible,
        build_time,
        repair_time,
        smoke_time,
    })
}

/// Reads what was built and makes it fit for publishing.
pub(crate) fn make(plan: &Plan, built: &backend::Built) -> Result<Made, Error> {
    let bytes = read(&built.path)?;
    if plan.backend == Backend::Sdist {
        let name = sdist::check(&built.name, &bytes)?;
        let (floor, changes, warnings, contents) = (None, Vec::new(), Vec::new(), Contents::default());
        return Ok(Made { name, bytes, floor, changes, warnings, contents });
    }
    let options = Options {
        target: plan.target,
        compatibility: plan.compatibility.as_deref().map(Platform::parse),
        epoch: plan.source_date_epoch,
        remove_rpaths: plan.remove_rpaths,
        graft: plan.graft,
    };
    let repaired = repair::repair(&built.name, &bytes, &options)
        .map_err(|source| Error::Wheel { file: built.path.display().to_string(), source })?;
    Ok(Made {
        name: DistName::Wheel(repaired.name),
        bytes: repaired.bytes,
        floor: repaired.floor,
        changes: repaired.changes,
        warnings: repaired.warnings,
        contents: repaired.contents,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(FileError::new("read", path))
}
