//! `cargo xtask version-bump`: raises the version of htty-core and htty in
//! `nix/lib/version.nix` and updates every file that contains it.
//!
//! These files contain it in a cog region (see `regions`), whose code is a line with the
//! version: `[[[cog cog.outl(f'version = "{version}"') ]]]`. Only this form is supported, which
//! needs no Python; cog itself, with `-D version=…`, has the same output. In Cargo.lock, which
//! cannot contain comments, the version is found by the name of the package.

use std::fmt;
use std::path::Path;

use toolkit::{Exit, FileError};

use crate::error::Error;
use crate::regions;
use crate::shell::Shell;

/// The source of the version.
const SOURCE: &str = "nix/lib/version.nix";
/// The Cargo package with this version.
const PACKAGE: &str = "htty-core";
/// The lock file with the version.
const LOCK: &str = "htty-core/Cargo.lock";

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag, of which one is given")]
pub(crate) struct Args {
    /// Bump the patch version
    #[arg(long)]
    patch: bool,
    /// Bump the minor version
    #[arg(long)]
    minor: bool,
    /// Bump the major version
    #[arg(long)]
    major: bool,
    /// Keep the version; write it to files that contain another one
    #[arg(long)]
    propagate: bool,
    /// Change nothing; fail if a file contains another version
    #[arg(long)]
    check: bool,
}

/// A version with three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Parses version.nix.
    fn parse(nix: &str) -> Result<Self, String> {
        let number = |name: &str| {
            let start = format!("{name} = ");
            let line = nix.lines().find_map(|line| line.trim().strip_prefix(start.as_str()));
            let value = line.and_then(|rest| rest.strip_suffix(';'));
            value
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| format!("expected a line `{name} = NUMBER;`, found {line:?}"))
        };
        Ok(Self { major: number("major")?, minor: number("minor")?, patch: number("patch")? })
    }

    fn raised(self, args: &Args) -> Self {
        let Self { major, minor, patch } = self;
        if args.major {
            Self { major: major + 1, minor: 0, patch: 0 }
        } else if args.minor {
            Self { major, minor: minor + 1, patch: 0 }
        } else if args.patch {
            Self { major, minor, patch: patch + 1 }
        } else {
            self
        }
    }

    /// The text of version.nix with this version.
    fn write(self, nix: &str) -> String {
        let numbers = [("major", self.major), ("minor", self.minor), ("patch", self.patch)];
        nix.lines()
            .map(|line| {
                let indent = &line[..line.len() - line.trim_start().len()];
                let known = numbers.iter().find(|(name, _)| line.trim().starts_with(&format!("{name} = ")));
                known.map_or_else(
                    || format!("{line}\n"),
                    |(name, value)| format!("{indent}{name} = {value};\n"),
                )
            })
            .collect()
    }
}

impl Args {
    /// Keeps the version and checks or writes the files that contain it.
    pub(crate) fn generated(check: bool) -> Self {
        Self { patch: false, minor: false, major: false, propagate: !check, check }
    }
}

/// Bumps, writes or checks the version.
pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let read = |name: &str| {
        let path = shell.root.join(name);
        std::fs::read_to_string(&path).map_err(FileError::new("read", &path))
    };
    let nix = read(SOURCE)?;
    let old = Version::parse(&nix).map_err(|problem| Error::Check(format!("{SOURCE}: {problem}")))?;
    let new = old.raised(args);

    // Read and compute everything before writing anything.
    let mut changed = Vec::new();
    let mut note = |name: &str, before: &str, after: String| {
        if before != after {
            changed.push((name.to_owned(), after));
        }
    };
    note(SOURCE, &nix, new.write(&nix));
    for name in files_with_version(shell)? {
        let text = read(&name)?;
        let after = propagate(&text, new).map_err(|problem| Error::Check(format!("{name}: {problem}")))?;
        note(&name, &text, after);
    }
    let lock = read(LOCK)?;
    let locked = lock_file(&lock, new).map_err(|problem| Error::Check(format!("{LOCK}: {problem}")))?;
    note(LOCK, &lock, locked);

    let names: Vec<&str> = changed.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    if args.check {
        if names.is_empty() {
            shell.ui.info(format!("every file has version {new}"));
            return Ok(Exit::Done);
        }
        return Err(Error::Check(format!(
            "{SOURCE} has version {new}, these files have another one: {names}; run `cargo xtask version-bump`"
        )));
    }
    for (name, text) in &changed {
        toolkit::write_atomic(&shell.root.join(Path::new(name)), text.as_bytes())?;
    }
    if names.is_empty() {
        shell.ui.info(format!("every file has version {new}"));
    } else {
        shell.ui.info(format!("{old} → {new} in {names}"));
    }
    Ok(Exit::Done)
}

