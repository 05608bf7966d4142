//! Who can install a release: the command, the findings, the reports.

use testkit::sample::linux;
use testkit::wheel::{Elf, MachO, Member, Pe, Wheel};

use crate::program::{dist_dir, verify};

fn text(output: &assert_cmd::assert::Assert) -> String {
    let output = output.get_output();
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

/// `dist/` with a wheel for glibc, and `before/` with one for any platform.
fn release() -> tempfile::TempDir {
    let dir = dist_dir(&linux(Elf::default()));
    let mut old = Wheel::sample("py3-none-any");
    old.stem = "sample-0.9".into();
    old.metadata = old.metadata.replace("Version: 1.0\n", "Version: 0.9\n");
    std::fs::create_dir(dir.path().join("before")).unwrap();
    std::fs::write(dir.path().join("before").join(old.filename()), old.bytes()).unwrap();
    dir
}

#[test]
fn the_command_shows_the_table_and_nothing_else() {
    let dir = release();
    let shown = text(&verify(dir.path()).args(["installs", "dist"]).assert().code(0));
    assert!(shown.contains("debian-13") && shown.contains("1  sample-1.0-cp312-cp312-"), "{shown}");
    assert!(!shown.contains("error[") && !dir.path().join("dist-manifest.json").exists());
    let args = ["installs", "dist", "--why", "ubuntu-20.04 x86_64 cp312"];
    let shown = text(&verify(dir.path()).args(args).assert().code(0));
    assert!(shown.contains("sample: wheel: sample-1.0") && shown.contains("tags are accepted"), "{shown}");
    let args = ["installs", "dist", "--why", "ubuntu-20.04 x86_65 cp312"];
    let shown = text(&verify(dir.path()).args(args).assert().code(2));
    assert!(shown.contains("`x86_65`") && shown.contains("hint:"), "{shown}");
}

#[test]
fn a_loss_is_a_warning_or_an_error() {
    let dir = release();
    let compare = ["--previous", "before"];
    let shown = text(&verify(dir.path()).args(["installs", "dist"]).args(compare).assert().code(0));
    assert!(shown.contains("since sample 0.9:") && shown.contains("  loss: "), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let joined = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains("wheel → nothing (no wheel for Windows on x86_64)"), "{shown}");
    let ignore = "[[tool.verify-dist.ignore]]\nrule = 'SET009'\nreason = 'a test'\n";
    std::fs::write(dir.path().join("pyproject.toml"), ignore).unwrap();
    let shown = text(&verify(dir.path()).args(compare).assert().code(0));
    assert!(shown.contains("warning[INS001]"), "{shown}");
    let shown = text(&verify(dir.path()).args(compare).args(["--lost", "error"]).assert().code(1));
    assert!(shown.contains("error[INS001]"), "{shown}");
    std::fs::write(
        dir.path().join("pyproject.toml"),
        format!("[tool.verify-dist]\nlost = 'error'\n{ignore}"),
    )
    .unwrap();
    verify(dir.path()).args(compare).assert().code(1);
}

#[test]
fn a_required_environment_needs_a_wheel() {
    let dir = release();
    let config = |require: &str| {
        let text = format!("[tool.verify-dist]\nrequire = [\"{require}\"]\n");
        std::fs::write(dir.path().join("pyproject.toml"), text).unwrap();
    };
    config("debian-12 x86_64 cp312");
    verify(dir.path()).assert().code(0);
    config("alpine-3.20 aarch64 cp312");
    let shown = text(&verify(dir.path()).assert().code(1));
    assert!(shown.contains("error[INS002]"), "{shown}");
    assert!(shown.contains("`target: aarch64-unknown-linux-musl`"), "{shown}");
    config("alpin-3.20 aarch64 cp312");
    let shown = text(&verify(dir.path()).assert().code(2));
    assert!(shown.contains("`alpin-3.20 aarch64 cp312`") && shown.contains("alpine-3.23"), "{shown}");
}

#[test]
fn every_report_has_the_table() {
    let dir = release();
    let summary = dir.path().join("summary");
    let run = verify(dir.path())
        .args(["--svg-path", "installs.svg", "--report-path", "report.json"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .assert()
        .code(0);
    assert!(text(&run).contains("the number of the wheel that pip installs"));
    assert!(std::fs::read_to_string(summary).unwrap().contains("Where pip installs sample"));
    assert!(std::fs::read_to_string(dir.path().join("installs.svg")).unwrap().contains("debian-13"));
    let report = std::fs::read(dir.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let rows = report["installs"]["packages"][0]["environments"].as_array().unwrap();
    let row = rows.iter().find(|row| row["environment"] == "debian-13 x86_64").unwrap();
    assert_eq!(row["outcomes"]["cp312"]["outcome"], "wheel");
    assert_eq!(row["outcomes"]["cp313"]["outcome"], "nothing");
}

#[test]
fn content_that_needs_more_than_the_tag_does_not_load() {
    let elf = Elf { version: Some(("libc.so.6".into(), "GLIBC_2.34".into())), ..Elf::default() };
    let dir = dist_dir(&linux(elf));
    let why = |text_of: &str| {
        text(&verify(dir.path()).args(["installs", "dist", "--why", text_of]).assert().code(0))
    };
    let shown = why("debian-11 x86_64 cp312");
    assert!(shown.contains("wheel, but does not load") && shown.contains("needs glibc 2.34"), "{shown}");
    assert!(why("debian-12 x86_64 cp312").contains("sample: wheel: "));
}

#[test]
fn a_windows_module_that_lacks_its_libraries_does_not_load() {
    let with = |dll: &str, machine: u16, bundled: Option<&str>| {
        let imports = vec![("python312.dll".into(), vec![]), (dll.into(), vec!["compress".into()])];
        let mut wheel = Wheel::sample("cp312-cp312-win_amd64");
        let module = Pe { machine, imports, ..Pe::default() }.bytes();
        wheel.members.push(Member::new("sample/core.cp312-win_amd64.pyd", module));
        wheel
            .members
            .extend(bundled.map(|name| Member::new(format!("sample/{name}"), Pe::default().bytes())));
        let dir = dist_dir(&wheel);
        let why = ["installs", "dist", "--why", "windows x86_64 cp312"];
        text(&verify(dir.path()).args(why).assert().code(0))
    };
    let shown = with("libz-1.dll", 0x8664, None);
    assert!(shown.contains("wheel, but does not load") && shown.contains("libz-1.dll"), "{shown}");
    // 0xaa64 is ARM.
    let shown = with("KERNEL32.dll", 0xaa64, None);
    assert!(shown.contains("wheel, but does not load") && shown.contains("arm64"), "{shown}");
    // A DLL of Windows, one that most machines have, and one in the wheel itself.
    for (dll, bundled) in [("KERNEL32.dll", None), ("MSVCP140.dll", None), ("libz-1.dll", Some("libz-1.dll"))]
    {
        let shown = with(dll, 0x8664, bundled);
        assert!(shown.contains("sample: wheel: ") && !shown.contains("does not load"), "{dll}: {shown}");
    }
}

#[test]
fn a_macos_module_that_lacks_its_libraries_does_not_load() {
    let with = |library: &str| {
        let mut wheel = Wheel::sample("cp312-cp312-macosx_11_0_arm64");
        let dylibs = vec![library.into()];
        let module = MachO { dylibs, file_type: 8, exported: Some("PyInit_core".into()), ..MachO::default() };
        wheel.members.push(Member::new("sample/core.cpython-312-darwin.so", module.bytes()));
        let dir = dist_dir(&wheel);
        let why = ["installs", "dist", "--why", "macos-15 arm64 cp312"];
        text(&verify(dir.path()).args(why).assert().code(0))
    };
    for library in
        ["/nix/store/00000000000000000000000000000000-zlib/lib/libz.dylib", "/opt/homebrew/lib/libz.dylib"]
    {
        let shown = with(library);
        assert!(shown.contains("wheel, but does not load") && shown.contains(library), "{shown}");
    }
    assert!(with("/usr/lib/libSystem.B.dylib").contains("sample: wheel: "));
}
