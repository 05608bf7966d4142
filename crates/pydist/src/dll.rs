//! Who provides a DLL, by its name.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

/// Who provides a DLL, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DllOrigin {
    /// Every Windows (`data/windows.json`), including API sets.
    Windows,
    /// The Python that loads a module: its own library.
    Python,
    /// The Python that loads a module, which ships these two DLLs of Visual C++.
    PythonRuntime,
    /// Visual C++, which many machines have but not a fresh Windows.
    Redistributable,
    /// A debug build of Visual C++'s runtime or of Python, which only developers have.
    Debug,
    /// MinGW or another port from Unix.
    Port,
    /// Unknown from the name: another package, a driver, or software that users install.
    Unknown,
}

impl DllOrigin {
    /// The origin of the DLL named `name`, in any case.
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        // A prefix and a digit: `mfc140.dll`, but not `mfcore.dll`.
        let numbered = |prefixes: &[&str]| {
            let rest = |prefix: &&str| name.strip_prefix(*prefix);
            prefixes
                .iter()
                .filter_map(rest)
                .any(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
        };
        if is_debug(&name) {
            return Self::Debug;
        }
        if ["vcruntime140.dll", "vcruntime140_1.dll"].contains(&name.as_str()) {
            return Self::PythonRuntime;
        }
        // PyPy and GraalPy are libraries themselves: `libpypy3.11-c.dll`, `python-native.dll`.
        if numbered(&["python"]) || name == "python-native.dll" || starts(&["libpypy"]) {
            return Self::Python;
        }
        if starts(&["api-ms-win-", "ext-ms-"]) || is_in_windows(&name) {
            return Self::Windows;
        }
        if starts(&["msvcp", "msvcr", "concrt", "vcomp", "vcruntime", "vccorlib", "vcamp"])
            || numbered(&["mfc", "mfcm", "msvcm", "atl"])
        {
            return Self::Redistributable;
        }
        // No DLL in `data/windows.json` has the name of a port.
        if starts(&["lib"]) || name == "zlib1.dll" { Self::Port } else { Self::Unknown }
    }

    /// Whether a file finds the DLL on every machine. Windows searches the directory of the
    /// running program: a module finds what is in Python's directory, but a program that
    /// the wheel installs does not.
    pub fn is_provided(self, to_a_module: bool) -> bool {
        match self {
            Self::Windows => true,
            Self::Python | Self::PythonRuntime => to_a_module,
            Self::Redistributable | Self::Debug | Self::Port | Self::Unknown => false,
        }
    }
}

/// An implementation of Python with a library of its own on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implementation {
    /// CPython: `python312.dll`, `python3.dll`.
    CPython,
    /// PyPy: `libpypy3.11-c.dll`.
    PyPy,
    /// GraalPy: `python-native.dll`.
    GraalPy,
}

/// The Python whose library a DLL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PythonLibrary {
    /// Its implementation.
    pub implementation: Implementation,
    /// The major version, if the name has one.
    pub major: Option<u32>,
    /// The minor version; `None` for the library of all (`python3.dll`).
    pub minor: Option<u32>,
    /// Without the global interpreter lock: `python313t.dll`.
    pub is_free_threaded: bool,
}

impl PythonLibrary {
    /// The Python that the DLL named `name`, in any case, belongs to. `None` for debug builds and
    /// for `libpython3.12.dll` of MSYS2's Python.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let stem = name.strip_suffix(".dll")?;
        let new = |implementation, major, minor, is_free_threaded| {
            Some(Self { implementation, major, minor, is_free_threaded })
        };
        if stem == "python-native" {
            return new(Implementation::GraalPy, None, None, false);
        }
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse::<u32>().ok() } else { None }
        };
        if let Some(version) = stem.strip_prefix("libpypy").and_then(|rest| rest.strip_suffix("-c")) {
            let (major, minor) = version.split_once('.').unwrap_or((version, ""));
            return new(Implementation::PyPy, number(major), number(minor), false);
        }
        let version = stem.strip_prefix("python")?;
        let (version, is_free_threaded) =
            version.strip_suffix('t').map_or((version, false), |rest| (rest, true));
        let (major, minor) = version.split_at_checked(1)?;
        let major = number(major)?;
        let minor = if minor.is_empty() { None } else { Some(number(minor)?) };
        new(Implementation::CPython, Some(major), minor, is_free_threaded)
    }
}

/// Whether the name, in lower case, is that of a debug build: `vcruntime140_1d.dll`,
/// `msvcp140d_atomic_wait.dll`, `mfc140ud.dll`, `ucrtbased.dll`, `python312_d.dll`.
fn is_debug(name: &str) -> bool {
    const RUNTIME: [&str; 11] = [
        "vcruntime",
        "ucrtbase",
        "msvcp",
        "msvcr",
        "msvcm",
        "concrt",
        "vcomp",
        "vccorlib",
        "vcamp",
        "mfcm",
        "mfc",
    ];
    let Some(stem) = name.strip_suffix(".dll") else { return false };
    if stem.starts_with("python") {
        return stem.ends_with("_d");
    }
    let Some(rest) = RUNTIME.iter().find_map(|family| stem.strip_prefix(family)) else { return false };
    // The version and `d` are together or in a part of their own; `u` is Unicode (MFC),
    // `t` the end of `msvcrt`.
    let is_marked = |part: &str| {
        let letters = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        ["d", "ud", "td", "threadsd"].contains(&letters)
    };
    rest.split('_').any(is_marked)
}

