//! Compares verify-dist with a floor and with its peers, in one run on one
//! machine, over the wheels of `wheels.txt`. The floor is a pass that only reads,
//! inflates with the same backend, checks CRCs, hashes and searches, with the same
//! number of threads. Then measures the matrix of environments, and sets of
//! thousands of wheels. `cargo xtask bench verify-dist` installs the peers and
//! downloads the wheels. Exits with 1 if a limit is missed.

#![allow(clippy::too_many_lines, reason = "a bench reads from top to bottom")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use distcheck::Set;
use pydist::zip::{Archive, Limits};
use sha2::{Digest as _, Sha256};

const THREADS: usize = 2;
/// Floor and verify-dist alternate; the median of the ratios is reported.
const ROUNDS: usize = 9;

fn floor(paths: &[PathBuf]) {
    let open = |path: &PathBuf| {
        let file = File::open(path).expect("a readable file");
        let archive = Archive::open(&file, &Limits::default()).expect("a valid wheel");
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
                    let member = &archive.members[*member];
                    let (mut sha, mut pages) = (Sha256::new(), None);
                    let mut found = 0;
                    let read = member.read(file, |bytes| {
                        sha.update(bytes);
                        found += finder.find_iter(bytes).count();
                        // verify-dist also hashes the pages of signed code.
                        let signed = pages.get_or_insert_with(|| {
                            let signed = !binfmt::macho::enforced(bytes, member.size).is_empty();
                            signed.then(Sha256::new)
                        });
                        if let Some(pages) = signed {
                            pages.update(bytes);
                        }
                        Ok(())
                    });
                    read.expect("valid data");
                    let pages = pages.flatten().map(Sha256::finalize);
                    std::hint::black_box((sha.finalize(), pages, found));
                }
            });
        }
    });
}

fn whole(paths: &[PathBuf]) {
    let dists = distcheck::scan(paths, &Limits::default(), THREADS).expect("readable files");
    let set = Set { dists: &dists, ..Set::default() };
    std::hint::black_box(distcheck::check(&set, &distcheck::Selection::All));
}

/// CPU time in seconds, of this process or of its children that have ended
/// (Linux counts in ticks of 10 ms).
fn cpu(children: bool) -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    let first = if children { 13 } else { 11 };
    (field(first) + field(first + 1)) / 100.0
}

