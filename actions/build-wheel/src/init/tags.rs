//! The tags that trigger a release, from the repository's existing tags.

use std::path::Path;
use std::time::Duration;

use pydist::release_tag::ReleaseTag;
use toolkit::{Cmd, OutputMode, Ui};

use super::project::{Package, Project};

/// The number of newest tags to read.
const NEWEST: usize = 500;

/// A tag among this many of the newest is still in use.
const IN_USE: usize = 10;

/// The rank of a prefix without a package name.
const UNNAMED: u8 = 2;

/// Patterns for the tags of the packages with Rust, from the newest tags of the
/// repository; empty if there is no such tag.
pub(super) fn of_repository(project: &Project, ui: &Ui) -> Vec<String> {
    let tags = newest_tags(&project.root, ui);
    let mut patterns: Vec<String> = Vec::new();
    for package in project.native() {
        if let Some((prefix, tag)) = best(&tags, package) {
            let pattern = format!("{prefix}[0-9]*");
            if !patterns.contains(&pattern) {
                ui.info(format!("tags: `{pattern}`, as in `{tag}`"));
                patterns.push(pattern);
            }
        }
    }
    patterns
}

fn newest_tags(root: &Path, ui: &Ui) -> Vec<String> {
    let format = "--format=%(refname:strip=2)";
    let count = format!("--count={NEWEST}");
    let directory = root.to_string_lossy();
    let cmd = Cmd::new("git").args([
        "-C",
        &directory,
        "for-each-ref",
        "--sort=-creatordate",
        &count,
        format,
        "refs/tags",
    ]);
    // Without git, or outside a repository, there are none.
    let output = cmd.run(ui, OutputMode::Quiet, Duration::from_secs(20));
    output.map(|output| output.stdout.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// The prefix of a package's tag, and the tag. A prefix with the package's name is
/// used only while it is in use, because a project may have changed to tags without
/// a name.
fn best<'t>(tags: &'t [String], package: &Package) -> Option<(String, &'t str)> {
    let last = package.directory.rsplit('/').next().unwrap_or_default();
    let names = [plain(&package.name), plain(last)];
    let ranked: Vec<(usize, u8, ReleaseTag, &str)> = tags
        .iter()
        .enumerate()
        .filter_map(|(age, tag)| {
            let found = release_tag(tag)?;
            Some((age, rank(&found.prefix, &names)?, found, tag.as_str()))
        })
        .collect();
    // The first of equally good ones is the newest.
    let specific = ranked.iter().filter(|(_, rank, ..)| *rank < UNNAMED).min_by_key(|(_, rank, ..)| *rank);
    let general = ranked.iter().find(|(_, rank, ..)| *rank == UNNAMED);
    let chosen = match (specific, general) {
        (Some(specific), Some(general))
            if specific.0 >= IN_USE && general.0 < specific.0 && general.2.version > specific.2.version =>
        {
            general
        }
        (specific, general) => specific.or(general)?,
    };
    Some((chosen.2.prefix.clone(), chosen.3))
}

/// How well a prefix matches a package; `None` if it names something else.
fn rank(prefix: &str, names: &[String]) -> Option<u8> {
    let name = prefix.strip_suffix('v').unwrap_or(prefix);
    let name = plain(name.trim_end_matches(['-', '_', '/', '@', '.']));
    match &*name {
        _ if !name.is_empty() && names.contains(&name) => Some(0),
        "py" | "python" => Some(1),
        "" => Some(UNNAMED),
        _ => None,
    }
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// A tag with a version, and a prefix without special characters of patterns.
fn release_tag(tag: &str) -> Option<ReleaseTag> {
    let found = ReleaseTag::parse(tag, None).ok()?;
    found.prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_/@.".contains(c)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_tags_of_the_package_to_those_of_the_repository() {
        let names = ["tket".to_owned(), "tket-py".to_owned()];
        for (prefix, expected) in [
            ("tket-py-v", Some(0)),
            ("tket/", Some(0)),
            ("py-", Some(1)),
            ("python-v", Some(1)),
            ("v", Some(2)),
            ("", Some(2)),
            ("rust-v", None),
            ("tket2-v", None),
        ] {
            assert_eq!(rank(prefix, &names), expected, "{prefix}");
        }
    }
}
