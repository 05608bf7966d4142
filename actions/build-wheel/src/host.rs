//! The machine that runs this program, as a target.

use pydist::target::{Arch, System, Target};
use toolkit::Env;

/// The target of this machine, if it is supported.
pub(crate) fn host(env: &Env) -> Option<Target> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        "x86" => Arch::I686,
        "arm" => Arch::Armv7l,
        "s390x" => Arch::S390x,
        "loongarch64" => Arch::Loongarch64,
        "riscv64" => Arch::Riscv64,
        "powerpc64" if cfg!(target_endian = "little") => Arch::Ppc64le,
        _ => return None,
    };
    let target = |system| Target { arch, system };
    match std::env::consts::OS {
        "macos" => Some(target(System::Macos)),
        // Independent of this program's own target: Python and Rust use MSVC, and the
        // released program for x86-64 also runs on ARM.
        "windows" => {
            let arch = if is_arm_machine(env) { Arch::Aarch64 } else { arch };
            Some(Target { arch, system: System::Msvc })
        }
        // This program may be static, so the loader on the machine determines
        // which C library it has.
        "linux" => {
            let glibc = target(System::Gnu);
            let musl = target(System::Musl);
            let exists =
                |target: &Target| target.loader().is_some_and(|path| std::path::Path::new(&path).exists());
            Some(if exists(&musl) && !exists(&glibc) { musl } else { glibc })
        }
        _ => None,
    }
}

/// Whether the machine `host` starts programs for the architecture with
/// this name in the system's platform tags, without QEMU.
pub(crate) fn starts(host: Target, tag_arch: &str) -> bool {
    tag_arch == host.tag_arch()
        || match host.system {
            System::Macos => tag_arch == "universal2",
            // Windows on x86-64 runs x86 programs, and Windows on ARM emulates both.
            System::Msvc | System::Mingw => {
                tag_arch == "x86" || tag_arch == "amd64" && host.arch != Arch::I686
            }
            System::Gnu | System::Musl => false,
        }
}

/// Whether the Windows machine has an ARM processor, which an emulated program can only learn
/// from the runner or from the name of the processor (`ARMv8 (64-bit) Family 8 …`).
fn is_arm_machine(env: &Env) -> bool {
    match env.get("RUNNER_ARCH") {
        Some(arch) => arch.eq_ignore_ascii_case("ARM64"),
        None => env.get("PROCESSOR_IDENTIFIER").is_some_and(|name| name.starts_with("ARM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_loader_exists() {
        let host = host(&Env::from_process()).unwrap();
        if let Some(loader) = host.loader() {
            assert!(std::path::Path::new(&loader).exists(), "{loader}");
        }
    }

    /// The released program is for x86-64.
    #[test]
    fn the_environment_shows_an_arm_machine() {
        let arm = "ARMv8 (64-bit) Family 8 Model D4B Revision 0, Qualcomm";
        let intel = "Intel64 Family 6 Model 106 Stepping 6, GenuineIntel";
        for (variables, expected) in [
            (&[("RUNNER_ARCH", "ARM64")][..], true),
            (&[("RUNNER_ARCH", "X64"), ("PROCESSOR_IDENTIFIER", intel)], false),
            (&[("PROCESSOR_IDENTIFIER", arm)], true),
            (&[("PROCESSOR_IDENTIFIER", intel)], false),
            (&[], false),
        ] {
            let env = Env::from_iter(variables.iter().copied());
            assert_eq!(is_arm_machine(&env), expected, "{variables:?}");
        }
    }

    #[test]
    fn windows_runs_programs_for_compatible_architectures() {
        let starts = |host: &str, arch: &str| starts(Target::parse(host).unwrap(), arch);
        for (host, x86, amd64, arm64) in [
            ("i686-pc-windows-msvc", true, false, false),
            ("x86_64-pc-windows-msvc", true, true, false),
            ("aarch64-pc-windows-msvc", true, true, true),
        ] {
            assert_eq!(
                ["x86", "amd64", "arm64"].map(|arch| starts(host, arch)),
                [x86, amd64, arm64],
                "{host}"
            );
        }
        assert!(starts("aarch64-apple-darwin", "universal2") && !starts("aarch64-apple-darwin", "x86_64"));
        assert!(!starts("x86_64-unknown-linux-gnu", "i686"), "the smoke test uses QEMU");
    }
}
