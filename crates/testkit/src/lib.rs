//! What tests share: tools installed by `cargo xtask setup-test-tools`, and
//! fakes of the services that cannot run on a test machine.

pub mod fault;
pub mod github;
pub mod index;
pub mod oidc;
pub mod sample;
pub mod server;
pub mod sigstore;
pub mod tools;
pub mod warehouse;
pub mod wheel;
