//! What the operating systems do differently. The other modules of the actions
//! have no `cfg` for Windows, except `binfmt`'s positioned reads and writes.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{KillHandle, context, env_name, prepare_group, set_file_mode};
#[cfg(unix)]
pub use unix::{link, make_executable, protect_memory};
#[cfg(windows)]
pub(crate) use windows::{KillHandle, context, env_name, prepare_group, set_file_mode};
#[cfg(windows)]
pub use windows::{link, make_executable, protect_memory};