/// The tracked files with a cog region.
fn files_with_version(shell: &Shell) -> Result<Vec<String>, Error> {
    // Rust sources mention the marker, but contain no region.
    let list = shell.git().args(["grep", "-l", "-F", regions::COG, "--", ".", ":!*.rs", ":!docs", ":!tests"]);
    Ok(shell.quiet(&list)?.stdout.lines().map(str::to_owned).collect())
}

/// `text` with the version in its regions.
fn propagate(text: &str, version: Version) -> Result<String, String> {
    regions::replace(text, regions::COG, |code| {
        let line = code.strip_prefix("cog.outl(f'").and_then(|rest| rest.strip_suffix("')"));
        // Other features of f-strings are not supported.
        let line = line.filter(|line| !line.replace("{version}", "").contains(['{', '}', '\\', '\'']));
        let line = line.filter(|line| line.contains("{version}"));
        let line = line.ok_or_else(|| {
            format!("expected `cog.outl(f'…{{version}}…')` as the code of a region, found `{code}`")
        })?;
        Ok(line.replace("{version}", &version.to_string()) + "\n")
    })
}

/// Cargo.lock with the package's version.
fn lock_file(text: &str, version: Version) -> Result<String, String> {
    let name = format!("name = \"{PACKAGE}\"\nversion = \"");
    let (before, rest) = text.split_once(&name).ok_or_else(|| format!("expected a package `{PACKAGE}`"))?;
    let (_, after) = rest.split_once('"').ok_or_else(|| format!("`{PACKAGE}` has no version"))?;
    Ok(format!("{before}{name}{version}\"{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIX: &str = "rec {\n  major = 0;\n  minor = 3;\n  patch = 9;\n  version = \"x\";\n}\n";
    const BUMP: Args = Args { patch: false, minor: false, major: false, propagate: false, check: false };

    #[test]
    fn each_part_resets_the_following_ones() {
        let version = Version::parse(NIX).unwrap();
        let raised = |args: Args| version.raised(&args).to_string();
        assert_eq!(raised(Args { patch: true, ..BUMP }), "0.3.10");
        assert_eq!(raised(Args { minor: true, ..BUMP }), "0.4.0");
        assert_eq!(raised(Args { major: true, ..BUMP }), "1.0.0");
        assert_eq!(raised(Args { check: true, ..BUMP }), "0.3.9");
    }

    #[test]
    fn writes_what_it_read() {
        let version = Version { major: 10, minor: 2, patch: 0 };
        let written = version.write(NIX);
        assert_eq!(Version::parse(&written), Ok(version));
        assert_eq!(written.lines().count(), NIX.lines().count());
        assert_eq!(Version::parse(NIX).unwrap().write(NIX), NIX);
    }

    #[test]
    fn rejects_a_source_without_a_number() {
        let problem = Version::parse("rec { major = 1; }").unwrap_err();
        assert!(problem.contains("a line `major = NUMBER;`"), "{problem}");
        let problem = Version::parse(&NIX.replace('9', "nine")).unwrap_err();
        assert!(problem.contains("`patch = NUMBER;`, found Some(\"nine;\")"), "{problem}");
    }

    #[test]
    fn changes_only_regions() {
        let version = Version { major: 1, minor: 2, patch: 3 };
        let text = "rust = \"1.89.0\"\n# [[[cog cog.outl(f'v = \"{version}\"') ]]]\nv = \"0.3.0\"\n\
                    # [[[end]]]\npin = \"0.3.0\"\n";
        assert_eq!(propagate(text, version).unwrap(), text.replacen("0.3.0", "1.2.3", 1));
        let other = "# [[[gen inputs]]]\nsince 0.3.0\n# [[[end]]]\n";
        assert_eq!(propagate(other, version).unwrap(), other);
    }

    #[test]
    fn rejects_other_code() {
        for code in
            ["import os", "cog.outl(f'version')", "cog.outl(f'{version}{x}')", "cog.outl('{version}')"]
        {
            let text = format!("# [[[cog {code} ]]]\nversion\n# [[[end]]]\n");
            let problem = propagate(&text, Version { major: 1, minor: 2, patch: 3 }).unwrap_err();
            assert!(problem.ends_with(&format!("found `{code}`")), "{problem}");
        }
    }

    #[test]
    fn changes_the_lock_file_in_one_place() {
        let version = Version { major: 1, minor: 2, patch: 3 };
        let text = "[[package]]\nname = \"other\"\nversion = \"0.3.0\"\n\n\
                    [[package]]\nname = \"htty-core\"\nversion = \"0.3.0\"\ndependencies = []\n";
        let expected = text.replace("core\"\nversion = \"0.3.0\"", "core\"\nversion = \"1.2.3\"");
        assert_eq!(lock_file(text, version).unwrap(), expected);
        assert!(lock_file("", version).unwrap_err().contains("a package `htty-core`"));
    }
}
