//! Scans files: every archive is read once, with its members distributed over the
//! processors.

mod external;
mod foreign;
mod jobs;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pydist::digest::Sha256Bytes;
use pydist::entry_points::EntryPoints;
use pydist::filename::DistName;
use pydist::metadata::Metadata;
use pydist::record;
use pydist::wheel_file::WheelFile;
use pydist::zip::{Archive, Limits};
use toolkit::FileError;

use self::jobs::{JobOutput, OpenDist, ReadMember, error_line, jobs};
use crate::dist::{Body, Dist, Wheel};

/// Scans all `paths` with `threads` threads. The result is sorted by file name.
pub fn scan(paths: &[PathBuf], limits: &Limits, threads: usize) -> Result<Vec<Dist>, FileError> {
    let mut open = paths.iter().map(|path| open(path, limits)).collect::<Result<Vec<_>, _>>()?;
    open.sort_by(|a, b| (&a.filename, &a.path).cmp(&(&b.filename, &b.path)));
    let jobs = jobs(&open, threads);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let results = job.run(&open, limits);
                if let Ok(mut done) = done.lock() {
                    done.extend(results);
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

fn open(path: &Path, limits: &Limits) -> Result<OpenDist, FileError> {
    let file = File::open(path).map_err(FileError::new("read", path))?;
    let size = file.metadata().map_err(FileError::new("read", path))?.len();
    let filename = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let archive = filename.ends_with(".whl").then(|| Archive::open(&file, limits).map_err(error_line));
    Ok(OpenDist { path: path.to_owned(), filename, size, archive })
}

fn assemble(open: Vec<OpenDist>, done: Vec<JobOutput>) -> Result<Vec<Dist>, FileError> {
    let mut digests: Vec<Option<Sha256Bytes>> = vec![None; open.len()];
    let mut bodies: Vec<Body> = open
        .iter()
        .map(|open| match &open.archive {
            Some(Err(why)) => Body::Broken(why.clone()),
            _ => Body::Wheel(Box::default()),
        })
        .collect();
    let mut members: Vec<Vec<ReadMember>> = open.iter().map(|_| Vec::new()).collect();
    for done in done {
        match done {
            JobOutput::Digest(index, result) => {
                let sha256 = result.map_err(FileError::new("read", &open[index].path))?;
                digests[index] = Some(sha256);
            }
            JobOutput::Sdist(index, sdist) => {
                let sdist = sdist.map_err(FileError::new("read", &open[index].path))?;
                bodies[index] = match &sdist.fault {
                    Some(fault) if sdist.members.is_empty() => Body::Broken(fault.clone()),
                    _ => Body::Sdist(sdist),
                };
            }
            JobOutput::Members(index, read) => {
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
                let tags = name.as_ref().ok().and_then(DistName::wheel).map(|name| &name.tags);
                let platforms: Vec<_> = tags.into_iter().flat_map(pydist::tags::TagSet::platforms).collect();
                foreign::mark(&platforms, &mut wheel.members);
                Body::Wheel(Box::new(wheel))
            }
            (body, _) => body,
        };
        let OpenDist { path, filename, size, .. } = open;
        let attestation = attestation(&path)?;
        let sha256 = sha256.unwrap_or_default();
        dists.push(Dist { path, filename, name, size, sha256, attestation, body });
    }
    Ok(dists)
}

/// The attestation beside a file (PEP 740), named as by pypi-attestations.
fn attestation(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".publish.attestation");
    match std::fs::read(&name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", &name)(error)),
    }
}

/// Hashes members for which RECORD uses an algorithm other than SHA-256.
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

/// A member's hash in the format of RECORD.
fn hash_of<D: sha2::Digest>(member: &pydist::zip::Member, file: &File) -> Option<String> {
    let mut hasher = D::new();
    let read = member.read(file, |bytes| {
        hasher.update(bytes);
        Ok(())
    });
    read.ok().map(|()| pydist::digest::record_hash(&hasher.finalize()))
}

fn wheel(archive: &Archive, read: Vec<ReadMember>, expected: Option<&str>) -> Wheel {
    let dirs = read.iter().filter_map(|(_, member, _)| member.name.split_once('/').map(|(top, _)| top));
    let dirs: BTreeSet<&str> = dirs.filter(|top| top.ends_with(".dist-info")).collect();
    let mut dist_infos: Vec<String> = dirs.into_iter().map(str::to_owned).collect();
    dist_infos.sort_by_key(|dir| Some(dir.as_str()) != expected);
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
                Some(rest) if external::is_sbom(rest.trim_start_matches('/')) => {
                    wheel.external.extend(external::libraries(&kept));
                }
                _ => {}
            }
        }
        wheel.members.push(member);
    }
    wheel.dist_infos = dist_infos;
    wheel
}
