//! From files to facts: every archive is walked once, its members spread over
//! the processors.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pydist::digest::{Sha256Bytes, sha256_reader};
use pydist::entry_points::EntryPoints;
use pydist::filename::DistName;
use pydist::metadata::Metadata;
use pydist::wheel_file::WheelFile;
use pydist::zip::{Archive, DataError, Limits};
use pydist::{record, tar};
use toolkit::FileError;

use crate::content::{Content, Keep, Missed, Scratch, TEXT_LIMIT};
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
    Sdist(usize, io::Result<Box<Sdist>>),
    Members(usize, io::Result<Vec<(usize, Member, Vec<u8>)>>),
}

struct Open {
    path: PathBuf,
    filename: String,
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
            let scratch = Scratch::new();
            while let Some((_, job)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = run(job, &open, limits, &scratch);
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
    Ok(Open { path: path.to_owned(), filename, size, archive })
}

/// An error with its causes, in one line.
#[allow(clippy::needless_pass_by_value)]
fn told(error: impl std::error::Error) -> String {
    toolkit::error_chain(&error)
}

fn run(job: &Job, open: &[Open], limits: &Limits, scratch: &Scratch) -> Done {
    match job {
        Job::Digest(index) => Done::Digest(*index, digest(&open[*index])),
        Job::Sdist(index) => Done::Sdist(*index, sdist(&open[*index], limits, scratch).map(Box::new)),
        Job::Members(index, members) => {
            let Open { archive: Some(Ok(archive)), path, .. } = &open[*index] else {
                return Done::Members(*index, Ok(Vec::new()));
            };
            // Opened here: a release may have more files than a process may open.
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) => return Done::Members(*index, Err(error)),
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
                let text = is_text(&raw.name) || credentials(&raw.name).is_some();
                let keep = if text && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
                let kept = match content(raw, &file, keep, scratch, &mut member) {
                    Ok(kept) => kept,
                    Err(DataError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                        return Err(error);
                    }
                    Err(error) => {
                        member.error = Some(told(error));
                        Vec::new()
                    }
                };
                member.credentials = has_credentials(&raw.name, &kept);
                if is_licence(&raw.name) {
                    member.licence = Some(String::from_utf8_lossy(&kept).into_owned());
                }
                Ok((*at, member, kept))
            };
            Done::Members(*index, members.iter().map(read).collect())
        }
    }
}

/// A binary is read at most this often.
const PASSES: usize = 8;

/// Reads a member, and again where its tables are not among what was kept.
fn content(
    raw: &pydist::zip::Member,
    file: &File,
    keep: Keep,
    scratch: &Scratch,
    member: &mut Member,
) -> Result<Vec<u8>, DataError> {
    let mut more = Vec::new();
    loop {
        let mut content = Content::new(scratch, &raw.name, raw.size, keep, &more);
        raw.read(file, |bytes| {
            content.take(bytes);
            Ok(())
        })?;
        match content.finish(member) {
            Ok(kept) => return Ok(kept),
            Err(Missed(range)) if more.len() < PASSES => more.push(range),
            Err(_) => return Ok(Vec::new()),
        }
    }
}

fn digest(open: &Open) -> io::Result<(Sha256Bytes, u64)> {
    let file = File::open(&open.path)?;
    sha256_reader(At { file: &file, offset: 0, left: open.size, failed: None })
}

/// Files of `….dist-info` that rules read.
fn is_text(name: &str) -> bool {
    let Some((folder, rest)) = name.split_once('/') else { return false };
    folder.ends_with(".dist-info")
        && (["METADATA", "WHEEL", "RECORD", "entry_points.txt"].contains(&rest) || is_licence(name))
}

/// Files in which tools keep credentials, each with the words that stand
/// before them; without words any content counts.
const CREDENTIALS: [(&str, &[&str]); 9] = [
    (".pypirc", &["password"]),
    (".netrc", &["password"]),
    (".npmrc", &["_authtoken", "_auth", "_password"]),
    (".env", &["="]),
    (".git-credentials", &["@"]),
    ("credentials.json", &[]),
    ("id_rsa", &[]),
    ("id_ed25519", &[]),
    ("id_ecdsa", &[]),
];

/// The words to look for, if the file is one of [`CREDENTIALS`].
fn credentials(name: &str) -> Option<&'static [&'static str]> {
    let file = name.rsplit('/').next().unwrap_or(name);
    CREDENTIALS.iter().find(|(known, _)| *known == file).map(|(_, words)| *words)
}

fn has_credentials(name: &str, content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content).to_lowercase();
    let Some(words) = credentials(name) else { return false };
    !text.trim().is_empty() && (words.is_empty() || words.iter().any(|word| text.contains(word)))
}

/// A licence's text: `LICENSE`, `COPYING`, `licenses/LICENSE-MIT` …
fn is_licence(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_uppercase();
    let top = name.contains(".dist-info/") || name.matches('/').count() == 1;
    top && ["LICENSE", "LICENCE", "COPYING"].iter().any(|word| file.starts_with(word))
}

