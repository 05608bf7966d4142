//! GitHub's runner protocol, for actions that also work as plain programs.
//!
//! An action declares its inputs and outputs once, as a [`Spec`]. It defines the command line,
//! the parsing of `INPUT_*` and (through `cargo xtask gen`) `action.yml` and the tables of the
//! README. [`main`] reads the environment and arguments and passes on plain values. Everything
//! that an action prints goes through [`Ui`], which escapes text that the runner would treat as
//! a command, and masks secrets.

mod annotation;
mod choice;
mod cli;
mod command;
mod context;
mod env;
mod error;
mod files;
mod generate;
mod inputs;
mod masks;
mod parallel;
mod platform;
mod process_group;
mod progress;
mod runner;
mod runner_log;
mod secret;
mod service;
mod spec;
mod summary;
mod ui;

pub use annotation::{Annotation, Level};
pub use choice::Choice;
pub use cli::{Invocation, help, main};
pub use command::{Cmd, CommandOutput, OutputMode, ProcessError};
pub use context::Context;
pub use env::Env;
pub use error::{Exit, Failure, FileError, error_chain, error_report};
pub use files::{
    copy_atomic, random_hex, read_text, remove_file, rename_file, write_atomic, write_atomic_unsynced,
};
pub use generate::Generated;
pub use inputs::{InputError, InputErrors, Reader, SECRETS};
pub use masks::Masks;
pub use parallel::{cores, parallel};
pub use platform::{
    IS_WINDOWS, PATTERNS_IGNORE_CASE, copy_link, link, make_executable, output_path, protect_memory,
};
pub use process_group::{handle_interrupts, interrupted};
pub use progress::Progress;
pub use secret::Secret;
pub use service::Service;
pub use spec::{Command, Input, InputKind, Output, Spec};
pub use summary::{Summary, count, megabytes};
pub use ui::{Captured, ToolOutput, Ui};

// For the expansion of `choice!`.
#[doc(hidden)]
pub use serde;
