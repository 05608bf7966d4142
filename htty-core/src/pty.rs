//! Starts a child on a pseudo-terminal.
//!
//! The only module with `unsafe`: between fork and exec, the child must become a session
//! leader and acquire the terminal as its controlling terminal.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::emulator::CELL;
use crate::error::Error;

/// A command and its terminal.
pub(crate) struct Pty {
    pub(crate) pid: u32,
    /// Our end of the terminal, nonblocking.
    pub(crate) master: OwnedFd,
    /// The command's end. Keeping it open prevents a hang-up if the command closes all of its
    /// descriptors, as many do just before they exit.
    pub(crate) slave: OwnedFd,
}

/// Starts `command` on a new pseudo-terminal of this size, with `term` as its `TERM`.
pub(crate) fn spawn(command: &[String], term: &str, cols: u16, rows: u16) -> Result<Pty, Error> {
    let [program, args @ ..] = command else {
        return Err(Error::when("no command")(io::ErrorKind::InvalidInput.into()));
    };
    let (master, slave) = open(cols, rows).map_err(|error| {
        Error::when("cannot open a pseudo-terminal")(error).hint("mount devpts at `/dev/pts`")
    })?;
    let streams = || -> io::Result<_> { Ok((slave.try_clone()?, slave.try_clone()?, slave.try_clone()?)) };
    let (stdin, stdout, stderr) = streams().map_err(Error::when("cannot duplicate a descriptor"))?;
    let mut process = Command::new(program);
    process.args(args).env("TERM", term).env("COLORTERM", "truecolor");
    // They describe the terminal that ht was started from.
    process.env_remove("COLUMNS").env_remove("LINES");
    process.stdin(stdin).stdout(stdout).stderr(stderr);
    // SAFETY: setsid and ioctl are async-signal-safe and do not allocate; standard input
    // is already the terminal when this runs.
    unsafe {
        process.pre_exec(|| {
            setsid()?;
            ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    let pid = process.spawn().map_err(Error::when(format!("cannot run `{program}`")))?.id();
    Ok(Pty { pid, master, slave })
}

/// Opens both ends of a new pseudo-terminal.
fn open(cols: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty())?;
    resize(&slave, cols, rows)?;
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    Ok((master, slave))
}

/// Changes the size of the terminal, which notifies its programs.
pub(crate) fn resize(terminal: impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    let (width, height) = CELL;
    let size = Winsize {
        ws_col: cols,
        ws_row: rows,
        ws_xpixel: cols.saturating_mul(width),
        ws_ypixel: rows.saturating_mul(height),
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Whether the terminal passes on keys immediately instead of line by line.
pub(crate) fn is_raw(terminal: impl AsFd) -> bool {
    tcgetattr(terminal).is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
}

/// Whether the terminal contains typed input that nobody has read.
pub(crate) fn has_unread(terminal: impl AsFd) -> bool {
    rustix::io::ioctl_fionread(terminal).is_ok_and(|count| count > 0)
}
