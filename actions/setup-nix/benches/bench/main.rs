//! Compares setup-nix with its peers in alternating rounds, on a generated store of real
//! files: `cargo xtask bench setup-nix [--scale PERCENT] [--rounds N]`. Needs root, for mounts
//! on loop devices and namespaces.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::print_stdout)]
#![allow(clippy::too_many_lines, reason = "a bench reads from top to bottom")]

mod disk;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/it/machine.rs"]
mod machine;
mod store;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use disk::Disk;
use machine::Machine;

/// The measurements of a run.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    /// The peak resident size in bytes.
    peak: u64,
}

/// Runs `command`, which must succeed, and measures its time and memory.
fn run(mut command: Command) -> Run {
    sync();
    let log = tempfile::tempfile().unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap()).stdin(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    // `unshare` and `sh` exec the program, so the process stays the same.
    let status = format!("/proc/{}/status", child.id());
    let (done, over) = std::sync::mpsc::channel();
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while over.recv_timeout(Duration::from_millis(20)).is_err() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let kilobytes =
                text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
            peak = peak.max(kilobytes.and_then(|text| text.trim().parse().ok()).unwrap_or(0) * 1024);
        }
        peak
    });
    let exit = child.wait().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    done.send(()).unwrap();
    let peak = watch.join().unwrap();
    if !exit.success() {
        use std::io::{Read as _, Seek as _};
        let (mut log, mut text) = (log, String::new());
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        panic!("{command:?}: {text}");
    }
    Run { seconds, peak }
}

/// Flushes writes, so that they do not slow down the next run.
fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}

fn median(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn peak(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.peak).max().unwrap_or_default()
}

/// The rows of the result table.
struct Table(Vec<[String; 5]>);

impl Table {
    fn row(&mut self, what: &str, ours: String, peer: &str, theirs: String, bar: &str) {
        println!("# {what}: {ours}; {peer}: {theirs}; {bar}");
        self.0.push([what.into(), ours, peer.into(), theirs, bar.into()]);
    }

    fn print(&self) {
        println!("\n| | setup-nix | peer | | bar |\n| --- | --- | --- | --- | --- |");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

fn times(theirs: f64, ours: f64, bar: &str) -> String {
    format!("{:.2} × faster; {bar}", theirs / ours)
}

/// tar as `@actions/cache` runs it (`internal/tar.ts`), on all of `/nix`.
fn tar(machine: &Machine, archive: &Path, how: &[&str], program: &str) -> Command {
    let mut command = machine.command("tar");
    command.args(how).arg(archive).args(["-P", "-C", "/", "--use-compress-program", program]);
    command
}

fn save_by_tar(machine: &Machine, archive: &Path) -> Run {
    let _ = std::fs::remove_file(archive);
    let mut command = tar(machine, archive, &["--posix", "-cf"], "zstdmt");
    command.arg("nix");
    run(command)
}

fn with_cache(machine: &Machine, from: &Machine, args: &[&str]) -> Command {
    let mut command = machine.action(args);
    command.arg(format!("--cache-directory={}", from.cache().display()));
    command
}

fn number(name: &str, otherwise: usize) -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != name);
    args.nth(1).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    let (scale, rounds) = (number("--scale", 100), number("--rounds", 3));
    let mut table = Table(Vec::new());
    install(&mut table, rounds.max(5));

    let first = Machine::new();
    first.run_ok(&["install"]);
    let made = store::make(&first, scale);
    println!("# the store: {} paths, {} files, {}", made.paths, made.files, megabytes(made.bytes));
    let archive = first.path("nix.tzst");
    let packs = [run(first.action(&["pack"]))];
    save(&mut table, &first, &archive, rounds, &packs);
    restore(&mut table, &first, &archive, rounds, &packs);
    many(&mut table);
    table.print();
}

/// Installing from a local tarball, and reusing an installed Nix.
fn install(table: &mut Table, rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (file, digest) = machine::tarball(dir.path(), store::fill);
    let mut runs = Vec::new();
    let mut again = Vec::new();
    for _ in 0..rounds {
        let machine = Disk::new();
        let (tarball, sha256) = (format!("--tarball={}", file.display()), format!("--sha256={digest}"));
        runs.push(run(machine.action(&["install", "--reuse=never", "--cache=off", &tarball, &sha256])));
        again.push(run(machine.action(&["install", "--cache=off"])));
    }
    let what = format!("install, tarball at hand ({} packed)", megabytes(file.metadata().unwrap().len()));
    table.row(&what, seconds(median(&runs)), "–", String::new(), "≤ 3 s");
    let found = format!("{:.0} ms", median(&again) * 1000.0);
    table.row("Nix already there", found, "–", String::new(), "≤ 100 ms");
}

