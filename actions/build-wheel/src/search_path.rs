//! Finds programs on PATH.

use std::env::consts::{EXE_EXTENSION, EXE_SUFFIX};
use std::path::{Path, PathBuf};

use toolkit::Env;

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

/// Whether this is Windows, where Python's directory layout differs.
pub(crate) const IS_WINDOWS: bool = cfg!(windows);

/// The directory of a virtual environment's programs.
pub(crate) fn programs(environment: &Path) -> PathBuf {
    environment.join(if IS_WINDOWS { "Scripts" } else { "bin" })
}

/// Whether `path` is below `/nix` or Guix's `/gnu`, which the smoke test hides.
pub(crate) fn in_store(path: &Path) -> bool {
    path.starts_with("/nix") || path.starts_with("/gnu")
}
