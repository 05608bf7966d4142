//! ht: a headless terminal. It runs a command on a pseudo-terminal, keeps the
//! screen, and speaks JSON lines on standard input and output.

mod keys;
mod protocol;
mod pty;
mod session;
mod style;
mod utf8;

use std::process::ExitCode;

use clap::Parser;

use crate::protocol::{StyleMode, Subscription};

/// Headless terminal: runs a command, takes commands and gives events as JSON lines
#[derive(Parser)]
#[command(name = "ht", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_GIT_SHA"), ")"))]
struct Args {
    /// Terminal size
    #[arg(long, value_name = "COLSxROWS", default_value = "120x40", value_parser = size)]
    size: (u16, u16),
    /// Events to print, separated by commas
    #[arg(long, value_name = "EVENTS", default_value = "")]
    subscribe: String,
    /// How snapshots look
    #[arg(short, long, value_enum, default_value_t)]
    style_mode: StyleMode,
    /// Command to run in the terminal
    #[arg(trailing_var_arg = true, default_value = "bash")]
    command: Vec<String>,
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (cols, rows) = text.split_once('x')?;
        Some((cols.parse().ok().filter(|cols| *cols > 0)?, rows.parse().ok().filter(|rows| *rows > 0)?))
    };
    parse().ok_or_else(|| "expected COLSxROWS, such as 80x24".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let subscription = match args.subscribe.as_str() {
        "" => Ok(Subscription::default()),
        events => events.parse::<Subscription>(),
    };
    let subscription = match subscription {
        Ok(subscription) => subscription,
        Err(error) => {
            session::complain(&format!("ht: --subscribe: {error}"));
            return ExitCode::from(2);
        }
    };
    match session::run(&args.command, args.size, subscription, args.style_mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            session::complain(&format!("ht: cannot run {}: {error}", args.command.join(" ")));
            ExitCode::FAILURE
        }
    }
}
