//! Wheels on PyPI, from distcheck's corpora: none is rejected, and the tags are those
//! of auditwheel, except for known differences.

use std::path::{Path, PathBuf};

use pydist::filename::{DistName, WheelName};
use pydist::policy;
use pydist::tags::Platform;

use crate::support::*;

/// Wheels that need libraries that are neither in them nor on every machine, for which
/// verify-dist warns.
const REFUSED: [(&str, &str); 1] =
    [("xgboost-3.4.1-py3-none-macosx_10_15_x86_64.whl", "needs `@rpath/libomp.dylib`")];

/// The wheels with binaries for Linux and macOS without errors from verify-dist.
fn sound() -> Vec<(PathBuf, WheelName)> {
    let list = testkit::tools::workspace().join("crates/distcheck/tests/popular-findings.txt");
    let list = std::fs::read_to_string(list).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.contains("error:"));
    let files = lines.filter_map(|line| line.split_whitespace().next());
    let wheel = |file: &str| match file.parse() {
        Ok(DistName::Wheel(name)) => Some((file.to_owned(), name)),
        _ => None,
    };
    files
        .filter_map(wheel)
        .filter(|(_, name)| platforms(name).iter().any(|platform| is_linux(platform) || is_macos(platform)))
        .map(|(file, name)| (testkit::tools::corpus(&file), name))
        .collect()
}

fn platforms(name: &WheelName) -> Vec<Platform> {
    name.tags.platform.iter().map(|tag| Platform::parse(tag)).collect()
}

fn is_linux(platform: &Platform) -> bool {
    matches!(platform, Platform::Manylinux { .. } | Platform::Musllinux { .. })
}

fn is_macos(platform: &Platform) -> bool {
    matches!(platform, Platform::Macos { .. })
}

/// The repaired wheel, or why it is rejected.
fn built(wheel: &Path) -> Result<WheelName, String> {
    let dir = tempfile::tempdir().unwrap();
    let output = build_wheel(dir.path()).arg(wheel).args(["--smoke", "off"]).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    match names(&dir.path().join("dist"))[0].parse() {
        Ok(DistName::Wheel(name)) => Ok(name),
        other => Err(format!("{other:?}")),
    }
}

/// The tag that auditwheel reports; `None` if it fails.
fn auditwheel(wheel: &Path) -> Option<String> {
    let output = testkit::tools::command("auditwheel").arg("show").arg(wheel).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, rest) = text.split_once("following platform tag: \"")?;
    rest.split_once('"').map(|(tag, _)| tag.to_owned())
}

/// Why our tags differ from auditwheel's.
fn reason(name: &WheelName, ours: &[Platform], theirs: Option<&str>) -> Option<&'static str> {
    let Some(theirs) = theirs else {
        // It reads the machine's `libc.so`, a linker script, as the library.
        let is_musl = name.tags.platform[0].starts_with("musllinux");
        let is_kept = *ours == platforms(name);
        return (is_musl || is_kept).then_some("auditwheel fails: on musl, or as there is no binary");
    };
    match (Platform::parse(theirs), ours.first()) {
        (Platform::Manylinux { glibc, arch }, Some(Platform::Manylinux { glibc: own, arch: own_arch }))
            if arch == *own_arch && glibc < (2, 17) && *own == (2, 17) =>
        {
            Some("rustc itself needs glibc 2.17")
        }
        (Platform::Musllinux { .. }, Some(_)) if ours.iter().any(is_any_linux) => {
            Some("it uses no C library, and runs with glibc, too")
        }
        _ => None,
    }
}

fn is_any_linux(platform: &Platform) -> bool {
    matches!(platform, Platform::Musllinux { musl: (1, 1), .. })
}

#[test]
#[ignore = "soak: repairs every wheel of the corpora, and runs auditwheel on it"]
fn accepts_valid_wheels_and_agrees_with_auditwheel_on_tags() {
    assert!(policy::linux().len() > 10);
    let (mut wrong, mut taken, mut compared, mut explained) = (Vec::new(), 0, 0, 0);
    for (path, name) in sound() {
        let file = name.to_string();
        let ours = match built(&path) {
            Ok(name) => platforms(&name),
            Err(error) if REFUSED.iter().any(|(name, why)| *name == file && error.contains(why)) => continue,
            Err(error) => {
                wrong.push(format!("{file} is refused: {error}"));
                continue;
            }
        };
        taken += 1;
        if !ours.iter().any(is_linux) {
            continue;
        }
        let theirs = auditwheel(&path);
        compared += 1;
        if theirs.as_deref().is_some_and(|theirs| ours.contains(&Platform::parse(theirs))) {
            continue;
        }
        match reason(&name, &ours, theirs.as_deref()) {
            Some(_) => explained += 1,
            None => wrong.push(format!("{file}: {ours:?}, by auditwheel {theirs:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken >= 33 && compared >= 52, "{taken} wheels, {compared} for Linux");
    assert!(explained * 4 < compared, "{explained} of {compared} differ");
}
