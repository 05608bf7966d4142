//! The tags that start a release, as the repository has used them.

use std::path::Path;
use std::time::Duration;

use pydist::release_tag::ReleaseTag;
use toolkit::{Cmd, OutputMode, Ui};

use super::project::{Package, Project};

/// How many of the newest tags are looked at.
const NEWEST: usize = 500;

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

/// The prefix of the newest tag that is for a package, and the tag.
fn best(tags: &[String], package: &Package) -> Option<(String, String)> {
    let last = package.directory.rsplit('/').next().unwrap_or_default();
    let names = [plain(&package.name), plain(last)];
    let ranked = tags.iter().filter_map(|tag| {
        let prefix = prefix(tag)?;
        Some((rank(&prefix, &names)?, prefix, tag))
    });
    // The first of those that are equally good is the newest.
    ranked.min_by_key(|(rank, ..)| *rank).map(|(_, prefix, tag)| (prefix, tag.clone()))
}

/// How well a prefix names a package; `None` where it names something else.
fn rank(prefix: &str, names: &[String]) -> Option<u8> {
    let name = prefix.strip_suffix('v').unwrap_or(prefix);
    let name = plain(name.trim_end_matches(['-', '_', '/', '@', '.']));
    match &*name {
        _ if !name.is_empty() && names.contains(&name) => Some(0),
        "py" | "python" => Some(1),
        "" => Some(2),
        _ => None,
    }
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// What precedes the version in a tag.
fn prefix(tag: &str) -> Option<String> {
    let prefix = ReleaseTag::parse(tag, None).ok()?.prefix;
    // Others would mean something in a pattern.
    prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_/@.".contains(c)).then_some(prefix)
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
