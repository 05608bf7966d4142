//! Units of work, each for one thread.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use binfmt::source::ReadAt;
use pydist::digest::{Sha256Bytes, sha256_reader};
use pydist::metadata::Metadata;
use pydist::tar;
use pydist::zip::{Archive, DataError, Limits};

use super::text::{credentials, has_credentials, is_licence, is_text};
use crate::content::{ContentScan, Keep, MissedRange, TEXT_LIMIT};
use crate::dist::{Member, Sdist};
use crate::hashed::HashedFile;

/// A unit of work for the file with this index.
pub(super) enum Job {
    /// Hash the whole file.
    Digest(usize),
    /// Read a source distribution.
    Sdist(usize),
    /// Read members of a wheel; on two threads if they exceed one thread's share of the work, since
    /// the other threads would otherwise idle.
    Members(usize, Vec<usize>, Threads),
    /// Read all members of a wheel and hash it at the same time.
    Wheel(usize),
}

/// How many threads read a large member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    Two,
}

/// A member's index in its archive, the member, and its text if a rule reads it.
pub(super) type ReadMember = (usize, Member, Vec<u8>);

/// The result of a job.
pub(super) enum JobOutput {
    Digest(usize, io::Result<Sha256Bytes>),
    Sdist(usize, io::Result<Box<Sdist>>),
    Members(usize, io::Result<Vec<ReadMember>>),
}

pub(super) struct OpenDist {
    pub(super) path: PathBuf,
    pub(super) filename: String,
    pub(super) size: u64,
    /// For a wheel: its records, or why they cannot be read.
    pub(super) archive: Option<Result<Archive, String>>,
}

/// Members of up to this many compressed bytes share a job.
const BATCH: u64 = 1 << 20;

/// The approximate cost of reading a member.
fn cost(member: &pydist::zip::Member) -> u64 {
    member.compressed + member.size / 16 + 1
}

/// Splits all work on `open` so that `threads` threads finish together.
pub(super) fn jobs(open: &[OpenDist], threads: usize) -> Vec<Job> {
    let members = |open: &OpenDist| match &open.archive {
        Some(Ok(archive)) => archive.members.iter().map(cost).sum(),
        _ => open.size,
    };
    let share = open.iter().map(members).sum::<u64>() / threads.max(1) as u64;
    let mut jobs: Vec<(u64, Job)> = Vec::new();
    for (index, dist) in open.iter().enumerate() {
        // Hashing is about ten times as fast as inflating.
        let digest = (dist.size / 10, Job::Digest(index));
        match &dist.archive {
            Some(Ok(_)) if members(dist) <= share => jobs.push((members(dist), Job::Wheel(index))),
            Some(Ok(archive)) => {
                jobs.push(digest);
                let (mut batch, mut costs) = (Vec::new(), 0);
                for (at, member) in archive.members.iter().enumerate() {
                    batch.push(at);
                    costs += cost(member);
                    if costs > BATCH {
                        let threads = if costs > share { Threads::Two } else { Threads::One };
                        jobs.push((costs, Job::Members(index, std::mem::take(&mut batch), threads)));
                        costs = 0;
                    }
                }
                jobs.push((costs, Job::Members(index, batch, Threads::One)));
            }
            Some(Err(_)) => jobs.push(digest),
            None => jobs.extend([digest, (dist.size, Job::Sdist(index))]),
        }
    }
    // The most expensive first, so that no thread is left with a large one at the end.
    jobs.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
    jobs.into_iter().map(|(_, job)| job).collect()
}

impl Job {
    pub(super) fn run(&self, open: &[OpenDist], limits: &Limits) -> Vec<JobOutput> {
        match self {
            Self::Digest(index) => vec![JobOutput::Digest(*index, digest(&open[*index]))],
            Self::Sdist(index) => {
                vec![JobOutput::Sdist(*index, sdist(&open[*index], limits).map(Box::new))]
            }
            Self::Members(index, members, threads) => {
                let file = || File::open(&open[*index].path);
                let read = || members_of(&open[*index], &file()?, members, *threads);
                vec![JobOutput::Members(*index, read())]
            }
            Self::Wheel(index) => match read_wheel(&open[*index]) {
                Ok((digest, members)) => {
                    vec![JobOutput::Digest(*index, Ok(digest)), JobOutput::Members(*index, Ok(members))]
                }
                Err(error) => vec![JobOutput::Digest(*index, Err(error))],
            },
        }
    }
}

/// Reads all members of a wheel, in the order in which they are stored, and the
/// file's digest.
fn read_wheel(open: &OpenDist) -> io::Result<(Sha256Bytes, Vec<ReadMember>)> {
    // Opened here, because a release may have more files than a process may open.
    let file = File::open(&open.path)?;
    let hashed = HashedFile::new(&file);
    let mut order: Vec<usize> = Vec::new();
    if let Some(Ok(archive)) = &open.archive {
        order.extend(0..archive.members.len());
        order.sort_by_key(|at| archive.members[*at].data_offset);
    }
    let members = members_of(open, &hashed, &order, Threads::One)?;
    Ok((hashed.finish(open.size)?, members))
}

/// Some members of a wheel.
fn members_of(
    open: &OpenDist,
    source: &impl ReadAt,
    members: &[usize],
    threads: Threads,
) -> io::Result<Vec<ReadMember>> {
    let Some(Ok(archive)) = &open.archive else { return Ok(Vec::new()) };
    let read = |at: &usize| {
        let (member, kept) = read_member(&archive.members[*at], source, threads)?;
        Ok((*at, member, kept))
    };
    members.iter().map(read).collect()
}

