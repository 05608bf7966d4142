//! Test support: tools installed by `cargo xtask setup-test-tools`, and fakes of services that
//! cannot run on a test machine.

mod binary;
pub mod fault;
pub mod github;
pub mod index;
pub mod large;
pub mod network;
pub mod oidc;
mod pe;
pub mod refusals;
pub mod sample;
pub mod server;
pub mod sigstore;
pub mod tools;
pub mod warehouse;
pub mod wheel;

/// Declares test modules that need the tools of `cargo xtask setup-test-tools`. Without the
/// tools, each module is replaced by an ignored test; `cargo xtask test` installs them first.
#[macro_export]
macro_rules! needs_tools {
    ($(mod $name:ident;)+) => {$(
        #[cfg(tools)]
        mod $name;
        #[cfg(not(tools))]
        mod $name {
            #[test]
            #[ignore = "needs the tools that `cargo xtask test` installs"]
            fn needs_tools() {
                panic!("run `cargo xtask test`");
            }
        }
    )+};
}
