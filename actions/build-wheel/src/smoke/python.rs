//! Finds the Python to install a wheel with.

use pydist::tags::TagSet;

use crate::interpreter::{Interpreter, PythonRequest};
use crate::plan::SmokePlan;
use crate::runtime::Runtime;

/// The reason if there is no Python at all.
pub(super) const NONE: &str = "no Python outside the Nix store on this machine";

/// The minor versions of Python 3 that a wheel may be for.
const MINORS: std::ops::Range<u32> = 7..24;

/// Finds an interpreter for a wheel with these tags: one from the plan, or one of
/// the right version on this machine. The error describes what is missing.
pub(super) fn find(tags: &TagSet, plan: &SmokePlan, runtime: &Runtime<'_>) -> Result<Interpreter, String> {
    let mut preferred = None;
    for path in plan.interpreters.iter().chain(&plan.python) {
        let found = Interpreter::inspect(path, runtime.ui);
        if let Some(found) = found.clone().filter(|python| python.accepts(tags)) {
            return Ok(found);
        }
        preferred = preferred.or(found);
    }
    let requests = PythonRequest::of_tags(tags);
    for request in &requests {
        let mut found = request.find(plan.uv.as_deref(), runtime.env, runtime.ui);
        if let Some(found) = found.find(|python| python.accepts(tags)) {
            return Ok(found);
        }
    }
    Err(match (requests.is_empty(), preferred) {
        (false, _) => {
            let programs: Vec<String> = requests.iter().map(PythonRequest::program).collect();
            let versions: Vec<&str> = programs.iter().map(|name| name.trim_start_matches("python")).collect();
            format!("no Python {} on this machine", versions.join(" or "))
        }
        (true, Some(python)) => format!("{python} does not accept a wheel for `{tags}`"),
        (true, None) => NONE.to_owned(),
    })
}

/// Whether there is any Python that [`find`] may choose for a wheel whose tags are not known yet.
pub(super) fn exists(plan: &SmokePlan, runtime: &Runtime<'_>) -> bool {
    let mut given = plan.interpreters.iter().chain(&plan.python);
    if given.any(|path| Interpreter::inspect(path, runtime.ui).is_some()) {
        return true;
    }
    let versions = MINORS.rev().flat_map(|minor| ["", "t"].map(|thread| format!("3.{minor}{thread}")));
    let pypys = MINORS.rev().map(|minor| format!("pypy3.{minor}"));
    let mut requests = versions.chain(pypys).filter_map(|name| PythonRequest::parse(&name).ok());
    requests.any(|request| request.find(plan.uv.as_deref(), runtime.env, runtime.ui).next().is_some())
}
