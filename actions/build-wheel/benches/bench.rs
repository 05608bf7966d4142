//! `cargo xtask bench build-wheel`: compares the cost of build-wheel with that of its
//! peers, in one run on one machine, as a Markdown table. Exits with 1 if a limit is
//! missed.

#[path = "../tests/it/corpus.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "shared with the tests"
)]
mod corpus;
#[path = "../tests/it/macho.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "shared with the tests"
)]
mod macho;
#[path = "../tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use build_wheel::repair::{edit_binary, edit_elf_in_place};
use toolkit::{Env, Ui};

use corpus::Expect;
use support::{CC, STORE, WHEEL, build_wheel, compile, nix_flags, program_wheel, repaired, succeed};

/// A row of the table.
struct Row {
    what: &'static str,
    ours: String,
    peers: String,
    bar: String,
    met: bool,
}

impl Row {
    /// A time, with its limit in milliseconds.
    fn time(what: &'static str, ours: Duration, bar: u64, peers: String) -> Self {
        let met = ours <= Duration::from_millis(bar);
        Self { what, ours: millis(ours), peers, bar: format!("≤ {bar} ms"), met }
    }
}

fn main() -> ExitCode {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let dir = dir.path();
    let rows = [
        overhead(dir),
        repair(dir, "repair of a 0.6 MB wheel (2 MB binary)", 2 << 20, 50, 5),
        repair(dir, "repair of a 10 MB wheel (24 MB binary)", 24 << 20, 500, 3),
        elf(dir),
        macho_edit(dir),
        smoke(dir, "smoke test, by `venv` and `pip`", false, 1200),
        smoke(dir, "smoke test, with uv", true, 500),
        broken(dir),
    ];
    let ui = Ui::from_env(&Env::from_process());
    ui.report("| | build-wheel | peers | bar | |\n| --- | --- | --- | --- | --- |");
    for Row { what, ours, peers, bar, met } in &rows {
        ui.report(format!(
            "| {what} | {ours} | {peers} | {bar} | {} |",
            if *met { "met" } else { "**missed**" }
        ));
    }
    ExitCode::from(u8::from(rows.iter().any(|row| !row.met)))
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..0.1 => format!("{:.1} µs", millis * 1000.0),
        0.1..10.0 => format!("{millis:.2} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

fn timed(work: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The median time of each of `works`, without that of `prepare`, which runs before each. They
/// alternate, so that a slower machine affects all of them; the first round does not count.
fn medians<const N: usize>(
    runs: usize,
    prepare: &dyn Fn(),
    mut works: [&mut dyn FnMut(); N],
) -> [Duration; N] {
    let mut times = vec![[Duration::ZERO; N]; runs];
    for work in &mut works {
        prepare();
        work();
    }
    for turn in &mut times {
        for (time, work) in turn.iter_mut().zip(&mut works) {
            prepare();
            *time = timed(*work);
        }
    }
    std::array::from_fn(|index| {
        let mut own: Vec<Duration> = times.iter().map(|turn| turn[index]).collect();
        own.sort();
        own[runs / 2]
    })
}

/// Runs a peer, whatever its result.
fn run(command: &mut Command) -> bool {
    command.output().expect("the peer starts").status.success()
}

/// A warm build with maturin alone, and with build-wheel.
fn overhead(dir: &Path) -> Row {
    let project = dir.join("project");
    support::project(&project);
    let [ours, maturin] = medians(
        15,
        &|| (),
        [&mut || drop(succeed(build_wheel(&project).args(["--smoke", "off"]))), &mut || {
            let mut command = testkit::tools::command("maturin");
            command.current_dir(&project).env_remove("CARGO_TARGET_DIR");
            // As build-wheel calls it.
            let args = ["build", "--release", "--zig", "--target", "x86_64-unknown-linux-gnu"];
            succeed(command.args(args).args([
                "--compatibility",
                "manylinux2014",
                "--auditwheel",
                "skip",
                "--out",
                "out",
            ]));
        }],
    );
    let peers = format!("`maturin build` itself {}", millis(maturin));
    Row::time("overhead over a warm `maturin build`", ours.saturating_sub(maturin), 50, peers)
}

/// A program of about `size` bytes, mostly machine code, as linked by nixpkgs.
fn big_program(dir: &Path, size: usize) -> Vec<u8> {
    let blob = blob(dir, size);
    let source = format!(
        "__asm__(\".section .rodata\\n.globl blob\\nblob: .incbin \\\"{}\\\"\\n\");\nextern const char blob[];\nint main(int n, char **v) {{ return blob[n] == 1; }}\n",
        blob.display()
    );
    compile(&CC, dir, "big", &source, &nix_flags("ld-linux-x86-64.so.2"))
}

/// A file of machine code.
fn blob(dir: &Path, size: usize) -> PathBuf {
    let code = std::fs::read(testkit::tools::path("maturin")).expect("maturin can be read");
    let path = dir.join("blob");
    let data: Vec<u8> = code.iter().copied().cycle().take(size).collect();
    std::fs::write(&path, data).expect("the directory can be written");
    path
}

/// Writes a wheel, deflated by Python like most wheels.
fn deflated(dir: &Path, wheel: &[u8]) -> PathBuf {
    let stored = dir.join("stored.whl");
    std::fs::write(&stored, wheel).expect("the directory can be written");
    let script = "import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as old, zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED) as new:
    for info in old.infolist():
        data = old.read(info)
        info.compress_type = zipfile.ZIP_DEFLATED
        new.writestr(info, data)
";
    let path = dir.join(WHEEL);
    succeed(testkit::tools::command("python3").args(["-c", script]).arg(stored).arg(&path));
    path
}

/// The peers that repair a wheel.
const PEERS: [&str; 2] = ["auditwheel", "repairwheel"];

fn peer(name: &str, wheel: &Path, out: &Path) -> Command {
    let mut command = testkit::tools::command(name);
    let args: &[&str] = if name == "auditwheel" { &["repair", "-w"] } else { &["-o"] };
    command.args(args).arg(out).arg(wheel);
    command
}

fn repair(dir: &Path, what: &'static str, size: usize, bar: u64, runs: usize) -> Row {
    let wheel = deflated(dir, &program_wheel(&big_program(dir, size)));
    let out = dir.join("peers");
    // Start without old output, as in CI: when ext4 replaces a file, it flushes the new one first.
    let clean = || {
        for directory in [&out, &dir.join("dist")] {
            let _ = std::fs::remove_dir_all(directory);
        }
        let _ = std::fs::remove_file(dir.join("build-report.json"));
    };
    let [ours, auditwheel, repairwheel] = medians(
        runs,
        &clean,
        [
            &mut || drop(succeed(build_wheel(dir).args([WHEEL, "--smoke", "off"]))),
            &mut || _ = run(&mut peer(PEERS[0], &wheel, &out)),
            &mut || _ = run(&mut peer(PEERS[1], &wheel, &out)),
        ],
    );
    let times = |peer: Duration| peer.as_secs_f64() / ours.as_secs_f64();
    let shown = |peer: Duration| format!("{} ({:.1}×)", millis(peer), times(peer));
    let peers =
        format!("auditwheel {}, repairwheel {}; neither repairs it", shown(auditwheel), shown(repairwheel));
    let row = Row::time(what, ours, bar, peers);
    let met = row.met && times(auditwheel) >= 10.0 && times(repairwheel) >= 10.0;
    Row { bar: format!("{}, ≥ 10 × faster", row.bar), met, ..row }
}

fn elf(dir: &Path) -> Row {
    let broken = big_program(dir, 24 << 20);
    let mut copies: Vec<Vec<u8>> = (0..8).map(|_| broken.clone()).collect();
    let mut copies = copies.iter_mut();
    let [ours] = medians(
        7,
        &|| (),
        [&mut || {
            let copy = copies.next().expect("there is one for each run");
            assert!(edit_elf_in_place(copy).is_ok_and(|changes| changes.len() == 2));
        }],
    );
    let path = dir.join("patched");
    let measured = |program: &str, commands: &[&[&str]]| {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                std::fs::write(&path, &broken).expect("the directory can be written");
                timed(&mut || {
                    for args in commands {
                        succeed(testkit::tools::command(program).args(*args).arg(&path));
                    }
                })
            })
            .collect();
        times.sort();
        times[2]
    };
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let patchelf = measured("patchelf", &[&["--set-interpreter", loader, "--remove-rpath"]]);
    let arwen = measured("arwen", &[&["elf", "set-interpreter", loader], &["elf", "remove-rpath"]]);
    let peers = format!("patchelf {}, arwen {} (two runs)", millis(patchelf), millis(arwen));
    Row::time("ELF edit, 24 MB", ours, 1, peers)
}

fn macho_edit(dir: &Path) -> Row {
    let zig = macho::zig("aarch64-macos.13.0");
    let own = format!("{STORE}-x/lib/libiconv.2.dylib");
    let flags = format!("-shared -Wl,-install_name,{own}");
    compile(&zig, dir, "lib.dylib", "int iconv_close(void) { return 0; }", &flags);
    let source = format!(
        "__asm__(\".section __TEXT,__const\\n.globl _blob\\n_blob: .incbin \\\"{}\\\"\\n\");\nextern const char blob[];\nint iconv_close(void); int main(int n, char **v) {{ return blob[n] + iconv_close(); }}\n",
        blob(dir, 22 << 20).display()
    );
    let broken = compile(&zig, dir, "mac", &source, "{}/lib.dylib -Wl,-rpath,/nix/store/x/lib");
    let path = dir.join("patched");
    let [ours, arwen] = medians(
        5,
        &|| (),
        [
            &mut || assert!(edit_binary(broken.clone(), "mac").is_ok_and(|edited| edited.is_some())),
            &mut || {
                std::fs::write(&path, &broken).expect("the directory can be written");
                let mut command = testkit::tools::command("arwen");
                command.args(["macho", "change-install-name", &own, "/usr/lib/libiconv.2.dylib"]);
                succeed(command.arg(&path));
            },
        ],
    );
    let peers = format!("arwen {} (one library, the search path stays)", millis(arwen));
    Row::time("Mach-O edit and signature, 22 MB", ours, 20, peers)
}

/// The time that the smoke test adds, compared with the same steps by hand.
fn smoke(dir: &Path, what: &'static str, uv: bool, bar: u64) -> Row {
    let program = compile(&CC, dir, "small", support::HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let fixed = repaired(&program_wheel(&program)).expect("it can be repaired");
    let wheel = dir.join(fixed.name.to_string());
    std::fs::write(&wheel, &fixed.bytes).expect("the directory can be written");
    let ours = |smoke: &str| {
        let mut command = build_wheel(dir);
        if !uv {
            command.env("PATH", without_uv());
        }
        succeed(command.arg(&wheel).args(["--smoke", smoke]));
    };
    let environment = dir.join("environment");
    let [with, without, by_hand] = medians(
        3,
        &|| (),
        [&mut || ours("required"), &mut || ours("off"), &mut || {
            let _ = std::fs::remove_dir_all(&environment);
            succeed(testkit::tools::command("python3").args(["-m", "venv"]).arg(&environment));
            let mut pip = testkit::tools::scrubbed(environment.join("bin/pip"));
            succeed(pip.args(["install", "--quiet", "--no-index", "--no-deps"]).arg(&wheel));
            succeed(&mut testkit::tools::scrubbed(environment.join("bin/sample")));
        }],
    );
    let peers = format!("`venv`, `pip install`, run: {}", millis(by_hand));
    Row::time(what, with.saturating_sub(without), bar, peers)
}

fn without_uv() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).filter(|dir| !dir.join("uv").exists());
    std::env::join_paths(dirs).unwrap_or_default()
}

