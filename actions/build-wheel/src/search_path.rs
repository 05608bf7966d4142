//! Finds programs on PATH.

use std::env::consts::{EXE_EXTENSION, EXE_SUFFIX};
use std::path::{Path, PathBuf};

use toolkit::Env;
pub(crate) use toolkit::IS_WINDOWS;

/// The first program `name` on PATH, on Windows also a batch file: npm, scoop and pyenv install
/// programs as `name.cmd` or `name.bat`.
pub(crate) fn which(env: &Env, name: &str) -> Option<PathBuf> {
    let names = file_names(name, env.get("PATHEXT"), IS_WINDOWS);
    directories(env)
        .find_map(|directory| names.iter().map(|name| directory.join(name)).find(|path| path.is_file()))
}

/// Whether the program is a batch file. `CreateProcess` finds those only by their whole path.
pub(crate) fn is_batch_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("bat") || extension.eq_ignore_ascii_case("cmd")
}

/// The file names that start a program, in the order of `PATHEXT`. Only programs and batch files:
/// another extension, such as `.js`, needs the shell.
fn file_names(name: &str, extensions: Option<&str>, is_windows: bool) -> Vec<String> {
    const STARTED: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];
    if !is_windows {
        return vec![name.to_owned()];
    }
    let lower = name.to_ascii_lowercase();
    if STARTED.iter().any(|extension| lower.ends_with(extension)) {
        return vec![name.to_owned()];
    }
    let extensions = extensions.unwrap_or(".COM;.EXE;.BAT;.CMD").to_ascii_lowercase();
    let extensions = extensions.split(';').filter(|extension| STARTED.contains(extension));
    extensions.map(|extension| format!("{name}{extension}")).collect()
}

fn directories(env: &Env) -> impl Iterator<Item = PathBuf> + use<> {
    let path = env.get("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> =
        std::env::split_paths(path).filter(|directory| directory.is_absolute()).collect();
    directories.into_iter()
}

/// Every `name` on PATH, in order, without batch files: those of pyenv accept no arguments with
/// line breaks.
pub(crate) fn on_path(env: &Env, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let name = program(name);
    directories(env).map(move |directory| directory.join(&name)).filter(|path| path.is_file())
}

/// The file name of the program `name`.
pub(crate) fn program(name: &str) -> String {
    if Path::new(name).extension() == Some(EXE_EXTENSION.as_ref()) {
        name.to_owned()
    } else {
        format!("{name}{EXE_SUFFIX}")
    }
}

/// The directory of a virtual environment's programs.
pub(crate) fn programs(environment: &Path) -> PathBuf {
    environment.join(if IS_WINDOWS { "Scripts" } else { "bin" })
}

/// Whether `path` is an alias of Microsoft Store, which starts nothing but its own Pythons:
/// without them, `python3.exe` prints an advertisement and exits with 9009.
pub(crate) fn is_store_alias(path: &Path) -> bool {
    let path = path.to_string_lossy().to_ascii_lowercase().replace('/', "\\");
    path.contains("\\microsoft\\windowsapps\\")
}

/// The names of a Python of any version, in the order of preference. On Windows, a virtual
/// environment has only `python`.
pub(crate) fn python_names(is_windows: bool) -> [&'static str; 2] {
    if is_windows { ["python", "python3"] } else { ["python3", "python"] }
}

/// The program `sh`: on Windows that of Git or MSYS2, which have it in `usr/bin`, even if only
/// `git` is on PATH.
pub(crate) fn shell(env: &Env) -> Option<PathBuf> {
    let sh = program("sh");
    let found = on_path(env, "sh").chain(on_path(env, "git"));
    // `Git\cmd`, `Git\bin` and `Git\mingw64\bin` contain wrappers.
    let beside =
        found.flat_map(|path| path.ancestors().skip(2).take(2).map(Path::to_owned).collect::<Vec<_>>());
    let mut beside = beside.map(|directory| directory.join("usr").join("bin").join(&sh));
    beside.find(|path| path.is_file()).or_else(|| which(env, "sh"))
}

/// Whether `path` is below `/nix` or Guix's `/gnu`, which the smoke test hides.
pub(crate) fn in_store(path: &Path) -> bool {
    path.starts_with("/nix") || path.starts_with("/gnu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_the_aliases_of_microsoft_store() {
        let alias = "C:\\Users\\a\\AppData\\Local\\Microsoft\\WindowsApps\\python3.exe";
        assert!(is_store_alias(Path::new(alias)));
        assert!(is_store_alias(Path::new("c:/users/a/appdata/local/microsoft/windowsapps/python.exe")));
        assert!(!is_store_alias(Path::new("C:\\hostedtoolcache\\windows\\Python\\3.12.10\\x64\\python.exe")));
        assert_eq!(python_names(true)[0], "python", "the other one may be such an alias");
        assert_eq!(python_names(false)[0], "python3");
    }

    #[test]
    fn batch_files_are_programs_on_windows() {
        let names = |name: &str, extensions| file_names(name, extensions, true);
        assert_eq!(names("maturin", None), ["maturin.com", "maturin.exe", "maturin.bat", "maturin.cmd"]);
        let own = Some(".JS;.CMD;.EXE;.PY");
        assert_eq!(names("maturin", own), ["maturin.cmd", "maturin.exe"], "in this order");
        assert_eq!(names("tool.EXE", own), ["tool.EXE"]);
        assert_eq!(file_names("maturin", own, false), ["maturin"]);
        assert!(is_batch_file(Path::new("a/maturin.CMD")) && is_batch_file(Path::new("a.bat")));
        assert!(!is_batch_file(Path::new("a/maturin.exe")) && !is_batch_file(Path::new("cmd")));
    }

    #[test]
    fn finds_the_shell_beside_git() {
        let dir = tempfile::tempdir().unwrap();
        let file = |parts: &[&str]| {
            let path = parts.iter().fold(dir.path().to_owned(), |path, part| path.join(part));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let env = |directory: &[&str]| {
            let path = directory.iter().fold(dir.path().to_owned(), |path, part| path.join(part));
            Env::from_iter([("PATH", path.display().to_string())])
        };
        let (sh, git) = (program("sh"), program("git"));
        file(&["Git", "cmd", &git]);
        file(&["Git", "mingw64", "bin", &git]);
        let wrapper = file(&["Git", "bin", &sh]);
        assert_eq!(shell(&env(&["Git", "cmd"])), None);
        assert_eq!(shell(&env(&["Git", "bin"])), Some(wrapper));
        let own = file(&["Git", "usr", "bin", &sh]);
        for directory in
            [&["Git", "cmd"][..], &["Git", "mingw64", "bin"], &["Git", "bin"], &["Git", "usr", "bin"]]
        {
            assert_eq!(shell(&env(directory)), Some(own.clone()), "{directory:?}");
        }
    }
}
