//! A machine with its own `/nix` (in a mount namespace), home and cache.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pydist::digest::{hex, sha256};
use setup_nix::{nar, nix32, tree};

/// A mount namespace that outlives single commands.
pub(crate) struct Namespace {
    holder: Child,
    journal: PathBuf,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        // The mounts end with the namespace; their directory does not.
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        let journal: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(dir) = journal["place"].as_str() {
            let _ = tree::remove(Path::new(dir));
        }
    }
}

pub(crate) struct Machine {
    pub(crate) namespace: Option<Namespace>,
    pub(crate) dir: tempfile::TempDir,
    /// A directory to prepend to PATH.
    pub(crate) path_prefix: Option<PathBuf>,
    /// The mount options of `/nix`.
    pub(crate) mount_options: &'static str,
}

impl Machine {
    /// A machine with an empty `/nix`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nix", "home", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { namespace: None, dir, path_prefix: None, mount_options: "rw" }
    }

    /// Starts a namespace that keeps the mounts of later commands. Calling it again simulates a
    /// restart of the machine.
    pub(crate) fn start(&mut self) {
        self.namespace = None;
        let mut command = testkit::tools::scrubbed(testkit::tools::path("unshare"));
        let script = r#"mount --bind "$0" /nix && echo ready && exec sleep 100000"#;
        command.args(["-m", "sh", "-c", script]).arg(self.path("nix")).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let journal = self.path("nix/var/nix/setup-nix-mounted.json");
        self.namespace = Some(Namespace { holder, journal });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path of `/nix/store` outside of the namespace.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("nix/store")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("home/.cache/setup-nix/binary-cache")
    }

    /// A command that runs `program` on this machine.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = if let Some(namespace) = &self.namespace {
            let mut command = testkit::tools::scrubbed(testkit::tools::path("nsenter"));
            command.args(["-m", "-t", &namespace.holder.id().to_string(), "sh", "-c"]);
            command.arg(r#"cd "$0" && exec "$@""#).arg(self.path("work")).arg(program);
            command
        } else {
            let mut command = testkit::tools::scrubbed(testkit::tools::path("unshare"));
            let script = format!(
                r#"mount --bind "$0" /nix && mount -o remount,bind,{} /nix && exec "$@""#,
                self.mount_options
            );
            command.args(["-m", "sh", "-c", &script]).arg(self.path("nix")).arg(program);
            command
        };
        command.env("HOME", self.path("home")).env_remove("XDG_CACHE_HOME").env_remove("NIX_PATH");
        command.env("NIX_USER_CONF_FILES", self.path("home/.cache/setup-nix/binary-cache.state/nix.conf"));
        // The tests may run in a container that has no network and cannot nest sandboxes.
        command.env("NIX_CONFIG", "sandbox = false\nsubstituters =");
        command.current_dir(self.path("work"));
        if let Some(prefix) = &self.path_prefix {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let dirs = std::iter::once(prefix.clone()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(dirs).unwrap());
        }
        command
    }

    /// A command that runs the action on this machine.
    pub(crate) fn action(&self, args: &[&str]) -> Command {
        let mut command = self.command(assert_cmd::cargo::cargo_bin!("setup-nix"));
        command.args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.action(args).output().unwrap()
    }

    /// Runs the action, which must succeed; returns its output.
    pub(crate) fn run_ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    }

    /// Runs a shell script, which must succeed; returns its standard output.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-euc", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Builds `count` paths, each but the first with a reference to the previous one; returns
    /// the last.
    pub(crate) fn build(&self, name: &str, count: usize) -> String {
        let expression = format!(
            r#"let make = n: derivation {{
                 name = "{name}-${{toString n}}"; system = builtins.currentSystem; builder = "/bin/sh";
                 before = if n == 0 then "" else make (n - 1);
                 args = [ "-c" "/bin/mkdir $out; echo {name} ${{toString n}} $before >$out/text; /bin/ln -s text $out/link; exit" ];
               }}; in make {}"#,
            count - 1
        );
        fs::write(self.path("work/build.nix"), expression).unwrap();
        self.sh("nix-build --no-out-link build.nix 2>/dev/null").trim().to_owned()
    }

    /// Makes later commands use the nix.conf of the job with this `RUNNER_TEMP`.
    pub(crate) fn use_conf(&self, temporary: &Path) {
        let (from, to) = (temporary.join("setup-nix/nix.conf"), self.cache().with_extension("state"));
        fs::create_dir_all(&to).unwrap();
        fs::copy(from, to.join("nix.conf")).unwrap();
    }

    /// Removes the store.
    pub(crate) fn empty(&self) {
        tree::remove(&self.path("nix")).unwrap();
        fs::create_dir(self.path("nix")).unwrap();
    }

    /// Runs Nix's own check of the whole store.
    pub(crate) fn verify(&self) {
        let output = self.command("nix-store").args(["--verify", "--check-contents"]).output().unwrap();
        let text = text(&output);
        assert!(output.status.success(), "{text}");
        for word in ["was modified", "missing", "disappeared"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Creates a tarball with the official layout from the host's Nix; returns the file and its
/// SHA-256. `modify` may change the contents before they are packed.
pub(crate) fn tarball(dir: &Path, modify: impl FnOnce(&Path)) -> (PathBuf, String) {
    let root = dir.join("nix-9.9.9-here");
    let base = format!("{}-nix-9.9.9", nix32::encode(&sha256(b"nix")[..20]));
    let nix = root.join("store").join(&base);
    fs::create_dir_all(nix.join("bin")).unwrap();
    let real = fs::canonicalize(testkit::tools::path("nix-store")).unwrap();
    fs::copy(real, nix.join("bin/nix")).unwrap();
    for name in ["nix-store", "nix-build", "nix-instantiate", "nix-daemon"] {
        std::os::unix::fs::symlink("nix", nix.join("bin").join(name)).unwrap();
    }
    tree::canonicalise(&nix).unwrap();
    let (_, hash, size) = nar::dump(&nix, std::io::sink()).unwrap();
    let row = format!("/nix/store/{base}\nsha256:{}\n{size}\n\n0\n", hex(&hash));
    fs::write(root.join(".reginfo"), row).unwrap();
    fs::write(root.join("install"), format!("#!/bin/sh\nnix=\"/nix/store/{base}\"\n")).unwrap();
    modify(&root);
    let file = dir.join("nix.tar.xz");
    let tar = testkit::tools::command("tar")
        .env("XZ_OPT", "-0")
        .args(["-C"])
        .arg(dir)
        .arg("-cJf")
        .arg(&file)
        .arg("nix-9.9.9-here")
        .status();
    assert!(tar.unwrap().success());
    let digest = hex(&sha256(&fs::read(&file).unwrap()));
    (file, digest)
}
