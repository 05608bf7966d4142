//! What the operating systems do differently. The other modules of the actions
//! have no `cfg` for Windows, except `runner`, `binfmt`'s positioned reads and writes, and
//! build-wheel's `search_path`, which knows how a Python is laid out there.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{KillHandle, env_name, persist, prepare_group, set_file_mode};
#[cfg(unix)]
pub use unix::{link, make_executable, protect_memory};
#[cfg(windows)]
pub(crate) use windows::{KillHandle, env_name, persist, prepare_group, set_file_mode};
#[cfg(windows)]
pub use windows::{link, make_executable, protect_memory};
