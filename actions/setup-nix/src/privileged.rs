//! The commands that need root: what they are, not their running.

use std::path::Path;

use toolkit::Cmd;

use crate::error::Error;
use crate::plan::{Access, Facts};

/// The settings of the daemon that this action starts.
pub(crate) const DAEMON_CONF: &str = "/nix/var/nix/setup-nix.conf";

fn as_root(facts: &Facts, script: &str) -> Cmd {
    if facts.root { Cmd::new("sh") } else { Cmd::new("sudo").args(["-n", "sh"]) }.args(["-euc", script])
}

/// Makes a store that is ours one of root's, with build users and a daemon
/// (Nix manual, "Multi-User Mode"). It needs no service manager, so that it
/// works in containers too, and ends with the machine or the job.
pub(crate) fn daemon(facts: &Facts, bin: &Path) -> Vec<Cmd> {
    let script = |text: &str| as_root(facts, text);
    let start = format!(
        "NIX_USER_CONF_FILES={DAEMON_CONF} setsid '{}/nix-daemon' </dev/null >/nix/var/nix/daemon.log 2>&1 &
         for _ in $(seq 100); do [ ! -S /nix/var/nix/daemon-socket/socket ] || exit 0; sleep 0.1; done
         echo 'the daemon does not listen:' >&2; cat /nix/var/nix/daemon.log >&2; exit 1",
        bin.display()
    );
    vec![
        script("getent group nixbld >/dev/null || groupadd --system nixbld"),
        // As many as the official installer makes.
        script(
            "for n in $(seq 32); do id \"nixbld$n\" >/dev/null 2>&1 || useradd --system --no-create-home \
             --home-dir /var/empty --shell /sbin/nologin --gid nixbld --groups nixbld \"nixbld$n\"; done",
        ),
        script("chown -R -h root:root /nix && chown root:nixbld /nix/store && chmod 1775 /nix/store"),
        script(
            "mkdir -p /nix/var/nix/profiles/per-user /nix/var/nix/gcroots/per-user && chmod 1777 /nix/var/nix/profiles/per-user /nix/var/nix/gcroots/per-user",
        ),
        script(&start),
    ]
}

/// What makes `/nix` ours.
pub(crate) fn prepare(facts: &Facts) -> Result<Vec<Cmd>, Error> {
    let none = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if facts.store == Access::Ours {
        return Ok(Vec::new());
    }
    if facts.store == Access::ReadOnly {
        return none(
            "/nix is on a file system that is mounted read-only",
            "mount it writable, or use the Nix that is there (`reuse: any`)",
        );
    }
    if facts.system.ends_with("darwin") {
        return match (facts.store, facts.root || facts.sudo) {
            (Access::Foreign, _) => {
                none("/nix belongs to another installation", "use that one (`reuse: any`)")
            }
            (_, false) => {
                none("macOS needs a volume for /nix, and this user cannot make one", "allow `sudo -n`")
            }
            _ => Ok(macos_volume(facts)),
        };
    }
    let sudo = |args: &[&str]| {
        let (program, args) = if facts.root { (args[0], &args[1..]) } else { ("sudo", args) };
        let cmd = Cmd::new(program);
        if facts.root { cmd } else { cmd.arg("-n") }.args(args.iter().copied())
    };
    match facts.store {
        Access::Missing if facts.root => Ok(vec![sudo(&["mkdir", "-m", "0755", "/nix"])]),
        Access::Missing if facts.sudo => {
            Ok(vec![sudo(&["mkdir", "-m", "0755", "/nix"]), sudo(&["chown", &facts.user, "/nix"])])
        }
        Access::Missing => none(
            "there is no /nix, and this user cannot make one",
            "run as root, allow `sudo -n`, or make /nix and give it to this user",
        ),
        _ => none(
            "/nix is there, and this user cannot write to it",
            "use the Nix that is there (`reuse: any`), or run as its owner",
        ),
    }
}

