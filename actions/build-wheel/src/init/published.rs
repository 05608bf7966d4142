//! The published wheels of a project, as a source of platforms, floors and Pythons.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use index::{Client, Keep, Listing, Retry};
use pep440_rs::Version;
use pydist::filename::{DistName, WheelName};
use pydist::name::ProjectName;
use reqwest::Url;
use toolkit::{Env, Ui};

use super::platform::Platform;

/// The timeout for all packages together: a new workflow can be written without the
/// answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The newest release with wheels for specific platforms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublishedRelease {
    pub(super) version: String,
    pub(super) wheels: Vec<PublishedWheel>,
    pub(super) has_sdist: bool,
    /// Platforms and Pythons that build-wheel has no target for.
    pub(super) unsupported: Vec<String>,
}

/// A wheel of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublishedWheel {
    pub(super) platform: Platform,
    /// Its only Python, such as `3.14t` or `pypy3.11`; `""` if it is for several.
    pub(super) python: String,
    /// Whether it uses the stable ABI.
    pub(super) is_abi3: bool,
}

/// The newest release of each project on the index, or why it is unknown.
pub(super) fn query(
    simple: &Url,
    names: &[&str],
    env: &Env,
    ui: &Ui,
) -> Vec<Result<PublishedRelease, String>> {
    let failed = |error: String| names.iter().map(|_| Err(error.clone())).collect();
    let agent = concat!("build-wheel/", env!("CARGO_PKG_VERSION"));
    let client = match Client::new(agent, env, Retry::within(Duration::ZERO), ui) {
        Ok(client) => client,
        Err(error) => return failed(error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    let keep: Keep = Arc::new(|name, file| !file.yanked && name.parse::<DistName>().is_ok());
    let found = runtime.block_on(async {
        let end = tokio::time::Instant::now() + TIMEOUT;
        let mut found = Vec::new();
        for name in names {
            let page = index::project_page(simple, &ProjectName::new(name));
            let listing = tokio::time::timeout_at(end, index::list(&client, &page, None, &keep)).await;
            found.push(match listing {
                Ok(Ok(listing)) => newest(&listing),
                Ok(Err(error)) => Err(toolkit::error_chain(&error)),
                Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
            });
        }
        found
    });
    // Do not wait for a page that is still being read.
    runtime.shutdown_background();
    found
}

/// The newest release with wheels for specific platforms, preferably not a
/// pre-release.
fn newest(listing: &Listing) -> Result<PublishedRelease, String> {
    if !listing.exists {
        return Err("no such project".to_owned());
    }
    let mut releases: BTreeMap<(bool, Version), Vec<DistName>> = BTreeMap::new();
    for name in listing.files.keys().filter_map(|name| name.parse::<DistName>().ok()) {
        let Some(version) = name.normal_version() else { continue };
        releases.entry((version.is_stable(), version)).or_default().push(name);
    }
    let has_wheels = |(_, files): &(&(bool, Version), &Vec<DistName>)| {
        files.iter().filter_map(DistName::wheel).any(|wheel| wheel.tags.platform != ["any"])
    };
    let Some(((_, version), files)) = releases.iter().rev().find(has_wheels) else {
        return Err("no wheels for platforms".to_owned());
    };
    let mut found = PublishedRelease {
        version: version.to_string(),
        wheels: Vec::new(),
        has_sdist: files.iter().any(|file| file.wheel().is_none()),
        unsupported: Vec::new(),
    };
    for wheel in files.iter().filter_map(DistName::wheel) {
        found.add(wheel);
    }
    found.wheels.sort_by_key(PublishedWheel::order);
    found.wheels.dedup();
    found.unsupported.sort();
    found.unsupported.dedup();
    Ok(found)
}

impl PublishedRelease {
    /// Adds the platforms and the Python of a wheel.
    fn add(&mut self, wheel: &WheelName) {
        let mut platforms: Vec<Platform> = Vec::new();
        // A wheel with several tags runs on the oldest of their systems.
        for platform in wheel.tags.platform.iter().flat_map(|tag| Platform::of_tag(tag)) {
            match platforms.iter_mut().find(|other| other.target == platform.target) {
                None => platforms.push(platform),
                Some(other) if platform.version() < other.version() => *other = platform,
                Some(_) => {}
            }
        }
        let python = python(wheel);
        if platforms.is_empty() {
            self.unsupported.push(wheel.tags.platform.join("."));
        } else if python.is_none() {
            self.unsupported.push(wheel.tags.python.join("."));
        }
        let is_abi3 = wheel.tags.abi.iter().any(|abi| abi == "abi3");
        self.wheels.extend(python.into_iter().flat_map(|python| {
            let wheel = move |platform| PublishedWheel { platform, python: python.clone(), is_abi3 };
            platforms.iter().cloned().map(wheel).collect::<Vec<_>>()
        }));
    }
}

impl PublishedWheel {
    /// The sort order: common platforms first, then Pythons by number.
    fn order(&self) -> impl Ord + use<> {
        let name = self.platform.target.triple();
        let place = super::platform::COMMON.iter().position(|common| *common == name);
        let digits: String = self.python.chars().skip_while(|c| *c != '.').skip(1).collect();
        let minor: u32 = digits.trim_end_matches('t').parse().unwrap_or_default();
        (
            place.unwrap_or(usize::MAX),
            name,
            self.platform.version(),
            (self.python.starts_with("pypy"), minor, self.python.clone()),
        )
    }
}

/// The Python of a wheel, as build-wheel names it; `""` for several, `None` for one
/// that build-wheel does not support.
fn python(wheel: &WheelName) -> Option<String> {
    let [abi] = &wheel.tags.abi[..] else { return None };
    let tag = wheel.tags.python.first()?;
    if abi == "abi3" || abi == "none" && !tag.starts_with("pp") {
        return Some(String::new());
    }
    let version = |digits: &str| Some(format!("{}.{}", digits.get(..1)?, digits.get(1..)?));
    if let Some(digits) = tag.strip_prefix("pp") {
        return Some(format!("pypy{}", version(digits)?));
    }
    let suffix = if abi.ends_with('t') { "t" } else { "" };
    Some(format!("{}{suffix}", version(tag.strip_prefix("cp3").map(|_| &tag[2..])?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(files: &[&str]) -> Result<PublishedRelease, String> {
        let file = index::ListedFile {
            url: Url::parse("https://a.example/").unwrap(),
            sha256: None,
            size: None,
            requires_python: None,
            yanked: false,
            provenance: None,
            uploaded: None,
        };
        let files = files.iter().map(|name| ((*name).to_owned(), file.clone())).collect();
        newest(&Listing { exists: true, files, ..Listing::default() })
    }

    fn shown(files: &[&str]) -> Vec<String> {
        let wheel = |wheel: &PublishedWheel| {
            let Platform { target, compatibility } = &wheel.platform;
            format!("{} {compatibility} {:?} {}", target.triple(), wheel.python, wheel.is_abi3)
        };
        published(files).unwrap().wheels.iter().map(wheel).collect()
    }

    #[test]
    fn finds_the_newest_release_with_wheels() {
        let found = published(&[
            "a-1.9.0-py3-none-manylinux2014_x86_64.whl",
            "a-1.10.0-py3-none-musllinux_1_2_x86_64.whl",
            "a-1.10.0.tar.gz",
            "a-1.11.0-py3-none-any.whl",
            "a-2.0.0rc1-py3-none-macosx_11_0_arm64.whl",
        ])
        .unwrap();
        assert_eq!((found.version.as_str(), found.has_sdist, found.wheels.len()), ("1.10.0", true, 1));
        assert!(found.wheels[0].platform.compatibility == "musllinux_1_2");
        let only = published(&["a-2.0.0rc1-py3-none-macosx_11_0_arm64.whl"]).unwrap();
        assert_eq!(only.version, "2.0.0rc1", "a pre-release is better than nothing");
        assert!(published(&["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]).is_err());
        assert!(newest(&Listing::default()).is_err());
    }

    #[test]
    fn converts_tags_to_platforms_and_pythons() {
        assert_eq!(
            shown(&[
                "a-1-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "a-1-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "a-1-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl",
                "a-1-cp314-cp314t-macosx_11_0_arm64.whl",
                "a-1-cp314-cp314t-macosx_10_12_x86_64.macosx_11_0_arm64.macosx_10_12_universal2.whl",
                "a-1-cp38-abi3-linux_armv6l.whl",
            ]),
            [
                r#"x86_64-unknown-linux-gnu manylinux_2_17 "3.9" false"#,
                r#"x86_64-unknown-linux-gnu manylinux_2_17 "3.10" false"#,
                r#"x86_64-unknown-linux-gnu manylinux_2_28 "pypy3.11" false"#,
                r#"x86_64-apple-darwin macosx_10_12 "3.14t" false"#,
                r#"aarch64-apple-darwin macosx_11_0 "3.14t" false"#,
            ]
        );
        assert_eq!(
            shown(&[
                "a-1-cp38-abi3-musllinux_1_1_aarch64.whl",
                "a-1-py3-none-manylinux_2_5_i686.manylinux1_i686.whl",
                "a-1-cp38-abi3-win_amd64.whl"
            ]),
            [
                r#"i686-unknown-linux-gnu manylinux_2_5 "" false"#,
                r#"aarch64-unknown-linux-musl musllinux_1_2 "" true"#,
                r#"x86_64-pc-windows-msvc  "" true"#,
            ]
        );
        let unsupported = published(&[
            "a-1-cp38-abi3-android_24_arm64_v8a.whl",
            "a-1-cp38-abi3-manylinux2014_x86_64.whl",
            "a-1-graalpy311-graalpy242_311_native-manylinux2014_x86_64.whl",
        ]);
        let unsupported = unsupported.unwrap().unsupported;
        assert_eq!(unsupported, ["android_24_arm64_v8a", "graalpy311"]);
    }
}
