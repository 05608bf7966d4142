//! `WIN`: PE files, compared with the Windows tags.

use std::collections::BTreeSet;

use pydist::dll::{DllOrigin, Implementation, PythonLibrary};
use pydist::filename::WheelName;
use pydist::tags::Platform;

use super::foreign;
use super::linux_policy::EXTERNAL;
use crate::dist::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::libraries::{MissingDll, file_names, missing_dlls};
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) static RULES: &[Rule] = &[MACHINE, DEBUG, PYTHON, LIBRARIES];

const LIBRARIES: Rule = Rule {
    id: "WIN004",
    title: "libraries belong to Windows, Python or the wheel",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "A fresh Windows installation has neither the Visual C++ runtime nor the libraries of MinGW or vcpkg. \
        Python ships `vcruntime140.dll`, but only modules find it: Windows searches a program's own directory, \
        not Python's. A DLL of unknown origin that is loaded on first use is a note.",
    source: "delvewheel and Microsoft's Win32 metadata (`crates/pydist/data/windows.json`); Microsoft, \
        \"Redistributing Visual C++ files\" and \"Dynamic-link library search order\".",
    fix: "Copy them into the wheel (build-wheel: `graft: all`; otherwise `delvewheel repair`), or link the runtime statically (Rust: `-C target-feature=+crt-static`). \
        If users already have the DLL, list it in build-wheel's `exclude`.",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `MSVCP140.dll`",
    check: Check::Wheel(libraries),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("MSVCP140.dll")).into(),
};

fn libraries(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.pe().next().is_none() {
        return out.not_applicable();
    }
    let own = file_names(wheel);
    for (member, info) in wheel.pe() {
        // WIN002 reports the debug builds.
        let missing = missing_dlls(&own, info).into_iter().filter(|dll| dll.origin != DllOrigin::Debug);
        let is_external =
            |dll: &MissingDll<'_>| wheel.external.iter().any(|known| known.eq_ignore_ascii_case(dll.name));
        let (external, missing): (Vec<_>, Vec<_>) = missing.partition(is_external);
        // It may add their directory before the first use.
        let is_optional = |dll: &MissingDll<'_>| {
            dll.is_delayed
                && matches!(dll.origin, DllOrigin::Unknown | DllOrigin::Python | DllOrigin::PythonRuntime)
        };
        let (optional, missing): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_optional);
        let is_of_python =
            |dll: &MissingDll<'_>| matches!(dll.origin, DllOrigin::Python | DllOrigin::PythonRuntime);
        let (of_python, missing): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_of_python);
        let mut report = |severity, dlls: Vec<MissingDll<'_>>, remark: &str| {
            if !dlls.is_empty() {
                let names = some(dlls.iter().map(|dll| dll.name));
                out.with_severity(severity).at(&member.name, format!("it needs {names}{remark}"));
            }
        };
        report(Some(Note), external, EXTERNAL);
        report(Some(Note), optional, ", but only on first use");
        report(None, of_python, ", but Windows does not search Python's directory for a program's DLLs");
        report(None, missing, "");
    }
}

const MACHINE: Rule = Rule {
    id: "WIN001",
    title: "PE files match the tag's architecture and system",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Windows rejects a library for another architecture. Only x64 processes on ARM machines load ARM64EC. \
        A file with an architecture in its own name may be a helper, unless another file imports it. If only a \
        directory is named after an architecture, the finding is a warning.",
    source: "PyPA \"Platform compatibility tags\"; Microsoft, \"PE Format\".",
    fix: "Check `--target` of the build: it must be the architecture in the tag.",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it is for x86, the tag is for amd64",
    check: Check::Wheel(machine),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::Pe { machine: 0x014c, ..fixture::Pe::default() }).into(),
};

