//! Pythons: how they are requested, where they are on this machine, and which wheels
//! they accept.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::requirement::MarkerEnvironment;
use pydist::tags::TagSet;
use toolkit::{Cmd, Env, OutputMode, Ui};

use crate::search_path::{self, IS_WINDOWS, in_store, is_store_alias, on_path, which};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Prints the properties that determine which wheels an interpreter accepts, and, on a line of its
/// own, the values of markers (PyPA "Dependency specifiers").
const DESCRIBE: &str = "\
import json, os, platform, sys, sysconfig
print(platform.python_implementation().lower(), sys.version_info[0], sys.version_info[1], sys.version_info[2], int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))), sysconfig.get_platform())
def text(info):
    kind = info.releaselevel
    return '%d.%d.%d' % info[:3] + ('' if kind == 'final' else kind[0] + str(info.serial))
print(json.dumps({
    'implementation_name': sys.implementation.name,
    'implementation_version': text(sys.implementation.version),
    'os_name': os.name,
    'platform_machine': platform.machine(),
    'platform_python_implementation': platform.python_implementation(),
    'platform_release': platform.release(),
    'platform_system': platform.system(),
    'platform_version': platform.version(),
    'python_full_version': platform.python_version().rstrip('+'),
    'python_version': '%d.%d' % sys.version_info[:2],
    'sys_platform': sys.platform,
}))
";

/// A requested Python.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PythonRequest {
    /// A program, by its path.
    Path(PathBuf),
    /// Any of a version.
    Version {
        /// The prefix of its program: `python`, `pypy` or `graalpy`.
        program: &'static str,
        /// Such as `3.13`.
        version: String,
        /// Without the global interpreter lock.
        is_free_threaded: bool,
    },
}

impl PythonRequest {
    /// Parses `3.11`, `3.13t`, `python3.11`, `pypy3.11`, `cp313t`, `pp311` and
    /// paths.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(std::path::is_separator) {
            return Ok(Self::Path(text.into()));
        }
        let unknown =
            || format!("expected a version such as `3.12`, `3.13t` or `pypy3.11`, or a path, found `{text}`");
        let start = text.find(|c: char| c.is_ascii_digit()).ok_or_else(unknown)?;
        let (name, rest) = text.split_at(start);
        let (digits, is_free_threaded) = match rest.strip_suffix('t') {
            Some(digits) => (digits, true),
            None => (rest, false),
        };
        let program = match name.trim_end_matches(['-', '@']) {
            "" | "python" | "cpython" | "cp" => "python",
            "pypy" | "pp" => "pypy",
            "graalpy" => "graalpy",
            _ => return Err(unknown()),
        };
        let (major, minor) = match digits.split_once('.') {
            Some(parts) => parts,
            None if ["cp", "pp"].contains(&name) => digits.split_at(1),
            None => return Err(unknown()),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(major) || !is_number(minor) || is_free_threaded && program != "python" {
            return Err(unknown());
        }
        Ok(Self::Version { program, version: format!("{major}.{minor}"), is_free_threaded })
    }

    /// The Pythons of a wheel with these tags.
    pub(crate) fn of_tags(tags: &TagSet) -> Vec<Self> {
        let is_free_threaded =
            tags.abi.iter().any(|abi| (abi.starts_with("cp") || abi == "abi3t") && abi.ends_with('t'));
        let is_free_threaded = is_free_threaded && !tags.abi.iter().any(|abi| abi == "abi3");
        let request = |python: &String| {
            let kinds = [("cp3", "python"), ("pp3", "pypy"), ("graalpy3", "graalpy")];
            let (program, minor) =
                kinds.iter().find_map(|(kind, program)| Some((*program, python.strip_prefix(kind)?)))?;
            let version = format!("3.{minor}");
            (!minor.is_empty()).then_some(Self::Version { program, version, is_free_threaded })
        };
        tags.python.iter().filter_map(request).collect()
    }

    /// The name of the program, which maturin also accepts.
    pub(crate) fn program(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Version { program, version, is_free_threaded } => {
                format!("{program}{version}{}", if *is_free_threaded { "t" } else { "" })
            }
        }
    }

    /// The matching Pythons on this machine, outside the Nix store: on PATH, known to uv or to
    /// Windows' launcher, or installed by pyenv, GitHub's runners or the manylinux images. With
    /// `platform`, a value of `sysconfig.get_platform()`, only those for it.
    pub(crate) fn find<'e>(
        &self,
        platform: Option<&'static str>,
        uv: Option<&'e Path>,
        env: &'e Env,
        ui: &'e Ui,
    ) -> Box<dyn Iterator<Item = Interpreter> + 'e> {
        let program = self.program();
        let Self::Version { version, is_free_threaded, program: kind } = self.clone() else {
            let path = std::path::absolute(&program).unwrap_or_else(|_| program.into());
            let found = Interpreter::inspect(&path, ui);
            return Box::new(found.filter(|found| found.is_for(platform)).into_iter());
        };
        let request = program.trim_start_matches("python").to_owned();
        let by_uv = uv.into_iter().filter_map(move |uv| {
            let flags = ["--no-config", "--no-project", "--no-python-downloads"];
            let cmd = Cmd::new(uv.display().to_string()).args(["python", "find"]).args(flags).arg(&request);
            let output = cmd.run(ui, OutputMode::Quiet, TIMEOUT).ok()?;
            Some(PathBuf::from(output.stdout.trim()))
        });
        // Installers on Windows call every Python `python`.
        let alike = IS_WINDOWS.then(|| on_path(env, kind)).into_iter().flatten();
        let by_launcher = std::iter::once_with(|| registered(env, ui)).flatten();
        let paths = on_path(env, &program).chain(alike).chain(by_uv).chain(by_launcher);
        let paths = paths.chain(installed(env, &program, kind));
        let paths = paths.filter(|path| !in_store(path) && !is_store_alias(path));
        let found = paths.filter_map(|path| Interpreter::inspect(&path, ui));
        let implementation = match kind {
            "python" => "cpython",
            "graalpy" => "graalvm",
            kind => kind,
        };
        Box::new(found.filter(move |found| {
            found.implementation == implementation
                && found.is_free_threaded == is_free_threaded
                && found.is_for(platform)
                && format!("{}.{}", found.version.0, found.version.1) == version
        }))
    }
}

