//! The tags that start a release, as the repository has used them.

use std::path::Path;
use std::time::Duration;

use pydist::release_tag::ReleaseTag;
use toolkit::{Cmd, OutputMode, Ui};

use super::project::{Package, Project};

/// How many of the newest tags are looked at.
const NEWEST: usize = 500;

/// A tag that is among so many of the newest is still in use.
const IN_USE: usize = 10;

/// The rank of a prefix that names no package.
const UNNAMED: u8 = 2;

/// Patterns for the tags of the packages with Rust, from the newest tags of
/// the repository; none where no tag is for them.
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
    // Without git, or outside of a repository, there are none.
    let output = cmd.run(ui, OutputMode::Quiet, Duration::from_secs(20));
    output.map(|output| output.stdout.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// The prefix of the tag that is for a package, and the tag. One that names
/// the package counts while it is in use: a project may have changed to tags
/// without a name.
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
    // The first of those that are equally good is the newest.
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

/// How well a prefix names a package; `None` where it names something else.
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

/// A tag with a version, and a prefix that is plain in a pattern.
fn release_tag(tag: &str) -> Option<ReleaseTag> {
    let found = ReleaseTag::parse(tag, None).ok()?;
    found.prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_/@.".contains(c)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_the_package_come_before_those_of_the_repository() {
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
