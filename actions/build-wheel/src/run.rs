//! Runs a plan.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pydist::digest;
use pydist::filename::DistName;
use toolkit::{FileError, OutputMode, copy_atomic};

use crate::build_result::{BuildResult, finish};
use crate::error::Error;
use crate::files::check_writable;
use crate::plan::Plan;
use crate::repair::{Change, Floor};
use crate::runtime::Runtime;
use crate::smoke::{self, Smoke};
use crate::{backend, gate, reproduce};

/// Installing a standard library downloads some megabytes.
const INSTALL_LIMIT: Duration = Duration::from_secs(1800);

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunResult {
    /// The wheels, followed by the source distribution; at least one.
    pub distributions: Vec<Distribution>,
    /// Whether a second build produced the same bytes; `None` if not requested.
    pub reproducible: Option<bool>,
    /// The time for building.
    pub build_time: Duration,
    /// The time for reading, repairing and writing.
    pub repair_time: Duration,
    /// The time for smoke tests.
    pub smoke_time: Duration,
}

/// A file in the output directory.
#[derive(Debug)]
pub(crate) struct Distribution {
    /// Its path.
    pub path: PathBuf,
    /// Its name.
    pub name: DistName,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// The oldest system that it runs on.
    pub floor: Option<Floor>,
    /// The repairs.
    pub changes: Vec<Change>,
    /// The warnings.
    pub warnings: Vec<Change>,
    /// The smoke test's result.
    pub smoke: Smoke,
}

/// Builds, repairs, tests and writes, in this order: nothing is written to the
/// output directory unless everything succeeds.
pub(crate) fn run(plan: &Plan, runtime: &Runtime<'_>) -> Result<RunResult, Error> {
    check_setup(plan, runtime)?;
    let temp = runtime.env.get("RUNNER_TEMP").map_or_else(std::env::temp_dir, PathBuf::from);
    let staging = tempfile::Builder::new().prefix("build-wheel-").tempdir_in(&temp);
    let staging = staging.map_err(FileError::new("create a directory in", &temp))?;
    let directory = |name: &str| -> Result<PathBuf, FileError> {
        let path = staging.path().join(name);
        std::fs::create_dir(&path).map_err(FileError::new("create", &path))?;
        Ok(path)
    };

    if let Some(cmd) = &plan.install_target {
        let install = || cmd.run(runtime.ui, OutputMode::Shown, INSTALL_LIMIT);
        runtime.ui.group("Install the Rust target", install).map_err(Error::Build)?;
    }
    let start = Instant::now();
    let staged = directory("built")?;
    let start_backend = || backend::build(plan, &staged, runtime.ui);
    let built =
        if plan.build.is_some() { runtime.ui.group("Build", start_backend)? } else { start_backend()? };
    let build_time = start.elapsed();
    let start = Instant::now();
    let finished = directory("finished")?;
    let mut results = Vec::new();
    for built in &built {
        let mut result = finish(plan, built, &finished)?;
        if result.name.wheel().is_some() {
            result.warnings.extend(gate::inspect(&result)?);
        }
        report_repairs(plan, &result, runtime);
        results.push(result);
    }
    let repair_time = start.elapsed();
    let reproducible = if plan.verify_reproducible {
        reproduce::verify(plan, &results, &directory("second")?, runtime)?;
        Some(true)
    } else {
        None
    };
    let start = Instant::now();
    let mut smoke_tests = Vec::new();
    for (index, result) in results.iter().enumerate() {
        smoke_tests.push(smoke::test(plan, result, &directory(&format!("smoke-{index}"))?, runtime)?);
    }
    let smoke_time = start.elapsed();

    let mut distributions = Vec::new();
    for (result, smoke) in results.into_iter().zip(smoke_tests) {
        let path = plan.out_dir.join(result.name.to_string());
        copy_atomic(&result.path, &path)?;
        distributions.push(Distribution {
            path,
            sha256: digest::hex(&result.sha256),
            size: result.size,
            name: result.name,
            floor: result.floor,
            changes: result.changes,
            warnings: result.warnings,
            smoke,
        });
    }
    Ok(RunResult { distributions, reproducible, build_time, repair_time, smoke_time })
}

/// Fails before a long build for what would only fail after it.
fn check_setup(plan: &Plan, runtime: &Runtime<'_>) -> Result<(), Error> {
    check_writable(&plan.out_dir)?;
    check_writable(plan.report_path.parent().unwrap_or(Path::new(".")))?;
    smoke::check_setup(plan, runtime)
}

/// Reports repairs and warnings.
fn report_repairs(plan: &Plan, result: &BuildResult, runtime: &Runtime<'_>) {
    for Change { file, what } in &result.changes {
        runtime.ui.info(format!("repaired {file}: {what}"));
    }
    for Change { file, what } in &result.warnings {
        runtime.ui.warning(format!("{file} {what}"));
    }
    // manylinux2014's glibc.
    let is_high =
        |floor: &&Floor| floor.system == "glibc" && floor.version.is_some_and(|version| version > (2, 17));
    if let (Some(warning), Some(floor)) = (&plan.floor_warning, result.floor.as_ref().filter(is_high)) {
        runtime.ui.warning(format!("`{}` needs {floor}, as this machine has it; {warning}", result.name));
    }
}
