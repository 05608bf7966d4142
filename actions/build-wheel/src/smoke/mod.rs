//! Tries a wheel out as a user would meet it: installed into a clean
//! environment, on a machine without Nix.

mod emulated;
mod install;
mod native;
mod outcome;
mod python;
mod result;
mod test;
mod trial;

pub(crate) use result::{Smoke, SmokeError, SmokeResult};
pub(crate) use test::test;
