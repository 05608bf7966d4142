//! Build script of the crates whose tests need tools: sets `cfg(tools)` where
//! `cargo xtask setup-test-tools` has installed them, and `cfg(emulated)` for another system
//! than this one, whose programs such as Wine's cannot find those of this machine.

// Cargo reads the output of build scripts.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tools, emulated)");
    println!("cargo::rerun-if-env-changed=XTASK_TOOLS");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let is_emulated = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != std::env::consts::OS);
    if is_emulated {
        println!("cargo::rustc-cfg=emulated");
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
    // `setup-test-tools` touches this file, so that this script runs again.
    let script = workspace.join("crates/testkit/build/tools_cfg.rs");
    println!("cargo::rerun-if-changed={}", script.display());
    let tools = std::env::var_os("XTASK_TOOLS").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
            workspace.join(target).join("tools")
        },
        PathBuf::from,
    );
    let installed = tools.join("installed");
    if installed.is_file() {
        println!("cargo::rerun-if-changed={}", installed.display());
        println!("cargo::rustc-cfg=tools");
    }
}
