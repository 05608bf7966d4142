//! Tests a wheel as its users install it: in a clean environment, on a machine
//! without Nix.

mod emulated;
mod install;
mod native;
mod outcome;
mod python;
mod result;
mod smoke_test;
mod test;

pub(crate) use result::{Smoke, SmokeError, SmokeResult};
pub(crate) use test::{check_setup, test};
