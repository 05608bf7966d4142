//! Finds the Python to install a wheel with.

use std::path::PathBuf;

use pydist::tags::TagSet;

use crate::interpreter::{Interpreter, PythonRequest};
use crate::plan::SmokePlan;
use crate::runtime::Runtime;

/// The reason if there is no Python at all, or none for `platform`.
pub(super) fn none(platform: Option<&str>) -> String {
    match platform {
        Some(platform) => format!("no Python for {platform} on this machine"),
        None => "no Python outside the Nix store on this machine".to_owned(),
    }
}

/// The minor versions of Python 3 that a wheel may be for.
const MINORS: std::ops::Range<u32> = 7..24;

/// Finds an interpreter for a wheel with these tags and this `Requires-Python`: one from the plan,
/// or one of the right version and, on Windows, for the right architecture on this machine. The
/// error describes what is missing.
pub(super) fn find(
    tags: &TagSet,
    requires: Option<&str>,
    plan: &SmokePlan,
    runtime: &Runtime<'_>,
) -> Result<Interpreter, String> {
    let mut preferred = None;
    let accepts = |python: &Interpreter| python.accepts(tags) && python.fits(requires);
    for path in plan.interpreters.iter().chain(&plan.python) {
        let found = Interpreter::inspect(path, runtime.ui);
        if let Some(found) = found.clone().filter(accepts) {
            return Ok(found);
        }
        preferred = preferred.or(found);
    }
    let requests = PythonRequest::of_tags(tags);
    for request in &requests {
        let mut found = request.find(None, plan.uv.as_deref(), runtime.env, runtime.ui);
        if let Some(found) = found.find(accepts) {
            return Ok(found);
        }
    }
    let platform = platform(tags);
    // The Python on PATH may be of the right version, but for another architecture.
    let is_for_several = requests.is_empty() || tags.abi.iter().any(|abi| abi.starts_with("abi3"));
    if is_for_several && let Some(found) = every(platform, plan, runtime).find(accepts) {
        return Ok(found);
    }
    let reason =
        missing(&requests, tags, platform, preferred.as_ref().filter(|python| !python.accepts(tags)));
    Err(match requires.filter(|_| preferred.as_ref().is_none_or(|python| !python.fits(requires))) {
        Some(requires) => format!("{reason} that `Requires-Python: {requires}` allows"),
        None => reason,
    })
}

/// Describes the missing Python for a wheel with these tags.
fn missing(
    requests: &[PythonRequest],
    tags: &TagSet,
    platform: Option<&str>,
    preferred: Option<&Interpreter>,
) -> String {
    let programs: Vec<String> = requests.iter().map(PythonRequest::program).collect();
    let versions: Vec<&str> = programs.iter().map(|name| name.trim_start_matches("python")).collect();
    match (&versions[..], platform, preferred) {
        ([], Some(platform), _) => none(Some(platform)),
        ([], None, Some(python)) => format!("{python} does not accept a wheel for `{tags}`"),
        ([], None, None) => none(None),
        (versions, Some(platform), _) => {
            format!("no Python {} for {platform} on this machine", versions.join(" or "))
        }
        (versions, None, _) => format!("no Python {} on this machine", versions.join(" or ")),
    }
}

/// The platform of the Pythons that accept a wheel for Windows with these tags.
fn platform(tags: &TagSet) -> Option<&'static str> {
    ["win32", "win-amd64", "win-arm64"]
        .into_iter()
        .find(|platform| tags.platform.contains(&platform.replace('-', "_")))
}

/// Every Python of this machine for `platform`.
fn every<'a>(
    platform: Option<&'static str>,
    plan: &'a SmokePlan,
    runtime: &'a Runtime<'_>,
) -> impl Iterator<Item = Interpreter> + use<'a> {
    let versions = MINORS.rev().flat_map(|minor| ["", "t"].map(|thread| format!("3.{minor}{thread}")));
    let others = ["pypy", "graalpy"].into_iter();
    let others = others.flat_map(|kind| MINORS.rev().map(move |minor| format!("{kind}3.{minor}")));
    let requests = versions.chain(others).filter_map(|name| PythonRequest::parse(&name).ok());
    requests.flat_map(move |request| {
        let found = request.find(platform, plan.uv.as_deref(), runtime.env, runtime.ui);
        found.collect::<Vec<_>>()
    })
}

/// Whether there is any Python that [`find`] may choose for a wheel whose tags are not known yet,
/// except that it is for `platform`.
pub(super) fn exists(plan: &SmokePlan, platform: Option<&'static str>, runtime: &Runtime<'_>) -> bool {
    let mut given = plan.interpreters.iter().chain(&plan.python);
    let is_for =
        |path: &PathBuf| Interpreter::inspect(path, runtime.ui).is_some_and(|found| found.is_for(platform));
    given.any(is_for) || every(platform, plan, runtime).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_version_and_platform() {
        let of = |tags: &str| {
            let tags: TagSet = tags.parse().unwrap();
            missing(&PythonRequest::of_tags(&tags), &tags, platform(&tags), None)
        };
        assert_eq!(of("cp312-cp312-win32"), "no Python 3.12 for win32 on this machine");
        assert_eq!(of("py3-none-win_arm64"), "no Python for win-arm64 on this machine");
        assert_eq!(of("cp34-cp34m-linux_x86_64"), "no Python 3.4 on this machine");
        assert_eq!(of("py3-none-any"), "no Python outside the Nix store on this machine");
    }
}
