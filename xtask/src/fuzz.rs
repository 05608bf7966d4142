//! `cargo xtask soak fuzz`: runs each fuzz target for some time.

use std::path::{Path, PathBuf};

use toolkit::{Cmd, FileError};

use crate::error::Error;
use crate::shell::{Shell, display};
use crate::tools;

/// How long each target runs.
const SECONDS: u32 = 60;

const CARGO_FUZZ: &str = "cargo-fuzz@0.13.1";

/// Runs each target, starting from its committed corpus. Keeps new inputs in the target
/// directory; a crash is an error that names its input.
pub(crate) fn run(shell: &Shell) -> Result<(), Error> {
    let targets = targets(&shell.root.join("fuzz"))?;
    let program = tools::from_crate(shell, CARGO_FUZZ, &[])?.join("cargo-fuzz");
    let fuzz = |args: &[&str]| {
        // The stable compiler does not support sanitizers.
        Cmd::new(display(&program)).args(args.iter().copied()).env("RUSTC_BOOTSTRAP", "1")
    };
    let target = display(&shell.target.join("fuzz"));
    shell.run(&fuzz(&["build", "--target-dir", &target]))?;
    for (name, seeds) in &targets {
        let found = shell.target.join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&found).map_err(FileError::new("create", &found))?;
        let time = format!("-max_total_time={SECONDS}");
        let run = fuzz(&[
            "run",
            "--target-dir",
            &target,
            name,
            &display(&found),
            &display(seeds),
            "--",
            &time,
            "-timeout=10",
        ]);
        shell.inherit(&run.args(["-rss_limit_mb=1024", "-print_final_stats=0", "-verbosity=0"]))?;
        shell.ui.info(format!("{name}: {SECONDS} s without a crash"));
    }
    Ok(())
}

/// The names of the fuzz targets in `directory` with their committed corpora, sorted.
fn targets(directory: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let sources = directory.join("fuzz_targets");
    let error = || FileError::new("read", &sources);
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&sources).map_err(error())? {
        let path = entry.map_err(error())?.path();
        let Some(name) = path.file_stem().filter(|_| path.extension().is_some_and(|end| end == "rs")) else {
            continue;
        };
        let corpus = directory.join("corpus").join(name);
        let is_empty = std::fs::read_dir(&corpus).map_or(true, |mut seeds| seeds.next().is_none());
        if is_empty {
            let what = format!("the fuzz target `{}` has no corpus", name.display());
            return Err(Error::Missing {
                what,
                hint: format!("commit a few inputs in `{}`", corpus.display()),
            });
        }
        targets.push((name.to_string_lossy().into_owned(), corpus));
    }
    targets.sort();
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fuzz_target_has_a_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let targets = targets(&root.join("fuzz")).unwrap();
        let names: Vec<&str> = targets.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"squashfs") && names.contains(&"zip"), "{names:?}");
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), names.len());
        assert!(names.iter().all(|name| manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\""))));
    }

    #[test]
    fn a_target_without_a_corpus_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("fuzz_targets")).unwrap();
        std::fs::write(directory.path().join("fuzz_targets/zip.rs"), b"").unwrap();
        let error = targets(directory.path()).unwrap_err();
        assert_eq!(error.to_string(), "the fuzz target `zip` has no corpus");
    }
}
