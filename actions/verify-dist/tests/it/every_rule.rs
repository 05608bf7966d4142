//! Every rule is seen to find what it is for, and to pass where that is not.

use std::collections::{BTreeMap, BTreeSet};

use pydist::filename::DistName;
use testkit::wheel::{Elf, MachO, Member, Pe, Wheel, zip};
use verify_dist::facts::Dist;
use verify_dist::previous::Listed;
use verify_dist::rules::{self, Outcome, Published, Set};

use crate::kit::{LINUX, add, facts, file, linux, macos, program, pure, sdist, targz, verdict};

/// A defective set: files, and what is expected of them.
#[derive(Default)]
struct Case {
    files: Vec<(String, Vec<u8>)>,
    matrix: Vec<String>,
    tag: Option<&'static str>,
    expect_sdist: Vec<String>,
    previous: Option<Published>,
    top_level: Vec<String>,
}

impl Case {
    fn found(&self) -> BTreeSet<&'static str> {
        let dists = facts(&self.files);
        verdict(&self.set(&dists)).findings.iter().map(|finding| finding.rule).collect()
    }

    fn set<'a>(&'a self, dists: &'a [Dist]) -> Set<'a> {
        Set {
            dists,
            matrix: &self.matrix,
            tag: self.tag,
            expect_sdist: &self.expect_sdist,
            previous: self.previous.as_ref(),
            top_level: &self.top_level,
        }
    }
}

impl From<(String, Vec<u8>)> for Case {
    fn from(file: (String, Vec<u8>)) -> Self {
        Self { files: vec![file], ..Self::default() }
    }
}

impl From<Wheel> for Case {
    fn from(wheel: Wheel) -> Self {
        file(&wheel).into()
    }
}

/// A wheel with one more member.
fn with(mut wheel: Wheel, member: Member) -> Case {
    wheel.members.push(member);
    wheel.into()
}

/// A pure wheel with one more file.
fn plus(name: &str, data: impl Into<Vec<u8>>) -> Case {
    with(pure(), Member::new(name, data))
}

/// A pure wheel with other metadata.
fn metadata(from: &str, to: &str) -> Case {
    let mut wheel = pure();
    assert!(wheel.metadata.contains(from), "{from}");
    wheel.metadata = wheel.metadata.replace(from, to);
    wheel.into()
}

/// A pure wheel whose finished members are changed.
fn after(change: impl FnOnce(&mut Vec<Member>)) -> Case {
    let mut members = pure().finished();
    change(&mut members);
    (pure().filename(), zip(&members)).into()
}

fn record(from: &str, to: &str) -> Case {
    after(|members| {
        let record = members.last_mut().unwrap();
        record.data = String::from_utf8(record.data.clone()).unwrap().replace(from, to).into_bytes();
    })
}

fn renamed(name: &str) -> Case {
    (name.to_owned(), pure().bytes()).into()
}

fn retagged(mut wheel: Wheel, tag: &str) -> Case {
    wheel.tag = tag.into();
    wheel.into()
}

fn windows(pe: &Pe) -> Wheel {
    let mut wheel = Wheel::sample("cp312-cp312-win_amd64");
    wheel.members.push(Member::new("sample/core.cp312-win_amd64.pyd", pe.bytes()));
    wheel
}

fn imports(library: &str) -> Pe {
    Pe { imports: vec![(library.into(), vec![])], ..Pe::default() }
}

fn source(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Case {
    sdist(more).into()
}

/// Another version or project of the pure sample.
fn other(stem: &str, from: &str, to: &str) -> Wheel {
    let mut wheel = pure();
    wheel.stem = stem.into();
    wheel.metadata = wheel.metadata.replace(from, to);
    wheel
}

fn listed(filename: &str, sha256: Option<&str>) -> Listed {
    let name: DistName = filename.parse().unwrap();
    Listed { filename: filename.into(), name, sha256: sha256.map(str::to_owned), yanked: false }
}

fn published(files: &[(&str, Option<&str>)]) -> Published {
    let files = files.iter().map(|(name, sha256)| listed(name, *sha256)).collect();
    BTreeMap::from([("sample".to_owned(), files)])
}

fn link(kind: tar::EntryType, target: &str) -> Case {
    source(|archive| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_path("sample-1.0/link").unwrap();
        header.set_link_name(target).unwrap();
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
    })
}

