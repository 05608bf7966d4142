//! The options of the command line.

use std::path::{Component, Path, PathBuf};

use pydist::digest::is_hex;
use toolkit::Invocation;

use super::error::InitError;
use super::names::WORKFLOW;
use super::platform::Platform;

/// The options of the command.
pub(super) struct Options {
    pub(super) root: PathBuf,
    pub(super) flake_attr: Option<String>,
    pub(super) workflow: PathBuf,
    pub(super) from: Option<PathBuf>,
    pub(super) platforms: Vec<Platform>,
    pub(super) index: String,
    pub(super) is_offline: bool,
    pub(super) is_check: bool,
    pub(super) is_dry_run: bool,
    pub(super) pin: Option<String>,
    pub(super) repository: Option<String>,
}

impl Options {
    pub(super) fn read(invocation: &Invocation) -> Result<Self, InitError> {
        let option = |name: &str| invocation.options.get(name).filter(|text| !text.is_empty());
        let input = |name: &str| invocation.env.get(name).filter(|text| !text.is_empty());
        let flag = |option: &'static str, text: Option<&str>| match text {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(found) => {
                Err(InitError::Option { option, expected: "`true` or `false`", found: found.to_owned() })
            }
        };
        let pin = option("pin").cloned();
        if let Some(found) = pin.clone().filter(|pin| !is_hex(pin, 40)) {
            return Err(InitError::Option {
                option: "pin",
                expected: "a commit of 40 hexadecimal digits",
                found,
            });
        }
        let repository = option("repository").cloned();
        let is_name = |text: &str| {
            let plain = |part: &str| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            };
            text.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
        };
        if let Some(found) = repository.clone().filter(|text| !is_name(text)) {
            return Err(InitError::Option { option: "repository", expected: "`OWNER/NAME`", found });
        }
        let root = PathBuf::from(input("INPUT_PROJECT").unwrap_or("."));
        let workflow = option("workflow").map_or(WORKFLOW, String::as_str);
        let is_below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(workflow).components().all(is_below) {
            return Err(InitError::Option {
                option: "workflow",
                expected: "a path below PROJECT, such as `.github/workflows/release.yml`",
                found: workflow.to_owned(),
            });
        }
        Ok(Self {
            workflow: root.join(workflow),
            root,
            flake_attr: input("INPUT_FLAKE_ATTR").map(str::to_owned),
            from: option("from-maturin-action").map(PathBuf::from),
            platforms: platforms(option("platforms").map_or("", String::as_str))?,
            index: option("index").map_or("pypi", String::as_str).to_owned(),
            is_offline: flag("offline", option("offline").map(String::as_str))?,
            is_check: flag("check", option("check").map(String::as_str))?,
            is_dry_run: flag("dry-run", option("dry-run").map(String::as_str))?,
            pin,
            repository: repository.or_else(|| option_env!("GITHUB_REPOSITORY").map(str::to_owned)),
        })
    }
}

/// Parses the list of `--platforms`.
fn platforms(text: &str) -> Result<Vec<Platform>, InitError> {
    let names = text.split([',', ' ', '\n']).filter(|name| !name.is_empty());
    let error = |found: &str| InitError::Option {
        option: "platforms",
        expected: "Rust targets or platform tags of Linux and macOS, such as `x86_64-unknown-linux-gnu,manylinux_2_28_aarch64`",
        found: found.to_owned(),
    };
    let found: Vec<Platform> =
        names.map(|name| Platform::parse(name).ok_or_else(|| error(name))).collect::<Result<_, _>>()?;
    if found.is_empty() && !text.is_empty() { Err(error(text)) } else { Ok(found) }
}
