//! `ABI`: extension modules, compared with the Python and ABI tags.

use std::collections::BTreeSet;

use pydist::member_path::directory;
use pydist::policy;
use pydist::tags::Platform;

use crate::dist::{Binary, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) static RULES: &[Rule] = &[STABLE, SUFFIX, MACHINE, INITIALIZERS];

/// The Python symbols that a binary imports.
fn undefined(member: &Member) -> BTreeSet<&str> {
    let symbols: Vec<&str> = match &member.binary {
        Some(Binary::Elf(info)) => info.undefined.iter().map(String::as_str).collect(),
        Some(Binary::MachO(info)) => {
            info.slices.iter().flat_map(|slice| &slice.undefined).map(String::as_str).collect()
        }
        Some(Binary::Pe(info)) => info.python_symbols.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    symbols.into_iter().filter(|symbol| symbol.starts_with("Py") || symbol.starts_with("_Py")).collect()
}

const STABLE: Rule = Rule {
    id: "ABI001",
    title: "an abi3 wheel uses only the stable ABI",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A symbol outside the stable ABI, or newer than the tag's Python, is missing in some Pythons that the tag allows.",
    source: "PEP 384; CPython's `Misc/stable_abi.toml` (`pydist/data/stable_abi.json`); abi3audit.",
    fix: "PyO3: the feature `abi3-py3X` of the tag's version; C: define Py_LIMITED_API.",
    example: "sample-1.0-cp39-abi3-manylinux_2_17_x86_64.whl: sample/core.abi3.so: the stable ABI of Python 3.9 lacks `PyModule_AddType (from 3.10)`",
    check: Check::Wheel(stable),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample("cp39-abi3-manylinux_2_17_x86_64");
        let module = fixture::elf(|elf| elf.undefined = Some("PyModule_AddType".into()));
        wheel.members.push(fixture::Member::new("sample/core.abi3.so", module.bytes()));
        wheel.into()
    },
};

fn stable(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name().filter(|name| name.tags.abi.iter().any(|abi| abi == "abi3")) else {
        return out.not_applicable();
    };
    let minors = name.tags.python.iter().filter_map(|tag| tag.strip_prefix("cp3")?.parse::<u32>().ok());
    let lowest = (3, minors.min().unwrap_or(2));
    // A symbol that the wheel itself defines is not a call into Python.
    let defined: BTreeSet<&str> =
        wheel.elf().flat_map(|(_, info)| &info.defined_python).map(String::as_str).collect();
    for member in wheel.members.iter().filter(|member| !member.is_foreign) {
        // A file for one version beside the abi3 file is only for that version.
        let file = member.file_name();
        if file.contains(".cpython-3") || file.contains(".cp3") || file.contains(".pypy") {
            continue;
        }
        let mut beyond = Vec::new();
        for symbol in undefined(member) {
            if defined.contains(symbol) || symbol.starts_with("PyInit_") || symbol.starts_with("PyModExport_")
            {
                continue;
            }
            match policy::stable_abi(symbol) {
                Some(added) if added <= lowest => {}
                Some((major, minor)) => beyond.push(format!("{symbol} (from {major}.{minor})")),
                None => beyond.push(symbol.to_owned()),
            }
        }
        if !beyond.is_empty() {
            out.at(
                &member.name,
                format!("the stable ABI of Python {}.{} lacks {}", lowest.0, lowest.1, some(beyond)),
            );
        }
    }
}

const SUFFIX: Rule = Rule {
    id: "ABI002",
    title: "extension modules are for the Python of the tag",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Python finds a module by the ABI in its file name; one for another Python is not found. \
        A warning for a stale module beside one that is found.",
    source: "PEP 3149, PEP 703; PyPA \"Platform compatibility tags\".",
    fix: "Build with the interpreter of the tag, in an empty build directory.",
    example: "sample-1.0-cp311-cp311-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it is for `cp312`, the wheel is for `cp311-cp311-manylinux_2_17_x86_64`",
    check: Check::Wheel(suffix),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp311-cp311-manylinux_2_17_x86_64"),
};

