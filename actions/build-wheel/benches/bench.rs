//! `cargo bench -p build-wheel`: what build-wheel costs, beside its peers, in
//! one run on one machine. Needs `cargo xtask setup-test-tools`. Ends with 1
//! where a bar is missed.

#[path = "../tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use build_wheel::repair::{edit_elf_in_place, edit_macho};
use toolkit::{Env, Ui};

use support::{CC, STORE, WHEEL, build_wheel, compile, nix_flags, program_wheel, succeed, write};

/// How often each thing is measured; the median counts.
const RUNS: usize = 7;

struct Row {
    what: &'static str,
    ours: Duration,
    peer: String,
    bar: Duration,
}

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let rows = [
        overhead(folder.path()),
        repair(folder.path(), "repair of a wheel with a 2 MB binary", 2 << 20, 50),
        repair(folder.path(), "repair of a wheel with a 24 MB binary", 24 << 20, 500),
        elf(folder.path()),
        macho(folder.path()),
        smoke(folder.path(), "smoke test with uv", true, 500),
        smoke(folder.path(), "smoke test with venv and pip", false, 1200),
    ];
    let ui = Ui::from_env(&Env::from_process());
    ui.report(format!("{:<40} {:>10} {:>10}  peers", "", "ours", "bar"));
    for Row { what, ours, peer, bar } in &rows {
        let missed = if ours > bar { "  MISSED" } else { "" };
        ui.report(format!("{what:<40} {:>10} {:>10}  {peer}{missed}", millis(*ours), millis(*bar)));
    }
    ExitCode::from(u8::from(rows.iter().any(|row| row.ours > row.bar)))
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// The median of [`RUNS`] runs, after one that does not count.
fn median(mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// A warm build by maturin alone, and through build-wheel.
fn overhead(folder: &Path) -> Row {
    let project = write(
        &folder.join("project"),
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"sample\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n",
            ),
            (
                "pyproject.toml",
                "[build-system]\nrequires = [\"maturin\"]\nbuild-backend = \"maturin\"\n[project]\nname = \"sample\"\nversion = \"1.0.0\"\n[tool.maturin]\nbindings = \"bin\"\n",
            ),
            ("src/main.rs", "fn main() {}"),
        ],
    );
    let maturin = median(|| {
        let mut command = testkit::tools::command("maturin");
        command.current_dir(&project).args([
            "build",
            "--release",
            "--compatibility",
            "linux",
            "--auditwheel",
            "skip",
            "--out",
            "dist",
        ]);
        succeed(&mut command);
    });
    let ours = median(|| {
        succeed(build_wheel(&project).args(["--smoke", "off"]));
    });
    Row {
        what: "overhead over a warm maturin build",
        ours: ours.saturating_sub(maturin),
        peer: format!("maturin itself {}", millis(maturin)),
        bar: Duration::from_millis(50),
    }
}

/// A program of about `size` bytes, machine code for the most part, as
/// nixpkgs links it.
fn big_program(folder: &Path, size: usize) -> Vec<u8> {
    let code = std::fs::read(testkit::tools::path("maturin")).expect("maturin can be read");
    let data: Vec<u8> = code.iter().copied().cycle().take(size).collect();
    let blob = folder.join("blob");
    std::fs::write(&blob, data).expect("the folder can be written");
    let source = format!(
        "__asm__(\".section .rodata\\n.globl blob\\nblob: .incbin \\\"{}\\\"\\n\");\nextern const char blob[];\nint main(int n, char **v) {{ return blob[n] == 1; }}\n",
        blob.display()
    );
    compile(&CC, folder, "big", &source, &nix_flags("ld-linux-x86-64.so.2"))
}

