//! Installs a wheel into a new virtual environment.

use std::path::Path;
use std::time::Duration;

use toolkit::{Cmd, OutputMode};

use super::result::SmokeError;
use crate::plan::SmokePlan;
use crate::runtime::Runtime;
use crate::sanitize::sanitized_env;
use crate::search_path::{program, programs};

const TIMEOUT: Duration = Duration::from_secs(600);

/// The keyword in `test-requires` for the wheel's own requirements.
const OWN_REQUIREMENTS: &str = "wheel";

/// Creates an environment in `to` and installs `wheel` with the requirements of
/// `test-requires`, and nothing else. The error contains the command that
/// failed.
pub(super) fn install(
    plan: &SmokePlan,
    python: &Path,
    to: &Path,
    wheel: &Path,
    runtime: &Runtime<'_>,
) -> Result<(), (String, SmokeError)> {
    let python = python.display().to_string();
    let (to, wheel) = (to.display().to_string(), wheel.display().to_string());
    let mut commands = vec![match &plan.uv {
        Some(uv) => Cmd::new(uv.display().to_string()).args([
            "venv",
            "--quiet",
            "--no-config",
            "--no-project",
            "--python",
            &python,
            &to,
        ]),
        None => Cmd::new(&python).args(["-m", "venv", "--without-pip", &to]),
    }];
    let with_dependencies = plan.requires.iter().any(|line| line == OWN_REQUIREMENTS);
    let requirements: Vec<&String> = plan.requires.iter().filter(|line| *line != OWN_REQUIREMENTS).collect();
    let installer = || pip_install(plan, &python, &to);
    commands.push(if with_dependencies {
        installer().arg(&wheel)
    } else {
        installer().args(["--no-deps", &wheel])
    });
    if !requirements.is_empty() {
        commands.push(installer().args(requirements));
    }
    for cmd in commands.into_iter().map(sanitized_env) {
        let result = cmd.run(runtime.ui, OutputMode::Quiet, TIMEOUT);
        result.map_err(|error| (cmd.to_string(), error.into()))?;
    }
    Ok(())
}

/// The command to install into the environment, without the packages. It uses
/// an index only if there are requirements.
fn pip_install(plan: &SmokePlan, python: &str, to: &str) -> Cmd {
    let environment_python = programs(Path::new(to)).join(program("python")).display().to_string();
    let mut cmd = if let Some(uv) = &plan.uv {
        Cmd::new(uv.display().to_string()).args([
            "pip",
            "install",
            "--quiet",
            "--python",
            &environment_python,
        ])
    } else {
        let args = ["-m", "pip", "--disable-pip-version-check", "--quiet", "--python", &environment_python];
        Cmd::new(python).args(args).args(["install", "--no-compile"])
    };
    match &plan.index {
        _ if plan.requires.is_empty() => {
            cmd = cmd.arg("--no-index");
            if plan.uv.is_some() { cmd.args(["--no-config", "--offline"]) } else { cmd.arg("--isolated") }
        }
        Some(index) if Path::new(index).is_dir() => cmd.args(["--no-index", "--find-links", index]),
        Some(index) => cmd.args(["--index-url", index]),
        None => cmd,
    }
}