/// The extension modules, with their names and suffixes.
fn modules(wheel: &Wheel) -> Vec<(&Member, &str, ModuleSuffix)> {
    let suffixed = |member: &'_ Member| {
        member.binary.is_some() && !member.is_foreign && !member.name.contains(".data/scripts/")
    };
    wheel
        .members
        .iter()
        .filter(|member| suffixed(member))
        .filter_map(|member| {
            let (name, suffix) = member.file_name().split_once('.')?;
            Some((member, name, ModuleSuffix::parse(suffix)?))
        })
        .collect()
}

/// The suffix of a module's file name: `cpython-312-x86_64-linux-gnu.so`.
#[derive(Debug, PartialEq, Eq)]
struct ModuleSuffix {
    /// `cp312`, `cp313t`, `pp310` or `abi3`.
    python: String,
    /// `x86_64-linux-gnu`, `darwin`, `win_amd64`; empty for `abi3`.
    platform: String,
    /// Whether it is `.pyd`, which Python imports only on Windows.
    is_pyd: bool,
}

impl ModuleSuffix {
    fn parse(text: &str) -> Option<Self> {
        let (stem, is_pyd) = match text.strip_suffix(".so") {
            Some(stem) => (stem, false),
            None => (text.strip_suffix(".pyd")?, true),
        };
        let new =
            |python: String, platform: &str| Some(Self { python, platform: platform.to_owned(), is_pyd });
        if stem == "abi3" {
            return new("abi3".into(), "");
        }
        if let Some(rest) = stem.strip_prefix("cpython-") {
            let (version, platform) = rest.split_once('-').unwrap_or((rest, ""));
            return new(format!("cp{version}"), platform);
        }
        if let Some(rest) = stem.strip_prefix("pypy") {
            // `pypy310-pp73-x86_64-linux-gnu`: the second part is PyPy's ABI.
            let (version, rest) = rest.split_once('-').unwrap_or((rest, ""));
            return new(format!("pp{version}"), rest.split_once('-').map_or("", |(_, platform)| platform));
        }
        let (python, platform) = stem.split_once('-')?;
        (python.starts_with("cp3")).then(|| new(python.to_owned(), platform)).flatten()
    }
}

fn suffix(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    let modules = modules(wheel);
    if modules.is_empty() {
        return out.not_applicable();
    }
    let tags = &name.tags;
    let is_abi3 = tags.abi.iter().any(|abi| abi == "abi3");
    let any_python = tags.python.iter().any(|python| python.starts_with("py"));
    // `cp313t` is a separate ABI; before 3.8, ABIs had flags such as `m`.
    let fits = |python: &str| match python {
        "abi3" => tags.abi.iter().all(|abi| !abi.ends_with('t')),
        python if tags.abi.iter().any(|abi| abi.starts_with("cp")) => {
            let plain = |text: &str| text.trim_end_matches(['m', 'd', 'u']).to_owned();
            tags.abi.iter().any(|abi| plain(abi) == plain(python))
        }
        python => tags.python.iter().any(|tag| tag == python),
    };
    // A library named like a module for any Python, for ctypes or a debugger.
    let is_library = |member: &Member, python: &str| {
        let images = exported(member);
        let is_module = |symbols: &&BTreeSet<String>| symbols.iter().any(|name| name.starts_with("Py"));
        python == "abi3" && !images.is_empty() && !images.iter().any(is_module)
    };
    let versions: BTreeSet<&str> = modules.iter().map(|(_, _, suffix)| suffix.python.as_str()).collect();
    // Modules that a Python of the tag finds, by the path without the suffix.
    let path = |member: &Member, module: &str| {
        let directory = directory(&member.name);
        format!("{directory}/{module}")
    };
    let found: BTreeSet<String> = modules
        .iter()
        .filter(|(_, _, suffix)| fits(&suffix.python))
        .map(|(member, module, _)| path(member, module))
        .collect();
    for (member, module, suffix) in &modules {
        let python = suffix.python.as_str();
        if any_python || is_abi3 {
            // One file for each of several Pythons, or one for all.
            let all = versions.contains("abi3") || versions.len() > 1;
            if python != "abi3" && !all {
                out.at(&member.name, format!("it is only for `{python}`, the wheel is for `{tags}`"));
            }
        } else if !fits(python) && !is_library(member, python) {
            if found.contains(&path(member, module)) {
                out.with_severity(Warning);
            }
            out.at(&member.name, format!("it is for `{python}`, the wheel is for `{tags}`"));
        }
    }
}

