//! What the runner says of the workflow run.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::context;
#[cfg(windows)]
pub(crate) use windows::context;