const STORE: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";
const DATA: &str = "sample-1.0.data";

fn elf(change: impl FnOnce(&mut Elf)) -> Elf {
    let mut elf = Elf::default();
    change(&mut elf);
    elf
}

/// A rule's id, and what it must find something in.
type Row = (&'static str, fn() -> Case);

fn archive() -> Vec<Row> {
    vec![
        ("ZIP001", || ("sample-1.0-py3-none-any.whl".to_owned(), b"PK".to_vec()).into()),
        ("ZIP002", || after(|members| members[0].local_name = Some("sample/__init_x.py".into()))),
        ("ZIP003", || after(|members| members.push(members[0].clone()))),
        ("ZIP004", || after(|members| members[0].comment = b"hello".to_vec())),
        ("ZIP005", || after(|members| members[0].method = 14)),
        ("ZIP006", || plus("../evil.py", "")),
        ("ZIP007", || with(pure(), Member { mode: 0o120_777, ..Member::new("sample/x.py", "__init__.py") })),
        ("ZIP008", || plus("sample/__INIT__.py", "other")),
        ("ZIP009", bomb),
        ("ZIP010", || (pure().filename(), [pure().bytes(), vec![0; 100 << 20]].concat()).into()),
        ("ZIP011", || after(|members| members[0].crc32 = Some(1))),
        ("ZIP012", || plus("sample/ä.py", "")),
        ("ZIP013", || {
            let mut bytes = pure().bytes();
            let end = bytes.len();
            bytes[end - 2] = 5;
            (pure().filename(), [bytes, b"hello".to_vec()].concat()).into()
        }),
        ("ZIP014", || plus("sample/aux.py", "")),
        ("ZIP015", || plus("sample/a file.txt", "")),
        ("NAM001", || renamed("sample-1.0-any.whl")),
        ("NAM002", || renamed("simple-1.0-py3-none-any.whl")),
        ("NAM003", || renamed("sample-1.1-py3-none-any.whl")),
        ("NAM004", || ("Sam.ple-1.0.tar.gz".to_owned(), sdist(|_| ()).1).into()),
        ("NAM005", || renamed("Sample-1.0-py3-none-any.whl")),
        ("NAM006", || metadata("Version: 1.0\n", "Version: 1.0+local\n")),
        ("NAM007", || renamed("sample-1.0.1-py3-none-any.whl")),
        ("REC001", || after(|members| drop(members.pop()))),
        ("REC002", || after(|members| members[0].data = b"x = 2\n".to_vec())),
        ("REC003", || record(",6\n", ",7\n")),
        ("REC004", || after(|members| members.insert(0, Member::new("sample/more.py", "")))),
        ("REC005", || after(|members| drop(members.remove(0)))),
        ("REC006", || record("sample/__init__.py", "sample-1.0.dist-info/RECORD,,\nsample/__init__.py")),
        ("REC007", || record("sha256=", "md5=")),
        ("REC008", || record("sample/__init__.py", "/sample/__init__.py")),
    ]
}

/// A member of 65 MiB of zeros.
fn bomb() -> Case {
    use std::io::Write as _;
    let size = 65 << 20;
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    let mut crc = flate2::Crc::new();
    for _ in 0..65 {
        deflate.write_all(&zeros).unwrap();
        crc.update(&zeros);
    }
    let data = deflate.finish().unwrap();
    let (length, sum) = (u32::try_from(data.len()).unwrap(), crc.sum());
    let member = Member { method: 8, crc32: Some(sum), ..Member::new("sample/zeros", data) };
    let mut bytes = zip(&[member]);
    // `zip` stores: the size inflated is put in at its two places.
    for start in [b"PK\x03\x04", b"PK\x01\x02"] {
        let at = bytes.windows(4).position(|window| window == start).unwrap();
        let sizes = at + if start == b"PK\x03\x04" { 18 } else { 20 };
        assert_eq!(bytes[sizes..sizes + 4], length.to_le_bytes());
        bytes[sizes + 4..sizes + 8].copy_from_slice(&u32::to_le_bytes(size));
    }
    ("sample-1.0-py3-none-any.whl".to_owned(), bytes).into()
}

fn tags_and_metadata() -> Vec<Row> {
    vec![
        ("TAG001", || retagged(linux(Elf::default()), "cp312-cp312-linux_x86_64")),
        ("TAG002", || renamed("sample-1.0-py2-none-any.whl")),
        ("TAG003", || {
            let mut wheel = Wheel::sample("py2.py3-none-any");
            wheel.wheel = Some("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n".into());
            wheel.into()
        }),
        ("TAG004", || plus("sample/bin/tool", elf(|elf| elf.is_static = true).bytes())),
        ("TAG005", || {
            let mut wheel = linux(Elf::default());
            wheel.wheel = Some(format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {LINUX}\n"));
            wheel.into()
        }),
        ("TAG006", || {
            let mut wheel = pure();
            wheel.wheel = Some("Wheel-Version: 2.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into());
            wheel.into()
        }),
        ("TAG007", || {
            retagged(linux(Elf::default()), "cp312-cp312-manylinux_2_17_x86_64.manylinux_2_17_aarch64")
        }),
        ("TAG008", || retagged(linux(Elf::default()), "cp312-cp311-manylinux_2_17_x86_64")),
        ("TAG009", || renamed("sample-1.0-1-py3-none-any.whl")),
        ("TAG010", || {
            let mut wheel = linux(Elf::default());
            wheel.metadata = wheel.metadata.replace(">=3.10", ">=3.13");
            wheel.into()
        }),
        ("TAG011", || retagged(pure(), LINUX)),
        ("MET001", || metadata("Name: sample\n", "")),
        ("MET002", || metadata("Metadata-Version: 2.4", "Metadata-Version: 9.9")),
        ("MET003", || metadata("Version: 1.0\n", "Version: one\n")),
        ("MET004", || metadata("Summary", "Classifier: Topic :: Nonsense\nSummary")),
        ("MET005", || metadata("Summary", "Requires-Dist: a @ https://example.org/a.whl\nSummary")),
        ("MET006", || metadata(">=3.10", "three")),
        ("MET007", || metadata("https://sample.example", "sample.example")),
        ("MET008", || metadata("A sample.", &"x".repeat(513))),
        ("MET009", || metadata("License-Expression: MIT", "License-Expression: MITT")),
        ("MET010", || metadata("Summary", "License-File: LICENSE\nSummary")),
        ("MET011", || metadata("Summary", "Dynamic: Name\nSummary")),
        ("MET012", || metadata("text/markdown", "text/html")),
        ("MET013", || metadata("Metadata-Version: 2.4", "Metadata-Version: 2.1")),
        ("MET014", || plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = a b:c\n")),
        ("MET015", || {
            plus("sample-1.0.dist-info/licenses/LICENSE", "Apache License\n Version 2.0, January 2004\n")
        }),
        ("MET016", || metadata("Summary: A sample.\n", "")),
        ("MET017", || metadata("text/markdown\n\n# Sample", "text/x-rst\n\nSample\n====")),
        ("MET018", || metadata("Summary", "Version: 1.0\nSummary")),
        ("MET019", || plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = gone:main\n")),
        ("MET020", || metadata("Author: A. Sample\n", "")),
        ("MET021", || metadata("text/markdown\n\n# Sample", "text/x-rst\n\n== ==\na  b\n== ==\n1  2\n== ==")),
    ]
}

fn binaries() -> Vec<Row> {
    vec![
        ("NIX001", || linux(elf(|elf| elf.runpath = Some(STORE.into()))).into()),
        ("NIX002", || macos(MachO { dylibs: vec![format!("{STORE}/x.dylib")], ..MachO::default() }).into()),
        ("NIX003", || {
            let name = format!("{DATA}/scripts/tool");
            with(pure(), Member::new(name, format!("#!{STORE}/bin/sh\n")).executable())
        }),
        ("NIX004", || plus("sample/config.py", format!("PATH = '{STORE}'\n"))),
        ("LNX001", || linux(elf(|elf| elf.machine = 183)).into()),
        ("LNX002", || linux(elf(|elf| elf.version = Some(("libc.so.6".into(), "GLIBC_2.34".into())))).into()),
        ("LNX003", || linux(elf(|elf| elf.needed.push("libssl.so.1.1".into()))).into()),
        ("LNX004", || linux(elf(|elf| elf.undefined = Some("__cxa_thread_atexit_impl".into()))).into()),
        ("LNX005", || linux(elf(|elf| elf.says_stack = false)).into()),
        ("LNX006", || linux(elf(|elf| elf.runpath = Some("$ORIGIN/../../lib".into()))).into()),
        ("LNX007", || program(elf(|elf| elf.interpreter = Some("/lib/ld-linux-x86-64.so.2".into()))).into()),
        ("LNX008", || linux(elf(|elf| elf.needed = vec!["libc.musl-x86_64.so.1".into()])).into()),
        ("LNX009", || linux(elf(|elf| elf.needed.push("libpython3.12.so.1.0".into()))).into()),
        ("LNX010", || {
            let mut wheel = linux(Elf::default());
            let half = wheel.members[1].data.len() / 2;
            wheel.members[1].data.truncate(half);
            wheel.into()
        }),
        ("LNX011", x86_64_v3),
        ("LNX012", || linux(elf(|elf| elf.text_relocations = true)).into()),
        ("LNX013", || {
            let wheel = linux(elf(|elf| elf.needed.push("libown.so.1".into())));
            with(wheel, Member::new("sample.libs/libown.so.1", Elf::default().bytes()))
        }),
        ("MAC001", || macos(MachO { cpu: 0x0100_0007, ..MachO::default() }).into()),
        ("MAC002", || macos(MachO { minimum: (14, 0), ..MachO::default() }).into()),
        ("MAC003", || macos(MachO { signed: false, ..MachO::default() }).into()),
        ("MAC004", || {
            macos(MachO { dylibs: vec!["/opt/homebrew/lib/libx.dylib".into()], ..MachO::default() }).into()
        }),
        ("MAC005", || macos(MachO { rpaths: vec!["/Users/me/build".into()], ..MachO::default() }).into()),
        ("MAC006", || macos(MachO { platform: 2, ..MachO::default() }).into()),
        ("WIN001", || windows(&Pe { machine: 0x014c, ..Pe::default() }).into()),
        ("WIN002", || windows(&imports("VCRUNTIME140D.dll")).into()),
        ("WIN003", || windows(&imports("python311.dll")).into()),
        ("WIN004", || windows(&imports("MSVCP140.dll")).into()),
        ("ABI001", || {
            let mut wheel = Wheel::sample("cp39-abi3-manylinux_2_17_x86_64");
            let module = elf(|elf| elf.undefined = Some("PyModule_AddType".into()));
            wheel.members.push(Member::new("sample/core.abi3.so", module.bytes()));
            wheel.into()
        }),
        ("ABI002", || retagged(linux(Elf::default()), "cp311-cp311-manylinux_2_17_x86_64")),
    ]
}

/// A library that says by a GNU property that it needs x86-64-v3.
fn x86_64_v3() -> Case {
    let mut bytes = Elf::default().bytes();
    let note = bytes.len() as u64;
    for word in [4, 16, 5, 0x0055_4e47, 0xc000_8002, 4, 4, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    // The third program header is free in a library.
    let header = 64 + 2 * 56;
    bytes[header..header + 4].copy_from_slice(&0x6474_e553u32.to_le_bytes());
    bytes[header + 8..header + 16].copy_from_slice(&note.to_le_bytes());
    bytes[header + 32..header + 40].copy_from_slice(&32u64.to_le_bytes());
    let mut wheel = Wheel::sample(LINUX);
    wheel.members.push(Member::new("sample/core.so", bytes));
    wheel.into()
}

fn content() -> Vec<Row> {
    vec![
        ("CON001", || plus("sample/__pycache__/x.cpython-312.pyc", "x")),
        ("CON002", || plus("sample/.pypirc", "[server]")),
        ("CON003", || plus("tests/x.py", "")),
        ("CON004", || after(|members| drop(members.remove(0)))),
        ("CON005", || plus("sample-1.0.data/other/x", "x")),
        ("CON006", || with(pure(), Member::new(format!("{DATA}/scripts/tool"), "#!python\nprint(1)\n"))),
        ("CON007", || with(pure(), Member { mode: 0o100_666, ..Member::new("sample/x.py", "") })),
        ("CON008", || with(linux(Elf::default()), Member::new("sample/core.pdb", "x"))),
        ("CON009", || plus(&format!("sample/{}.py", "x".repeat(200)), "")),
        ("CON010", || plus("sample/libx.a", "!<arch>\n")),
        ("CON011", || {
            plus("sample/key.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n")
        }),
        ("CON012", || {
            let mut wheel = pure();
            wheel.members.push(Member::new("sample/a.txt", "x".repeat(5000)));
            with(wheel, Member::new("sample/b.txt", "x".repeat(5000)))
        }),
        ("CON013", || plus("sample/not-importable/x.py", "")),
        ("CON014", || plus("second/x.py", "")),
        ("CON015", || Case { top_level: vec!["sample".into(), "more".into()], ..pure().into() }),
        ("CON016", || {
            let name = format!("{DATA}/scripts/tool");
            with(pure(), Member::new(name, "#!/home/me/venv/bin/python\n").executable())
        }),
    ]
}

fn sources() -> Vec<Row> {
    vec![
        ("SDI001", || source(|archive| add(archive, "other/x.py", b""))),
        ("SDI002", || {
            let metadata = pure().metadata;
            let bytes = targz(|archive| add(archive, "sample-1.0/PKG-INFO", metadata.as_bytes()));
            ("sample-1.0.tar.gz".to_owned(), bytes).into()
        }),
        ("SDI003", || link(tar::EntryType::Symlink, "/etc/passwd")),
        ("SDI004", || link(tar::EntryType::Char, "none")),
        ("SDI005", || source(|archive| add(archive, "sample-1.0/x.so", &Elf::default().bytes()))),
        ("SDI006", || source(|archive| add(archive, "sample-1.0/.venv/x.cfg", b""))),
        ("SDI007", || {
            let library = elf(|elf| elf.runpath = Some(STORE.into())).bytes();
            source(|archive| add(archive, "sample-1.0/x.so", &library))
        }),
        ("SDI008", || {
            source(|archive| {
                add(archive, "sample-1.0/x.py", b"1");
                add(archive, "sample-1.0/x.py", b"2");
            })
        }),
    ]
}

fn sets() -> Vec<Row> {
    vec![
        ("SET001", || {
            let second = other("sample-1.1", "Version: 1.0\n", "Version: 1.1\n");
            Case { files: vec![file(&pure()), file(&second)], ..Case::default() }
        }),
        ("SET002", || Case { tag: Some("v1.1"), ..pure().into() }),
        ("SET003", || {
            let second =
                other("sample_cli-1.0", "Name: sample", "Requires-Dist: sample>=1\nName: sample-cli");
            Case { files: vec![file(&pure()), file(&second)], ..Case::default() }
        }),
        ("SET004", || {
            let mut second = linux(Elf::default());
            second.metadata = second.metadata.replace("Summary", "Requires-Dist: more\nSummary");
            Case { files: vec![file(&pure()), file(&second)], ..Case::default() }
        }),
        ("SET005", || Case { matrix: vec!["macosx_*_arm64".into()], ..linux(Elf::default()).into() }),
        ("SET006", || {
            let second = ("Sample-1.0.tar.gz".to_owned(), sdist(|_| ()).1);
            Case { files: vec![sdist(|_| ()), second], ..Case::default() }
        }),
        ("SET007", || Case { expect_sdist: vec!["all".into()], ..pure().into() }),
        ("SET008", || {
            let second = Wheel::sample("py2.py3-none-any");
            Case { files: vec![file(&pure()), file(&second)], ..Case::default() }
        }),
        ("SET009", || Case {
            previous: Some(published(&[("sample-0.9-cp312-cp312-macosx_11_0_arm64.whl", None)])),
            ..linux(Elf::default()).into()
        }),
        ("SET010", || Case {
            previous: Some(published(&[("sample-1.0-py3-none-any.whl", Some("00"))])),
            ..pure().into()
        }),
    ]
}

#[test]
fn every_rule_finds_what_it_is_for() {
    let rows = [archive(), tags_and_metadata(), binaries(), content(), sources(), sets()].concat();
    let ids: BTreeSet<&str> = rows.iter().map(|(id, _)| *id).collect();
    let all: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    assert_eq!(ids, all, "a rule without a case, or a case without a rule");
    let silent: Vec<String> = rows
        .iter()
        .map(|(id, case)| (id, case().found()))
        .filter(|(id, found)| !found.contains(**id))
        .map(|(id, found)| format!("{id}: {found:?}"))
        .collect();
    assert_eq!(silent, Vec::<String>::new());
}

/// Sound files of every kind, as one release.
fn sound() -> Case {
    let loader = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
    let mut commands = pure();
    commands.members.push(Member::new(
        "sample-1.0.dist-info/entry_points.txt",
        "[console_scripts]\nsample = sample:main\n",
    ));
    commands.members.push(Member::new(format!("{DATA}/scripts/tool"), "#!python\nprint(1)\n").executable());
    let mut stable = Wheel::sample("cp39-abi3-manylinux_2_17_x86_64");
    let module = elf(|elf| elf.undefined = Some("PyLong_FromLong".into()));
    stable.members.push(Member::new("sample/core.abi3.so", module.bytes()));
    let wheels = [
        commands,
        linux(Elf::default()),
        program(elf(|elf| elf.interpreter = loader)),
        macos(MachO::default()),
        windows(&Pe { imports: vec![("python312.dll".into(), vec![])], ..Pe::default() }),
        stable,
    ];
    let mut files: Vec<_> = wheels.iter().map(file).collect();
    files.push(sdist(|_| ()));
    // A package beside it that pins it, described in reStructuredText.
    let mut second = other("sample_cli-1.0", "Name: sample", "Requires-Dist: sample==1.0\nName: sample-cli");
    second.metadata = second.metadata.replace("text/markdown\n\n# Sample", "text/x-rst\n\nSample\n======");
    second.members[0].name = "sample_cli/__init__.py".into();
    second.members.push(Member::new(
        "sample_cli-1.0.dist-info/licenses/LICENSE",
        "Permission is hereby granted, free of charge, to any person obtaining a copy",
    ));
    files.push(file(&second));
    Case {
        files,
        matrix: vec!["manylinux_*_x86_64".into()],
        tag: Some("v1.0"),
        expect_sdist: vec!["sample".into()],
        previous: Some(published(&[("sample-0.9-py3-none-macosx_11_0_arm64.whl", None)])),
        top_level: vec!["sample".into(), "sample_cli".into()],
    }
}

#[test]
fn every_rule_passes_where_there_is_nothing_to_find() {
    let case = Case { matrix: vec!["manylinux_*_x86_64".into()], ..sound() };
    let dists = facts(&case.files);
    let verdict = verdict(&case.set(&dists));
    assert_eq!(verdict.findings, [], "a sound set has no findings");
    let passed: BTreeSet<&str> = verdict
        .outcomes
        .values()
        .flatten()
        .filter(|(_, outcome)| **outcome == Outcome::Passed)
        .map(|(id, _)| *id)
        .collect();
    let all: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    let never: Vec<_> = all.difference(&passed).collect();
    assert!(never.is_empty(), "never seen to pass: {never:?}");
}
