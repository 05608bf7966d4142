//! ht: a headless terminal. It runs a command on a pseudo-terminal, emulates the screen, and
//! communicates by JSON lines on standard input and output.

mod alis;
mod cells;
mod corrections;
mod dump;
mod emulator;
mod error;
mod input;
mod keys;
mod listen;
mod mouse;
#[cfg(target_os = "linux")]
mod nested;
mod output;
mod palette;
mod process;
mod protocol;
mod pty;
mod readiness;
mod screen;
mod session;
mod shell;
mod sleep;
mod sources;
mod style;
mod svg;
mod tasks;
mod utf8;
mod view;
mod wait_exit;

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::listen::Listener;
use crate::protocol::{StyleMode, Subscription, check_size};
use crate::session::{Settings, warn};

/// Headless terminal, controlled by JSON commands on standard input; prints JSON events
#[derive(Parser)]
#[command(
    name = "ht",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_GIT_SHA"), ")"),
    args_conflicts_with_subcommands = true
)]
struct Args {
    /// Terminal size, 2x1 to 1000x1000
    #[arg(long, value_name = "COLSxROWS", default_value = "120x40", value_parser = size)]
    size: (u16, u16),
    /// Serve a live view over HTTP on HOST:PORT, :PORT or PORT [without ADDR: any free port of
    /// 127.0.0.1]. If other machines can reach the address, viewers need the printed URL's token
    #[arg(short, long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "0", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Allow pages of this origin, such as `http://localhost:8000`, to connect to the live view,
    /// for example with an asciinema player
    #[arg(long, value_name = "ORIGIN", requires = "listen", value_parser = origin)]
    allow_origin: Vec<String>,
    /// Print these events, separated by commas: init, output, resize, snapshot, pid, exitCode,
    /// commandCompleted, debug
    #[arg(long, value_name = "EVENTS", default_value = "", hide_default_value = true)]
    subscribe: Subscription,
    /// Style of the text in snapshots
    #[arg(short, long, value_enum, default_value_t)]
    style_mode: StyleMode,
    /// TERM of the command
    #[arg(long, value_name = "NAME", default_value = "xterm-256color")]
    term: String,
    /// Number of scrollback lines to keep
    #[arg(long, value_name = "LINES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    scrollback: u32,
    /// Command to run in the terminal; a single argument with spaces is run by `/bin/sh -c`
    #[arg(trailing_var_arg = true, default_value = "bash")]
    command: Vec<String>,
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Wait until a file is removed
    WaitExit {
        /// File to wait for
        file: PathBuf,
    },
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (cols, rows) = text.split_once('x')?;
        Some((cols.parse().ok()?, rows.parse().ok()?))
    };
    let (cols, rows) = parse().ok_or("expected COLSxROWS, such as 80x24")?;
    check_size(cols, rows).map(|()| (cols, rows))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let found = text
        .to_socket_addrs()
        .map_err(|error| format!("expected HOST:PORT, :PORT or PORT, such as localhost:8080 ({error})"))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "the host name has no address".to_owned())
}

/// Parses an origin as browsers send it (RFC 6454): without a path or a trailing slash.
fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains('/') => Ok(text.to_ascii_lowercase()),
        _ => Err("expected http://HOST:PORT or https://HOST, without a path".to_owned()),
    }
}

/// Runs a single argument with spaces in a shell, unless it is the path of a program.
fn shell_command(command: Vec<String>) -> Vec<String> {
    match command.as_slice() {
        [line] if line.contains(char::is_whitespace) && !std::path::Path::new(line).is_file() => {
            vec!["/bin/sh".into(), "-c".into(), line.clone()]
        }
        _ => command,
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Subcommands::WaitExit { file }) = args.subcommand {
        return match wait_exit::wait(&file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("cannot watch `{}`: {error}", file.display())),
        };
    }
    let mut listener = None;
    if let Some(address) = args.listen {
        match Listener::start(address, args.allow_origin) {
            Ok((started, url)) => {
                warn(&format!("ht: live view at {url}"));
                listener = Some(started);
            }
            Err(error) => return fail(&format!("cannot listen on `{address}`: {error}")),
        }
    }
    let command = shell_command(args.command);
    let settings = Settings {
        command,
        size: args.size,
        term: args.term,
        scrollback: usize::try_from(args.scrollback).unwrap_or(usize::MAX),
        subscription: args.subscribe,
        style: args.style_mode,
        listener,
    };
    match session::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    warn(&format!("ht: {message}"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Args, address, origin, size};

    #[test]
    fn the_help_text() {
        insta::assert_snapshot!(Args::command().term_width(80).render_long_help());
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            (":0", "127.0.0.1:0"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        assert!(address("localhost").unwrap_err().starts_with("expected HOST:PORT"));
        assert!(address("99999").is_err());
    }

    #[test]
    fn origins() {
        assert_eq!(origin("http://LocalHost:8000").as_deref(), Ok("http://localhost:8000"));
        for text in ["localhost", "http://", "http://a/b", "http://a/", "*"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("80x24"), Ok((80, 24)));
        assert_eq!(size("1000x1000"), Ok((1000, 1000)));
        for text in ["1x1", "2x0", "1001x1", "1x1001", "65535x65535"] {
            let error = size(text).unwrap_err();
            assert_eq!(error, format!("expected 2x1 to 1000x1000 characters, found {text}"));
        }
        assert!(size("80").is_err());
        assert!(size("99999x1").is_err());
    }
}