/// How many broken wheels each tool accepts: it does not reject the wheel, or its
/// result still has store paths that a loader reads.
fn broken(dir: &Path) -> Row {
    let variants = corpus::variants();
    let passed = |expect: &Expect, written: Option<&[u8]>| {
        written
            .is_some_and(|wheel| matches!(expect, Expect::Rejected(_)) || corpus::store_path(wheel).is_some())
    };
    let ours = variants.iter().filter(|(_, wheel, expect)| {
        let done = repaired(wheel).ok();
        passed(expect, done.as_ref().map(|done| done.bytes.as_slice()))
    });
    let ours = ours.count();
    let mut peers = Vec::new();
    for name in PEERS {
        let count = std::thread::scope(|scope| {
            // Two at a time, because they are slow.
            let halves: Vec<_> = variants
                .chunks(variants.len().div_ceil(2))
                .enumerate()
                .map(|(half, variants)| {
                    scope.spawn(move || {
                        let own = dir.join(format!("{name}-{half}"));
                        let pass = variants.iter().filter(|(_, wheel, expect)| {
                            let written = peer_writes(name, &own, wheel);
                            passed(expect, written.as_deref())
                        });
                        pass.count()
                    })
                })
                .collect();
            halves.into_iter().map(|half| half.join().unwrap_or_default()).sum::<usize>()
        });
        peers.push(format!("{name} {count}"));
    }
    peers.push(format!("maturin {} of 1 that it built itself", usize::from(maturin_passes(dir))));
    Row {
        what: "broken Nix wheels that pass",
        ours: format!("{ours} of {}", variants.len()),
        peers: peers.join(", "),
        bar: "none of at least 40".into(),
        met: ours == 0 && variants.len() >= 40,
    }
}

