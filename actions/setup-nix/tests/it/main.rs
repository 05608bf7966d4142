//! Runs the action with a real Nix, on machines whose `/nix` is a temporary directory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod download;
#[cfg(tools)]
mod machine;

testkit::needs_tools! {
    mod cache;
    mod daemon;
    mod faithful;
    mod hostile;
    mod hostile_cache;
    mod idle;
    mod install;
    mod job;
    mod layers;
    mod mounted;
    mod newer;
    mod packer;
    mod refused;
    mod report;
    mod settings;
    mod soak;
}