const MACHINE: Rule = Rule {
    id: "ABI003",
    title: "names of extension modules match platform and content",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Python looks for the suffix of its own platform: a module named for another platform is not found, \
        or is found and cannot be loaded. On Windows, the suffixes are `.cp312-win_amd64.pyd` and `.pyd`; there is \
        no `.abi3.pyd`. A warning if `core.pyd` is beside it.",
    source: "PEP 3149; CPython, `importlib.machinery.EXTENSION_SUFFIXES`.",
    fix: "Let the build backend name the module; do not copy one from another build.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-aarch64-linux-gnu.so: it is named for `aarch64-linux-gnu`, the tag is `manylinux_2_17_x86_64`",
    check: Check::Wheel(machine),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample(fixture::LINUX);
        let module = fixture::Elf::default().bytes();
        wheel.members.push(fixture::Member::new("sample/core.cpython-312-aarch64-linux-gnu.so", module));
        wheel.into()
    },
};

fn machine(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    let modules = modules(wheel);
    if platforms.is_empty() || platforms.contains(&Platform::Any) || modules.is_empty() {
        return out.not_applicable();
    }
    let windows = platforms.iter().all(|platform| matches!(platform, Platform::Windows { .. }));
    let has = |name: &str| wheel.members.iter().any(|member| member.name == name);
    for (member, module, suffix) in modules {
        let is_module =
            || exported(member).iter().any(|symbols| symbols.iter().any(|name| name.starts_with("Py")));
        if suffix.is_pyd && windows && suffix.python == "abi3" {
            if is_module() {
                if has(&format!("{}.pyd", member.name.trim_end_matches(".abi3.pyd"))) {
                    out.with_severity(Warning);
                }
                let what = format!("no Python on Windows imports this name, name it `{module}.pyd`");
                out.at(&member.name, what);
            }
        } else if suffix.is_pyd != windows {
            let expected = if windows { ".pyd" } else { ".so" };
            out.at(&member.name, format!("expected `{expected}` in a wheel for `{}`", platforms[0]));
        } else if !suffix.platform.is_empty() && !platforms.iter().any(|tag| is_named_for(&suffix, tag)) {
            out.at(
                &member.name,
                format!("it is named for `{}`, the tag is `{}`", suffix.platform, platforms[0]),
            );
        }
    }
}

/// Whether the platform in a module's name is the tag's.
fn is_named_for(suffix: &ModuleSuffix, tag: &Platform) -> bool {
    let text = suffix.platform.as_str();
    // Before 3.11, Python used `gnu` on systems with musl too.
    let minor =
        suffix.python.strip_prefix("cp3").and_then(|minor| minor.trim_end_matches('t').parse::<u32>().ok());
    let old = minor.is_some_and(|minor| minor < 11) || suffix.python.starts_with("pp");
    let is_arch = |arch: &str| {
        let arch = match arch {
            "i686" => "i386",
            "armv7l" | "armv6l" => "arm",
            "ppc64le" => "powerpc64le",
            "ppc64" => "powerpc64",
            arch => arch,
        };
        // `i386-linux-gnu`, `i686-linux-gnu` and `x86-linux-gnu` are the same.
        let own = text.split('-').next().unwrap_or_default();
        own == arch
            || (arch == "i386" && ["i686", "x86"].contains(&own))
            || text == "linux"
            || (arch == "powerpc64le" && own == "ppc64le")
            || (arch == "powerpc64" && own == "ppc64")
            || (arch == "arm" && own.starts_with("arm"))
    };
    match tag {
        Platform::Manylinux { arch, .. } | Platform::Linux { arch } => {
            is_arch(arch) && !text.contains("musl")
        }
        Platform::Musllinux { arch, .. } => is_arch(arch) && (old || !text.contains("gnu")),
        Platform::Macos { .. } => text.starts_with("darwin"),
        Platform::Windows { arch } if arch == "x86" => text == "win32",
        Platform::Windows { arch } => text == format!("win_{arch}"),
        Platform::Any | Platform::Other(_) => true,
    }
}