fn sdist(open: &Open, limits: &Limits, scratch: &Scratch) -> io::Result<Sdist> {
    let mut sdist = Sdist::default();
    let file = File::open(&open.path)?;
    let failed = Cell::new(None);
    let at = At { file: &file, offset: 0, left: open.size, failed: Some(&failed) };
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
                let whole = text || cargo || credentials(&raw.name).is_some();
                let keep = if whole && raw.size <= TEXT_LIMIT { Keep::Text } else { Keep::IfBinary };
                // A stream is read once.
                let mut content = Content::new(scratch, &raw.name, raw.size, keep, &[]);
                let mut buffer = vec![0; 64 * 1024];
                let mut size = 0;
                loop {
                    let count = reader.read(&mut buffer)?;
                    if count == 0 {
                        break;
                    }
                    size += count as u64;
                    content.take(&buffer[..count]);
                }
                if size != raw.size {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member is cut off"));
                }
                let kept = content.finish(&mut member).unwrap_or_default();
                member.credentials = has_credentials(&raw.name, &kept);
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
            tar::Kind::Folder if !member.name.ends_with('/') => member.name.push('/'),
            tar::Kind::Folder => {}
            odd => sdist.odd.push((index, odd)),
        }
        sdist.members.push(member);
        Ok(())
    });
    if let Some(error) = failed.take() {
        return Err(error);
    }
    sdist.fault = result.err().map(told);
    Ok(sdist)
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
                let sdist = sdist.map_err(FileError::new("read", &open[index].path))?;
                bodies[index] = match &sdist.fault {
                    Some(fault) if sdist.members.is_empty() => Body::Broken(fault.clone()),
                    _ => Body::Sdist(sdist),
                };
            }
            Done::Members(index, read) => {
                members[index].extend(read.map_err(FileError::new("read", &open[index].path))?);
            }
        }
    }
    let mut dists = Vec::new();
    for (((open, body), mut members), sha256) in open.into_iter().zip(bodies).zip(members).zip(digests) {
        let name: Result<DistName, _> = open.filename.parse();
        members.sort_by_key(|(at, ..)| *at);
        let body = match (body, &open.archive) {
            (Body::Wheel(_), Some(Ok(archive))) => {
                let expected =
                    name.as_ref().ok().and_then(DistName::wheel).map(pydist::filename::WheelName::dist_info);
                let mut wheel = wheel(archive, members, expected.as_deref());
                other_hashes(&mut wheel, archive, &open.path);
                Body::Wheel(Box::new(wheel))
            }
            (body, _) => body,
        };
        let Open { path, filename, size, .. } = open;
        let attestation = attestation(&path)?;
        let sha256 = sha256.unwrap_or_default();
        dists.push(Dist { path, filename, name, size, sha256, attestation, body });
    }
    Ok(dists)
}

/// What stands beside a file as its attestation (PEP 740), as pypi-attestations
/// names it.
fn attestation(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".publish.attestation");
    match std::fs::read(&name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", &name)(error)),
    }
}

/// Hashes again what RECORD lists by another algorithm than SHA-256.
fn other_hashes(wheel: &mut Wheel, archive: &Archive, path: &Path) {
    let Some(Ok(entries)) = &wheel.record else { return };
    let named =
        entries.iter().filter_map(|entry| Some((entry.path.as_str(), entry.hash.as_ref()?.0.as_str())));
    let named: BTreeMap<&str, &str> = named.filter(|(_, algorithm)| *algorithm != "sha256").collect();
    if named.is_empty() {
        return;
    }
    let Ok(file) = File::open(path) else { return };
    for (member, raw) in
        wheel.members.iter_mut().zip(&archive.members).filter(|(member, _)| member.error.is_none())
    {
        member.other_hash = match named.get(raw.name.as_str()) {
            Some(&"sha384") => hash_of::<sha2::Sha384>(raw, &file).map(|hash| ("sha384", hash)),
            Some(&"sha512") => hash_of::<sha2::Sha512>(raw, &file).map(|hash| ("sha512", hash)),
            _ => None,
        };
    }
}

/// A member's hash as RECORD writes it.
fn hash_of<D: sha2::Digest>(member: &pydist::zip::Member, file: &File) -> Option<String> {
    let mut hasher = D::new();
    let read = member.read(file, |bytes| {
        hasher.update(bytes);
        Ok(())
    });
    read.ok().map(|()| pydist::digest::record_hash(&hasher.finalize()))
}

fn wheel(archive: &Archive, read: Vec<(usize, Member, Vec<u8>)>, expected: Option<&str>) -> Wheel {
    let folders = read.iter().filter_map(|(_, member, _)| member.name.split_once('/').map(|(top, _)| top));
    let folders: BTreeSet<&str> = folders.filter(|top| top.ends_with(".dist-info")).collect();
    let mut dist_infos: Vec<String> = folders.into_iter().map(str::to_owned).collect();
    dist_infos.sort_by_key(|folder| Some(folder.as_str()) != expected);
    let mut wheel = Wheel { faults: archive.faults.clone(), ..Wheel::default() };
    let own = dist_infos.first().cloned().unwrap_or_default();
    for (_, member, kept) in read {
        if member.error.is_none() {
            match member.name.strip_prefix(own.as_str()) {
                Some("/METADATA") => wheel.metadata = Some(Metadata::parse(&kept)),
                Some("/WHEEL") => wheel.wheel = Some(WheelFile::parse(&kept)),
                Some("/RECORD") => {
                    wheel.record = Some(record::parse(&kept));
                    let text = String::from_utf8_lossy(&kept);
                    wheel.record_empty_line = text.lines().position(str::is_empty).map(|at| at + 1);
                }
                Some("/entry_points.txt") => {
                    wheel.entry_points = Some(EntryPoints::parse(&kept));
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
    /// Takes an error of the file system, which is none of the archive.
    failed: Option<&'a Cell<Option<io::Error>>>,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = binfmt::source::ReadAt::read_exact_at(self.file, self.offset, &mut buffer[..count]);
        if let (Err(error), Some(failed)) = (&read, self.failed) {
            failed.set(Some(io::Error::new(error.kind(), error.to_string())));
        }
        read?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
