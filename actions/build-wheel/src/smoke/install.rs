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
    let installer = Installer::choose(plan, &python, runtime);
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
        None if installer == Installer::OwnPip => Cmd::new(&python).args(["-m", "venv", &to]),
        None => Cmd::new(&python).args(["-m", "venv", "--without-pip", &to]),
    }];
    if installer == Installer::OwnPip {
        // Old versions of `venv` install it, where it would hide that a requirement is missing.
        let uninstall =
            ["-m", "pip", "--disable-pip-version-check", "--quiet", "uninstall", "--yes", "setuptools"];
        commands.push(Cmd::new(environment_python(&to)).args(uninstall));
    }
    let with_dependencies = plan.requires.iter().any(|line| line == OWN_REQUIREMENTS);
    let requirements: Vec<&String> = plan.requires.iter().filter(|line| *line != OWN_REQUIREMENTS).collect();
    let installer = || pip_install(plan, installer, &python, &to);
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

/// What installs into the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    Uv,
    /// The pip of the Python that the environment is made of.
    Pip,
    /// The pip in the environment, because the other one is missing or is too old for `--python`.
    OwnPip,
}

impl Installer {
    fn choose(plan: &SmokePlan, python: &str, runtime: &Runtime<'_>) -> Self {
        if plan.uv.is_some() {
            return Self::Uv;
        }
        let cmd = Cmd::new(python).args(["-m", "pip", "--disable-pip-version-check", "--version"]);
        let output = sanitized_env(cmd).run(runtime.ui, OutputMode::Quiet, TIMEOUT);
        if output.is_ok_and(|output| has_python_option(&output.stdout)) { Self::Pip } else { Self::OwnPip }
    }
}

/// Whether pip with this output of `--version` has the option `--python`, which is from 22.3.
fn has_python_option(version: &str) -> bool {
    let mut parts = version.split_whitespace().nth(1).unwrap_or_default().split('.');
    let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0_u32);
    (number(), number()) >= (22, 3)
}

/// The Python of the environment in `to`.
fn environment_python(to: &str) -> String {
    programs(Path::new(to)).join(program("python")).display().to_string()
}

/// The command to install into the environment, without the packages. It uses
/// an index only if there are requirements.
fn pip_install(plan: &SmokePlan, installer: Installer, python: &str, to: &str) -> Cmd {
    let environment_python = environment_python(to);
    let pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"];
    let mut cmd = match (installer, &plan.uv) {
        (Installer::Uv, Some(uv)) => Cmd::new(uv.display().to_string()).args([
            "pip",
            "install",
            "--quiet",
            "--python",
            &environment_python,
        ]),
        (Installer::OwnPip, _) => Cmd::new(environment_python).args(pip).args(["install", "--no-compile"]),
        _ => {
            let python = Cmd::new(python).args(pip).args(["--python", &environment_python]);
            python.args(["install", "--no-compile"])
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_pip_has_no_option_for_another_python() {
        for (version, expected) in [
            ("pip 22.3 from /usr/lib/python3/dist-packages/pip (python 3.11)", true),
            ("pip 26.1 from /a (python 3.12)", true),
            ("pip 22.2.2 from /a (python 3.8)", false),
            ("pip 9.0.3 from /a (python 3.6)", false),
            ("", false),
        ] {
            assert_eq!(has_python_option(version), expected, "{version}");
        }
    }
}