fn machine(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    let expected = platforms.iter().find_map(|platform| match platform {
        Platform::Windows { arch } => Some(arch.as_str()),
        _ => None,
    });
    if wheel.every_pe().next().is_none() || platforms.contains(&Platform::Any) {
        return out.not_applicable();
    }
    let imported = expected.map(|expected| Imported::of(wheel, expected)).unwrap_or_default();
    for (member, info) in wheel.every_pe() {
        let found = info.arch().unwrap_or("an unknown architecture");
        let is_library =
            member.name.to_ascii_lowercase().ends_with(".pyd") || member.name.contains(".data/scripts/");
        match expected {
            // .NET assemblies without machine code.
            Some(_) if info.is_for_any_processor => {}
            Some(expected) if found != expected => {
                // A wheel may contain launchers and helpers for another architecture if
                // their names show it.
                if !is_library && !imported.contains(member) {
                    if is_named_for_arch(member.file_name()) {
                        continue;
                    }
                    let (directories, _) = member.name.rsplit_once('/').unwrap_or_default();
                    out.with_severity(directories.split('/').any(is_named_for_arch).then_some(Warning));
                }
                out.at(&member.name, format!("it is for {found}, the tag is for {expected}"));
            }
            None if is_library => {
                out.with_severity(foreign::severity(dist, wheel, member));
                out.at(&member.name, format!("a PE file in a wheel for `{}`", platforms[0]));
            }
            _ => {}
        }
    }
}

/// What the files for one architecture import, in lower case.
#[derive(Default)]
struct Imported {
    /// The names that they import.
    names: BTreeSet<String>,
    /// The names of these files.
    own: BTreeSet<String>,
}

impl Imported {
    fn of(wheel: &Wheel, arch: &str) -> Self {
        let mut imported = Self::default();
        for (member, info) in wheel.every_pe().filter(|(_, info)| info.arch() == Some(arch)) {
            imported.own.insert(member.file_name().to_ascii_lowercase());
            imported.names.extend(info.imports.iter().map(|dll| dll.name.to_ascii_lowercase()));
        }
        imported
    }

    /// Whether they import the member, and not a file of their own with the same name.
    fn contains(&self, member: &Member) -> bool {
        let name = member.file_name().to_ascii_lowercase();
        self.names.contains(&name) && !self.own.contains(&name)
    }
}

/// Whether a word of the name is an architecture: `cli-32.exe`, `t64-arm.exe`,
/// `helper_x86.dll`, `inject64.dll`; not `charm.dll` or `vcruntime140.dll`.
fn is_named_for_arch(name: &str) -> bool {
    // Words are runs of letters or of digits.
    let bytes = name.to_ascii_lowercase().into_bytes();
    let mut words = bytes.chunk_by(|left, right| {
        left.is_ascii_alphabetic() == right.is_ascii_alphabetic()
            && left.is_ascii_digit() == right.is_ascii_digit()
    });
    words.any(|word| matches!(word, b"32" | b"64" | b"86" | b"386" | b"686" | b"arm" | b"aarch"))
}

const DEBUG: Rule = Rule {
    id: "WIN002",
    title: "no file needs the debug runtime",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Only developers' machines have the debug libraries of Visual C++ and Python, and they may not be redistributed.",
    source: "Microsoft, \"Redistributing Visual C++ files\".",
    fix: "Build in release mode.",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `VCRUNTIME140D.dll`",
    check: Check::Wheel(debug),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("VCRUNTIME140D.dll")).into(),
};

fn debug(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.pe().next().is_none() {
        return out.not_applicable();
    }
    for (member, info) in wheel.pe() {
        let is_debug = |name: &&str| DllOrigin::of(name) == DllOrigin::Debug;
        if let Some(library) = info.imports.iter().map(|import| import.name.as_str()).find(is_debug) {
            out.at(&member.name, format!("it needs `{library}`"));
        }
    }
}

