//! Writes Nix archives, and unpacks untrusted ones.
//!
//! Format: Nix manual, "Nix Archive (NAR) format".

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pydist::digest::Sha256Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, futimens, mkdirat, open, openat, symlinkat, utimensat};
use sha2::{Digest as _, Sha256};

use crate::limits::PathUse;
use crate::tree::TIMES;

/// In bytes.
const MAX_NAME: u64 = 255;
/// In bytes.
const MAX_LINK_TARGET: u64 = 4096;

/// A reader or writer that hashes and counts the bytes that pass through.
pub struct Hashing<T> {
    inner: T,
    hasher: Sha256,
    size: u64,
}

impl<T> Hashing<T> {
    /// Wraps a reader or a writer.
    pub fn new(inner: T) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }

    /// The number of bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The wrapped value, the digest, and the number of bytes.
    pub fn finish(self) -> (T, Sha256Bytes, u64) {
        (self.inner, self.hasher.finalize().into(), self.size)
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.update(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Unpacks the archive `from` to `to`, which must not exist, with the store's permissions
/// and times; returns the digest and size of the archive. `size` is the expected size. After
/// an error, the caller must remove the incomplete `to`.
pub(crate) fn unpack(
    from: impl Read,
    size: u64,
    to: &Path,
    path_use: &mut PathUse<'_>,
) -> io::Result<(Sha256Bytes, u64)> {
    // So that files are created with the store's permissions.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A large buffer makes hashing faster; smaller for small archives, because the buffer is
    // zeroed first.
    let capacity = usize::try_from(size).unwrap_or(usize::MAX).clamp(1 << 12, 1 << 20);
    let mut reader = Unpacker { from: io::BufReader::with_capacity(capacity, Hashing::new(from)), path_use };
    reader.expect("nix-archive-1")?;
    reader.node(parent.as_fd(), name)?;
    if reader.from.read(&mut [0])? != 0 {
        return Err(malformed("there is data after its end"));
    }
    let (_, digest, size) = reader.from.into_inner().finish();
    Ok((digest, size))
}

fn malformed(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed archive: {what}"))
}

struct Unpacker<'u, 's, R> {
    from: R,
    path_use: &'u mut PathUse<'s>,
}

impl<R: BufRead> Unpacker<'_, '_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, length: u64) -> io::Result<()> {
        let mut bytes = [0; 8];
        let count = (8 - (length % 8) as usize) % 8;
        self.from.read_exact(&mut bytes[..count])?;
        if bytes == [0; 8] { Ok(()) } else { Err(malformed("nonzero padding")) }
    }

    fn string(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let length = self.number()?;
        if length > limit {
            return Err(malformed(format!("expected a string of at most {limit} bytes, found {length}")));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(malformed)?];
        self.from.read_exact(&mut bytes)?;
        self.padding(length)?;
        Ok(bytes)
    }

    fn expect(&mut self, expected: &str) -> io::Result<()> {
        let found = self.string(MAX_NAME)?;
        if found == expected.as_bytes() {
            return Ok(());
        }
        Err(malformed(format!("expected `{expected}`, found `{}`", String::from_utf8_lossy(&found))))
    }

    fn node(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.expect("(")?;
        self.expect("type")?;
        match &self.string(MAX_NAME)?[..] {
            b"regular" => self.file(parent, name),
            b"symlink" => self.symlink(parent, name),
            b"directory" => self.directory(parent, name),
            other => Err(malformed(format!("unknown type `{}`", String::from_utf8_lossy(other)))),
        }
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let mut mode = 0o444;
        let mut word = self.string(MAX_NAME)?;
        if word == b"executable" {
            mode = 0o555;
            self.expect("")?;
            word = self.string(MAX_NAME)?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(mode))?);
        if word == b"contents" {
            let length = self.number()?;
            self.path_use.take(length)?;
            self.copy(length, &mut file)?;
            self.padding(length)?;
            word = self.string(MAX_NAME)?;
        } else {
            self.path_use.take(0)?;
        }
        if word != b")" {
            return Err(malformed("a file is not terminated"));
        }
        Ok(futimens(&file, &TIMES)?)
    }

    /// Writes directly from the buffer, because `io::copy` would use small pieces.
    fn copy(&mut self, length: u64, to: &mut File) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let bytes = self.from.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            to.write_all(&bytes[..count])?;
            self.from.consume(count);
            left -= count as u64;
        }
        Ok(())
    }

    fn symlink(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.expect("target")?;
        let target = self.string(MAX_LINK_TARGET)?;
        self.expect(")")?;
        self.path_use.take(1)?;
        symlinkat(OsStr::from_bytes(&target), parent, name)?;
        Ok(utimensat(parent, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.path_use.take(1)?;
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(parent, name, flags, Mode::empty())?;
        let mut last = Vec::new();
        loop {
            match &self.string(MAX_NAME)?[..] {
                b")" => break,
                b"entry" => {}
                _ => return Err(malformed("a directory is not terminated")),
            }
            self.expect("(")?;
            self.expect("name")?;
            let name = self.string(MAX_NAME)?;
            if name.is_empty() || name == b"." || name == b".." || name.iter().any(|c| matches!(c, b'/' | 0))
            {
                return Err(malformed(format!(
                    "invalid name `{}`",
                    String::from_utf8_lossy(&name).escape_debug()
                )));
            }
            if name <= last {
                return Err(malformed("names are not sorted"));
            }
            self.expect("node")?;
            self.path_use.enter(&name)?;
            self.node(dir.as_fd(), OsStr::from_bytes(&name))?;
            self.path_use.leave(&name);
            self.expect(")")?;
            last = name;
        }
        fchmod(&dir, Mode::from_raw_mode(0o555))?;
        Ok(futimens(&dir, &TIMES)?)
    }
}

/// Writes `path` as an archive to `to`; returns the archive's digest and size.
pub fn dump<W: Write>(path: &Path, to: W) -> io::Result<(W, Sha256Bytes, u64)> {
    let mut out = io::BufWriter::with_capacity(1 << 18, Hashing::new(to));
    write::start(&mut out)?;
    node(&mut out, path)?;
    Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?.finish())
}

