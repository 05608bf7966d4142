//! The Python that a wheel is installed with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pydist::tags::TagSet;
use toolkit::{Cmd, OutputMode};

use crate::environment::{in_store, which};
use crate::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

/// Prints what decides which wheels an interpreter takes.
const DESCRIBE: &str = "\
import platform, sys, sysconfig
print(platform.python_implementation().lower(), sys.version_info[0], sys.version_info[1], int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))))
";

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) path: PathBuf,
    implementation: String,
    version: (u32, u32),
    /// Without the global interpreter lock.
    is_free_threaded: bool,
}

impl Interpreter {
    /// Asks the interpreter at `path` what it is.
    fn inspect(path: &Path, runtime: &Runtime<'_>) -> Option<Self> {
        Self::inspect_by(Cmd::new(path.display().to_string()), path, runtime)
    }

    /// The same of an interpreter that `cmd` starts.
    pub(super) fn inspect_by(cmd: Cmd, path: &Path, runtime: &Runtime<'_>) -> Option<Self> {
        let output = cmd.args(["-I", "-c", DESCRIBE]).run(runtime.ui, OutputMode::Quiet, LIMIT).ok()?;
        let mut words = output.stdout.split_whitespace();
        Some(Self {
            path: path.to_owned(),
            implementation: words.next()?.to_owned(),
            version: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            is_free_threaded: words.next()? == "1",
        })
    }

    /// Whether it takes a wheel with these tags (PyPA "Platform compatibility
    /// tags").
    pub(super) fn takes(&self, tags: &TagSet) -> bool {
        tags.python.iter().any(|python| tags.abi.iter().any(|abi| self.takes_tag(python, abi)))
    }

    fn takes_tag(&self, python: &str, abi: &str) -> bool {
        let (kind, digits) = python.split_at(python.len().min(2));
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
                "none" => is_same,
                abi => is_same && abi.ends_with('t') == self.is_free_threaded,
            },
            "pp" if self.implementation == "pypy" => is_same,
            _ => false,
        }
    }
}

/// The versions that a wheel is for, as programs and uv name them: `3.11`,
/// `3.13t`.
fn versions(tags: &TagSet) -> Vec<String> {
    let is_free_threaded = |abi: &String| abi.starts_with("cp") && abi.ends_with('t');
    let suffix = if tags.abi.iter().any(is_free_threaded) { "t" } else { "" };
    let minors =
        tags.python.iter().filter_map(|python| python.strip_prefix("cp3").or(python.strip_prefix("pp3")));
    minors.filter(|minor| !minor.is_empty()).map(|minor| format!("3.{minor}{suffix}")).collect()
}

/// An interpreter for a wheel with these tags: `preferred`, or the one of the
/// right version that is on this machine. The error says what is missing.
pub(super) fn find(
    tags: &TagSet,
    preferred: Option<&Path>,
    uv: Option<&Path>,
    runtime: &Runtime<'_>,
) -> Result<Interpreter, String> {
    let preferred = preferred.and_then(|path| Interpreter::inspect(path, runtime));
    if let Some(found) = preferred.clone().filter(|python| python.takes(tags)) {
        return Ok(found);
    }
    let versions = versions(tags);
    for version in &versions {
        let on_path = which(runtime.env, &format!("python{version}")).filter(|path| !in_store(path));
        let by_uv = || {
            let cmd = Cmd::new(uv?.display().to_string());
            let cmd =
                cmd.args(["python", "find", "--no-config", "--no-project", "--no-python-downloads", version]);
            let output = cmd.run(runtime.ui, OutputMode::Quiet, LIMIT).ok()?;
            Some(PathBuf::from(output.stdout.trim())).filter(|path| !in_store(path))
        };
        let found = on_path.or_else(by_uv).and_then(|path| Interpreter::inspect(&path, runtime));
        if let Some(found) = found.filter(|python| python.takes(tags)) {
            return Ok(found);
        }
    }
    Err(match (versions.is_empty(), preferred) {
        (false, _) => format!("no Python {} on this machine", versions.join(" or ")),
        (true, Some(python)) => {
            let (major, minor) = python.version;
            format!("{} {major}.{minor} does not take a wheel for `{tags}`", python.implementation)
        }
        (true, None) => "no Python outside the Nix store on this machine".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_take_what_their_tags_say() {
        let python = |minor, is_free_threaded| Interpreter {
            path: PathBuf::new(),
            implementation: "cpython".into(),
            version: (3, minor),
            is_free_threaded,
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
        ] {
            let tags: TagSet = tag.parse().unwrap();
            assert_eq!(python(minor, free).takes(&tags), expected, "{tag} 3.{minor}");
        }
        assert_eq!(versions(&"cp313-cp313t-any".parse().unwrap()), ["3.13t"]);
        assert_eq!(versions(&"py3-none-any".parse().unwrap()), [""; 0]);
    }
}
