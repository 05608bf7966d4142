//! A child on a pseudo-terminal.
//!
//! The only module with `unsafe`: between fork and exec the child must become
//! the leader of a session and take the terminal as its controlling one.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A command on its terminal.
pub(crate) struct Pty {
    pub(crate) pid: u32,
    /// Our end of the terminal; it does not block.
    pub(crate) master: OwnedFd,
    /// The command's end. While this is open the terminal does not hang up
    /// though the command closes all of its own descriptors, as many do just
    /// before they end.
    pub(crate) slave: OwnedFd,
}

/// Starts `command` on a new pseudo-terminal of this size.
pub(crate) fn spawn(command: &[String], cols: u16, rows: u16) -> io::Result<Pty> {
    let [program, args @ ..] = command else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty())?;
    resize(&slave, cols, rows)?;

    let mut process = Command::new(program);
    process.args(args).env("TERM", "xterm-256color");
    process.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
    // SAFETY: setsid and ioctl are async-signal-safe and allocate nothing;
    // standard input is the terminal by the time this runs.
    unsafe {
        process.pre_exec(|| {
            setsid()?;
            ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    let pid = process.spawn()?.id();
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    Ok(Pty { pid, master, slave })
}

/// Tells the terminal, and so the programs on it, its new size.
pub(crate) fn resize(terminal: impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}
