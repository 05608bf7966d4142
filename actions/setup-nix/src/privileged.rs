//! The commands that need root: what they are, not their running.

use std::path::Path;

use toolkit::Cmd;

use crate::error::Error;
use crate::machine::{Access, MachineState};

/// The settings of the daemon that this action starts.
pub(crate) const DAEMON_CONF: &str = "/nix/var/nix/setup-nix.conf";

/// This very program as root, with `variables` of the environment and no others.
pub(crate) fn ourselves_as_root(program: &Path, command: &str, variables: &[(&str, String)]) -> Cmd {
    let cmd = Cmd::new("sudo").args(["-n", "env", "-i"]);
    let cmd = cmd.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    cmd.arg(program.display().to_string()).arg(command)
}

fn as_root(machine: &MachineState, script: &str) -> Cmd {
    if machine.root { Cmd::new("sh") } else { Cmd::new("sudo").args(["-n", "sh"]) }.args(["-euc", script])
}

/// Makes a store that is ours one of root's, with build users and a daemon
/// (Nix manual, "Multi-User Mode"). It needs no service manager, so that it
/// works in containers too, and ends with the machine or the job.
pub(crate) fn daemon(machine: &MachineState, bin: &Path) -> Vec<Cmd> {
    let script = |text: &str| as_root(machine, text);
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
pub(crate) fn prepare(machine: &MachineState) -> Result<Vec<Cmd>, Error> {
    let none = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if machine.store == Access::Ours {
        return Ok(Vec::new());
    }
    if machine.store == Access::ReadOnly {
        return none(
            "/nix is on a file system that is mounted read-only",
            "mount it writable, or use the Nix that is there (`reuse: any`)",
        );
    }
    if machine.system.ends_with("darwin") {
        return match (machine.store, machine.root || machine.sudo) {
            (Access::Foreign, _) => {
                none("/nix belongs to another installation", "use that one (`reuse: any`)")
            }
            (_, false) => {
                none("macOS needs a volume for /nix, and this user cannot make one", "allow `sudo -n`")
            }
            _ => Ok(macos_volume(machine)),
        };
    }
    let sudo = |args: &[&str]| {
        let (program, args) = if machine.root { (args[0], &args[1..]) } else { ("sudo", args) };
        let cmd = Cmd::new(program);
        if machine.root { cmd } else { cmd.arg("-n") }.args(args.iter().copied())
    };
    match machine.store {
        Access::Missing if machine.root => Ok(vec![sudo(&["mkdir", "-m", "0755", "/nix"])]),
        Access::Missing if machine.sudo => {
            Ok(vec![sudo(&["mkdir", "-m", "0755", "/nix"]), sudo(&["chown", &machine.user, "/nix"])])
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
fn macos_volume(machine: &MachineState) -> Vec<Cmd> {
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
        &["chown", &machine.user, "/nix"],
    ];
    steps.iter().map(|args| Cmd::new("sudo").arg("-n").args(args.iter().copied())).collect()
}

/// Lets everybody use `/dev/kvm`, by a rule that outlives a restart of the device.
pub(crate) fn open_kvm(machine: &MachineState) -> Cmd {
    let rule = r#"KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm""#;
    as_root(machine, &format!("printf '%s\\n' '{rule}' >{KVM_RULE} && {RELOAD}"))
}

/// Takes that back.
pub(crate) fn close_kvm(machine: &MachineState) -> Cmd {
    as_root(machine, &format!("rm -f {KVM_RULE} && {RELOAD}"))
}

const KVM_RULE: &str = "/etc/udev/rules.d/99-setup-nix-kvm.rules";
const RELOAD: &str = "udevadm control --reload-rules && udevadm trigger --name-match=kvm";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(system: &str, root: bool, sudo: bool, store: Access) -> MachineState {
        let (user, files) = ("501".to_owned(), String::new());
        let system = system.to_owned();
        MachineState {
            system,
            root,
            sudo,
            user,
            nix: None,
            store,
            elsewhere: None,
            daemon: false,
            closed_kvm: true,
            hosted: true,
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
