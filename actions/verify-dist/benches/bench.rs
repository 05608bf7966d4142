//! verify-dist against its floor: a pass that only reads, inflates with the
//! same backend, checks CRCs, hashes and searches. Both use the same threads.
//!
//! `cargo bench -p verify-dist -- FOLDER`, with the wheels of `wheels.txt`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pydist::zip::{Archive, Limits};
use sha2::{Digest as _, Sha256};
use verify_dist::rules::{self, Set};
use verify_dist::scan;

const THREADS: usize = 2;
const ROUNDS: usize = 5;

fn floor(paths: &[PathBuf]) {
    let open = |path: &PathBuf| {
        let file = File::open(path).expect("a readable file");
        let archive = Archive::open(&file, &Limits::default()).expect("a sound wheel");
        (file, archive)
    };
    let archives: Vec<(File, Archive)> = paths.iter().map(open).collect();
    let mut jobs: Vec<(usize, usize)> = Vec::new();
    for (index, (_, archive)) in archives.iter().enumerate() {
        jobs.extend((0..archive.members.len()).map(|member| (index, member)));
    }
    jobs.sort_by_key(|(archive, member)| std::cmp::Reverse(archives[*archive].1.members[*member].compressed));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let finder = memchr::memmem::Finder::new(b"/nix/store/");
                while let Some((archive, member)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (file, archive) = &archives[*archive];
                    let mut sha = Sha256::new();
                    let mut found = 0;
                    let read = archive.members[*member].read(file, |bytes| {
                        sha.update(bytes);
                        found += finder.find_iter(bytes).count();
                        Ok(())
                    });
                    read.expect("sound data");
                    std::hint::black_box((sha.finalize(), found));
                }
            });
        }
    });
}

fn whole(paths: &[PathBuf]) {
    let dists = scan::scan(paths, &Limits::default(), THREADS).expect("readable files");
    let set = Set { dists: &dists, ..Set::default() };
    std::hint::black_box(rules::apply(&set, |_| true));
}

/// This process's CPU time so far, in clock ticks of 10 ms (Linux).
fn ticks() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The highest resident size so far, in kB (Linux).
fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

fn measure(work: impl Fn()) -> (Duration, Option<u64>) {
    let (start, before) = (Instant::now(), ticks());
    work();
    (start.elapsed(), ticks().zip(before).map(|(after, before)| (after - before) * 10))
}

#[allow(clippy::print_stdout, clippy::cast_precision_loss)]
fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(folder) = folder else {
        println!("give a folder with wheels: cargo bench -p verify-dist -- FOLDER");
        return;
    };
    let entries = std::fs::read_dir(Path::new(&folder)).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
    paths.sort();
    whole(&paths);
    println!("{} wheels, verify-dist's peak: {} kB resident", paths.len(), peak().unwrap_or_default());
    let (mut floors, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(measure(|| floor(&paths)));
        wholes.push(measure(|| whole(&paths)));
    }
    let best = |times: &[(Duration, Option<u64>)]| {
        let wall = times.iter().map(|(wall, _)| wall.as_secs_f64()).fold(f64::MAX, f64::min);
        (wall, times.iter().filter_map(|(_, cpu)| *cpu).min().unwrap_or_default())
    };
    let ((floor_wall, floor_cpu), (wall, cpu)) = (best(&floors), best(&wholes));
    println!("floor:       {floor_wall:.3} s, {floor_cpu} ms of CPU");
    println!("verify-dist: {wall:.3} s, {cpu} ms of CPU");
    println!(
        "ratio:       {:.2} by time, {:.2} by CPU",
        wall / floor_wall,
        cpu as f64 / floor_cpu.max(1) as f64
    );
}