fn repair(folder: &Path, what: &'static str, size: usize, bar: u64) -> Row {
    let wheel = program_wheel(&big_program(folder, size));
    std::fs::write(folder.join(WHEEL), wheel).expect("the folder can be written");
    let ours = median(|| {
        succeed(build_wheel(folder).args([WHEEL, "--smoke", "off"]));
    });
    let auditwheel = median(|| {
        let mut command = testkit::tools::command("auditwheel");
        let output =
            command.current_dir(folder).args(["repair", "--plat", "auto", "-w", "audited", WHEEL]).output();
        output.expect("auditwheel starts");
    });
    let peer = format!("auditwheel {} (and does not repair)", millis(auditwheel));
    Row { what, ours, peer, bar: Duration::from_millis(bar) }
}

fn elf(folder: &Path) -> Row {
    let broken = big_program(folder, 24 << 20);
    let mut copies: Vec<Vec<u8>> = (0..=RUNS).map(|_| broken.clone()).collect();
    let mut copies = copies.iter_mut();
    let ours = median(|| {
        let copy = copies.next().expect("there is one for each run");
        assert_eq!(edit_elf_in_place(copy, false).map(|changes| changes.len()), Ok(2));
    });
    let path = folder.join("patched");
    let mut patchelf = Duration::ZERO;
    for _ in 0..3 {
        std::fs::write(&path, &broken).expect("the folder can be written");
        let mut command = testkit::tools::command("patchelf");
        command.args(["--set-interpreter", "/lib64/ld-linux-x86-64.so.2", "--remove-rpath"]).arg(&path);
        let start = Instant::now();
        succeed(&mut command);
        patchelf = start.elapsed();
    }
    let peer = format!("patchelf {}", millis(patchelf));
    Row { what: "ELF edit, 24 MB", ours, peer, bar: Duration::from_millis(1) }
}

fn macho(folder: &Path) -> Row {
    let zig = ["python-zig", "cc", "-target", "aarch64-macos.13.0"];
    let library = format!("-shared -Wl,-install_name,{STORE}-x/lib/libiconv.2.dylib");
    compile(&zig, folder, "lib.dylib", "int iconv_close(void) { return 0; }", &library);
    let code = std::fs::read(testkit::tools::path("maturin")).expect("maturin can be read");
    let data: Vec<u8> = code.into_iter().cycle().take(22 << 20).collect();
    std::fs::write(folder.join("blob"), data).expect("the folder can be written");
    let source = format!(
        "__asm__(\".section __TEXT,__const\\n.globl _blob\\n_blob: .incbin \\\"{}\\\"\\n\");\nextern const char blob[];\nint iconv_close(void); int main(int n, char **v) {{ return blob[n] + iconv_close(); }}\n",
        folder.join("blob").display()
    );
    let broken = compile(&zig, folder, "mac", &source, "{}/lib.dylib -Wl,-rpath,/nix/store/x/lib");
    let ours = median(|| {
        assert!(edit_macho(&broken, "mac").is_ok_and(|edited| edited.is_some()));
    });
    let peer = "arwen 700 ms and more (measured elsewhere)".to_owned();
    Row { what: "Mach-O edit and signature, 22 MB", ours, peer, bar: Duration::from_millis(20) }
}

/// What the smoke test adds to a run.
fn smoke(folder: &Path, what: &'static str, uv: bool, bar: u64) -> Row {
    let program = compile(&CC, folder, "small", support::HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    std::fs::write(folder.join(WHEEL), program_wheel(&program)).expect("the folder can be written");
    let run = |smoke: &str| {
        median(|| {
            let mut command = build_wheel(folder);
            if !uv {
                command.env("PATH", without_uv());
            }
            succeed(command.args([WHEEL, "--smoke", smoke]));
        })
    };
    let ours = run("required").saturating_sub(run("off"));
    Row {
        what,
        ours,
        peer: "venv with pip, then pip install: 4200 ms (measured elsewhere)".into(),
        bar: Duration::from_millis(bar),
    }
}

fn without_uv() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| !folder.join("uv").exists());
    std::env::join_paths(folders).unwrap_or_default()
}
