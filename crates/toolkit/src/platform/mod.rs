//! Differences between operating systems. No other module of the actions has a `cfg` for
//! Windows, except `runner`, the positioned I/O of `binfmt`, and build-wheel's `search_path`,
//! which knows the layout of Python on Windows.

#[cfg(any(windows, test))]
mod copy;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{ERRORS_OF_OPEN_FILES, KillHandle, any_length, env_name, prepare_group, set_file_mode};
#[cfg(unix)]
pub use unix::{IGNORES_CASE, link, make_executable, protect_memory};
#[cfg(windows)]
pub(crate) use windows::{
    ERRORS_OF_OPEN_FILES, KillHandle, any_length, env_name, prepare_group, set_file_mode,
};
#[cfg(windows)]
pub use windows::{IGNORES_CASE, link, make_executable, protect_memory};
