//! The flags with which nothing of the machine's directories gets into a
//! binary: the same sources give the same bytes under any home and registry.

use std::path::{Path, PathBuf};

use toolkit::Env;

use crate::target::Target;

/// Where the sources of a build are, each with the name that takes its place
/// in the binary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourcePlaces {
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Cargo's home, with its registry.
    pub cargo_home: Option<PathBuf>,
    /// The repository.
    pub root: PathBuf,
    /// Cargo's target directory, where it is not in the repository.
    pub target: Option<PathBuf>,
}

impl SourcePlaces {
    /// Each place with its name; of several that match, compilers take the
    /// last.
    fn pairs(&self) -> impl Iterator<Item = (String, &'static str)> {
        let home = self.home.iter().map(|path| (path, "/home"));
        let places = home.chain([(&self.root, "/src")]);
        let places = places.chain(self.cargo_home.iter().map(|path| (path, "/cargo")));
        let places = places.chain(self.target.iter().map(|path| (path, "/src/target")));
        // A name and its replacement are told apart by `=`.
        let pairs = places.map(|(path, name)| (path.display().to_string(), name));
        pairs.filter(|(path, _)| path.len() > 1 && !path.contains('='))
    }

    /// The flags of a compiler whose option is `option`.
    fn flags(&self, option: &str) -> Vec<String> {
        self.pairs().map(|(path, name)| format!("{option}={path}={name}")).collect()
    }

    /// The text of a flag for the same sources in other places.
    pub(crate) fn moved(&self, to: &Self, text: &str) -> String {
        let new = to.pairs().collect::<Vec<_>>();
        self.pairs().fold(text.to_owned(), |text, (path, name)| {
            match new.iter().find(|(_, other)| *other == name) {
                Some((moved, _)) => text.replace(&format!("={path}={name}"), &format!("={moved}={name}")),
                None => text,
            }
        })
    }
}

/// What a user or a project tells the compilers already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompilerFlags {
    /// Where the sources are.
    pub places: SourcePlaces,
    /// The flags of rustc from the environment, if there are any.
    rust: Option<Vec<String>>,
    /// The key of Cargo's configuration files that has flags: a variable would
    /// replace them.
    config_key: Option<&'static str>,
    /// The flags of the C and the C++ compiler.
    c: [String; 2],
}

