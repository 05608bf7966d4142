//! The environment as a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::platform::{IS_WINDOWS, env_name};

/// A snapshot of environment variables. An empty variable counts as unset, because a composite
/// action passes `""` for an omitted input. On Windows, the case of a name does not matter, and
/// [`Env::iter`] returns names in upper case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The variables of this process that are valid UTF-8.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&*env_name(name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The home directory. On Windows it is `USERPROFILE`, as for Cargo, rustup and Python, which
    /// ignore `HOME`: programs from Unix set it, Git Bash to a path such as `/c/Users/a`.
    pub fn home(&self) -> Option<PathBuf> {
        self.home_on(IS_WINDOWS)
    }

    fn home_on(&self, is_windows: bool) -> Option<PathBuf> {
        let profile = self.get("USERPROFILE").filter(|_| is_windows);
        profile.or_else(|| self.get("HOME")).map(PathBuf::from)
    }

    /// Sets `name`, replacing its value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(env_name(&name.into()).into_owned(), value.into());
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        let mut env = Self::default();
        for (name, value) in iter {
            env.set(name, value);
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_on_windows_is_the_profile() {
        let env = Env::from_iter([("HOME", "/c/Users/a"), ("USERPROFILE", r"C:\Users\a")]);
        assert_eq!(env.home_on(true), Some(r"C:\Users\a".into()));
        assert_eq!(env.home_on(false), Some("/c/Users/a".into()));
        let env = Env::from_iter([("HOME", "/c/Users/a")]);
        assert_eq!(env.home_on(true), Some("/c/Users/a".into()), "a service may have no profile");
        let env = Env::from_iter([("USERPROFILE", r"C:\Users\a")]);
        assert_eq!(env.home_on(false), None);
    }

    /// As a program for Windows reads `CFLAGS_x86_64_pc_windows_msvc`.
    #[test]
    fn only_windows_ignores_the_case_of_names() {
        let mut env = Env::from_iter([("Path", "a"), ("CFLAGS_x86_64", "-O2")]);
        assert_eq!(env.get("Path"), Some("a"));
        assert_eq!(env.get("CFLAGS_x86_64"), Some("-O2"));
        assert_eq!(env.get("PATH"), cfg!(windows).then_some("a"));
        env.set("PATH", "b");
        assert_eq!(env.get("path"), cfg!(windows).then_some("b"));
        assert_eq!(env.get("Path"), Some(if cfg!(windows) { "b" } else { "a" }));
    }
}