/// The highest resident size so far, in MB (Linux).
fn peak() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    line.and_then(|kb| kb.trim().parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

struct Sample {
    wall: f64,
    cpu: f64,
}

fn measure(work: impl FnOnce(), children: bool) -> Sample {
    let (start, before) = (Instant::now(), cpu(children));
    work();
    Sample { wall: start.elapsed().as_secs_f64(), cpu: cpu(children) - before }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs a peer once over each group of files; its verdict does not matter.
fn peer(program: &str, args: &[&str], groups: &[Vec<&PathBuf>]) -> Sample {
    let work = || {
        for group in groups {
            let mut command = Command::new(program);
            command.args(args).args(group).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().unwrap_or_else(|error| panic!("`{program}`: {error}"));
        }
    };
    measure(work, true)
}

/// The environments of the release with the most files, computed without
/// reading them; in milliseconds.
fn matrix() -> (usize, f64) {
    let mut releases: BTreeMap<String, Vec<installs::file::File>> = BTreeMap::new();
    let lines = include_str!("../../../crates/installs/tests/releases.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (name, requires) = line.split_once("  ").map_or((line, None), |(name, text)| (name, Some(text)));
        let file = installs::file::File::new(name, requires, false).expect("a distribution");
        releases.entry(format!("{} {}", file.name.project(), file.version)).or_default().push(file);
    }
    let files = releases.into_values().max_by_key(Vec::len).expect("releases");
    let once = |_| {
        let start = Instant::now();
        std::hint::black_box(installs::matrix::matrices(files.clone()));
        start.elapsed().as_secs_f64() * 1000.0
    };
    (files.len(), median((0..ROUNDS).map(once).collect()))
}

/// The option with which the bench starts itself for one directory, because a
/// process has only one memory peak.
const SET: &str = "--set";

/// Seconds and MB for a set of `count` small wheels.
fn set(count: usize) -> (f64, f64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for index in 0..count {
        let mut wheel = testkit::wheel::Wheel::sample("py3-none-any");
        wheel.stem = format!("sample{index}-1.0");
        wheel.metadata = wheel.metadata.replace("Name: sample", &format!("Name: sample{index}"));
        wheel.members[0].name = format!("sample{index}/__init__.py");
        std::fs::write(dir.path().join(wheel.filename()), wheel.bytes()).expect("a writable directory");
    }
    let program = std::env::current_exe().expect("the bench's own path");
    let output = Command::new(program).arg(SET).arg(dir.path()).output().expect("the bench starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (seconds, mb) = text.trim().split_once(' ').expect("two numbers");
    (seconds.parse().expect("seconds"), mb.parse().expect("MB"))
}

/// The process that [`set`] starts.
#[allow(clippy::print_stdout, reason = "the other process reads it")]
fn measure_set(dir: &Path) {
    let entries = std::fs::read_dir(dir).expect("a readable directory");
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let sample = measure(|| whole(&paths), false);
    println!("{} {}", sample.wall, peak());
}

/// The wheels of the list, in the directory.
fn wheels(dir: &Path) -> Vec<PathBuf> {
    let lines = include_str!("wheels.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(dir.join(line.split_whitespace().nth(1)?))).collect()
}

#[allow(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == SET) {
        measure_set(Path::new(&arguments[at + 1]));
        return ExitCode::SUCCESS;
    }
    let dir = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let dir = dir.map_or_else(|| testkit::tools::dir().with_file_name("corpus"), PathBuf::from);
    let paths = wheels(&dir);
    let missing = paths.iter().find(|path| !path.is_file());
    if let Some(missing) = missing {
        println!("`{}` is missing: run `cargo xtask bench verify-dist`", missing.display());
        return ExitCode::from(2);
    }
    // First, because the memory of the other steps would count as ours.
    whole(&paths);
    let resident = peak();
    let (mut floors, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(measure(|| floor(&paths), false));
        wholes.push(measure(|| whole(&paths), false));
    }
    let ratio = |part: fn(&Sample) -> f64| {
        median(wholes.iter().zip(&floors).map(|(whole, floor)| part(whole) / part(floor)).collect())
    };
    let (wall, work) = (ratio(|sample| sample.wall), ratio(|sample| sample.cpu));
    let middle = |samples: &[Sample], part: fn(&Sample) -> f64| median(samples.iter().map(part).collect());
    let cores = median(wholes.iter().map(|sample| sample.cpu / sample.wall).collect());

    let own: Vec<&PathBuf> =
        paths.iter().filter(|path| path.to_string_lossy().contains("htty_core-")).collect();
    let started = (0..ROUNDS).map(|_| {
        let output = tempfile::tempdir().expect("a temporary directory");
        let program = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_verify-dist"));
            command.args(&own).arg("--manifest").arg(output.path().join("m.json")).stdout(Stdio::null());
            command.status().expect("verify-dist starts");
        };
        measure(program, true).wall
    });
    let own_set = median(started.collect()) * 1000.0;

    let named = |part: &str| -> Vec<&PathBuf> {
        paths.iter().filter(|path| path.to_string_lossy().contains(part)).collect()
    };
    let each: Vec<_> = named("linux").into_iter().map(|path| vec![path]).collect();
    let all = vec![named("")];
    let peers = [
        ("auditwheel show", peer("auditwheel", &["show"], &each)),
        ("abi3audit", peer("abi3audit", &[], &[named("-abi3-")])),
        ("pydistcheck --inspect", peer("pydistcheck", &["--inspect"], &all)),
        ("twine check --strict", peer("twine", &["check", "--strict"], &all)),
        ("check-wheel-contents", peer("check-wheel-contents", &["--no-config"], &all)),
    ];
    let sum: f64 = peers.iter().map(|(_, sample)| sample.cpu).sum();
    let ours = middle(&wholes, |sample| sample.cpu);

    println!("| {} wheels, {THREADS} threads | time, s | CPU, s |\n| --- | ---: | ---: |", paths.len());
    for (name, samples) in [("floor", &floors), ("**verify-dist**", &wholes)] {
        println!(
            "| {name} | {:.2} | {:.2} |",
            middle(samples, |sample| sample.wall),
            middle(samples, |sample| sample.cpu)
        );
    }
    for (name, Sample { wall, cpu }) in &peers {
        println!("| {name} | {wall:.1} | {cpu:.1} |");
    }
    println!("| sum of the peers | | {sum:.1} |\n");
    let bars = [
        ("time, as a multiple of the floor's", wall, "≤ 1.2", wall <= 1.2),
        ("CPU, as a multiple of the floor's", work, "", true),
        ("processors used", cores, "≥ 1.7 of 2", cores >= 1.7),
        ("resident, MB", resident, "≤ 50", resident <= 50.0),
        ("peers' CPU, as a multiple of ours", sum / ours, "≥ 30", sum / ours >= 30.0),
        ("htty-core's wheels, start to end, ms", own_set, "≤ 60", own_set <= 60.0),
    ];
    let (files, matrix) = matrix();
    let (few, _) = set(1000);
    let (many, many_resident) = set(4000);
    let name = format!("matrix for {files} files, ms");
    let more = [
        (name.as_str(), matrix, "≤ 50", matrix <= 50.0),
        ("4,000 wheels, as a multiple of 1,000", many / few, "≤ 4.8", many / few <= 4.8),
        ("4,000 wheels, resident, MB", many_resident, "≤ 200", many_resident <= 200.0),
    ];
    let bars: Vec<_> = bars.into_iter().chain(more).collect();
    println!("| | measured | bar |\n| --- | ---: | ---: |");
    for (what, value, bar, held) in &bars {
        println!("| {what} | {value:.2} | {bar}{} |", if *held { "" } else { " MISSED" });
    }
    ExitCode::from(u8::from(bars.iter().any(|(.., held)| !held)))
}
