//! `cargo xtask bench`.

use std::path::{Path, PathBuf};

use toolkit::{Cmd, Exit};

use crate::error::Error;
use crate::shell::{Shell, display, path_with};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Subject to measure
    #[command(subcommand)]
    what: Subject,
}

/// Subject to measure.
#[derive(clap::Subcommand)]
enum Subject {
    /// build-wheel beside maturin, auditwheel, repairwheel, patchelf and arwen
    BuildWheel,
    /// verify-dist beside auditwheel, abi3audit, pydistcheck, twine and check-wheel-contents
    VerifyDist {
        /// Read the wheels from this directory [default: where they are downloaded to]
        wheels: Option<PathBuf>,
    },
    /// publish beside uv and twine
    Publish,
    /// setup-nix beside tar and `nix copy`; needs root
    SetupNix {
        /// Size of the store, as a percentage of 3.6 GB
        #[arg(long, value_name = "PERCENT", default_value_t = 100)]
        scale: u32,
        /// Number of measurements of each thing
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// htty beside htty 0.2.30, pexpect with pyte, tmux and tui-test
    Htty {
        /// Directory `tests` of a checkout of the published project
        tests: Option<PathBuf>,
    },
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let mut path = vec![tools::environment(shell, "test")?];
    let (package, args) = match &args.what {
        Subject::Publish => return publish(shell),
        Subject::Htty { tests } => return htty(shell, tests.as_deref()),
        Subject::BuildWheel => {
            path.extend([tools::environment(shell, "bench")?, tools::arwen(shell)?]);
            ("build-wheel", Vec::new())
        }
        Subject::VerifyDist { wheels } => {
            crate::corpus::download(shell)?;
            path.push(tools::environment(shell, "bench")?);
            ("verify-dist", wheels.iter().map(|wheels| display(wheels)).collect())
        }
        Subject::SetupNix { scale, rounds } => {
            ("setup-nix", vec!["--scale".into(), scale.to_string(), "--rounds".into(), rounds.to_string()])
        }
    };
    let bench = shell.cargo().args(["bench", "--locked", "--package", package, "--bench", "bench", "--"]);
    shell.inherit(&bench.args(args).env("PATH", path_with(&path)))?;
    Ok(Exit::Done)
}

/// Measures the program built with the release profile, or the one that `PUBLISH` names. The
/// bench itself needs no optimisation.
fn publish(shell: &Shell) -> Result<Exit, Error> {
    let build = ["build", "--profile", "dist", "--locked", "--workspace", "--bin", "publish"];
    let program = if let Some(program) = std::env::var_os("PUBLISH") {
        program.to_string_lossy().into_owned()
    } else {
        shell.inherit(&shell.cargo().args(build))?;
        display(&shell.target.join("dist/publish"))
    };
    let path = path_with(&[tools::environment(shell, "test")?]);
    let bench = ["bench", "--profile", "local", "--locked", "--workspace", "--bench", "bench-publish"];
    shell.inherit(&shell.cargo().args(bench).env("PATH", path).env("PUBLISH", program))?;
    Ok(Exit::Done)
}

/// Compares the two packages with the published ones.
fn htty(shell: &Shell, tests: Option<&Path>) -> Result<Exit, Error> {
    let peers = tools::environment(shell, "htty-peers")?;
    tools::add_source(shell, &peers, "htty-source")?;
    shell.inherit(&shell.cargo().args([
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        "htty-core/Cargo.toml",
        "--bins",
        "--examples",
    ]))?;
    let script = shell.root.join("xtask/scripts/bench_htty.py");
    let ht = shell.target.join("release/ht");
    let bench = Cmd::new(display(&peers.join("python"))).args([
        display(&script),
        display(&peers),
        display(&ht),
        display(&shell.target.join("release/examples/bare")),
    ]);
    shell.inherit(&bench.args(tests.map(display)))?;
    Ok(Exit::Done)
}
