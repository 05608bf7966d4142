//! Compiler flags that keep the machine's directories out of binaries, so that the
//! same sources give the same bytes with any home and registry.

use std::path::{Path, PathBuf};

use toolkit::Env;

use crate::build_target::BuildTarget;
use crate::choices::Linker;
use pydist::target::System;

/// The directories of a build's sources, which are replaced by fixed names in
/// binaries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceDirs {
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Cargo's home, with its registry.
    pub cargo_home: Option<PathBuf>,
    /// The repository.
    pub root: PathBuf,
    /// Cargo's target directory, if it is not in the repository.
    pub target: Option<PathBuf>,
}

impl SourceDirs {
    /// Each directory with its replacement; compilers use the last one that
    /// matches.
    fn pairs(&self) -> impl Iterator<Item = (String, &'static str)> {
        let home = self.home.iter().map(|path| (path, "/home"));
        let source_dirs = home.chain([(&self.root, "/src")]);
        let source_dirs = source_dirs.chain(self.cargo_home.iter().map(|path| (path, "/cargo")));
        let source_dirs = source_dirs.chain(self.target.iter().map(|path| (path, "/src/target")));
        // `=` separates a directory from its replacement.
        let pairs = source_dirs.map(|(path, name)| (path.display().to_string(), name));
        pairs.filter(|(path, _)| path.len() > 1 && !path.contains('='))
    }

    /// The flags for a compiler with this option.
    fn flags(&self, option: &str) -> Vec<String> {
        self.pairs().map(|(path, name)| format!("{option}={path}={name}")).collect()
    }

    /// Rewrites flags for the same sources in other directories.
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

/// The compiler flags of the user and the project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompilerFlags {
    /// The directories of the sources.
    pub source_dirs: SourceDirs,
    /// The flags of rustc, from the environment or from Cargo's configuration.
    rust: Vec<String>,
    /// The flags of the C and the C++ compiler.
    c: [String; 2],
}

impl CompilerFlags {
    /// Reads the environment and Cargo's configuration files.
    pub fn gather(root: &Path, project: &Path, target: Option<&BuildTarget>, env: &Env) -> Self {
        let home = env.home();
        let cargo_home = env.get("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(home.as_ref()?.join(".cargo")));
        let rust = target.and_then(|target| rust_flags(project, target, cargo_home.clone(), env));
        let rust = rust.unwrap_or_default();
        let name = target.map(|target| target.triples()[0].replace('-', "_")).unwrap_or_default();
        let c = ["CFLAGS", "CXXFLAGS"].map(|flags| {
            let names = [format!("{flags}_{name}"), format!("TARGET_{flags}"), flags.to_owned()];
            names.iter().find_map(|name| env.get(name)).unwrap_or_default().to_owned()
        });
        let build_target = env.get("CARGO_TARGET_DIR").map(PathBuf::from);
        let source_dirs = SourceDirs { home, cargo_home, root: root.to_owned(), target: build_target };
        Self { source_dirs, rust, c }
    }

    /// Environment variables that keep the machine's directories, and on Windows the time of the
    /// build, out of the result.
    pub(crate) fn remapping(&self, target: &BuildTarget, linker: Linker) -> Vec<(String, String)> {
        let all = self.rust.iter().cloned().chain(self.source_dirs.flags("--remap-path-prefix"));
        let all: Vec<String> = all.chain(no_timestamp_flag(target, linker).map(str::to_owned)).collect();
        let mut variables = vec![("CARGO_ENCODED_RUSTFLAGS".to_owned(), all.join("\x1f"))];
        // Microsoft's compiler has other options.
        if is_msvc(target) {
            return variables;
        }
        for (name, given) in ["CFLAGS", "CXXFLAGS"].into_iter().zip(&self.c) {
            let map =
                self.source_dirs.flags("-ffile-prefix-map").into_iter().filter(|flag| !flag.contains(' '));
            let all: Vec<String> = std::iter::once(given.clone()).chain(map).collect();
            let all = all.join(" ").trim().to_owned();
            let triples = target.triples().into_iter().map(|triple| triple.replace('-', "_"));
            variables.extend(triples.map(|triple| (format!("{name}_{triple}"), all.clone())));
        }
        variables
    }
}

/// Whether Microsoft's compiler and linker are used, or programs with their options.
fn is_msvc(target: &BuildTarget) -> bool {
    target.name().ends_with("-msvc")
}

/// The flag of rustc that keeps the time out of a PE file's header. zig's linker has no such
/// option.
fn no_timestamp_flag(target: &BuildTarget, linker: Linker) -> Option<&'static str> {
    let is_mingw = target.known().is_some_and(|target| target.system == System::Mingw);
    match linker {
        _ if is_msvc(target) => Some("-Clink-arg=/Brepro"),
        Linker::Zig => None,
        _ => is_mingw.then_some("-Clink-arg=-Wl,--no-insert-timestamp"),
    }
}

