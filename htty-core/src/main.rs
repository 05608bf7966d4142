//! ht: a headless terminal. It runs a command on a pseudo-terminal, keeps the
//! screen, and speaks JSON lines on standard input and output.

mod keys;
mod listen;
mod output;
mod process;
mod protocol;
mod pty;
mod readiness;
mod screen;
mod session;
mod settle;
mod style;
mod utf8;
mod view;
mod wait_exit;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::listen::Listener;
use crate::protocol::{StyleMode, Subscription};
use crate::session::{Settings, complain};

/// Headless terminal: runs a command, takes commands and gives events as JSON lines
#[derive(Parser)]
#[command(
    name = "ht",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_GIT_SHA"), ")"),
    args_conflicts_with_subcommands = true
)]
struct Args {
    /// Terminal size
    #[arg(long, value_name = "COLSxROWS", default_value = "120x40", value_parser = size)]
    size: (u16, u16),
    /// Serve a live view over HTTP [address without one: 127.0.0.1:0, any free port]
    #[arg(short, long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    listen: Option<SocketAddr>,
    /// Events to print, separated by commas: init, output, resize, snapshot, pid, exitCode,
    /// commandCompleted, debug
    #[arg(long, value_name = "EVENTS", default_value = "", hide_default_value = true)]
    subscribe: Subscription,
    /// How snapshots look
    #[arg(short, long, value_enum, default_value_t)]
    style_mode: StyleMode,
    /// Command to run in the terminal; one word with blanks in it is run by `/bin/sh -c`
    #[arg(trailing_var_arg = true, default_value = "bash")]
    command: Vec<String>,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Subcommand)]
enum Other {
    /// Wait until a file is gone
    WaitExit {
        /// The file
        file: PathBuf,
    },
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (cols, rows) = text.split_once('x')?;
        Some((cols.parse().ok().filter(|cols| *cols > 0)?, rows.parse().ok().filter(|rows| *rows > 0)?))
    };
    parse().ok_or_else(|| "expected COLSxROWS, such as 80x24".to_owned())
}

/// One word that is no program's name is a line for a shell.
fn words(command: Vec<String>) -> Vec<String> {
    match command.as_slice() {
        [line] if line.contains(char::is_whitespace) && !std::path::Path::new(line).is_file() => {
            vec!["/bin/sh".into(), "-c".into(), line.clone()]
        }
        _ => command,
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Other::WaitExit { file }) = args.other {
        return match wait_exit::wait(&file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("cannot watch {}: {error}", file.display())),
        };
    }
    let mut listener = None;
    if let Some(address) = args.listen {
        match Listener::start(address) {
            Ok((started, address)) => {
                complain(&format!("ht: live view at http://{address}"));
                listener = Some(started);
            }
            Err(error) => return fail(&format!("cannot listen on {address}: {error}")),
        }
    }
    let command = words(args.command);
    let told = command.join(" ");
    let (size, subscription, style) = (args.size, args.subscribe, args.style_mode);
    match session::run(Settings { command, size, subscription, style, listener }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot run {told}: {error}")),
    }
}

fn fail(message: &str) -> ExitCode {
    complain(&format!("ht: {message}"));
    ExitCode::FAILURE
}