const PYTHON: Rule = Rule {
    id: "WIN003",
    title: "files need the tag's Python",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Python 3.12 cannot load a module that needs `python311.dll`. Free-threaded Python 3.13 (`cp313t`) has \
        `python313t.dll` and cannot load one that needs `python313.dll`. `libpython3.12.dll` belongs to MSYS2's Python, \
        `libpypy3.11-c.dll` to PyPy. A wheel with the tag `py3` is installed for every Python, but modules that \
        need `python312.dll` work only with 3.12. A warning for a library or program whose own name has the \
        other version.",
    source: "PEP 384 and PEP 803; CPython, \"Extending Python\" on Windows; CPython issue 148690.",
    fix: "Build with the interpreter of the tag; for abi3 link with `python3.dll` (PyO3: the feature `abi3`).",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `python311.dll`, the tag is `cp312-cp312-win_amd64`",
    check: Check::Wheel(python),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("python311.dll")).into(),
};

fn python(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name().filter(|_| wheel.pe().next().is_some()) else {
        return out.not_applicable();
    };
    let own = file_names(wheel);
    let is_own = |library: &str| own.contains(library.to_ascii_lowercase().as_str());
    let is_only_for_one = is_only_for_one(wheel, name);
    // A helper in a wheel for several Pythons may be for one of them.
    let is_exact = name.tags.python.iter().all(|tag| tag.starts_with("cp"))
        && name.tags.abi.iter().all(|abi| abi.starts_with("cp"));
    for (member, info) in wheel.pe() {
        let is_module = is_module(member);
        for import in &info.imports {
            let library = import.name.as_str();
            // An application may bring its own Python, or load a library on first use.
            let is_checked = is_module || (is_exact && !import.is_delayed && !is_own(library));
            let is_for_one = is_module && is_only_for_one && minor_of(library).is_some();
            if !is_checked || !(is_for_one || is_wrong_python(name, member, library)) {
                continue;
            }
            if !is_module && is_named_for(member, library) {
                out.with_severity(Warning);
            }
            out.at(&member.name, format!("it needs `{library}`, the tag is `{}`", name.tags));
        }
    }
}

fn is_module(member: &Member) -> bool {
    member.name.to_ascii_lowercase().ends_with(".pyd")
}

/// The minor version of the CPython that has the library.
fn minor_of(library: &str) -> Option<u32> {
    let library = PythonLibrary::of(library)?;
    library.minor.filter(|_| library.implementation == Implementation::CPython)
}

/// Whether a file's own name has the version of the Python that it needs: `pywintypes39.dll`.
fn is_named_for(member: &Member, library: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let version = digits(library);
    let words = member.file_name().split(|c: char| !c.is_ascii_digit() && !"._".contains(c));
    version.len() > 1 && words.map(digits).any(|word| word == version)
}

/// Whether the tags allow every Python 3, but all modules need the same minor version.
fn is_only_for_one(wheel: &Wheel, name: &WheelName) -> bool {
    let allows_all = name.tags.python.iter().any(|tag| tag == "py3");
    let versions: BTreeSet<Option<u32>> = wheel
        .pe()
        .filter(|(member, _)| is_module(member))
        .flat_map(|(member, info)| info.imports.iter().map(move |import| (member, import)))
        .filter(|(_, import)| PythonLibrary::of(&import.name).is_some())
        // Beside a module with a version in its name, there may be others.
        .map(|(member, import)| minor_of(&import.name).filter(|_| !member.name.contains(".cp3")))
        .collect();
    let own = file_names(wheel);
    let brings_python = own.iter().any(|file| minor_of(file).is_some());
    allows_all && !brings_python && versions.len() == 1 && !versions.contains(&None)
}