/// The end of a job.
fn save(table: &mut Table, first: &Machine, archive: &Path, rounds: usize, packs: &[Run]) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(save_by_tar(first, archive));
        ours.push(run(first.action(&["save"])));
    }
    let peer = "tar + zstdmt";
    table.row(
        "end of job, packed in the background",
        seconds(median(&ours)),
        peer,
        seconds(median(&theirs)),
        "≤ 1 s",
    );
    table.row(
        "packing everything, in the background",
        seconds(packs[0].seconds),
        peer,
        seconds(median(&theirs)),
        "none",
    );
    first.build("changed", 1);
    let one = run(first.action(&["save"]));
    let time = seconds(one.seconds);
    table.row(
        "one path changed",
        time,
        "tar + zstdmt of all again",
        seconds(median(&theirs)),
        "only that path is packed",
    );
}

/// A list of every `every`th file of the store.
fn list(machine: &Machine, every: usize) -> PathBuf {
    let list = machine.path(&format!("every-{every}"));
    machine.sh(&format!("find /nix/store/*-* -type f | awk 'NR % {every} == 0' >{}", list.display()));
    list
}

/// Runs `restore`, then reads the files of `list` with two processes.
fn then_read(restore: impl Fn(&Machine) -> Command, list: &Path) -> Run {
    let machine = Disk::new();
    let mut command = restore(&machine);
    // In the same namespace, because its mounts end with it.
    let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let at = args.iter().position(|arg| arg.contains("exec \"$@\"")).unwrap();
    let script = args[at].replace(
        "exec \"$@\"",
        &format!("{{ \"$@\" && xargs -P 2 -n 100 cat <{} >/dev/null; }}", list.display()),
    );
    let mut both = Command::new(command.get_program());
    both.args(&args[..at]).arg(script).args(&args[at + 1..]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => both.env(name, value),
            None => both.env_remove(name),
        };
    }
    command = both;
    command.current_dir(machine.path("work"));
    run(command)
}

