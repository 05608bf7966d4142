//! The runner's protocol, for actions that are plain binaries too.
//!
//! An action declares its inputs and outputs once, as a [`Spec`]. From it come
//! the command line, the reading of `INPUT_*`, and (by `cargo xtask gen`) the
//! `action.yml` and the tables of its README. Everything an action prints goes
//! through [`Ui`], which escapes what the runner would otherwise take for a
//! command and hides what has been masked.

mod cli;
mod context;
mod env;
mod error;
mod files;
mod inputs;
mod process;
mod secret;
mod spec;
mod summary;
mod ui;

pub use cli::{Invocation, main, tell};
pub use context::Context;
pub use env::Env;
pub use error::{Exit, Failure, FileError, causes};
pub use files::{random_hex, write_atomic};
pub use inputs::{InputError, InputErrors, Reader};
pub use process::{Cmd, Done, Io, ProcessError, Processes, Service, System, handle_interrupts, interrupted};
pub use secret::{Secret, leave_no_dump};
pub use spec::{Command, Input, Kind, Output, Spec};
pub use summary::Summary;
pub use ui::{Annotation, Captured, Level, Masks, Progress, Ui};