/// Whether the Pythons that the tags describe lack the Python library that a file needs.
fn is_wrong_python(name: &WheelName, member: &Member, library: &str) -> bool {
    if library.to_ascii_lowercase().starts_with("libpython") {
        // MSYS2's Python has it, and tags of its own (`mingw_x86_64`).
        return name.tags.platforms().any(|platform| matches!(platform, Platform::Windows { .. }));
    }
    let Some(library) = PythonLibrary::of(library) else { return false };
    let (pythons, abis) = (&name.tags.python, &name.tags.abi);
    let has = |prefix: &str| {
        pythons.iter().any(|tag| {
            let fits = |version: &str| match (library.major, library.minor) {
                (Some(major), Some(minor)) => version == format!("{major}{minor}"),
                (Some(major), None) => version.starts_with(&major.to_string()),
                (None, _) => true,
            };
            tag.strip_prefix(prefix).is_some_and(fits)
        })
    };
    // `py3` and `py39` include later versions.
    let is_any = pythons.iter().any(|tag| {
        let Some(version) = tag.strip_prefix("py") else { return false };
        let Some(major) = library.major else { return true };
        let minor = version.strip_prefix(&major.to_string());
        minor.is_some_and(|minor| library.minor.is_none_or(|own| minor.parse().unwrap_or(0) <= own))
    });
    let prefix = match library.implementation {
        Implementation::CPython => "cp",
        Implementation::PyPy => "pp",
        Implementation::GraalPy => "graalpy",
    };
    if library.implementation != Implementation::CPython {
        return !has(prefix) && !is_any;
    }
    let is_free_threaded = library.is_free_threaded;
    let is_specific = member.name.contains(".cp3");
    if library.minor.is_none() {
        // A file name with a version is for that Python alone.
        let is_for = |free_threaded: bool| {
            abis.iter().any(|abi| is_free_threaded_abi(abi) == Some(free_threaded))
                && (!is_specific || abis.len() == 1)
        };
        let is_old = |tag: &String| {
            tag.strip_prefix("cp3")
                .and_then(|minor| minor.parse::<u32>().ok())
                .is_some_and(|minor| minor < 15)
        };
        let is_for_others = !is_any && !pythons.iter().any(|tag| tag.starts_with(prefix));
        return is_for_others
            || if is_free_threaded {
                // Pythons with the GIL have `python3t.dll` since 3.15 (CPython's issue 148690).
                is_for(false) && pythons.iter().any(is_old)
            } else {
                is_for(true)
            };
    }
    let is_stable = abis.iter().any(|abi| abi == "abi3" || abi == "abi3t");
    let fits_threading =
        abis.iter().any(|abi| is_free_threaded_abi(abi).is_none_or(|threaded| threaded == is_free_threaded));
    !(has(prefix) || is_any) || (is_stable && !is_specific) || !fits_threading
}

/// Whether an ABI tag is for Pythons without the GIL (`cp313t`, `abi3t`) or with it; `None`
/// for one that does not say (`none`, PyPy's).
fn is_free_threaded_abi(abi: &str) -> Option<bool> {
    let flags = abi.strip_prefix("abi3").or_else(|| {
        let version = abi.strip_prefix("cp3")?;
        Some(version.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    })?;
    Some(flags.contains('t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_in_a_name_is_a_whole_word() {
        for name in
            ["cli-32.exe", "t64-arm.exe", "helper_x86.dll", "inject64.dll", "x86_64", "lib-arm64", "i686"]
        {
            assert!(is_named_for_arch(name), "{name}");
        }
        for name in ["charm.dll", "helper.dll", "msvcp140.dll", "army.dll", "x8664.dll", "sha3256.dll"] {
            assert!(!is_named_for_arch(name), "{name}");
        }
    }

    #[test]
    fn abi_tags_distinguish_free_threaded_pythons() {
        for (abi, threaded) in [
            ("cp313", Some(false)),
            ("cp37m", Some(false)),
            ("cp313t", Some(true)),
            ("abi3", Some(false)),
            ("abi3t", Some(true)),
            ("none", None),
            ("pypy311_pp73", None),
        ] {
            assert_eq!(is_free_threaded_abi(abi), threaded, "{abi}");
        }
    }
}
