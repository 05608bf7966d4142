//! From files to facts: every archive is walked once, its members spread over
//! the processors.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pydist::digest::{Sha256Bytes, sha256_reader};
use pydist::filename::DistName;
use pydist::metadata::Metadata;
use pydist::wheel_file::WheelFile;
use pydist::zip::{Archive, DataError, Limits};
use pydist::{record, tar};
use toolkit::FileError;

use crate::content::{Code, Content, Keep, Missed, Scratch, TEXT_LIMIT};
use crate::facts::{Body, Dist, Member, Sdist, Wheel};

/// A piece of work that one thread does.
enum Job {
    /// Hash the whole file.
    Digest(usize),
    /// Walk a source distribution.
    Sdist(usize),
    /// Read members of a wheel.
    Members(usize, Vec<usize>),
}

/// What a job gives.
enum Done {
    Digest(usize, io::Result<(Sha256Bytes, u64)>),
    Sdist(usize, Sdist),
    Members(usize, Vec<(usize, Member, Vec<u8>)>),
}

struct Open {
    path: PathBuf,
    filename: String,
    file: File,
    size: u64,
    /// For a wheel: its records, or why there are none.
    archive: Option<Result<Archive, String>>,
}

/// Members of up to this many compressed bytes share a job.
const BATCH: u64 = 1 << 20;

/// Reads the facts of all `paths`, with `threads` threads. The order of the
/// result is that of the file names.
pub fn scan(paths: &[PathBuf], limits: &Limits, threads: usize) -> Result<Vec<Dist>, FileError> {
    let mut open = paths.iter().map(|path| open(path, limits)).collect::<Result<Vec<_>, _>>()?;
    open.sort_by(|a, b| (&a.filename, &a.path).cmp(&(&b.filename, &b.path)));
    let mut jobs: Vec<(u64, Job)> = Vec::new();
    for (index, dist) in open.iter().enumerate() {
        // Hashing is about ten times as fast as inflating.
        jobs.push((dist.size / 10, Job::Digest(index)));
        match &dist.archive {
            None => jobs.push((dist.size, Job::Sdist(index))),
            Some(Ok(archive)) => {
                let (mut batch, mut weight) = (Vec::new(), 0);
                for (at, member) in archive.members.iter().enumerate() {
                    batch.push(at);
                    weight += member.compressed + member.size / 16 + 1;
                    if weight > BATCH {
                        jobs.push((weight, Job::Members(index, std::mem::take(&mut batch))));
                        weight = 0;
                    }
                }
                jobs.push((weight, Job::Members(index, batch)));
            }
            Some(Err(_)) => {}
        }
    }
    // The heaviest first: no thread is left alone with a large one at the end.
    jobs.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || {
            let mut scratch = Scratch::new();
            while let Some((_, job)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = run(job, &open, limits, &mut scratch);
                if let Ok(mut done) = done.lock() {
                    done.push(result);
                }
            }
        };
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_default();
    assemble(open, done)
}

fn open(path: &Path, limits: &Limits) -> Result<Open, FileError> {
    let file = File::open(path).map_err(FileError::new("read", path))?;
    let size = file.metadata().map_err(FileError::new("read", path))?.len();
    let filename = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let archive = filename.ends_with(".whl").then(|| Archive::open(&file, limits).map_err(told));
    Ok(Open { path: path.to_owned(), filename, file, size, archive })
}

/// An error with its causes, in one line.
#[allow(clippy::needless_pass_by_value)]
fn told(error: impl std::error::Error) -> String {
    toolkit::error_chain(&error)
}

fn run(job: &Job, open: &[Open], limits: &Limits, scratch: &mut Scratch) -> Done {
    match job {
        Job::Digest(index) => Done::Digest(*index, digest(&open[*index])),
        Job::Sdist(index) => Done::Sdist(*index, sdist(&open[*index], limits, scratch)),
        Job::Members(index, members) => {
            let Open { archive: Some(Ok(archive)), file, .. } = &open[*index] else {
                return Done::Members(*index, Vec::new());
            };
            let read = |at: &usize| {
                let raw = &archive.members[*at];
                let mut member = Member {
                    name: raw.name.clone(),
                    size: raw.size,
                    compressed: raw.compressed,
                    mode: raw.unix_mode,
                    ..Member::default()
                };
                let keep =
                    if is_text(&raw.name) && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
                let mut pass = |code| -> Result<_, DataError> {
                    let mut content = Content::new(scratch, keep, code);
                    raw.read(file, |bytes| content.take(bytes))?;
                    Ok(content.finish(&mut member))
                };
                let read = pass(Code::Drop).and_then(|found| match found {
                    Err(Missed) => pass(Code::Keep),
                    kept => Ok(kept),
                });
                let kept = match read {
                    Ok(kept) => kept.unwrap_or_default(),
                    Err(error) => {
                        member.error = Some(told(error));
                        Vec::new()
                    }
                };
                if is_licence(&raw.name) {
                    member.licence = Some(String::from_utf8_lossy(&kept).into_owned());
                }
                (*at, member, kept)
            };
            Done::Members(*index, members.iter().map(read).collect())
        }
    }
}

fn digest(open: &Open) -> io::Result<(Sha256Bytes, u64)> {
    sha256_reader(At { file: &open.file, offset: 0, left: open.size })
}

