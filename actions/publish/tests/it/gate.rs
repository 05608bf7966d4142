//! Files that PyPI would reject are rejected, even without a manifest.

use testkit::github::{GitHub, TOKEN};
use testkit::sample;
use testkit::wheel::{Member, Wheel, zip};

use crate::support::{RunOutput, Set};

/// Names and bytes.
type Files = Vec<(String, Vec<u8>)>;

/// `publish` for PyPI on these files, without a connection.
fn offline(files: &[(String, Vec<u8>)]) -> RunOutput {
    let set = Set::empty();
    for (name, bytes) in files {
        std::fs::write(set.dist().join(name), bytes).unwrap();
    }
    let mut command = set.command();
    command.args(["--manifest", "none", "--index", "pypi", "--dry-run", "offline"]);
    set.run(command)
}

fn wheel(change: impl FnOnce(&mut Wheel)) -> (String, Vec<u8>) {
    let mut wheel = sample::pure();
    change(&mut wheel);
    sample::file(&wheel)
}

fn with_metadata(old: &str, new: &str) -> (String, Vec<u8>) {
    wheel(|wheel| {
        assert!(wheel.metadata.contains(old), "{old}");
        wheel.metadata = wheel.metadata.replacen(old, new, 1);
    })
}

/// A wheel whose file name alone is changed.
fn renamed(name: &str) -> (String, Vec<u8>) {
    (name.to_owned(), sample::pure().bytes())
}

fn without(member: &str) -> (String, Vec<u8>) {
    let wheel = sample::pure();
    let mut members = wheel.finished();
    members.retain(|found| found.name != format!("sample-1.0.dist-info/{member}"));
    (wheel.filename(), zip(&members))
}

#[test]
fn valid_files_pass() {
    let files = [sample::file(&sample::pure()), sample::sdist(|_| {})];
    offline(&files).expect(0).all("unknown");
}

/// Tags that PyPI accepts although no manylinux policy has them.
#[test]
fn tags_of_small_arm_machines_pass() {
    for platform in ["linux_armv6l", "linux_armv7l", "manylinux2014_armv7l", "musllinux_1_2_riscv64"] {
        let file = sample::file(&Wheel::sample(&format!("py3-none-{platform}")));
        offline(&[file]).expect(0);
    }
}

