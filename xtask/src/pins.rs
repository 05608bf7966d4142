//! Updates pins in documentation and templates: the commits of third-party actions, as pinned
//! by this repository's own workflows (which Dependabot updates), and the version of the actions
//! released here.

use std::collections::BTreeMap;

use pydist::digest::is_hex;
use toolkit::FileError;

use crate::error::Error;
use crate::shell::Shell;

/// The files with the original pins.
const WORKFLOWS: &[&str] = &[".github/workflows/*.yml"];
/// The files that repeat them.
const COPIES: &[&str] = &["*.md", "actions/*/action.yml", "tests/consumers/*/.github/workflows/*.yml"];

/// Placeholders for this repository in them.
const PLACEHOLDERS: [&str; 2] = ["uses: OWNER/REPOSITORY/actions/", "uses: <owner>/<repo>/actions/"];

/// Updates the repeated pins; returns the files that were out of date.
pub(crate) fn update(shell: &Shell, check: bool) -> Result<Vec<String>, Error> {
    let mut pins = BTreeMap::new();
    for file in shell.tracked(WORKFLOWS)? {
        let path = shell.root.join(file);
        let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
        pins.extend(text.lines().filter_map(pin).map(|(name, pin)| (name.to_owned(), pin.to_owned())));
    }
    let version = version(shell)?;
    let mut stale = Vec::new();
    for file in shell.tracked(COPIES)? {
        let path = shell.root.join(&file);
        let old = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
        let new = replace(&old, &pins, &version);
        if new != old {
            if !check {
                toolkit::write_atomic(&path, new.as_bytes())?;
            }
            stale.push(file);
        }
    }
    Ok(stale)
}

/// The action and its pin (`<commit> # <version>`) of a line `uses: …`.
fn pin(line: &str) -> Option<(&str, &str)> {
    let (name, pin) = line.split_once("uses: ")?.1.split_once('@')?;
    let (commit, version) = pin.split_once(" # ")?;
    (is_hex(commit, 40) && !version.is_empty()).then_some((name, pin))
}

/// The version of the actions, which is that of the workspace.
fn version(shell: &Shell) -> Result<String, Error> {
    let path = shell.root.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
    let rest = text.split_once("[workspace.package]\nversion = \"").map(|(_, rest)| rest);
    let version = rest.and_then(|rest| rest.split_once('"')).map(|(version, _)| version.to_owned());
    version.ok_or_else(|| {
        Error::Check(format!("{}: expected `version` first under `[workspace.package]`", path.display()))
    })
}

fn replace(text: &str, pins: &BTreeMap<String, String>, version: &str) -> String {
    text.split_inclusive('\n').map(|line| replace_line(line, pins, version)).collect()
}

fn replace_line(line: &str, pins: &BTreeMap<String, String>, version: &str) -> String {
    if let Some((before, old)) = line.split_once(" # v")
        && PLACEHOLDERS.iter().any(|ours| before.contains(ours))
        && old.starts_with(|first: char| first.is_ascii_digit())
    {
        let end = &old[old.trim_end().len()..];
        return format!("{before} # v{version}{end}");
    }
    let bare = line.trim_end();
    match pin(bare).and_then(|(name, old)| Some((old, pins.get(name)?))) {
        Some((old, new)) => line.replace(old, new),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_only_matching_pins() {
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let pins = BTreeMap::from([("x/y".to_owned(), format!("{new} # v2"))]);
        let text = format!("- uses: x/y@{old} # v1\n- uses: x/z@{old} # v1\n- uses: x/y@v1\nend");
        let expected = format!("- uses: x/y@{new} # v2\n- uses: x/z@{old} # v1\n- uses: x/y@v1\nend");
        assert_eq!(replace(&text, &pins, "3"), expected);
        assert_eq!(replace(&expected, &pins, "3"), expected);
    }

    #[test]
    fn updates_our_own_version() {
        let text = "uses: OWNER/REPOSITORY/actions/x@0 # v1\nuses: <owner>/<repo>/actions/x@<sha> # v1\n\
                    uses: <owner>/<repo>/actions/x@<sha> # v<version>\nuses: o/r/actions/x@0 # v2\n";
        let expected = text.replace("v1", "v3");
        assert_eq!(replace(text, &BTreeMap::new(), "3"), expected);
    }
}