/// Files of `….dist-info` that rules read.
fn is_text(name: &str) -> bool {
    let Some((folder, rest)) = name.split_once('/') else { return false };
    folder.ends_with(".dist-info")
        && (["METADATA", "WHEEL", "RECORD", "entry_points.txt"].contains(&rest) || is_licence(name))
}

/// A licence's text: `LICENSE`, `COPYING`, `licenses/LICENSE-MIT` …
fn is_licence(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_uppercase();
    let top = name.contains(".dist-info/") || name.matches('/').count() == 1;
    top && ["LICENSE", "LICENCE", "COPYING"].iter().any(|word| file.starts_with(word))
}

fn sdist(open: &Open, limits: &Limits, scratch: &mut Scratch) -> Sdist {
    let mut sdist = Sdist::default();
    let source =
        io::BufReader::with_capacity(128 * 1024, At { file: &open.file, offset: 0, left: open.size });
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
                let keep = if text && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
                // A stream is read once.
                let mut content = Content::new(scratch, keep, Code::Keep);
                let mut buffer = vec![0; 64 * 1024];
                let mut size = 0;
                loop {
                    let count = reader.read(&mut buffer)?;
                    if count == 0 {
                        break;
                    }
                    size += count as u64;
                    content.take(&buffer[..count])?;
                }
                if size != raw.size {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member is cut off"));
                }
                let kept = content.finish(&mut member).unwrap_or_default();
                match file.as_str() {
                    "PKG-INFO" if text => sdist.metadata = Some(Metadata::parse(&kept)),
                    "pyproject.toml" if text => {
                        sdist.pyproject = Some(String::from_utf8_lossy(&kept).into_owned());
                    }
                    _ if text => member.licence = Some(String::from_utf8_lossy(&kept).into_owned()),
                    _ => {}
                }
            }
            tar::Kind::Folder if !member.name.ends_with('/') => member.name.push('/'),
            tar::Kind::Folder => {}
            odd => sdist.odd.push((index, odd)),
        }
        sdist.members.push(member);
        Ok(())
    });
    sdist.fault = result.err().map(told);
    sdist
}

fn assemble(open: Vec<Open>, done: Vec<Done>) -> Result<Vec<Dist>, FileError> {
    let mut digests: Vec<Option<Sha256Bytes>> = vec![None; open.len()];
    let mut bodies: Vec<Body> = open
        .iter()
        .map(|open| match &open.archive {
            Some(Err(why)) => Body::Broken(why.clone()),
            _ => Body::Wheel(Box::default()),
        })
        .collect();
    let mut members: Vec<Vec<(usize, Member, Vec<u8>)>> = open.iter().map(|_| Vec::new()).collect();
    for done in done {
        match done {
            Done::Digest(index, result) => {
                let (sha256, _) = result.map_err(FileError::new("read", &open[index].path))?;
                digests[index] = Some(sha256);
            }
            Done::Sdist(index, sdist) => {
                bodies[index] = match &sdist.fault {
                    Some(fault) if sdist.members.is_empty() => Body::Broken(fault.clone()),
                    _ => Body::Sdist(Box::new(sdist)),
                };
            }
            Done::Members(index, read) => members[index].extend(read),
        }
    }
    let mut dists = Vec::new();
    for (((open, body), mut members), sha256) in open.into_iter().zip(bodies).zip(members).zip(digests) {
        let name: Result<DistName, _> = open.filename.parse();
        members.sort_by_key(|(at, ..)| *at);
        let body = match (body, open.archive) {
            (Body::Wheel(_), Some(Ok(archive))) => {
                let expected =
                    name.as_ref().ok().and_then(DistName::wheel).map(pydist::filename::WheelName::dist_info);
                Body::Wheel(Box::new(wheel(archive, members, expected.as_deref())))
            }
            (body, _) => body,
        };
        let Open { path, filename, size, .. } = open;
        dists.push(Dist { path, filename, name, size, sha256: sha256.unwrap_or_default(), body });
    }
    Ok(dists)
}

fn wheel(archive: Archive, read: Vec<(usize, Member, Vec<u8>)>, expected: Option<&str>) -> Wheel {
    let folders = read.iter().filter_map(|(_, member, _)| member.name.split_once('/').map(|(top, _)| top));
    let folders: BTreeSet<&str> = folders.filter(|top| top.ends_with(".dist-info")).collect();
    let mut dist_infos: Vec<String> = folders.into_iter().map(str::to_owned).collect();
    dist_infos.sort_by_key(|folder| Some(folder.as_str()) != expected);
    let mut wheel = Wheel { faults: archive.faults, ..Wheel::default() };
    let own = dist_infos.first().cloned().unwrap_or_default();
    for (_, member, kept) in read {
        if member.error.is_none() {
            match member.name.strip_prefix(own.as_str()) {
                Some("/METADATA") => wheel.metadata = Some(Metadata::parse(&kept)),
                Some("/WHEEL") => wheel.wheel = Some(WheelFile::parse(&kept)),
                Some("/RECORD") => wheel.record = Some(record::parse(&kept)),
                Some("/entry_points.txt") => {
                    wheel.entry_points = Some(String::from_utf8_lossy(&kept).into_owned());
                }
                _ => {}
            }
        }
        wheel.members.push(member);
    }
    wheel.dist_infos = dist_infos;
    wheel
}

/// A file as a stream, from a place of its own: threads share the file.
struct At<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        binfmt::source::ReadAt::read_exact_at(self.file, self.offset, &mut buffer[..count])?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