/// The start of the next job.
fn restore(table: &mut Table, first: &Machine, archive: &Path, rounds: usize, packs: &[Run]) {
    save_by_tar(first, archive);
    // What the nested actions/cache transfers: the cache directory as a single archive.
    let cache_archive = first.path("cache.tzst");
    let parent = first.cache();
    let pack = |how: &[&str], at: &Path, program: &str| {
        let mut command = testkit::tools::command("tar");
        command.args(how).arg(&cache_archive).arg("-C").arg(at).args(["--use-compress-program", program]);
        command
    };
    let mut command = pack(&["--posix", "-cf"], &parent, "zstdmt");
    command.arg(".");
    run(command);
    let (mine, other) = (cache_archive.metadata().unwrap().len(), archive.metadata().unwrap().len());
    let bar = format!("{:.2} of it; ≤ the same", mine as f64 / other as f64);
    table.row("size, as the cache service keeps it", megabytes(mine), "tar + zstdmt", megabytes(other), &bar);
    let lists = [4, 1].map(|every| list(first, every));
    let (mut ours, mut theirs, mut carried) = (Vec::new(), Vec::new(), Vec::new());
    let (mut signed, mut mounted) = (Vec::new(), Vec::new());
    // By how much is read afterwards: a quarter, everything.
    let mut read: [[Vec<Run>; 3]; 2] = Default::default();
    let mut chosen = Vec::new();
    let percent_read = first.cache().join("percent-read");
    for _ in 0..rounds {
        // Warm the page cache for all.
        for file in [archive, &cache_archive] {
            drop(std::fs::read(file).unwrap());
        }
        let machine = Disk::new();
        theirs.push(run(tar(&machine, archive, &["-xf"], "unzstd")));
        drop(machine);
        let machine = Disk::new();
        ours.push(run(with_cache(&machine, first, &["install", "--mount=false"])));
        drop(machine);
        let machine = Disk::new();
        signed.push(run(with_cache(
            &machine,
            first,
            &["install", "--cache=read-only", "--cache-trust=signed"],
        )));
        drop(machine);
        let machine = Disk::new();
        mounted.push(run(with_cache(&machine, first, &["install", "--mount"])));
        drop(machine);
        for (n, list) in lists.iter().enumerate() {
            let all = [
                then_read(|machine| with_cache(machine, first, &["install", "--mount"]), list),
                then_read(|machine| with_cache(machine, first, &["install", "--mount=false"]), list),
                then_read(|machine| tar(machine, archive, &["-xf"], "unzstd"), list),
            ];
            all.iter().zip(&mut read[n]).for_each(|(run, runs)| runs.push(*run));
        }
        // The job before has read everything, too.
        std::fs::write(&percent_read, "100").unwrap();
        let hosted = |machine: &Machine| {
            let mut command = with_cache(machine, first, &["install"]);
            command.env("RUNNER_ENVIRONMENT", "github-hosted");
            command
        };
        chosen.push(then_read(hosted, &lists[1]));
        std::fs::remove_file(&percent_read).unwrap();
        let machine = Disk::new();
        carried.push(run(pack(&["-xf"], &machine.path("nix"), "unzstd")));
        drop(machine);
    }
    let carry = median(&carried);
    let mut row = |what: &str, mine: f64, peer: &str, theirs: f64, bar: &str| {
        table.row(what, seconds(carry + mine), peer, seconds(theirs), &times(theirs, carry + mine, bar));
    };
    let with_carry = "with what actions/cache unpacks";
    let peer = "tar + unzstd";
    row(&format!("restore, mounted, {with_carry}"), median(&mounted), peer, median(&theirs), "≥ 3.5 ×");
    row("the same, then read a quarter", median(&read[0][0]), peer, median(&read[0][2]), "≥ 1.5 ×");
    row("the same, then read everything", median(&read[1][0]), peer, median(&read[1][2]), "none");
    let unpacked = carry + median(&read[1][1]);
    let what = "the same as chosen after a job that read everything";
    row(what, median(&chosen), "unpacked, then read everything", unpacked, "≥ 1 ×");
    row(&format!("restore, unpacked, {with_carry}"), median(&ours), peer, median(&theirs), "≥ 1.7 ×");
    row("unpacked, then read a quarter", median(&read[0][1]), peer, median(&read[0][2]), "none");
    row(&format!("restore with `signed`, {with_carry}"), median(&signed), peer, median(&theirs), "≥ 1.4 ×");
    let mine = median(&ours);
    let peer = "tar + unzstd, as actions/cache does it";
    table.row(
        "restore, every NAR hash checked",
        seconds(mine),
        peer,
        seconds(median(&theirs)),
        &times(median(&theirs), mine, "≥ 1.8 ×"),
    );
    table.row(
        "before it, by actions/cache: the directory unpacked",
        seconds(median(&carried)),
        "–",
        "in the above".into(),
        "none",
    );
    let memory = format!("{} and {}", megabytes(peak(&ours)), megabytes(peak(packs)));
    table.row("memory to restore and to pack", memory, "–", String::new(), "≤ 256 MB");
}

/// A store of many small paths.
fn many(table: &mut Table) {
    let first = Disk::new();
    first.run_ok(&["install"]);
    first.sh("mkdir many; cd many; seq 20000 | while read -r n; do echo $n >file$n; done; \
         printf 'file%s\\n' $(seq 20000) | xargs -n 2000 nix-store --add >/dev/null");
    let mut row = |what: &str, run: Run, bar: &str| {
        table.row(&format!("20,000 paths: {what}"), seconds(run.seconds), "–", String::new(), bar);
    };
    row("packing them", run(first.action(&["pack"])), "≤ 10 s");
    let in_job = |args: &[&str]| {
        let mut action = first.action(args);
        action.env("GITHUB_ACTIONS", "true").env("RUNNER_TEMP", first.path("tmp"));
        action
    };
    run(in_job(&["install"]));
    while !first.path("tmp/setup-nix/last-packed").exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    first.sh("echo one >one; nix-store --add one");
    let report = first.path("saved.json");
    row(
        "the end of a job with one more",
        run(in_job(&["save", "--report-path", report.to_str().unwrap()])),
        "≤ 1 s",
    );
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let phases = report["phases"].as_array().unwrap();
    let pass = phases.iter().find(|phase| phase["name"] == "pack the rest").unwrap();
    let pass = Run { seconds: pass["seconds"].as_f64().unwrap(), peak: 0 };
    row("of it, the pass that packs it", pass, "≤ 0.2 s");
    let second = Disk::new();
    row("restoring them", run(with_cache(&second, &first, &["install"])), "≤ 2 s");
}