impl CompilerFlags {
    /// Looks at the environment and at Cargo's configuration files.
    pub fn gather(root: &Path, project: &Path, target: Option<Target>, env: &Env) -> Self {
        let home = env.get("HOME").map(PathBuf::from);
        let cargo_home = env.get("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(home.as_ref()?.join(".cargo")));
        let encoded = env.get("CARGO_ENCODED_RUSTFLAGS").map(|flags| flags.split('\x1f').collect::<Vec<_>>());
        let rust = encoded.or_else(|| env.get("RUSTFLAGS").map(|flags| flags.split_whitespace().collect()));
        let rust = rust.map(|flags| {
            flags.iter().filter(|flag| !flag.is_empty()).map(|flag| (*flag).to_owned()).collect()
        });
        let name = target.map(|target| target.triple().replace('-', "_")).unwrap_or_default();
        let c = ["CFLAGS", "CXXFLAGS"].map(|flags| {
            let names = [format!("{flags}_{name}"), format!("TARGET_{flags}"), flags.to_owned()];
            names.iter().find_map(|name| env.get(name)).unwrap_or_default().to_owned()
        });
        let config_key = config_key(project, cargo_home.as_deref(), env);
        let build_target = env.get("CARGO_TARGET_DIR").map(PathBuf::from);
        let places = SourcePlaces { home, cargo_home, root: root.to_owned(), target: build_target };
        Self { places, rust, config_key, c }
    }

    /// Arguments and variables of a build that leave the machine's directories
    /// out of its result.
    pub(crate) fn remapping(&self, target: Target) -> (Vec<String>, Vec<(String, String)>) {
        let flags = self.places.flags("--remap-path-prefix");
        let triple = target.triple();
        let mut args = Vec::new();
        let mut variables = Vec::new();
        match (&self.rust, self.config_key) {
            (None, Some(key)) => {
                let list = flags.iter().map(|flag| format!("{flag:?}")).collect::<Vec<_>>().join(",");
                let key = key.replace("<target>", triple);
                args.extend(["--config".to_owned(), format!("{key}.rustflags=[{list}]")]);
            }
            (given, _) => {
                let all: Vec<String> = given.iter().flatten().cloned().chain(flags).collect();
                variables.push(("CARGO_ENCODED_RUSTFLAGS".to_owned(), all.join("\x1f")));
            }
        }
        for (name, given) in ["CFLAGS", "CXXFLAGS"].into_iter().zip(&self.c) {
            let map = self.places.flags("-ffile-prefix-map").into_iter().filter(|flag| !flag.contains(' '));
            let all: Vec<String> = std::iter::once(given.clone()).chain(map).collect();
            variables.push((format!("{name}_{}", triple.replace('-', "_")), all.join(" ").trim().to_owned()));
        }
        (args, variables)
    }
}

/// Which key of Cargo's configuration has flags of rustc. Those of targets win
/// over those of all builds; lists from several places are joined.
fn config_key(project: &Path, cargo_home: Option<&Path>, env: &Env) -> Option<&'static str> {
    let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
    let directories = project.ancestors().map(|path| path.join(".cargo"));
    let directories = directories.chain(cargo_home.map(Path::to_owned));
    let files = directories.flat_map(|path| [path.join("config.toml"), path.join("config")]);
    let tables = files.filter_map(|path| std::fs::read_to_string(path).ok()?.parse::<toml::Table>().ok());
    let (mut of_build, mut of_target) = (env.get("CARGO_BUILD_RUSTFLAGS").is_some(), false);
    for table in tables {
        of_build |= table.get("build").is_some_and(|build| build.get("rustflags").is_some());
        let targets = table.get("target").and_then(toml::Value::as_table).into_iter().flatten();
        of_target |= targets.into_iter().any(|(_, target)| target.get("rustflags").is_some());
    }
    of_target |=
        env.iter().any(|(name, _)| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS"));
    match (of_target, of_build) {
        (true, _) => Some("target.<target>"),
        (false, true) => Some("build"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(env: &[(&str, &str)], config: Option<&str>) -> (Vec<String>, Vec<(String, String)>) {
        let directory = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            std::fs::create_dir(directory.path().join(".cargo")).unwrap();
            std::fs::write(directory.path().join(".cargo/config.toml"), config).unwrap();
        }
        let env = [("HOME", "/home/a")].iter().chain(env).copied();
        let target = Target::parse("x86_64-unknown-linux-gnu").unwrap();
        let flags = CompilerFlags::gather(
            Path::new("/home/a/p"),
            directory.path(),
            Some(target),
            &Env::from_iter(env),
        );
        flags.remapping(target)
    }

    const REMAP: [&str; 3] = [
        "--remap-path-prefix=/home/a=/home",
        "--remap-path-prefix=/home/a/p=/src",
        "--remap-path-prefix=/home/a/.cargo=/cargo",
    ];

    #[test]
    fn flags_are_added_to_those_there_are() {
        let (args, variables) = flags(&[], None);
        assert_eq!(args, [""; 0]);
        assert_eq!(variables[0], ("CARGO_ENCODED_RUSTFLAGS".to_owned(), REMAP.join("\x1f")));
        let (_, variables) = flags(&[("RUSTFLAGS", "-C target-cpu=v3"), ("CFLAGS", "-O3")], None);
        assert!(variables[0].1.starts_with("-C\x1ftarget-cpu=v3\x1f--remap"), "{variables:?}");
        assert_eq!(variables[1].0, "CFLAGS_x86_64_unknown_linux_gnu");
        assert!(variables[1].1.starts_with("-O3 -ffile-prefix-map=/home/a=/home "), "{variables:?}");
        let (args, variables) = flags(&[], Some("[build]\nrustflags = ['-g']"));
        assert!(args[1].starts_with("build.rustflags=[\"--remap-path-prefix=/home/a=/home\","), "{args:?}");
        assert_eq!(variables.len(), 2, "{variables:?}");
        let (args, _) =
            flags(&[], Some("[build]\nrustflags = ['-g']\n[target.'cfg(unix)']\nrustflags = ['-g']"));
        assert!(args[1].starts_with("target.x86_64-unknown-linux-gnu.rustflags="), "{args:?}");
    }

    #[test]
    fn flags_follow_their_sources() {
        let places = |home: &str| SourcePlaces {
            home: Some(home.into()),
            cargo_home: Some(format!("{home}/.cargo").into()),
            root: format!("{home}/p").into(),
            target: None,
        };
        let (old, new) = (places("/home/a"), places("/tmp/b"));
        let text = old.flags("--remap-path-prefix").join("\x1f");
        assert_eq!(old.moved(&new, &text), new.flags("--remap-path-prefix").join("\x1f"));
    }
}