/// What Cargo would hand to rustc for `target`. A variable takes the place of
/// its configuration files, so their flags are read here. A file that cannot be
/// read is reported by Cargo itself.
fn rust_flags(
    project: &Path,
    target: &BuildTarget,
    cargo_home: Option<PathBuf>,
    env: &Env,
) -> Option<Vec<String>> {
    let options = cargo_config2::ResolveOptions::default().env(env.iter()).cargo_home(cargo_home);
    let project = std::path::absolute(project).ok()?;
    let config = cargo_config2::Config::load_with_options(project, options).ok()?;
    Some(config.rustflags(target.triples()[0]).ok()??.flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(env: &[(&str, &str)], config: Option<&str>) -> Vec<(String, String)> {
        flags_for("x86_64-unknown-linux-gnu", Linker::Native, env, config)
    }

    fn flags_for(
        target: &str,
        linker: Linker,
        env: &[(&str, &str)],
        config: Option<&str>,
    ) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            std::fs::create_dir(directory.path().join(".cargo")).unwrap();
            std::fs::write(directory.path().join(".cargo/config.toml"), config).unwrap();
        }
        let env = [("HOME", "/home/a"), ("USERPROFILE", "/home/a")].iter().chain(env).copied();
        let target = BuildTarget::parse(target, System::Gnu).unwrap();
        let flags = CompilerFlags::gather(
            Path::new("/home/a/p"),
            directory.path(),
            Some(&target),
            &Env::from_iter(env),
        );
        flags.remapping(&target, linker)
    }

    fn remapped() -> String {
        let cargo = Path::new("/home/a").join(".cargo");
        let flags = ["/home/a=/home".into(), "/home/a/p=/src".into(), format!("{}=/cargo", cargo.display())];
        flags.map(|map| format!("--remap-path-prefix={map}")).join("\x1f")
    }

    #[test]
    fn adds_flags_to_the_existing_ones() {
        let variables = flags(&[], None);
        assert_eq!(variables[0], ("CARGO_ENCODED_RUSTFLAGS".to_owned(), remapped()));
        let variables = flags(&[("RUSTFLAGS", "-C target-cpu=v3"), ("CFLAGS", "-O3")], None);
        assert!(variables[0].1.starts_with("-C\x1ftarget-cpu=v3\x1f--remap"), "{variables:?}");
        assert_eq!(variables[1].0, "CFLAGS_x86_64_unknown_linux_gnu");
        assert!(variables[1].1.starts_with("-O3 -ffile-prefix-map=/home/a=/home "), "{variables:?}");
    }

    /// cl.exe would read `-ffile-prefix-map` as an object file of this name.
    #[test]
    fn msvc_gets_no_gcc_flags() {
        for target in ["x86_64-pc-windows-msvc", "arm64ec-pc-windows-msvc"] {
            let variables = flags_for(target, Linker::Native, &[("CFLAGS", "/O2")], None);
            let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["CARGO_ENCODED_RUSTFLAGS"], "{target}: cc reads the user's flags itself");
        }
        let variables = flags_for("x86_64-pc-windows-gnu", Linker::Gcc, &[("CFLAGS", "-O2")], None);
        assert!(variables[1].1.starts_with("-O2 -ffile-prefix-map="), "{variables:?}");
    }

    #[test]
    fn windows_linkers_omit_the_timestamp() {
        let of = |target: &str, linker: Linker| {
            let all = flags_for(target, linker, &[], None)[0].1.clone();
            all.strip_prefix(&remapped()).unwrap().trim_start_matches('\x1f').to_owned()
        };
        assert_eq!(of("x86_64-pc-windows-msvc", Linker::Native), "-Clink-arg=/Brepro");
        assert_eq!(of("i686-pc-windows-gnu", Linker::Gcc), "-Clink-arg=-Wl,--no-insert-timestamp");
        assert_eq!(of("x86_64-pc-windows-gnu", Linker::Zig), "");
        assert_eq!(of("x86_64-unknown-linux-gnu", Linker::Gcc), "");
    }

    #[test]
    fn keeps_flags_of_cargos_configuration() {
        let given = |config: &str, env: &[(&str, &str)]| {
            let all = flags(env, Some(config))[0].1.clone();
            let given = all.strip_suffix(&remapped()).unwrap();
            given.trim_end_matches('\x1f').to_owned()
        };
        let build = "[build]\nrustflags = ['-g']\n";
        assert_eq!(given(build, &[]), "-g");
        assert_eq!(given(build, &[("RUSTFLAGS", "-O")]), "-O", "the environment wins");
        let target = format!("{build}[target.x86_64-unknown-linux-gnu]\nrustflags = '-C opt-level=1'\n");
        assert_eq!(
            given(&target, &[]),
            "-C\x1fopt-level=1",
            "the target's flags override those of all builds"
        );
        let other = format!("{build}[target.aarch64-apple-darwin]\nrustflags = ['-O']\n");
        assert_eq!(given(&other, &[]), "-g");
    }

    #[test]
    #[cfg_attr(emulated, ignore = "needs rustc")]
    fn joins_the_flags_of_a_triple_and_of_a_condition() {
        let triple = "[target.x86_64-unknown-linux-gnu]\nrustflags = '-C opt-level=1'\n";
        let both = format!("{triple}[target.'cfg(unix)']\nrustflags = ['-O']\n");
        let all = flags(&[], Some(&both))[0].1.clone();
        let mut given: Vec<&str> = all.split('\x1f').take(3).collect();
        given.sort_unstable();
        assert_eq!(given, ["-C", "-O", "opt-level=1"]);
    }

    #[test]
    fn rewrites_flags_for_moved_sources() {
        let source_dirs = |home: &str| SourceDirs {
            home: Some(home.into()),
            cargo_home: Some(format!("{home}/.cargo").into()),
            root: format!("{home}/p").into(),
            target: None,
        };
        let (old, new) = (source_dirs("/home/a"), source_dirs("/tmp/b"));
        let text = old.flags("--remap-path-prefix").join("\x1f");
        assert_eq!(old.moved(&new, &text), new.flags("--remap-path-prefix").join("\x1f"));
    }
}
