//! A machine whose `/nix` is a new ext4 file system, so that earlier runs do not affect a
//! measurement.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use testkit::tools::command;

use crate::machine::Machine;

/// Enough for the largest store.
const BYTES: u64 = 12_000_000_000;

pub(crate) struct Disk {
    device: String,
    machine: Machine,
}

impl Disk {
    /// A machine with an empty `/nix`.
    pub(crate) fn new() -> Self {
        let machine = Machine::new();
        let image = machine.path("disk");
        File::create(&image).unwrap().set_len(BYTES).unwrap();
        // Keep the kernel from initialising tables during a measurement.
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        assert!(
            command("mkfs.ext4").args(["-q", "-F", "-E", options]).arg(&image).status().unwrap().success()
        );
        // Direct I/O, without a second copy in memory.
        let device =
            command("losetup").args(["--direct-io=on", "-f", "--show"]).arg(&image).output().unwrap();
        assert!(device.status.success(), "{}", crate::machine::text(&device));
        let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        // Constructed first, so that the device is released on any failure.
        let disk = Self { device, machine };
        assert!(command("mount").arg(&disk.device).arg(disk.path("nix")).status().unwrap().success());
        std::fs::remove_dir(disk.path("nix/lost+found")).unwrap();
        disk
    }
}

impl Deref for Disk {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let run = |program: &str, args: &[&Path]| {
            if !command(program).args(args).status().is_ok_and(|status| status.success()) {
                println!("# `{program} {args:?}` failed: run it manually");
            }
        };
        run("umount", &[&self.path("nix")]);
        run("losetup", &[Path::new("-d"), Path::new(&self.device)]);
    }
}