/// The Pythons that Windows' launcher `py` knows: those in the registry.
fn registered(env: &Env, ui: &Ui) -> Vec<PathBuf> {
    let Some(launcher) = which(env, "py").filter(|_| IS_WINDOWS) else { return Vec::new() };
    let cmd = Cmd::new(launcher.display().to_string()).arg("--list-paths");
    let output = cmd.run(ui, OutputMode::Quiet, TIMEOUT);
    output.map(|output| listed(&output.stdout)).unwrap_or_default()
}

/// The paths in the output of `py --list-paths`: ` -V:3.12 *        C:\Python312\python.exe`.
fn listed(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let start = line.find(":\\")?.checked_sub(1)?;
        // Older launchers mark the default one at the end.
        Some(PathBuf::from(line.get(start..)?.trim_end().trim_end_matches('*').trim_end()))
    };
    text.lines().filter_map(path).collect()
}

/// The directories of the Pythons that installers do not put on PATH, and how deep in each a
/// version has its directory.
fn roots(env: &Env, is_windows: bool) -> Vec<(String, usize)> {
    let home = if is_windows { env.get("USERPROFILE") } else { env.get("HOME") };
    let home = home.unwrap_or("/root");
    let pyenv = env.get("PYENV_ROOT").map_or_else(
        || if is_windows { format!("{home}/.pyenv/pyenv-win") } else { format!("{home}/.pyenv") },
        str::to_owned,
    );
    let tools = env.get("RUNNER_TOOL_CACHE").unwrap_or("/opt/hostedtoolcache");
    let mut roots = vec![(format!("{pyenv}/versions"), 1), (tools.to_owned(), 3)];
    if is_windows {
        // Python Install Manager, whose `py` and `python` are aliases that look like no files.
        let data = env.get("LOCALAPPDATA").map_or_else(|| format!("{home}/AppData/Local"), str::to_owned);
        roots.push((format!("{data}/Python"), 1));
    } else {
        roots.push(("/opt/python".to_owned(), 1));
    }
    roots
}