fn node(out: &mut impl Write, path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        write::link(out, fs::read_link(path)?.as_os_str().as_bytes())
    } else if meta.is_dir() {
        write::directory(out)?;
        for name in sorted_names(path)? {
            write::entry(out, name.as_bytes())?;
            node(out, &path.join(&name))?;
            write::end(out)?;
        }
        write::end(out)
    } else if meta.is_file() {
        write::file(out, executable(&meta), meta.len())?;
        if io::copy(&mut File::open(path)?.take(meta.len()), out)? != meta.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write::end_file(out, meta.len())
    } else {
        Err(malformed(format!("`{}` is neither a file, a directory nor a link", path.display())))
    }
}

/// The names in a directory, in the order of an archive.
pub(crate) fn sorted_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// Whether an archive marks the file as executable.
pub(crate) fn executable(meta: &fs::Metadata) -> bool {
    meta.permissions().mode() & 0o100 != 0
}

/// The parts of an archive. The caller writes the content of files and the nodes of entries
/// between them.
pub(crate) mod write {
    use std::io::{self, Write};

    pub(crate) fn start(out: &mut impl Write) -> io::Result<()> {
        string(out, b"nix-archive-1")
    }

    pub(crate) fn link(out: &mut impl Write, target: &[u8]) -> io::Result<()> {
        strings(out, &[b"(", b"type", b"symlink", b"target", target, b")"])
    }

    /// Starts a directory; [`end`] ends it.
    pub(crate) fn directory(out: &mut impl Write) -> io::Result<()> {
        strings(out, &[b"(", b"type", b"directory"])
    }

    /// Starts an entry of a directory; [`end`] ends it.
    pub(crate) fn entry(out: &mut impl Write, name: &[u8]) -> io::Result<()> {
        strings(out, &[b"entry", b"(", b"name", name, b"node"])
    }

    pub(crate) fn end(out: &mut impl Write) -> io::Result<()> {
        string(out, b")")
    }