/// A root folder can be had on macOS only by synthetic.conf, and its content
/// only on a volume of its own (Nix manual, "macOS installation").
fn macos_volume(facts: &Facts) -> Vec<Cmd> {
    let steps: [&[&str]; 6] = [
        &[
            "sh",
            "-c",
            "grep -qx nix /etc/synthetic.conf 2>/dev/null || printf 'nix\\n' >>/etc/synthetic.conf",
        ],
        // Makes the folder without a restart; it reports failure even so.
        &["sh", "-c", "/System/Library/Filesystems/apfs.fs/Contents/Resources/apfs.util -t || test -d /nix"],
        // In the container that the system itself is in.
        &[
            "sh",
            "-c",
            "disk=$(diskutil info -plist / | plutil -extract ParentWholeDisk raw -o - -) && \
             diskutil apfs addVolume \"$disk\" APFS 'Nix Store' -mountpoint /nix",
        ],
        // Spotlight would read every file that is put there.
        &["mdutil", "-i", "off", "/nix"],
        &["diskutil", "enableOwnership", "/nix"],
        &["chown", &facts.user, "/nix"],
    ];
    steps.iter().map(|args| Cmd::new("sudo").arg("-n").args(args.iter().copied())).collect()
}

pub(crate) fn open_kvm(facts: &Facts) -> Cmd {
    let rule = r#"KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm""#;
    let file = "/etc/udev/rules.d/99-setup-nix-kvm.rules";
    let script = format!(
        "printf '%s\\n' '{rule}' >{file} && udevadm control --reload-rules && udevadm trigger --name-match=kvm"
    );
    if facts.root { Cmd::new("sh") } else { Cmd::new("sudo").args(["-n", "sh"]) }.args(["-c", &script])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(system: &str, root: bool, sudo: bool, store: Access) -> Facts {
        let (user, files) = ("501".to_owned(), String::new());
        let system = system.to_owned();
        Facts {
            system,
            root,
            sudo,
            user,
            nix: None,
            store,
            daemon: false,
            closed_kvm: true,
            files,
            file_count: 0,
        }
    }

    fn told(commands: &[Cmd]) -> Vec<String> {
        commands.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn macos_gets_a_volume_by_sudo_in_this_order() {
        let steps = told(&prepare(&facts("aarch64-darwin", false, true, Access::Missing)).unwrap());
        let marks = [
            "/etc/synthetic.conf",
            "apfs.util -t",
            "addVolume",
            "mdutil",
            "enableOwnership",
            "chown 501 /nix",
        ];
        assert_eq!(steps.len(), marks.len(), "{steps:?}");
        for (step, mark) in steps.iter().zip(marks) {
            assert!(step.starts_with("sudo -n ") && step.contains(mark), "{step}: {mark}");
        }
        assert!(steps[2].contains("ParentWholeDisk"), "the container of the system: {}", steps[2]);
    }

    #[test]
    fn without_the_right_to_make_nix_it_says_what_to_do() {
        for (system, store, hint) in [
            ("aarch64-darwin", Access::Missing, "allow `sudo -n`"),
            ("x86_64-darwin", Access::Foreign, "reuse: any"),
            ("x86_64-linux", Access::Missing, "run as root"),
            ("aarch64-linux", Access::Foreign, "reuse: any"),
            ("x86_64-linux", Access::ReadOnly, "mount it writable"),
            ("aarch64-darwin", Access::ReadOnly, "mount it writable"),
        ] {
            let error = prepare(&facts(system, false, false, store)).unwrap_err();
            let Error::Plan { hint: found, .. } = error else { panic!("{error}") };
            assert!(found.contains(hint), "{system} {store:?}: {found}");
        }
    }

    #[test]
    fn linux_makes_nix_as_root_or_by_sudo() {
        let root = told(&prepare(&facts("x86_64-linux", true, false, Access::Missing)).unwrap());
        assert_eq!(root, ["mkdir -m 0755 /nix"]);
        let sudo = told(&prepare(&facts("x86_64-linux", false, true, Access::Missing)).unwrap());
        assert_eq!(sudo, ["sudo -n mkdir -m 0755 /nix", "sudo -n chown 501 /nix"]);
        let ours = prepare(&facts("x86_64-linux", false, false, Access::Ours)).unwrap();
        assert!(ours.is_empty());
    }

    #[test]
    fn the_kvm_rule_is_written_by_root_or_sudo() {
        assert!(open_kvm(&facts("x86_64-linux", true, false, Access::Ours)).to_string().starts_with("sh "));
        let sudo = open_kvm(&facts("x86_64-linux", false, true, Access::Ours)).to_string();
        assert!(sudo.starts_with("sudo -n sh ") && sudo.contains("99-setup-nix-kvm.rules"), "{sudo}");
    }
}