/// A peer's result for a wheel, if it accepts it.
fn peer_writes(name: &str, dir: &Path, wheel: &[u8]) -> Option<Vec<u8>> {
    let _ = std::fs::remove_dir_all(dir);
    let out = dir.join("out");
    std::fs::create_dir_all(&out).ok()?;
    let path = dir.join(WHEEL);
    std::fs::write(&path, wheel).ok()?;
    if !run(&mut peer(name, &path, &out)) {
        return None;
    }
    // A tool without anything to repair leaves the wheel unchanged.
    let written = std::fs::read_dir(&out).ok()?.find_map(|entry| Some(entry.ok()?.path()));
    std::fs::read(written.unwrap_or(path)).ok()
}

/// Whether maturin's own check accepts a program linked as in nixpkgs.
fn maturin_passes(dir: &Path) -> bool {
    let project = dir.join("linked");
    support::project(&project);
    let flags = nix_flags("ld-linux-x86-64.so.2");
    let flags: Vec<String> = flags.split(' ').map(|flag| format!("-Clink-arg={flag}")).collect();
    let mut command = testkit::tools::command("maturin");
    command.current_dir(&project).env_remove("CARGO_TARGET_DIR").env("RUSTFLAGS", flags.join(" "));
    command.args(["build", "--release", "--auditwheel", "repair", "--out", "out"]);
    let out = project.join("out");
    run(&mut command)
        && std::fs::read_dir(&out).is_ok_and(|mut entries| {
            entries.any(|entry| {
                let wheel = entry.and_then(|entry| std::fs::read(entry.path())).unwrap_or_default();
                corpus::store_path(&wheel).is_some()
            })
        })
}