/// The Pythons that installers do not put on PATH: in a directory for each version,
/// on Windows under the name of the implementation, elsewhere in `bin`.
fn installed(env: &Env, program: &str, kind: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let program = search_path::program(&if IS_WINDOWS { kind.to_owned() } else { format!("bin/{program}") });
    roots(env, IS_WINDOWS).into_iter().flat_map(move |(root, depth)| {
        let directories = walkdir::WalkDir::new(root).min_depth(depth).max_depth(depth);
        // Newest first.
        let directories =
            directories.sort_by_key(|entry| Reverse(natural_sort_key(entry.file_name()))).into_iter();
        let program = program.clone();
        let programs = directories.filter_map(Result::ok).map(move |place| place.path().join(&program));
        programs.filter(|path| path.is_file())
    })
}

/// A key that sorts names by the numbers in them: 3.12.10 after 3.12.9.
fn natural_sort_key(name: &OsStr) -> Vec<(u64, Vec<u8>)> {
    let bytes = name.as_encoded_bytes();
    let parts = bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse().ok();
    parts.map(|part| number(part).map_or_else(|| (0, part.to_vec()), |number| (number, Vec::new()))).collect()
}

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) path: PathBuf,
    implementation: String,
    version: (u32, u32),
    /// The third part of the version.
    micro: u32,
    /// Without the global interpreter lock.
    is_free_threaded: bool,
    /// `sysconfig.get_platform()`: `linux-x86_64`, `win32`, `win-amd64` …
    pub(crate) platform: String,
    /// The values of markers; `None` if they are unusual.
    pub(crate) markers: Option<MarkerEnvironment>,
}

impl std::fmt::Display for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}.{}", self.implementation, self.version.0, self.version.1)
    }
}

impl Interpreter {
    /// Queries the properties of the interpreter at `path`.
    pub(crate) fn inspect(path: &Path, ui: &Ui) -> Option<Self> {
        Self::inspect_by(Cmd::new(path.display().to_string()), path, ui)
    }

    /// Like [`Interpreter::inspect`], for an interpreter that `cmd` starts.
    pub(crate) fn inspect_by(cmd: Cmd, path: &Path, ui: &Ui) -> Option<Self> {
        // An empty one hides the platform.
        let cmd = cmd.without("_PYTHON_HOST_PLATFORM");
        let output = cmd.args(["-I", "-c", DESCRIBE]).run(ui, OutputMode::Quiet, TIMEOUT).ok()?;
        let mut lines = output.stdout.lines();
        let mut words = lines.next()?.split_whitespace();
        Some(Self {
            path: path.to_owned(),
            implementation: words.next()?.to_owned(),
            version: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            micro: words.next()?.parse().ok()?,
            is_free_threaded: words.next()? == "1",
            platform: words.next().unwrap_or_default().to_owned(),
            markers: lines.next().and_then(|line| serde_json::from_str(line).ok()),
        })
    }

    /// Whether it is for `platform`; any is for `None`.
    pub(crate) fn is_for(&self, platform: Option<&str>) -> bool {
        platform.is_none_or(|platform| platform == self.platform)
    }

    /// Whether `Requires-Python` allows it. As for pip, a pre-release counts as its release.
    pub(super) fn fits(&self, requires: Option<&str>) -> bool {
        let parts = requires.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
        let specifiers = VersionSpecifiers::from_str(&parts.collect::<Vec<_>>().join(","));
        let version = [self.version.0, self.version.1, self.micro].map(u64::from);
        specifiers.map_or(true, |specifiers| specifiers.contains(&Version::new(version)))
    }

    /// Whether it accepts a wheel with these tags (PyPA "Platform compatibility
    /// tags"). Only Windows' platforms are compared: a system has Pythons for several of them.
    pub(super) fn accepts(&self, tags: &TagSet) -> bool {
        // MSYS2's Python has other directories than those of an installation, and its own tags.
        if self.platform.starts_with("mingw") {
            return false;
        }
        let is_windows = self.platform.starts_with("win");
        let own = self.platform.replace(['-', '.'], "_");
        if is_windows && !tags.platform.iter().any(|tag| *tag == own || tag == "any") {
            return false;
        }
        tags.python.iter().any(|python| tags.abi.iter().any(|abi| self.accepts_tag(python, abi)))
    }