fn read_member(
    raw: &pydist::zip::Member,
    source: &impl ReadAt,
    threads: Threads,
) -> io::Result<(Member, Vec<u8>)> {
    let mut member = Member {
        name: raw.name.clone(),
        size: raw.size,
        compressed: raw.compressed,
        mode: raw.unix_mode,
        ..Member::default()
    };
    let text = is_text(&raw.name) || credentials(&raw.name).is_some();
    let keep = if text && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
    let kept = match content(raw, source, keep, threads, &mut member) {
        Ok(kept) => kept,
        Err(DataError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        Err(error) => {
            member.error = Some(error_line(error));
            Vec::new()
        }
    };
    member.has_credentials = has_credentials(&raw.name, &kept);
    if is_licence(&raw.name) {
        member.licence = Some(String::from_utf8_lossy(&kept).into_owned());
    }
    Ok((member, kept))
}

/// A binary is read at most this many times.
const PASSES: usize = 8;

/// Reads a member, and reads it again if its tables are not in the kept ranges.
fn content(
    raw: &pydist::zip::Member,
    source: &impl ReadAt,
    keep: Keep,
    threads: Threads,
    member: &mut Member,
) -> Result<Vec<u8>, DataError> {
    let mut more = Vec::new();
    loop {
        let mut content = ContentScan::new(&raw.name, raw.size, keep, &more);
        let update = |bytes: &[u8]| {
            content.update(bytes);
            Ok(())
        };
        match threads {
            Threads::One => raw.read(source, update)?,
            Threads::Two => raw.read_ahead(source, update)?,
        }
        match content.finish(member) {
            Ok(kept) => return Ok(kept),
            Err(MissedRange(range)) if more.len() < PASSES => more.push(range),
            Err(_) => return Ok(Vec::new()),
        }
    }
}

fn digest(open: &OpenDist) -> io::Result<Sha256Bytes> {
    let file = File::open(&open.path)?;
    let (digest, _) = sha256_reader(FileStream { file: &file, offset: 0, left: open.size, failed: None })?;
    Ok(digest)
}

fn sdist(open: &OpenDist, limits: &Limits) -> io::Result<Sdist> {
    let mut sdist = Sdist::default();
    let file = File::open(&open.path)?;
    let failed = Cell::new(None);
    let at = FileStream { file: &file, offset: 0, left: open.size, failed: Some(&failed) };
    let source = io::BufReader::with_capacity(128 * 1024, at);
    let result = tar::walk(source, limits, |raw, reader| {
        let mut member =
            Member { name: raw.name.clone(), size: raw.size, mode: Some(raw.mode), ..Member::default() };
        let index = sdist.members.len();
        match raw.kind {
            tar::Kind::File => {
                let top = raw.name.trim_start_matches("./").matches('/').count() == 1;
                let file = member.file_name().to_owned();
                let text =
                    top && (["PKG-INFO", "pyproject.toml"].contains(&file.as_str()) || is_licence(&raw.name));
                let cargo = file == "Cargo.toml";
                let is_read = text || cargo || credentials(&raw.name).is_some();
                let keep = if is_read && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
                // A stream can be read only once.
                let mut content = ContentScan::new(&raw.name, raw.size, keep, &[]);
                let mut buffer = vec![0; 64 * 1024];
                let mut size = 0;
                loop {
                    let count = reader.read(&mut buffer)?;
                    if count == 0 {
                        break;
                    }
                    size += count as u64;
                    content.update(&buffer[..count]);
                }
                if size != raw.size {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member is cut off"));
                }
                let kept = content.finish(&mut member).unwrap_or_default();
                member.has_credentials = has_credentials(&raw.name, &kept);
                match file.as_str() {
                    "PKG-INFO" if text => sdist.metadata = Some(Metadata::parse(&kept)),
                    "pyproject.toml" if text => {
                        sdist.pyproject = Some(String::from_utf8_lossy(&kept).into_owned());
                    }
                    _ if cargo => {
                        let text = String::from_utf8_lossy(&kept).into_owned();
                        sdist.cargo.insert(raw.name.trim_start_matches("./").to_owned(), text);
                    }
                    _ if text => member.licence = Some(String::from_utf8_lossy(&kept).into_owned()),
                    _ => {}
                }
            }
            tar::Kind::Directory if !member.name.ends_with('/') => member.name.push('/'),
            tar::Kind::Directory => {}
            special => sdist.special.push((index, special)),
        }
        sdist.members.push(member);
        Ok(())
    });
    if let Some(error) = failed.take() {
        return Err(error);
    }
    sdist.fault = result.err().map(error_line);
    Ok(sdist)
}

/// An error with its causes on one line.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn error_line(error: impl std::error::Error) -> String {
    toolkit::error_chain(&error)
}

/// A file as a stream with its own position, because threads share the file.
struct FileStream<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
    /// Receives I/O errors, to distinguish them from errors in the archive.
    failed: Option<&'a Cell<Option<io::Error>>>,
}

impl Read for FileStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = ReadAt::read_exact_at(self.file, self.offset, &mut buffer[..count]);
        if let (Err(error), Some(failed)) = (&read, self.failed) {
            failed.set(Some(io::Error::new(error.kind(), error.to_string())));
        }
        read?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
