//! Explains a cell: the tags that are accepted, and why each file is picked or
//! not.

use pydist::tags::Tag;

use crate::accepted;
use crate::choice::InstallTarget;
use crate::environment::known;
use crate::file::File;
use crate::matrix::Matrix;
use crate::require::{Requirement, RequirementError};

/// Explains every cell that `text` names, such as `ubuntu-20.04 x86_64 cp38`.
pub fn why(text: &str, matrices: &[Matrix]) -> Result<String, RequirementError> {
    let requirement: Requirement = text.parse()?;
    let mut out = String::new();
    for (row, column) in requirement.cells {
        let target = InstallTarget::new(&known().environments[row], &known().pythons[column]);
        if !out.is_empty() {
            out.push('\n');
        }
        explain(&target, matrices, &mut out);
    }
    Ok(out)
}

fn explain(target: &InstallTarget, matrices: &[Matrix], out: &mut String) {
    let (environment, python, shipped) = (target.environment, target.python, &target.shipped);
    out.push_str(&format!("{environment} {}\n", python.name));
    let (owner, source, date) = if environment.pythons.contains_key(&python.name) {
        (environment.title.as_str(), &environment.source, &environment.date)
    } else {
        ("the Python itself", &python.source, &python.date)
    };
    out.push_str(&format!(
        "  {}, {} {}, pip {}\n",
        environment.title,
        python_name(target),
        shipped.release,
        shipped.pip
    ));
    out.push_str(&format!(
        "  {}; {} ({})\n",
        environment.runtime_name(),
        environment.source,
        environment.date
    ));
    out.push_str(&format!("  pip by {owner}; {source} ({date})\n"));
    let tags = accepted::list(&target.interpreter, &target.platforms);
    for matrix in matrices {
        let chosen = target.choose(&matrix.files);
        let outcome = match chosen {
            None => "nothing".to_owned(),
            Some(file) => match file.missing(environment) {
                Some(_) => format!("wheel, but does not load: {}", file.filename),
                None if file.wheel().is_some() => format!("wheel: {}", file.filename),
                None => format!("sdist: {}", file.filename),
            },
        };
        out.push_str(&format!("\n{}: {outcome}\n", matrix.project));
        for file in &matrix.files {
            let is_chosen = chosen.is_some_and(|chosen| chosen.filename == file.filename);
            let mark = if is_chosen { "taken" } else { "not taken" };
            out.push_str(&format!(
                "  {}\n    {mark}: {}\n",
                file.filename,
                verdict(target, file, chosen, &tags)
            ));
        }
    }
    out.push_str(&format!("\n{} tags are accepted, best first:\n", tags.len()));
    for (place, tag) in tags.iter().enumerate() {
        out.push_str(&format!("  {:>4}  {tag}\n", place + 1));
    }
}

fn python_name(target: &InstallTarget) -> &'static str {
    if target.python.is_pypy() { "PyPy" } else { "Python" }
}

fn verdict(target: &InstallTarget, file: &File, chosen: Option<&File>, tags: &[Tag]) -> String {
    if let Some(refusal) = target.refusal(file) {
        return refusal.to_string();
    }
    let place = target.rank(file).map(|rank| rank.index(&target.interpreter, &target.platforms));
    let text = match place {
        Some(place) => format!("`{}` is tag {} of {}", tags[place], place + 1, tags.len()),
        None => "it is the source distribution, used if no wheel matches".to_owned(),
    };
    let Some(chosen) = chosen.filter(|chosen| chosen.filename != file.filename) else {
        return match file.missing(target.environment) {
            Some(need) => format!("{text}, but `{}` needs {}", need.member, need.what),
            None => text,
        };
    };
    let reason = if chosen.version != file.version {
        "is newer"
    } else if place.is_none() {
        "is a wheel"
    } else if target.rank(chosen) != target.rank(file) {
        "has a better tag"
    } else if chosen.build() != file.build() {
        "has a higher build number"
    } else {
        "comes later by name"
    };
    format!("{text}; `{}` {reason}", chosen.filename)
}
