//! What changed for users between two releases of a project.

use std::collections::BTreeMap;

use pydist::tags::Platform;

use crate::choice::{InstallTarget, Refusal};
use crate::environment::known;
use crate::file::File;
use crate::matrix::{Cell, Matrix};
use crate::names::{self, Cells};

/// A change shared by some environments.
#[derive(Debug)]
pub struct Change {
    /// The outcome before.
    pub before: &'static str,
    /// The outcome now.
    pub after: &'static str,
    /// Whether users are worse off.
    pub is_loss: bool,
    /// The cause of the change: `glibc floor 2.17 → 2.34`.
    pub reason: String,
    /// The file that was picked before.
    pub file_before: Option<String>,
    /// The file that is picked now, or the closest one.
    pub file_after: Option<String>,
    /// The environments and Pythons, by their indices in [`known`].
    pub cells: Cells,
}

impl Change {
    /// `debian-11 x86_64 (Python 3.9): wheel → sdist (glibc floor 2.17 → 2.34)`.
    pub fn text(&self) -> String {
        format!("{}: {} → {} ({})", names::cells(&self.cells), self.before, self.after, self.reason)
    }
}

/// The changes, losses first. Pythons that neither release shows are skipped.
pub fn difference(before: &Matrix, after: &Matrix) -> Vec<Change> {
    type Key = (bool, &'static str, &'static str, String);
    let shown = [before.columns(), after.columns()].concat();
    let mut changes: BTreeMap<Key, Change> = BTreeMap::new();
    for ((row, column, old), (.., new)) in before.cells().zip(after.cells()) {
        if old.grade() == new.grade() || !shown.contains(&column) {
            continue;
        }
        let target = InstallTarget::new(&known().environments[row], &known().pythons[column]);
        let (reason, closest) = reason(before, old, after, new, &target);
        let is_loss = new.grade() < old.grade();
        let key = (!is_loss, old.word(), new.word(), reason.clone());
        let name = |matrix: &Matrix, file: usize| matrix.files[file].filename.clone();
        let change = changes.entry(key).or_insert_with(|| Change {
            before: old.word(),
            after: new.word(),
            is_loss,
            reason,
            file_before: old.file().map(|file| name(before, file)),
            file_after: closest.or(new.file()).map(|file| name(after, file)),
            cells: Cells::new(),
        });
        change.cells.insert((row, column));
    }
    changes.into_values().collect()
}

/// The cause of the change, and the new file that is closest to the lost one.
fn reason(
    before: &Matrix,
    old: Cell,
    after: &Matrix,
    new: Cell,
    target: &InstallTarget,
) -> (String, Option<usize>) {
    if let Cell::DoesNotLoad(file) = new {
        let need = after.files[file].missing(target.environment);
        let text = need.map(|need| format!("`{}` needs {}", need.member, need.what));
        return (text.unwrap_or_default(), Some(file));
    }
    if new.grade() > old.grade() {
        let file = new.file().map(|file| &after.files[file].filename);
        return (file.map_or_else(String::new, |file| format!("`{file}`")), None);
    }
    let Some(lost) = old.file().map(|file| &before.files[file]) else { return (String::new(), None) };
    let is_wheel = lost.wheel().is_some();
    let refused = after.files.iter().enumerate().filter(|(_, file)| file.wheel().is_some() == is_wheel);
    let refused = refused.filter_map(|(at, file)| Some((at, target.refusal(file)?)));
    match refused.min_by_key(|(at, refusal)| (refusal.distance(), *at)) {
        Some((at, refusal)) => describe(lost, (at, &after.files[at]), &refusal, target),
        None if is_wheel => (format!("no wheel for {}", target.environment.runtime_name()), None),
        None => ("no source distribution".to_owned(), None),
    }
}

fn describe(
    lost: &File,
    (at, new): (usize, &File),
    refusal: &Refusal,
    target: &InstallTarget,
) -> (String, Option<usize>) {
    let environment = target.environment;
    let text = match refusal {
        Refusal::Floor(needs, _) => {
            let (name, version) = needs.split_once(' ').unwrap_or((needs, ""));
            match floor(lost, name) {
                Some(old) => format!("{name} floor {old} → {version}"),
                None => format!("{name} floor {version}"),
            }
        }
        Refusal::RequiresPython(now, _) => match &lost.requires_python {
            Some(old) if old != now => format!("Requires-Python `{old}` → `{now}`"),
            Some(_) => refusal.to_string(),
            None => format!("Requires-Python `{now}`"),
        },
        Refusal::Interpreter(_) => format!("no wheel for Python {}", target.python.title),
        Refusal::Yanked(_) => format!("`{}` is yanked", new.filename),
        Refusal::OldPip(..) | Refusal::Unknown(_) => refusal.to_string(),
        Refusal::Arch(_) | Refusal::System(_) => {
            return (format!("no wheel for {} on {}", system(target), environment.arch), None);
        }
    };
    (text.replace("Python PyPy", "PyPy"), Some(at))
}

fn system(target: &InstallTarget) -> &'static str {
    use crate::environment::Runtime::{Glibc, Macos, Musl, Pyodide, Windows};
    match target.environment.runtime {
        Glibc(..) => "Linux with glibc",
        Musl(..) => "Linux with musl",
        Macos(..) => "macOS",
        Windows => "Windows",
        Pyodide(_) => "Pyodide",
    }
}

/// The lowest version of a system that a wheel's tags name.
fn floor(file: &File, name: &str) -> Option<String> {
    let version = |platform: Platform| match platform {
        Platform::Manylinux { glibc, .. } if name == "glibc" => Some(glibc),
        Platform::Musllinux { musl, .. } if name == "musl" => Some(musl),
        Platform::Macos { version, .. } if name == "macOS" => Some(version),
        _ => None,
    };
    let (major, minor) = file.wheel()?.tags.platforms().filter_map(version).min()?;
    Some(format!("{major}.{minor}"))
}
