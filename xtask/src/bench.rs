//! `cargo xtask bench`.

use toolkit::{Cmd, Exit};

use crate::error::Error;
use crate::shell::{Shell, display, path_with};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// Arguments for the bench
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// What has a bench.
#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    BuildWheel,
    VerifyDist,
    Publish,
    SetupNix,
    Htty,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let package = match args.what {
        What::BuildWheel => "build-wheel",
        What::VerifyDist => "verify-dist",
        What::Publish => return publish(shell, &args.args),
        What::SetupNix => "setup-nix",
        What::Htty => return htty(shell, &args.args),
    };
    let mut path = vec![tools::environment(shell, "test")?];
    if matches!(args.what, What::VerifyDist) {
        crate::corpus::download(shell)?;
        path.push(tools::environment(shell, "bench")?);
    }
    if matches!(args.what, What::BuildWheel) {
        path.extend([tools::environment(shell, "bench")?, tools::arwen(shell)?]);
    }
    let bench = shell.cargo().args(["bench", "--locked", "--package", package, "--bench", "bench", "--"]);
    shell.inherit(&bench.args(args.args.iter().cloned()).env("PATH", path_with(&path)))?;
    Ok(Exit::Done)
}

/// The program with the profile of the released ones, or another build of it that `PUBLISH`
/// names; the bench itself takes no time worth optimising.
fn publish(shell: &Shell, args: &[String]) -> Result<Exit, Error> {
    let build = ["build", "--profile", "dist", "--locked", "--workspace", "--bin", "publish"];
    let program = if let Some(program) = std::env::var_os("PUBLISH") {
        program.to_string_lossy().into_owned()
    } else {
        shell.inherit(&shell.cargo().args(build))?;
        display(&shell.target.join("dist/publish"))
    };
    let path = path_with(&[tools::environment(shell, "test")?]);
    let bench = ["bench", "--profile", "local", "--locked", "--workspace", "--bench", "bench-publish", "--"];
    let bench = shell.cargo().args(bench).args(args.iter().cloned());
    shell.inherit(&bench.env("PATH", path).env("PUBLISH", program))?;
    Ok(Exit::Done)
}

/// The two packages against the published ones; the argument is the directory `tests`
/// of a checkout of the published project.
fn htty(shell: &Shell, args: &[String]) -> Result<Exit, Error> {
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
    shell.inherit(&bench.args(args.iter().cloned()))?;
    Ok(Exit::Done)
}