const INITIALIZERS: Rule = Rule {
    id: "ABI004",
    title: "extension modules export the function that Python calls",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Importing `core` calls `PyInit_core`. Without it the import ends with \"dynamic module does not define \
        module export function\". A warning if there is none at all: ctypes may load the library.",
    source: "CPython, \"Extension module initialization\"; PEP 489, PEP 793.",
    fix: "PyO3: give the function with `#[pymodule]` the name in `lib.name` (maturin: `module-name`). \
        C: `PyMODINIT_FUNC PyInit_<name>(void)`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: expected `PyInit_core`, found `PyInit_other`",
    check: Check::Wheel(initializers),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample(fixture::LINUX);
        let module = fixture::elf(|elf| elf.defined = Some("PyInit_other".into())).bytes();
        wheel.members.push(fixture::Member::new("sample/core.cpython-312-x86_64-linux-gnu.so", module));
        wheel.into()
    },
};

/// The Python symbols that each image of a module exports, without images whose
/// symbols are unknown.
fn exported(member: &Member) -> Vec<&BTreeSet<String>> {
    match &member.binary {
        Some(Binary::Elf(elf)) => vec![&elf.defined_python],
        Some(Binary::MachO(info)) => {
            info.slices.iter().filter_map(|slice| slice.exported_python.as_ref()).collect()
        }
        Some(Binary::Pe(info)) if !info.is_managed => info.exported_python.iter().collect(),
        _ => Vec::new(),
    }
}

/// The package of a member. If `__init__` is an extension module, its function is
/// named after the package.
fn package(member: &Member) -> &str {
    member.name.rsplit('/').nth(1).unwrap_or_default()
}

/// Whether a Python on these platforms can import the member: its name has the right
/// suffix, and it exports the function that Python calls.
pub(super) fn is_importable(member: &Member, platforms: &[Platform]) -> bool {
    let Some((module, end)) = member.file_name().split_once('.') else { return false };
    let module = if module == "__init__" { package(member) } else { module };
    let is_found = ModuleSuffix::parse(end).map_or(["so", "pyd"].contains(&end), |suffix| {
        (suffix.platform.is_empty() && !suffix.is_pyd)
            || platforms.iter().any(|tag| is_named_for(&suffix, tag))
    });
    let initializers = [format!("PyInit_{module}"), format!("PyModExport_{module}")];
    is_found && exported(member).iter().any(|symbols| initializers.iter().any(|name| symbols.contains(name)))
}

fn initializers(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut any = false;
    // PEP 489 encodes non-ASCII names in Punycode.
    for (member, module, suffix) in modules(wheel).into_iter().filter(|(_, module, _)| module.is_ascii()) {
        let module = if module == "__init__" { package(member) } else { module };
        let functions = [format!("PyInit_{module}"), format!("PyModExport_{module}")];
        let images = exported(member);
        any |= !images.is_empty();
        let lacks = |symbols: &&BTreeSet<String>| functions.iter().all(|name| !symbols.contains(name));
        let Some(symbols) = images.into_iter().find(lacks) else { continue };
        let other: Vec<&String> = symbols.iter().filter(|symbol| symbol.starts_with("PyInit")).collect();
        if other.is_empty() {
            // PyPy calls `_cffi_pypyinit_core` of a module made by cffi.
            if suffix.python.starts_with("pp") {
                continue;
            }
            // Some libraries are named like modules but loaded by ctypes.
            out.with_severity(Warning).at(&member.name, format!("`{}` is missing", functions[0]));
        } else {
            out.at(&member.name, format!("expected `{}`, found {}", functions[0], some(other)));
        }
    }
    if !any {
        out.not_applicable();
    }
}

#[cfg(test)]
mod tests {
    use super::ModuleSuffix;

    #[test]
    fn parses_module_suffixes() {
        let parse = |text: &str| ModuleSuffix::parse(text).map(|suffix| (suffix.python, suffix.platform));
        let pair = |python: &str, platform: &str| Some((python.to_owned(), platform.to_owned()));
        assert_eq!(parse("cpython-313t-x86_64-linux-gnu.so"), pair("cp313t", "x86_64-linux-gnu"));
        assert_eq!(parse("cpython-312-darwin.so"), pair("cp312", "darwin"));
        assert_eq!(parse("cp312-win_amd64.pyd"), pair("cp312", "win_amd64"));
        assert_eq!(parse("pypy310-pp73-x86_64-linux-gnu.so"), pair("pp310", "x86_64-linux-gnu"));
        assert_eq!(parse("abi3.so"), pair("abi3", ""));
        assert_eq!((parse("so"), parse("so.1"), parse("dll")), (None, None, None));
    }
}
