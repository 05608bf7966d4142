//! Programs on PATH.

use std::path::{Path, PathBuf};

use toolkit::Env;

/// The first `name` on PATH.
pub(crate) fn which(env: &Env, name: &str) -> Option<PathBuf> {
    on_path(env, name).next()
}

/// Every `name` on PATH, in its order.
pub(crate) fn on_path(env: &Env, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let path = env.get("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> =
        std::env::split_paths(path).filter(|directory| directory.is_absolute()).collect();
    let name = name.to_owned();
    directories.into_iter().map(move |directory| directory.join(&name)).filter(|path| path.is_file())
}

/// Whether `path` is in a Nix store of the usual place.
pub(crate) fn in_store(path: &Path) -> bool {
    path.starts_with("/nix")
}
