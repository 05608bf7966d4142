//! Finds programs on PATH.

use std::env::consts::{EXE_EXTENSION, EXE_SUFFIX};
use std::path::{Path, PathBuf};

use toolkit::Env;
pub(crate) use toolkit::IS_WINDOWS;

/// The first `name` on PATH.
pub(crate) fn which(env: &Env, name: &str) -> Option<PathBuf> {
    on_path(env, name).next()
}

/// Every `name` on PATH, in order.
pub(crate) fn on_path(env: &Env, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let path = env.get("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> =
        std::env::split_paths(path).filter(|directory| directory.is_absolute()).collect();
    let name = program(name);
    directories.into_iter().map(move |directory| directory.join(&name)).filter(|path| path.is_file())
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
