//! `cargo xtask licenses`: the licence texts of the crates in each program, to
//! be shipped beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toolkit::{Exit, FileError};

use crate::error::Error;
use crate::shell::{Shell, display};

/// How files with a licence or a notice are named.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write PACKAGE-licenses.txt for each package into this directory
    #[arg(long, value_name = "DIRECTORY", default_value = "target/licenses")]
    out_dir: PathBuf,
    /// The packages whose program is shipped; by default all
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
}

/// The programs that are shipped, each with the manifest of its workspace.
const PROGRAMS: [(&str, &str); 5] = [
    ("setup-nix", "Cargo.toml"),
    ("build-wheel", "Cargo.toml"),
    ("verify-dist", "Cargo.toml"),
    ("publish", "Cargo.toml"),
    ("htty-core", "htty-core/Cargo.toml"),
];

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let directory = shell.root.join(&args.out_dir);
    for name in &args.packages {
        if !PROGRAMS.iter().any(|(known, _)| known == name) {
            let known = PROGRAMS.map(|(known, _)| format!("`{known}`")).join(", ");
            return Err(Error::Usage(format!("expected one of {known}, found `{name}`")));
        }
    }
    for (package, manifest) in PROGRAMS {
        if args.packages.is_empty() || args.packages.iter().any(|name| name == package) {
            let path = directory.join(format!("{package}-licenses.txt"));
            let text = text(shell, package, manifest)?;
            toolkit::write_atomic(&path, text.as_bytes())?;
            shell.ui.report(display(&path));
        }
    }
    Ok(Exit::Done)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

/// The crates in the program of `package`, then each licence text with the
/// crates that it belongs to.
fn text(shell: &Shell, package: &str, manifest: &str) -> Result<String, Error> {
    let manifest = display(&shell.root.join(manifest));
    let tree =
        ["tree", "--locked", "--package", package, "--edges", "normal,no-proc-macro", "--target", "all"];
    let tree =
        shell.cargo().args(tree).args(["--prefix", "none", "--format", "{p}", "--manifest-path", &manifest]);
    // A line is `name v1.2.3`, then perhaps more.
    let tree = shell.quiet(&tree)?.stdout;
    let linked: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name, rest.split_whitespace().next().unwrap_or_default()))
        .collect();
    let metadata = ["metadata", "--locked", "--format-version", "1", "--manifest-path", &manifest];
    let metadata: Metadata = serde_json::from_str(&shell.quiet(&shell.cargo().args(metadata))?.stdout)
        .map_err(|error| Error::Check(format!("cannot read `cargo metadata`: {error}")))?;
    let foreign = metadata.packages.iter().filter(|krate| {
        krate.source.is_some() && linked.contains(&(krate.name.as_str(), krate.version.as_str()))
    });
    let mut list = String::new();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for krate in foreign {
        let name = format!("{} {}", krate.name, krate.version);
        let license = krate.license.as_deref().unwrap_or("see its text");
        let place = krate.repository.as_deref().unwrap_or_default();
        list.push_str(format!("{name}: {license} {place}").trim_end());
        list.push('\n');
        let found = texts_of(krate.manifest_path.parent().unwrap_or(Path::new(".")))?;
        let found = if found.is_empty() { standard_texts(&name, license)? } else { found };
        for text in found {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    let mut out = format!("The program of {package} contains these crates:\n\n{list}");
    for (text, crates) in texts {
        let crates: Vec<String> = crates.into_iter().collect();
        out.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(72), crates.join(", ")));
    }
    Ok(out)
}

/// The licence files of a crate, each with tidy line ends.
fn texts_of(directory: &Path) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(FileError::new("read", directory))? {
        let path = entry.map_err(FileError::new("read", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && NAMES.iter().any(|known| name.starts_with(known)) {
            let bytes = std::fs::read(&path).map_err(FileError::new("read", &path))?;
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            texts.push(lines.join("\n").trim_matches('\n').to_owned());
        }
    }
    Ok(texts)
}

/// The standard texts of a licence expression, for a crate that ships none.
fn standard_texts(name: &str, license: &str) -> Result<Vec<String>, Error> {
    let unknown =
        || Error::Check(format!("{name} ships no licence text and `{license}` is no SPDX expression"));
    let expression = spdx::Expression::parse_mode(license, spdx::ParseMode::LAX).map_err(|_| unknown())?;
    let texts = expression.requirements().filter_map(|requirement| requirement.req.license.id());
    let texts: Vec<String> = texts.map(|id| id.text().trim_matches('\n').to_owned()).collect();
    if texts.is_empty() { Err(unknown()) } else { Ok(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_a_text_gets_the_standard_ones() {
        let texts = standard_texts("sample 1.0.0", "MIT/Apache-2.0").unwrap();
        assert_eq!(texts.len(), 2);
        assert!(texts.iter().any(|text| text.contains("Apache License")), "{texts:?}");
        assert!(standard_texts("sample 1.0.0", "see its text").is_err());
    }

    #[test]
    fn the_texts_of_a_crate_are_found_by_name() {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in
            [("LICENSE-MIT", "\nMIT  \r\ntext\n"), ("license.md", "other"), ("README.md", "no")]
        {
            std::fs::write(place.path().join(name), text).unwrap();
        }
        let mut texts = texts_of(place.path()).unwrap();
        texts.sort();
        assert_eq!(texts, ["MIT\ntext", "other"]);
    }
}
