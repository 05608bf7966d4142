//! `cargo xtask soak fuzz`: runs each fuzz target for some time.

use toolkit::Cmd;

use crate::error::Error;
use crate::shell::{Shell, display};
use crate::tools;

/// The targets of `fuzz/Cargo.toml`.
const TARGETS: [&str; 9] = ["zip", "tar", "metadata", "record", "names", "elf", "macho", "pe", "squashfs"];

/// How long each target runs.
const SECONDS: u32 = 60;

const CARGO_FUZZ: &str = "cargo-fuzz@0.13.1";

/// Runs each target, starting from its committed corpus. Keeps new inputs in the target
/// directory; a crash is an error that names its input.
pub(crate) fn run(shell: &Shell) -> Result<(), Error> {
    let program = tools::from_crate(shell, CARGO_FUZZ, &[])?.join("cargo-fuzz");
    let fuzz = |args: &[&str]| {
        // The stable compiler does not support sanitizers.
        Cmd::new(display(&program)).args(args.iter().copied()).env("RUSTC_BOOTSTRAP", "1")
    };
    let target = display(&shell.target.join("fuzz"));
    shell.run(&fuzz(&["build", "--target-dir", &target]))?;
    for name in TARGETS {
        let found = shell.target.join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&found).map_err(toolkit::FileError::new("create", &found))?;
        let seeds = display(&shell.root.join("fuzz/corpus").join(name));
        let time = format!("-max_total_time={SECONDS}");
        let run = fuzz(&[
            "run",
            "--target-dir",
            &target,
            name,
            &display(&found),
            &seeds,
            "--",
            &time,
            "-timeout=10",
        ]);
        shell.inherit(&run.args(["-rss_limit_mb=1024", "-print_final_stats=0", "-verbosity=0"]))?;
        shell.ui.info(format!("{name}: {SECONDS} s without a crash"));
    }
    Ok(())
}