    /// Starts a file of `size` bytes; [`end_file`] ends it.
    pub(crate) fn file(out: &mut impl Write, executable: bool, size: u64) -> io::Result<()> {
        strings(out, &[b"(", b"type", b"regular"])?;
        if executable {
            strings(out, &[b"executable", b""])?;
        }
        string(out, b"contents")?;
        out.write_all(&size.to_le_bytes())
    }

    pub(crate) fn end_file(out: &mut impl Write, size: u64) -> io::Result<()> {
        padding(out, size)?;
        end(out)
    }

    pub(crate) fn string(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        out.write_all(&size.to_le_bytes())?;
        out.write_all(bytes)?;
        padding(out, size)
    }

    fn strings(out: &mut impl Write, items: &[&[u8]]) -> io::Result<()> {
        items.iter().try_for_each(|item| string(out, item))
    }

    fn padding(out: &mut impl Write, size: u64) -> io::Result<()> {
        out.write_all(&[0; 8][..(8 - (size % 8) as usize) % 8])
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::limits::Space;
    use crate::tree::remove;

    fn unpack(from: &[u8], size: u64, to: &Path) -> io::Result<(Sha256Bytes, u64)> {
        super::unpack(from, size, to, &mut PathUse::new(&Space::unlimited()))
    }

    fn sample(dir: &Path) -> std::path::PathBuf {
        let root = dir.join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/tool"), b"#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("bin/tool"), Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("empty"), b"").unwrap();
        std::os::unix::fs::symlink("bin/tool", root.join("link")).unwrap();
        root
    }

    #[test]
    #[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
    fn archives_are_identical_to_those_of_nix() {
        let dir = tempfile::tempdir().unwrap();
        let root = sample(dir.path());
        let (bytes, digest, size) = dump(&root, Vec::new()).unwrap();
        let nix = testkit::tools::command("nix-store").arg("--dump").arg(&root).output().unwrap();
        assert!(nix.status.success());
        assert_eq!(bytes, nix.stdout);
        let copy = dir.path().join("copy");
        assert_eq!(unpack(&bytes[..], size, &copy).unwrap(), (digest, size));
        assert_eq!(dump(&copy, Vec::new()).unwrap().0, bytes);
        remove(&copy).unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn rejects_archives_truncated_at_any_point() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, ..) = dump(&sample(dir.path()), Vec::new()).unwrap();
        for end in (0..bytes.len()).step_by(8) {
            let copy = dir.path().join(format!("copy{end}"));
            assert!(unpack(&bytes[..end], 1 << 20, &copy).is_err(), "cut at {end}");
        }
        assert!(unpack(&[&bytes[..], b"x"].concat()[..], 0, &dir.path().join("longer")).is_err());
    }

    #[test]
    fn rejects_names_that_escape_the_directory() {
        for name in ["..", ".", "", "a/b", "/etc", "a\0"] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = Vec::new();
            let words = ["nix-archive-1", "(", "type", "directory", "entry", "(", "name", name, "node"];
            for word in words.into_iter().chain(["(", "type", "regular", ")", ")", ")"]) {
                write::string(&mut bytes, word.as_bytes()).unwrap();
            }
            let error = unpack(&bytes[..], 0, &dir.path().join("to")).unwrap_err().to_string();
            assert!(error.contains("invalid name"), "{name:?}: {error}");
        }
    }
    #[test]
    fn rejects_paths_that_are_too_long_for_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let nested = |depth: usize, name: &str| {
            let mut bytes = Vec::new();
            write::start(&mut bytes).unwrap();
            for _ in 0..depth {
                write::directory(&mut bytes).unwrap();
                write::entry(&mut bytes, name.as_bytes()).unwrap();
            }
            write::link(&mut bytes, b"x").unwrap();
            for _ in 0..2 * depth {
                write::end(&mut bytes).unwrap();
            }
            bytes
        };
        let long = "a".repeat(250);
        unpack(&nested(15, &long), 0, &dir.path().join("short")).unwrap();
        let error = unpack(&nested(200, &long), 0, &dir.path().join("long")).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
        unpack(&nested(256, "a"), 0, &dir.path().join("flat")).unwrap();
        let error = unpack(&nested(257, "a"), 0, &dir.path().join("deep")).unwrap_err().to_string();
        assert!(error.contains("too deeply"), "{error}");
    }
}