fn is_in_windows(name: &str) -> bool {
    #[derive(Deserialize)]
    struct Data {
        libraries: HashSet<String>,
    }
    static DATA: LazyLock<Data> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../data/windows.json")).expect("the data is valid")
    });
    DATA.libraries.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_dll_follows_from_its_name() {
        for (origin, names) in [
            (
                DllOrigin::Windows,
                "KERNEL32.dll msvcrt.dll ucrtbase.dll msvcp_win.dll mfc42.dll MFCore.dll atl.dll d3d12.dll \
                 bcryptprimitives.dll combase.dll d3dcompiler_47.dll xinput1_4.dll \
                 api-ms-win-crt-heap-l1-1-0.dll ext-ms-win-ntuser-window-l1-1-0.dll",
            ),
            (DllOrigin::Python, "python3.dll python3t.dll python312.dll libpypy3.11-c.dll python-native.dll"),
            (DllOrigin::PythonRuntime, "VCRUNTIME140.dll vcruntime140_1.dll"),
            (
                DllOrigin::Redistributable,
                "MSVCP140.dll msvcp140_atomic_wait.dll msvcp140_codecvt_ids.dll concrt140.dll VCOMP140.DLL \
                 vcruntime140_threads.dll vccorlib140.dll vcamp140.dll msvcr90.dll msvcr100.dll mfc140u.dll \
                 mfc140deu.dll mfcm140.dll atl100.dll",
            ),
            (DllOrigin::Port, "libgcc_s_seh-1.dll zlib1.dll libcrypto.dll libpython3.12.dll"),
            (
                DllOrigin::Unknown,
                "sqlite3.dll zstd.dll tbb12.dll Qt6Core.dll cudart64_12.dll pythoncom312.dll \
                 d3dcompiler_43.dll d3dx9_43.dll xinput1_3.dll vulkan-1.dll pywintypes312.dll",
            ),
        ] {
            for name in names.split(' ') {
                assert_eq!(DllOrigin::of(name), origin, "{name}");
            }
        }
    }

    #[test]
    fn the_name_of_a_library_tells_its_python() {
        use Implementation::{CPython, GraalPy, PyPy};
        for (name, implementation, major, minor, is_free_threaded) in [
            ("Python312.DLL", CPython, Some(3), Some(12), false),
            ("python313t.dll", CPython, Some(3), Some(13), true),
            ("python27.dll", CPython, Some(2), Some(7), false),
            ("python3.dll", CPython, Some(3), None, false),
            ("python3t.dll", CPython, Some(3), None, true),
            ("libpypy3.11-c.dll", PyPy, Some(3), Some(11), false),
            ("libpypy3-c.dll", PyPy, Some(3), None, false),
            ("libpypy-c.dll", PyPy, None, None, false),
            ("python-native.dll", GraalPy, None, None, false),
        ] {
            let expected = PythonLibrary { implementation, major, minor, is_free_threaded };
            assert_eq!(PythonLibrary::of(name), Some(expected), "{name}");
        }
        for name in ["python312_d.dll", "libpython3.12.dll", "pythoncom312.dll", "python.dll", "pythont.dll"]
        {
            assert_eq!(PythonLibrary::of(name), None, "{name}");
        }
    }

    #[test]
    fn debug_builds_are_known_by_their_names() {
        for name in [
            "VCRUNTIME140D.dll",
            "vcruntime140_1d.dll",
            "vcruntime140_threadsd.dll",
            "ucrtbased.dll",
            "MSVCP140D.dll",
            "msvcp140_1d.dll",
            "msvcp140_2d.dll",
            "msvcp140d_atomic_wait.dll",
            "msvcp140d_codecvt_ids.dll",
            "msvcp100d.dll",
            "msvcr90d.dll",
            "msvcr100d.dll",
            "msvcr110d.dll",
            "msvcr120d.dll",
            "msvcrtd.dll",
            "concrt140d.dll",
            "vcomp140d.dll",
            "mfc140d.dll",
            "mfc140ud.dll",
            "mfcm140d.dll",
            "mfcm140ud.dll",
            "vccorlib140d.dll",
            "vcamp140d.dll",
            "python312_d.dll",
            "python313t_d.dll",
            "python3_d.dll",
        ] {
            assert_eq!(DllOrigin::of(name), DllOrigin::Debug, "{name}");
        }
    }

    #[test]
    fn a_program_does_not_find_what_is_in_the_directory_of_python() {
        let provided = |name| [true, false].map(|module| DllOrigin::of(name).is_provided(module));
        assert_eq!(provided("kernel32.dll"), [true, true]);
        assert_eq!(provided("vcruntime140.dll"), [true, false]);
        assert_eq!(provided("python312.dll"), [true, false]);
        assert_eq!(provided("msvcp140.dll"), [false, false]);
    }
}
