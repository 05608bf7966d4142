//! What tests share: tools installed by `cargo xtask setup-test-tools`, and
//! fakes of the services that cannot run on a test machine.

pub mod index;
pub mod tools;
