//! The context of the workflow run, as the runner provides it.

#[cfg(all(unix, feature = "runner"))]
mod github;
#[cfg(any(test, not(all(unix, feature = "runner"))))]
mod plain;

#[cfg(all(unix, feature = "runner"))]
pub(crate) use github::context;
#[cfg(not(all(unix, feature = "runner")))]
pub(crate) use plain::context;
