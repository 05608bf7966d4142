//! `cargo xtask lint`: runs all linters and checks generated files.

use toolkit::{Cmd, Exit};

use crate::error::Error;
use crate::generate;
use crate::module_cycles;
use crate::shell::{LOCAL, Shell, WORKSPACES, display};
use crate::tools;

pub(crate) fn run(shell: &Shell) -> Result<Exit, Error> {
    module_cycles::check(shell)?;
    let test = tools::environment(shell, "test")?;
    let cargo_tools = tools::environment(shell, "lint")?;
    let cargo_tool = |name: &str| Cmd::new(display(&cargo_tools.join(name)));
    let tool = |name: &str| Cmd::new(display(&test.join(name)));
    let pyright = || tool("basedpyright").args(["--pythonpath", &display(&test.join("python"))]);
    let deadnix = Cmd::new(display(&tools::deadnix(shell)?));
    let nixfmt = Cmd::new(display(&tools::nixfmt(shell)?));
    let nix_files = shell.tracked(&["*.nix"])?;
    let scripts = shell.tracked(&["*.sh", ".ci/run"])?;
    let actions = shell.tracked(&["actions/*/action.yml", "actions/*/*/action.yml"])?;
    let workflows =
        shell.tracked(&[".github/workflows/*.yml", "tests/consumers/*/.github/workflows/*.yml"])?;
    for manifest in WORKSPACES {
        let fmt = ["fmt", "--manifest-path", manifest, "--all", "--check"];
        shell.inherit(&shell.cargo().args(fmt))?;
        // With the profile of the tests, which share the build scripts and macros.
        let clippy = ["clippy", "--profile", LOCAL, "--manifest-path", manifest, "--workspace"];
        let args = ["--all-targets", "--locked", "--", "--deny", "warnings"];
        shell.inherit(&shell.cargo().args(clippy).args(args))?;
    }
    let linters = [
        // Advisories need the network; `scan.sh` checks them on a schedule.
        cargo_tool("cargo-deny").args(["--workspace", "--locked", "check", "bans", "licenses", "sources"]),
        cargo_tool("cargo-deny")
            .args(["--manifest-path", "htty-core/Cargo.toml", "--config", "deny.toml", "--workspace"])
            .args(["--locked", "check", "bans", "licenses", "sources"]),
        cargo_tool("cargo-shear"),
        cargo_tool("cargo-shear").arg("htty-core"),
        tool("ruff").args(["check"]),
        tool("ruff").args(["format", "--check"]),
        pyright(),
        // The configuration is for the oldest Python; also check with the newest.
        pyright().args(["--pythonversion", "3.14", "htty-core/python", "htty/src"]),
        nixfmt.arg("--check").args(&nix_files),
        deadnix.arg("--fail").args(&nix_files),
        tool("shellcheck").args(scripts),
        tool("zizmor").args(["--pedantic", "--offline", "--no-progress"]).args(actions).args(&workflows),
    ];
    // Only `cargo xtask soak` builds the fuzz targets.
    let fuzz = ["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    shell.inherit(&shell.cargo().args(fuzz))?;
    // The default version of Nix must have no known advisory. Test the whole workspace, because
    // a single package would rebuild its dependencies with other features.
    let advisories =
        ["test", "--quiet", "--profile", LOCAL, "--workspace", "--lib", "--locked", "advisories::"];
    shell.inherit(&shell.cargo().args(advisories))?;
    for linter in &linters {
        shell.inherit(linter)?;
    }
    if !workflows.is_empty() {
        let actionlint = Cmd::new(display(&tools::actionlint(shell)?));
        let shellcheck = format!("-shellcheck={}", test.join("shellcheck").display());
        shell.inherit(&actionlint.arg(shellcheck).args(&workflows))?;
    }
    generate::run(shell, &generate::Args { check: true, policies: false })
}