#[test]
fn each_class_of_defect_stops_the_run() {
    let sdist = |name: &str, root: &str| {
        let bytes = sample::targz(|archive| {
            sample::add(archive, &format!("{root}/PKG-INFO"), sample::pure().metadata.as_bytes());
        });
        (name.to_owned(), bytes)
    };
    let entry_points = Member::new("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nbroken\n");
    let bomb = Member { method: 12, ..Member::new("sample/data", "x") };
    let defects: Vec<(&str, Files)> = vec![
        ("linux_x86_64", vec![renamed("sample-1.0-py3-none-linux_x86_64.whl")]),
        ("pyodide_2024_0_wasm32", vec![renamed("sample-1.0-py3-none-pyodide_2024_0_wasm32.whl")]),
        ("macosx_17_0_arm64", vec![renamed("sample-1.0-py3-none-macosx_17_0_arm64.whl")]),
        ("sam.ple", vec![dotted()]),
        ("Sample", vec![renamed("Sample-1.0-py3-none-any.whl")]),
        ("1.0", vec![renamed("sample-1.1-py3-none-any.whl")]),
        ("sample-1.0.tar.gz", vec![sdist("Sample-1.0.tar.gz", "Sample-1.0")]),
        ("sample-1.0.tar.gz", vec![sdist("sample-1.00.tar.gz", "sample-1.00")]),
        ("WHEEL", vec![without("WHEEL")]),
        ("RECORD", vec![without("RECORD")]),
        ("METADATA", vec![without("METADATA")]),
        ("9.9", vec![with_metadata("Metadata-Version: 2.4", "Metadata-Version: 9.9")]),
        ("1.0+local", vec![local_version()]),
        ("no such thing", vec![with_metadata("Author:", "Classifier: no such thing\nAuthor:")]),
        ("Requires-Dist", vec![with_metadata("Author:", "Requires-Dist: a==\nAuthor:")]),
        (
            "not-a-licence",
            vec![with_metadata("License-Expression: MIT", "License-Expression: not-a-licence")],
        ),
        ("LICENSE", vec![with_metadata("Author:", "License-File: LICENSE\nAuthor:")]),
        ("text/plainer", vec![with_metadata("text/markdown", "text/plainer")]),
        ("Summary", vec![with_metadata("A sample.", &"x".repeat(600))]),
        ("entry_points.txt", vec![wheel(|wheel| wheel.members.push(entry_points))]),
        ("sample/data", vec![wheel(|wheel| wheel.members.push(bomb))]),
        ("sample/__init__.py", vec![wheel(|wheel| wheel.members.push(wheel.members[0].clone()))]),
        ("sample-1.0.tar.gz", vec![sample::sdist(|archive| sample::add(archive, "other/file", b"x"))]),
        ("sample-1.0.tar.gz", vec![("sample-1.0.tar.gz".to_owned(), b"not an archive".to_vec())]),
    ];
    assert!(defects.len() >= 12);
    let mut missed = Vec::new();
    for (words, files) in defects {
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let result = offline(&files);
        let is_refused = result.code == 1 && result.text.contains("cannot be published:");
        if !is_refused || !result.text.contains(words) || !result.text.contains("hint: ") {
            missed.push(format!("{names:?}, {words}: {} {}", result.code, result.text));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn dotted() -> (String, Vec<u8>) {
    wheel(|wheel| {
        "sam.ple-1.0".clone_into(&mut wheel.stem);
        wheel.metadata = wheel.metadata.replace("Name: sample", "Name: sam.ple");
    })
}

fn local_version() -> (String, Vec<u8>) {
    wheel(|wheel| {
        "sample-1.0+local".clone_into(&mut wheel.stem);
        wheel.metadata = wheel.metadata.replace("Version: 1.0", "Version: 1.0+local");
    })
}

/// PyPI's rules apply neither to other indexes nor to a GitHub Release.
#[test]
fn pypis_rules_apply_only_to_pypi() {
    let set = Set::empty();
    let wheel = Wheel::sample("py3-none-linux_x86_64");
    std::fs::write(set.dist().join(wheel.filename()), wheel.bytes()).unwrap();
    let run = |args: &[&str]| {
        let mut command = set.command();
        command.args(["--manifest", "none"]).args(args);
        set.run(command)
    };
    run(&["--index", "pypi", "--dry-run", "offline"]).expect(1);
    run(&["--index", "https://index.example/upload/", "--dry-run", "offline"]).expect(0);
    let github = GitHub::start();
    let mut command = set.command();
    command.args(["--manifest", "none", "--index", "pypi", "--github-release", "only"]);
    command.arg("--allow-insecure-loopback").env("INPUT_GITHUB_TOKEN", TOKEN).envs(github.env());
    set.run(command).expect(0);
    assert!(github.repository().releases[0].assets.contains_key(&wheel.filename()));
}

/// PyPI accepts these with an e-mail to the owners: the run continues, with a
/// warning in the log and in the summary.
#[test]
fn shows_what_the_index_warns_about() {
    let set = Set::empty();
    let summary = set.dir.path().join("summary");
    let wheel = sample::pure();
    let mut members = wheel.finished();
    members
        .iter_mut()
        .filter(|member| member.name.ends_with("/RECORD"))
        .for_each(|record| record.data.clear());
    std::fs::write(set.dist().join(wheel.filename()), zip(&members)).unwrap();
    let mut command = set.command();
    command.args(["--manifest", "none", "--index", "pypi", "--dry-run", "offline"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", set.dir.path().join("output"));
    command.env("GITHUB_STEP_SUMMARY", &summary);
    let result = set.run(command).expect(0);
    let summary = std::fs::read_to_string(summary).unwrap();
    for text in [&result.text, &summary] {
        assert!(text.contains("accepts these files with warnings"), "{text}");
        assert!(text.contains("not listed in RECORD (REC004)"), "{text}");
    }
}
