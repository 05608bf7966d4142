//! Hides `/nix` and Guix's `/gnu`: on the machine that built a wheel its store paths exist,
//! so a broken wheel would work there.

use std::path::Path;
use std::time::Duration;

use toolkit::{Cmd, OutputMode, Ui};

/// How the stores are hidden from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// There is no store on this machine.
    NoStore,
    /// A wrapper command hides it.
    Wrapped {
        /// A mount namespace (Linux) or a sandbox profile (macOS).
        prefix: Vec<String>,
        /// Its name in reports.
        name: &'static str,
    },
    /// It cannot be hidden on this machine.
    Impossible,
}

/// The directories with a store: Nix's and Guix's.
const ROOTS: [&str; 2] = ["/nix", "/gnu"];

/// Covers each root with an empty file system, then executes the command.
fn mask(roots: &[&str]) -> String {
    let cover =
        |root: &&str| format!("mount -t tmpfs -o size=4k,mode=555 tmpfs {root} && ! [ -e {root}/store ] && ");
    roots.iter().map(cover).collect::<String>() + "exec \"$@\""
}

/// macOS has no mount namespaces, but its sandbox can deny directories.
fn deny(roots: &[&str]) -> String {
    let roots: String = roots.iter().map(|root| format!(" (subpath \"{root}\")")).collect();
    format!("(version 1)(allow default)(deny file-read* file-write* process-exec*{roots})")
}

impl Isolation {
    /// Finds a method that works by trying each.
    pub(crate) fn find(ui: &Ui) -> Self {
        let roots: Vec<&str> = ROOTS.into_iter().filter(|root| Path::new(root).exists()).collect();
        if roots.is_empty() {
            return Self::NoStore;
        }
        if cfg!(target_os = "macos") {
            let prefix = ["sandbox-exec".to_owned(), "-p".to_owned(), deny(&roots)].to_vec();
            return Self::try_wrapper(prefix, "sandbox-exec", ui).unwrap_or(Self::Impossible);
        }
        let mask = mask(&roots);
        let mask = ["sh", "-c", &mask, "sh"];
        let unshare = ["unshare", "--mount", "--"];
        let by_user = ["unshare", "--map-root-user", "--mount", "--"];
        let found = Self::try_wrapper(words(&[&unshare, &mask]), "unshare", ui)
            .or_else(|| {
                let user = id("-u", ui)?;
                let group = id("-g", ui)?;
                // Only mounting needs root, so drop it afterwards.
                let back = ["setpriv", "--reuid", &user, "--regid", &group, "--clear-groups", "--"];
                let prefix = words(&[&["sudo", "-n"], &unshare, &mask, &back]);
                Self::try_wrapper(prefix, "sudo unshare", ui)
            })
            .or_else(|| Self::try_wrapper(words(&[&by_user, &mask]), "unshare as a user", ui));
        found.unwrap_or(Self::Impossible)
    }

    fn try_wrapper(prefix: Vec<String>, name: &'static str, ui: &Ui) -> Option<Self> {
        let found = Self::Wrapped { prefix, name };
        let trial = found.wrap(&Cmd::new("true"));
        trial.run(ui, OutputMode::Quiet, Duration::from_secs(30)).is_ok().then_some(found)
    }

    /// The isolated command, with only its own variables.
    #[must_use]
    pub(crate) fn wrap(&self, cmd: &Cmd) -> Cmd {
        let Self::Wrapped { prefix, .. } = self else { return Cmd { only_env: true, ..cmd.clone() } };
        // sudo drops variables, so `env` sets them inside.
        let variables =
            cmd.env.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let outer = Cmd::new(&prefix[0]).args(&prefix[1..]).args(["env", "-i"]).args(variables);
        Cmd {
            directory: cmd.directory.clone(),
            ..outer.arg(&cmd.program).args(&cmd.args).stdin(cmd.stdin.clone())
        }
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NoStore => "there is no /nix",
            Self::Wrapped { name, .. } => name,
            Self::Impossible => "none",
        }
    }
}

fn words(parts: &[&[&str]]) -> Vec<String> {
    parts.iter().flat_map(|part| part.iter().map(|word| (*word).to_owned())).collect()
}

fn id(flag: &str, ui: &Ui) -> Option<String> {
    let done = Cmd::new("id").arg(flag).run(ui, OutputMode::Quiet, Duration::from_secs(30)).ok()?;
    Some(done.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn every_store_is_covered_before_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["nix", "gnu"].map(|name| dir.path().join(name));
        let names = roots.each_ref().map(|root| root.to_str().unwrap());
        let run = |mount: &str| {
            for root in &roots {
                std::fs::create_dir_all(root.join("store")).unwrap();
            }
            let script = format!("mount() {{ {mount}; }}; {}", mask(&names));
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &script, "sh", "ls"]).args(names).status().unwrap().success()
        };
        // The last argument of `mount` is the directory that it covers.
        assert!(run("rmdir \"$6/store\""));
        assert!(!run("[ \"${6%/gnu}\" != \"$6\" ] || rmdir \"$6/store\""), "one store is still there");
        assert!(!run("false"));
    }

    #[test]
    fn the_sandbox_denies_every_store() {
        let profile = deny(&ROOTS);
        assert!(profile.ends_with(" (subpath \"/nix\") (subpath \"/gnu\"))"), "{profile}");
    }
}
