//! The commits to which actions are pinned.

use std::collections::BTreeMap;
use std::time::Duration;

use pydist::digest::is_hex;
use toolkit::{Cmd, Env, OutputMode, Ui};

/// Workflows of this repository, in which a bot keeps the pins up to date.
const WORKFLOWS: [&str; 2] = [
    include_str!("../../../../.github/workflows/release.yml"),
    include_str!("../../../../tests/consumers/mixed/.github/workflows/release.yml"),
];

/// The placeholder for an unknown commit.
pub(super) const UNKNOWN: &str = "0000000000000000000000000000000000000000";

/// A commit with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) sha: String,
    pub(super) version: String,
}

/// The pins of actions by name, and that of this repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pins {
    foreign: BTreeMap<String, Pin>,
    pub(super) own: Option<Pin>,
    pub(super) repository: String,
}

impl Pins {
    /// The pins that the program was built with.
    pub(super) fn built_in(repository: &str) -> Self {
        let mut foreign = BTreeMap::new();
        for (name, pin) in WORKFLOWS.iter().flat_map(|text| pins_in(text)) {
            foreign.entry(name).or_insert(pin);
        }
        Self { foreign, own: None, repository: repository.to_owned() }
    }

    /// Keeps the newer pins of a workflow, which a bot may have raised; with `all`,
    /// also older ones.
    pub(super) fn keep(&mut self, workflow: &str, all: bool) {
        for (name, pin) in pins_in(workflow) {
            if let Some(rest) =
                name.strip_prefix(&self.repository).filter(|rest| rest.starts_with("/actions/"))
            {
                if pin.sha != UNKNOWN && self.own.is_none() && !rest.is_empty() {
                    self.own = Some(pin);
                }
                continue;
            }
            let built_in = self.foreign.get(&name);
            if all || built_in.is_none_or(|built_in| version(&built_in.version) < version(&pin.version)) {
                self.foreign.insert(name, pin);
            }
        }
    }

    /// `name@commit # version`.
    pub(super) fn uses(&self, name: &str) -> String {
        let own = Pin { sha: UNKNOWN.to_owned(), version: format!("v{}", env!("CARGO_PKG_VERSION")) };
        let (name, pin) = match name.strip_prefix("./") {
            Some(path) => (format!("{}/{path}", self.repository), self.own.clone().unwrap_or(own)),
            None => (name.to_owned(), self.foreign.get(name).cloned().unwrap_or(own)),
        };
        format!("{name}@{} # {}", pin.sha, pin.version)
    }
}

/// `uses: name@commit # version` in a workflow.
fn pins_in(workflow: &str) -> impl Iterator<Item = (String, Pin)> {
    workflow.lines().filter_map(|line| {
        let (name, rest) = line.trim().trim_start_matches("- ").strip_prefix("uses: ")?.split_once('@')?;
        let (sha, version) = rest.split_once(" # ")?;
        let is_commit = is_hex(sha, 40);
        let pin = Pin { sha: sha.to_owned(), version: version.trim().to_owned() };
        is_commit.then(|| (name.to_owned(), pin))
    })
}

/// The numbers of `v1.2.3`.
fn version(text: &str) -> Vec<u64> {
    let numbers = text.trim_start_matches('v').split('.');
    numbers.map_while(|number| number.parse().ok()).collect()
}

/// The newest tag `v1.2.3` of the repository, with its commit.
pub(super) fn newest(repository: &str, env: &Env, ui: &Ui) -> Result<Pin, String> {
    let server = env.get("GITHUB_SERVER_URL").unwrap_or("https://github.com");
    let url = format!("{server}/{repository}");
    let cmd = Cmd::new("git").args(["ls-remote", "--tags", "--", &url]).env("GIT_TERMINAL_PROMPT", "0");
    let output =
        cmd.run(ui, OutputMode::Quiet, Duration::from_secs(60)).map_err(|error| error.to_string())?;
    newest_of(&output.stdout).ok_or_else(|| format!("`{url}` has no tag `v<version>`"))
}

/// The newest tag in the output of `git ls-remote --tags`; `^{}` is the commit of an
/// annotated tag.
fn newest_of(listing: &str) -> Option<Pin> {
    let mut tags: BTreeMap<(Vec<u64>, &str), &str> = BTreeMap::new();
    for (sha, name) in listing.lines().filter_map(|line| line.split_once('\t')) {
        let Some(name) = name.strip_prefix("refs/tags/") else { continue };
        let tag = name.strip_suffix("^{}").unwrap_or(name);
        let numbers = version(tag);
        let is_version =
            tag == format!("v{}", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."));
        if is_version && numbers.len() == 3 {
            let is_commit = name != tag;
            let entry = tags.entry((numbers, tag)).or_insert(sha);
            if is_commit {
                *entry = sha;
            }
        }
    }
    let ((_, tag), sha) = tags.pop_last()?;
    Some(Pin { sha: sha.to_owned(), version: tag.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_pins_for_all_actions_in_the_templates() {
        let pins = Pins::built_in("o/r");
        for name in ["checkout", "setup-python", "upload-artifact", "download-artifact"] {
            let uses = pins.uses(&format!("actions/{name}"));
            assert!(!uses.contains(UNKNOWN), "{uses}");
        }
        assert_eq!(
            pins.uses("./actions/publish"),
            format!("o/r/actions/publish@{UNKNOWN} # v{}", env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn finds_the_newest_release() {
        let listing = "a1\trefs/tags/v1.9.0\nb1\trefs/tags/v1.10.0\nb2\trefs/tags/v1.10.0^{}\nc1\trefs/tags/src-v2.0.0\nd1\trefs/tags/v2.0.0-rc1\ne1\trefs/tags/htty-v9.0.0\n";
        assert_eq!(newest_of(listing), Some(Pin { sha: "b2".into(), version: "v1.10.0".into() }));
        assert_eq!(newest_of(""), None);
    }

    #[test]
    fn keeps_newer_pins() {
        let mut pins = Pins::built_in("o/r");
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "- uses: actions/checkout@{new} # v99.0.0\n- uses: actions/upload-artifact@{old} # v1.0.0\n- uses: o/r/actions/publish@{old} # v0.1.0\n"
        );
        pins.keep(&text, false);
        assert!(pins.uses("actions/checkout").contains(&new));
        assert!(!pins.uses("actions/upload-artifact").contains(&old));
        assert_eq!(pins.uses("./actions/publish"), format!("o/r/actions/publish@{old} # v0.1.0"));
        pins.keep(&text, true);
        assert!(pins.uses("actions/upload-artifact").contains(&old));
    }
}