    fn accepts_tag(&self, python: &str, abi: &str) -> bool {
        let graalpy = python.strip_prefix("graalpy").map(|digits| ("graalpy", digits));
        let (kind, digits) = graalpy.unwrap_or_else(|| python.split_at(python.len().min(2)));
        let (major, minor) = digits.split_at(digits.len().min(1));
        if major.parse() != Ok(self.version.0) {
            return false;
        }
        let minor: Option<u32> = minor.parse().ok();
        let is_later = minor.is_none_or(|minor| minor <= self.version.1);
        let is_same = minor == Some(self.version.1);
        match kind {
            "py" => is_later,
            "cp" if self.implementation == "cpython" => match abi {
                "abi3" => is_later && !self.is_free_threaded,
                "abi3t" => is_later && self.is_free_threaded,
                "none" => is_same,
                abi => is_same && abi.ends_with('t') == self.is_free_threaded,
            },
            "pp" if self.implementation == "pypy" => is_same,
            "graalpy" if self.implementation == "graalvm" => is_same,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CPython` 3.12.4 for a platform.
    fn interpreter(platform: &str) -> Interpreter {
        Interpreter {
            path: PathBuf::new(),
            implementation: "cpython".into(),
            version: (3, 12),
            micro: 4,
            is_free_threaded: false,
            platform: platform.into(),
            markers: None,
        }
    }

    #[test]
    fn accepts_wheels_by_their_tags() {
        let python = |minor, is_free_threaded| Interpreter {
            version: (3, minor),
            is_free_threaded,
            ..interpreter("linux-x86_64")
        };
        for (tag, minor, free, expected) in [
            ("py3-none-any", 9, false, true),
            ("py3-none-any", 13, true, true),
            ("py2.py3-none-any", 9, false, true),
            ("py2-none-any", 9, false, false),
            ("py311-none-any", 10, false, false),
            ("cp311-cp311-linux_x86_64", 11, false, true),
            ("cp311-cp311-linux_x86_64", 12, false, false),
            ("cp38-abi3-linux_x86_64", 12, false, true),
            ("cp312-abi3-linux_x86_64", 11, false, false),
            ("cp38-abi3-linux_x86_64", 13, true, false),
            ("cp313-cp313t-linux_x86_64", 13, true, true),
            ("cp313-cp313t-linux_x86_64", 13, false, false),
            ("pp310-pypy310_pp73-linux_x86_64", 10, false, false),
            ("cp315-abi3t-linux_x86_64", 15, true, true),
            ("cp315-abi3t-linux_x86_64", 16, true, true),
            ("cp315-abi3t-linux_x86_64", 15, false, false),
            ("graalpy311-graalpy242_311_native-linux_x86_64", 11, false, false),
        ] {
            let tags: TagSet = tag.parse().unwrap();
            assert_eq!(python(minor, free).accepts(&tags), expected, "{tag} 3.{minor}");
        }
    }

    #[test]
    fn a_wheel_for_windows_needs_a_python_for_its_processor() {
        for (platform, tag, expected) in [
            ("win-amd64", "win_amd64", true),
            ("win-amd64", "win32", false),
            ("win32", "win32", true),
            ("win32", "win_amd64", false),
            ("win-arm64", "win_amd64", false),
            ("win-arm64", "win_arm64", true),
            ("win32", "any", true),
            // MSYS2's Python has its own tags.
            ("mingw_x86_64_ucrt_gnu", "win_amd64", false),
            ("mingw_x86_64_ucrt_gnu", "any", false),
            ("linux-aarch64", "manylinux_2_17_aarch64.manylinux2014_aarch64", true),
            ("macosx-11.0-universal2", "macosx_11_0_arm64", true),
        ] {
            let tags: TagSet = format!("cp310-abi3-{tag}").parse().unwrap();
            assert_eq!(interpreter(platform).accepts(&tags), expected, "{platform} {tag}");
        }
    }

    #[test]
    fn graalpy_accepts_its_own_wheels() {
        let python = Interpreter { implementation: "graalvm".into(), ..interpreter("linux-x86_64") };
        for (tag, expected) in [
            ("graalpy312-graalpy250_312_native-linux_x86_64", true),
            ("graalpy311-graalpy242_311_native-linux_x86_64", false),
            ("cp312-cp312-linux_x86_64", false),
            ("py3-none-any", true),
        ] {
            assert_eq!(python.accepts(&tag.parse().unwrap()), expected, "{tag}");
        }
    }

    #[test]
    fn requires_python_excludes_versions() {
        for (requires, expected) in [
            (None, true),
            (Some(">=3.12"), true),
            (Some(">=3.12.4,"), true),
            (Some(">=3.8, <3.12"), false),
            (Some(">=3.12.5"), false),
            (Some("not a version"), true),
        ] {
            assert_eq!(interpreter("linux-x86_64").fits(requires), expected, "{requires:?}");
        }
    }

    #[test]
    #[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
    fn describes_the_platform_of_a_python() {
        let (ui, _) = Ui::captured(&Env::default());
        let env = Env::from_process();
        let python = on_path(&env, if IS_WINDOWS { "python" } else { "python3" }).next().unwrap();
        let found = Interpreter::inspect(&python, &ui).unwrap();
        let system = if IS_WINDOWS { "win" } else { std::env::consts::OS };
        assert!(found.platform.starts_with(&system[..3]), "{found:?}");
        let markers = found.markers.as_ref().unwrap();
        assert_eq!(markers.python_version().to_string(), format!("{}.{}", found.version.0, found.version.1));
        assert!(
            found.is_for(None) && found.is_for(Some(&found.platform)) && !found.is_for(Some("win-alpha"))
        );
    }

    #[test]
    fn versions_sort_numerically() {
        let mut names =
            ["3.12.9", "3.9.13", "3.12.10", "pypy3.10-7.3.12", "3.12.10-win32", "cp39-cp39", "cp310-cp310"];
        names.sort_by_key(|name| Reverse(natural_sort_key(OsStr::new(name))));
        let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
        assert!(at("3.12.10") < at("3.12.9") && at("3.12.9") < at("3.9.13"), "{names:?}");
        assert!(at("cp310-cp310") < at("cp39-cp39"), "{names:?}");
    }

    #[test]
    fn reads_the_paths_of_windows_launcher() {
        let text = " -V:3.13 *        C:\\Program Files\\Python313\\python.exe\r\n -V:3.12-32       C:\\py\\python.exe\r\n -3.9-64 \tD:\\Python39\\python.exe *\r\n\r\nNo path here: -V:x\r\n";
        let found = listed(text);
        let expected =
            ["C:\\Program Files\\Python313\\python.exe", "C:\\py\\python.exe", "D:\\Python39\\python.exe"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn pyenv_for_windows_is_in_the_users_profile() {
        let env = Env::from_iter([("USERPROFILE", "C:\\Users\\a"), ("HOME", "/c/Users/a")]);
        assert_eq!(roots(&env, true)[0], ("C:\\Users\\a/.pyenv/pyenv-win/versions".to_owned(), 1));
        assert_eq!(roots(&env, false)[0], ("/c/Users/a/.pyenv/versions".to_owned(), 1));
        let env = Env::from_iter([("USERPROFILE", "C:\\Users\\a"), ("PYENV_ROOT", "D:\\pyenv")]);
        assert_eq!(roots(&env, true)[0].0, "D:\\pyenv/versions");
        let env = Env::from_iter([("LOCALAPPDATA", "D:\\local")]);
        assert!(roots(&env, true).contains(&("D:\\local/Python".to_owned(), 1)));
        assert!(!roots(&env, false).contains(&("D:\\local/Python".to_owned(), 1)));
    }

    #[test]
    fn parses_requests() {
        for (text, program) in [
            ("3.11", "python3.11"),
            ("3.13t", "python3.13t"),
            ("python3.12", "python3.12"),
            ("cp313t", "python3.13t"),
            ("pypy3.11", "pypy3.11"),
            ("pp311", "pypy3.11"),
            ("graalpy3.12", "graalpy3.12"),
            ("/usr/bin/python3", "/usr/bin/python3"),
        ] {
            assert_eq!(PythonRequest::parse(text).unwrap().program(), program, "{text}");
        }
        for text in ["3", "311", "three", "ruby3.1", "3.x", "pypy3.11t", "3.", "--zig", "cp3"] {
            assert!(PythonRequest::parse(text).is_err(), "{text}");
        }
        let of = |tags: &str| {
            let requests = PythonRequest::of_tags(&tags.parse().unwrap());
            requests.iter().map(PythonRequest::program).collect::<Vec<_>>()
        };
        assert_eq!(of("cp313-cp313t-any"), ["python3.13t"]);
        assert_eq!(of("pp311-pypy311_pp73-any"), ["pypy3.11"]);
        assert_eq!(of("graalpy311-graalpy242_311_native-any"), ["graalpy3.11"]);
        assert_eq!(of("cp315-abi3t-any"), ["python3.15t"]);
        assert_eq!(of("cp311-abi3.abi3t-any"), ["python3.11"]);
        assert_eq!(of("py3-none-any"), [""; 0]);
    }
}
