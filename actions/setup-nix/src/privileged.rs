//! Builds the commands that need root; others run them.

use std::path::Path;

use toolkit::Cmd;

use crate::error::Error;
use crate::machine::{Access, DAEMON_SOCKET, MachineState};
use crate::store::DAEMON_CONF;

/// Runs a command of this program as root, with only `variables` in its environment.
pub(crate) fn own_command_as_root(program: &Path, command: &str, variables: &[(&str, String)]) -> Cmd {
    let cmd = Cmd::new("sudo").args(["-n", "env", "-i"]);
    let cmd = cmd.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    cmd.arg(program.display().to_string()).arg(command)
}

fn as_root(machine: &MachineState, script: &str) -> Cmd {
    if machine.root { Cmd::new("sh") } else { Cmd::new("sudo").args(["-n", "sh"]) }.args(["-euc", script])
}

/// Hands the store over to root, adds build users and starts a daemon (Nix manual,
/// "Multi-User Mode"). Needs no service manager, so it works in containers too; the daemon
/// ends with the machine. Starts it again if it is set up already.
pub(crate) fn daemon(machine: &MachineState, bin: &Path) -> Vec<Cmd> {
    let script = |text: &str| as_root(machine, text);
    // The socket of a daemon that has ended would look like the new one. At the end of a job, the
    // runner kills all processes with its value of RUNNER_TRACKING_ID.
    let start = format!(
        "rm -f {DAEMON_SOCKET}
         unset RUNNER_TRACKING_ID
         NIX_USER_CONF_FILES={DAEMON_CONF} setsid '{}/nix-daemon' </dev/null >/nix/var/nix/daemon.log 2>&1 &
         for _ in $(seq 100); do [ ! -S {DAEMON_SOCKET} ] || exit 0; sleep 0.1; done
         echo 'the daemon did not start:' >&2; cat /nix/var/nix/daemon.log >&2; exit 1",
        bin.display()
    );
    vec![
        script("getent group nixbld >/dev/null || groupadd --system nixbld"),
        // As many as the official installer creates.
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

/// The commands that make `/nix` writable for us.
pub(crate) fn prepare(machine: &MachineState) -> Result<Vec<Cmd>, Error> {
    let fail = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if machine.store == Access::Writable {
        return Ok(Vec::new());
    }
    if machine.store == Access::ReadOnly {
        return fail(
            "/nix is on a file system that is mounted read-only",
            "remount it writable, or use the installed Nix (`reuse: any`)",
        );
    }
    if machine.system.ends_with("darwin") {
        return match (machine.store, machine.root || machine.sudo) {
            (Access::NotWritable, _) => {
                fail("/nix belongs to another installation", "use that one (`reuse: any`)")
            }
            (_, false) => {
                fail("macOS needs a volume for /nix, and this user cannot create one", "allow `sudo -n`")
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
        Access::Missing => fail(
            "/nix does not exist, and this user cannot create it",
            "run as root, allow `sudo -n`, or create /nix and give it to this user",
        ),
        _ => fail(
            "/nix is not writable for this user",
            "use the installed Nix (`reuse: any`), or run as the owner of /nix",
        ),
    }
}

/// On macOS, a directory in the root needs synthetic.conf, and its contents need a separate
/// volume (Nix manual, "macOS installation").
fn macos_volume(machine: &MachineState) -> Vec<Cmd> {
    let steps: [&[&str]; 6] = [
        &[
            "sh",
            "-c",
            "grep -qx nix /etc/synthetic.conf 2>/dev/null || printf 'nix\\n' >>/etc/synthetic.conf",
        ],
        // Creates the directory without a restart, although it reports failure.
        &["sh", "-c", "/System/Library/Filesystems/apfs.fs/Contents/Resources/apfs.util -t || test -d /nix"],
        // In the APFS container of the system volume.
        &[
            "sh",
            "-c",
            "disk=$(diskutil info -plist / | plutil -extract ParentWholeDisk raw -o - -) && \
             diskutil apfs addVolume \"$disk\" APFS 'Nix Store' -mountpoint /nix",
        ],
        // Spotlight would index every file.
        &["mdutil", "-i", "off", "/nix"],
        &["diskutil", "enableOwnership", "/nix"],
        &["chown", &machine.user, "/nix"],
    ];
    steps.iter().map(|args| Cmd::new("sudo").arg("-n").args(args.iter().copied())).collect()
}

/// Lets every user open `/dev/kvm`, by a udev rule.
pub(crate) fn open_kvm(machine: &MachineState) -> Cmd {
    let rule = r#"KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm""#;
    as_root(machine, &format!("printf '%s\\n' '{rule}' >{KVM_RULE} && {RELOAD_RULES}"))
}

/// Removes the rule that [`open_kvm`] added.
pub(crate) fn close_kvm(machine: &MachineState) -> Cmd {
    as_root(machine, &format!("rm -f {KVM_RULE} && {RELOAD_RULES}"))
}

/// Removes the rule if it could not be applied.
pub(crate) fn remove_kvm_rule(machine: &MachineState) -> Cmd {
    as_root(machine, &format!("rm -f {KVM_RULE}"))
}

pub(crate) const KVM_RULE: &str = "/etc/udev/rules.d/99-setup-nix-kvm.rules";
const RELOAD_RULES: &str = "udevadm control --reload-rules && udevadm trigger --name-match=kvm";

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(system: &str, root: bool, sudo: bool, store: Access) -> MachineState {
        let (user, files) = ("501".to_owned(), String::new());
        let system = system.to_owned();
        MachineState {
            system,
            root,
            sudo,
            user,
            nix: None,
            store,
            custom_store: None,
            daemon: false,
            had_daemon: false,
            closed_kvm: true,
            hosted: true,
            files,
            file_count: 0,
        }
    }

    fn rendered(commands: &[Cmd]) -> Vec<String> {
        commands.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn macos_creates_a_volume_in_order_through_sudo() {
        let steps = rendered(&prepare(&machine("aarch64-darwin", false, true, Access::Missing)).unwrap());
        let expected = [
            "/etc/synthetic.conf",
            "apfs.util -t",
            "addVolume",
            "mdutil",
            "enableOwnership",
            "chown 501 /nix",
        ];
        assert_eq!(steps.len(), expected.len(), "{steps:?}");
        for (step, expected) in steps.iter().zip(expected) {
            assert!(step.starts_with("sudo -n ") && step.contains(expected), "{step}: {expected}");
        }
        assert!(steps[2].contains("ParentWholeDisk"), "the container of the system: {}", steps[2]);
    }

    #[test]
    fn the_hint_says_how_to_make_nix_writable() {
        for (system, store, hint) in [
            ("aarch64-darwin", Access::Missing, "allow `sudo -n`"),
            ("x86_64-darwin", Access::NotWritable, "reuse: any"),
            ("x86_64-linux", Access::Missing, "run as root"),
            ("aarch64-linux", Access::NotWritable, "reuse: any"),
            ("x86_64-linux", Access::ReadOnly, "mount it writable"),
            ("aarch64-darwin", Access::ReadOnly, "mount it writable"),
        ] {
            let error = prepare(&machine(system, false, false, store)).unwrap_err();
            let Error::Plan { hint: found, .. } = error else { panic!("{error}") };
            assert!(found.contains(hint), "{system} {store:?}: {found}");
        }
    }

    #[test]
    fn linux_makes_nix_as_root_or_by_sudo() {
        let root = rendered(&prepare(&machine("x86_64-linux", true, false, Access::Missing)).unwrap());
        assert_eq!(root, ["mkdir -m 0755 /nix"]);
        let sudo = rendered(&prepare(&machine("x86_64-linux", false, true, Access::Missing)).unwrap());
        assert_eq!(sudo, ["sudo -n mkdir -m 0755 /nix", "sudo -n chown 501 /nix"]);
        let ours = prepare(&machine("x86_64-linux", false, false, Access::Writable)).unwrap();
        assert!(ours.is_empty());
    }

    #[test]
    fn the_kvm_rule_is_written_by_root_or_sudo() {
        assert!(
            open_kvm(&machine("x86_64-linux", true, false, Access::Writable)).to_string().starts_with("sh ")
        );
        let sudo = open_kvm(&machine("x86_64-linux", false, true, Access::Writable)).to_string();
        assert!(sudo.starts_with("sudo -n sh ") && sudo.contains("99-setup-nix-kvm.rules"), "{sudo}");
    }
}
