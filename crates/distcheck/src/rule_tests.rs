//! Tests that every rule reports its fixture and passes valid files.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use std::collections::BTreeSet;

use crate::dist::Dist;
use crate::fixture::*;
use crate::{RuleOutcome, Selection, check, rules};

#[test]
fn accepts_a_matching_code_signature() {
    assert!(!signed_macho(false).found().contains("MAC007"));
}

/// A linker without `PT_GNU_PROPERTY` leaves the property in a `PT_NOTE`, after
/// another note.
#[test]
fn finds_the_x86_level_in_notes() {
    let mut case = x86_64_v3();
    let name = case.files[0].0.clone();
    assert!(case.found().contains("LNX011"), "{:?}", case.found());
    let mut bytes = Elf::default().bytes();
    let note = bytes.len() as u64;
    // A build id of four bytes, then the property, each of which has eight bytes.
    let words = [4, 4, 3, 0x0055_4e47, 0x1234_5678, 0, 4, 16, 5, 0x0055_4e47, 0xc000_8002, 4, 4, 0];
    for word in words {
        bytes.extend(u32::to_le_bytes(word));
    }
    let header = 64 + 2 * 56;
    let size = 4 * words.len() as u64;
    bytes[header..header + 4].copy_from_slice(&4u32.to_le_bytes());
    for (at, value) in [(8, note), (32, size), (48, 8)] {
        bytes[header + at..header + at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    let mut wheel = Wheel::sample(LINUX);
    wheel.members.push(Member::new("sample/core.so", bytes));
    assert_eq!(name, wheel.filename());
    case = wheel.into();
    assert!(case.found().contains("LNX011"), "{:?}", case.found());
}

/// Users have neither.
#[test]
fn the_store_of_guix_is_reported_like_that_of_nix() {
    let store = STORE.replace("/nix/", "/gnu/");
    let script = Member::new(format!("{DATA}/scripts/tool"), format!("#!{store}/bin/sh\n")).executable();
    let dylibs = vec![format!("{store}/x.dylib")];
    let library = elf(|elf| elf.runpath = Some(store.clone()));
    let bytes = library.bytes();
    let cases: [(Case, &[&str]); 5] = [
        (linux(library).into(), &["NIX001"]),
        (macos(MachO { dylibs, ..MachO::default() }).into(), &["NIX002"]),
        (with(pure(), script), &["NIX003", "NIX004"]),
        (plus("sample/config.py", format!("PATH = '{store}'\n")), &["NIX004"]),
        (source(|archive| add(archive, "sample-1.0/x.so", &bytes)), &["SDI007"]),
    ];
    for (case, rules) in &cases {
        let dists = scan_files(&case.files);
        let findings = check(&case.set(&dists), &Selection::All).findings;
        let found: Vec<_> =
            findings.iter().filter(|finding| finding.message.contains("/gnu/store/")).collect();
        let mut ids: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        ids.sort_unstable();
        assert_eq!(ids, *rules, "{found:?}");
    }
}

#[test]
fn every_rule_reports_its_fixture() {
    let silent: Vec<String> = rules::all()
        .map(|rule| (rule.id, (rule.fails)().found()))
        .filter(|(id, found)| !found.contains(id))
        .map(|(id, found)| format!("{id}: {found:?}"))
        .collect();
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn examples_match_the_reports() {
    let mut differing = Vec::new();
    for rule in rules::all() {
        let case = (rule.fails)();
        let mut dists = scan_files(&case.files);
        dists[0].attestation.clone_from(&case.attestation);
        let findings = check(&case.set(&dists), &Selection::Only(vec![rule.id.to_owned()])).findings;
        let shown = findings.first().map_or_else(String::new, |finding| {
            let place = [finding.file.as_deref(), finding.member.as_deref(), Some(finding.message.as_str())];
            place.into_iter().flatten().collect::<Vec<_>>().join(": ")
        });
        let shown = shown.replace(char::is_control, "\u{fffd}");
        // With a hash, the example in the program would itself be a store path.
        let shown = shown.replace(STORE_HASH, "…");
        if rule.example != shown {
            differing.push(format!("{}\t{shown}", rule.id));
        }
    }
    assert!(differing.is_empty(), "examples to update:\n{}", differing.join("\n"));
}

/// A valid release with files of every kind.
fn valid_release() -> Case {
    let mut previous = published(&[("sample-0.9-py3-none-macosx_11_0_arm64.whl", None)]);
    for file in previous.values_mut().flatten() {
        file.requires_python = Some(">=3.10".into());
    }
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
        attestation: None,
        matrix: vec!["manylinux_*_x86_64".parse().unwrap()],
        tag: Some("v1.0"),
        expect_sdist: vec!["sample".into()],
        previous: Some(previous),
        others: Vec::new(),
        top_level: vec!["sample".into(), "sample_cli".into()],
        require: vec!["debian-12 x86_64 cp312".parse().unwrap()],
    }
}

/// An attestation of a file, without a valid signature.
fn attestation_of(dist: &Dist) -> Vec<u8> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": dist.filename, "digest": { "sha256": pydist::digest::hex(&dist.sha256) } }],
        "predicateType": format!("https://docs.{}.org/attestations/publish/v1", "pypi"),
        "predicate": null,
    });
    let attestation = serde_json::json!({
        "version": 1,
        "verification_material": { "certificate": "AAAA", "transparency_entries": [{}] },
        "envelope": { "statement": BASE64_STANDARD.encode(statement.to_string()), "signature": "AAAA" },
    });
    attestation.to_string().into_bytes()
}

#[test]
fn every_rule_passes_a_valid_release() {
    let case = Case { matrix: vec!["manylinux_*_x86_64".parse().unwrap()], ..valid_release() };
    let mut dists = scan_files(&case.files);
    dists[0].attestation = Some(attestation_of(&dists[0]));
    let verdict = check(&case.set(&dists), &Selection::All);
    assert_eq!(verdict.findings, [], "a valid set has no findings");
    let passed: BTreeSet<&str> = verdict
        .outcomes
        .values()
        .flatten()
        .filter(|(_, outcome)| **outcome == RuleOutcome::Passed)
        .map(|(id, _)| *id)
        .collect();
    let all: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    let never: Vec<_> = all.difference(&passed).collect();
    assert!(never.is_empty(), "never seen to pass: {never:?}");
}
