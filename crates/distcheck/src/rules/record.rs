//! `REC`: `RECORD`.

use std::collections::{BTreeMap, BTreeSet};

use pydist::digest;
use pydist::record::Entry;

use crate::dist::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

const SOURCE: &str =
    "PyPA \"Recording installed projects\" and \"Binary distribution format\" (PEP 376, PEP 427).";
const FIX: &str = "Change a wheel with `wheel unpack` and `wheel pack`, or let build-wheel do it: both rewrite RECORD. \
    In Nix, do not run `patchelf` or `strip` on files of a finished wheel.";

pub(super) static RULES: &[Rule] =
    &[PRESENT, HASHES, SIZES, COMPLETE, EXTRA, DUPLICATES, STRONG_HASHES, PATHS];

fn entries(wheel: &Wheel) -> Option<&[Entry]> {
    wheel.record.as_ref()?.as_ref().ok().map(Vec::as_slice)
}

/// `RECORD` itself and its signatures, which have no hash.
fn is_exempt(path: &str) -> bool {
    path.split_once('/').is_some_and(|(dir, file)| {
        dir.ends_with(".dist-info") && ["RECORD", "RECORD.jws", "RECORD.p7s"].contains(&file)
    })
}

const PRESENT: Rule = Rule {
    id: "REC001",
    title: "RECORD exists and can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers need it to install and to remove the package. The index fails on an empty line in it.",
    source: "PyPA \"Binary distribution format\"; Warehouse, `utils/wheel.py`.",
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: there is no RECORD",
    check: Check::Wheel(present),
    #[cfg(test)]
    fails: || fixture::after(|members| drop(members.pop())),
};

fn present(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    match &wheel.record {
        None => out.found("there is no RECORD"),
        Some(Err(error)) => out.found(error.to_string()),
        Some(Ok(_)) => {
            if let Some(line) = wheel.record_empty_line {
                out.found(format!("line {line} of RECORD is empty; the index fails on it"));
            }
        }
    }
}

/// Each entry with its member.
fn pairs(wheel: &Wheel) -> Vec<(&Entry, &crate::dist::Member)> {
    let members: BTreeMap<&str, _> =
        wheel.members.iter().map(|member| (member.name.as_str(), member)).collect();
    let entries = entries(wheel).unwrap_or_default().iter();
    entries.filter_map(|entry| members.get(entry.path.as_str()).map(|member| (entry, *member))).collect()
}

const HASHES: Rule = Rule {
    id: "REC002",
    title: "every hash in RECORD is correct",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers that verify hashes reject the wheel; others install unverified files.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: RECORD has sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q, the file QgXEgJqxsID9Mra_lkDl_qptG2m_n6aElUq3EBV-wUE",
    check: Check::Wheel(hashes),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].data = b"x = 2\n".to_vec()),
};

fn hashes(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if entries(wheel).is_none() {
        return out.not_applicable();
    }
    for (entry, member) in pairs(wheel) {
        let Some((algorithm, expected)) = &entry.hash else { continue };
        let found = match (algorithm.as_str(), &member.sha256, &member.other_hash) {
            ("sha256", Some(sha256), _) => digest::record_hash(sha256),
            (algorithm, _, Some((other, hash))) if algorithm == *other => hash.clone(),
            _ => continue,
        };
        if expected.trim_end_matches('=') != found {
            out.at(&entry.path, format!("RECORD has {algorithm}={expected}, the file {found}"));
        }
    }
}

const SIZES: Rule = Rule {
    id: "REC003",
    title: "every size in RECORD is correct",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers that verify sizes reject the wheel.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: RECORD has 7 bytes, the file has 6",
    check: Check::Wheel(sizes),
    #[cfg(test)]
    fails: || fixture::record(",6\n", ",7\n"),
};

fn sizes(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if entries(wheel).is_none() {
        return out.not_applicable();
    }
    for (entry, member) in pairs(wheel) {
        if let Some(size) = entry.size.filter(|size| *size != member.size && member.error.is_none()) {
            out.at(&entry.path, format!("RECORD has {size} bytes, the file has {}", member.size));
        }
    }
}

const COMPLETE: Rule = Rule {
    id: "REC004",
    title: "RECORD lists every file",
    severity: Error,
    provenance: BreaksInstall,
    why: "A file that is not listed is installed unchecked and never removed. PyPI accepts it for now: it sends the \
        owners an e-mail and will reject it.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample/more.py: not listed in RECORD",
    check: Check::Wheel(complete),
    #[cfg(test)]
    fails: || fixture::after(|members| members.insert(0, fixture::Member::new("sample/more.py", ""))),
};

fn complete(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(entries) = entries(wheel) else { return out.not_applicable() };
    let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        let name = member.name.as_str();
        // Signatures need not be listed.
        let optional = name.ends_with("/RECORD.jws") || name.ends_with("/RECORD.p7s");
        if !listed.contains(name) && !optional {
            out.at(name, "not listed in RECORD");
        }
    }
}

const EXTRA: Rule = Rule {
    id: "REC005",
    title: "RECORD lists only files in the archive",
    severity: Error,
    provenance: BreaksInstall,
    why: "A file was lost after the wheel was built. PyPI accepts it for now: it sends the owners an e-mail and \
        will reject it.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: listed in RECORD but not in the archive",
    check: Check::Wheel(extra),
    #[cfg(test)]
    fails: || fixture::after(|members| drop(members.remove(0))),
};

fn extra(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(entries) = entries(wheel) else { return out.not_applicable() };
    let members: BTreeSet<&str> = wheel.members.iter().map(|member| member.name.as_str()).collect();
    for entry in entries.iter().filter(|entry| !members.contains(entry.path.as_str())) {
        out.at(&entry.path, "listed in RECORD but not in the archive");
    }
}

const DUPLICATES: Rule = Rule {
    id: "REC006",
    title: "RECORD lists every file once",
    severity: Error,
    provenance: BreaksRelease,
    why: "Of two lines for the same file, one is wrong.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample-1.0.dist-info/RECORD: listed more than once",
    check: Check::Wheel(duplicates),
    #[cfg(test)]
    fails: || fixture::record("sample/__init__.py", "sample-1.0.dist-info/RECORD,,\nsample/__init__.py"),
};

fn duplicates(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(entries) = entries(wheel) else { return out.not_applicable() };
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert(&entry.path) {
            out.at(&entry.path, "listed more than once");
        }
    }
}

const STRONG_HASHES: Rule = Rule {
    id: "REC007",
    title: "RECORD has a SHA-256 or stronger hash for every file",
    severity: Error,
    provenance: BreaksInstall,
    why: "MD5 and SHA-1 are forbidden, and a file without a hash is not verified.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: sample-1.0.dist-info/METADATA: its hash uses `md5`",
    check: Check::Wheel(strong_hashes),
    #[cfg(test)]
    fails: || fixture::record("sha256=", "md5="),
};

fn strong_hashes(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(entries) = entries(wheel) else { return out.not_applicable() };
    for entry in entries.iter().filter(|entry| !is_exempt(&entry.path) && !entry.path.ends_with('/')) {
        match &entry.hash {
            None => out.at(&entry.path, "has no hash in RECORD"),
            Some((algorithm, _)) if !["sha256", "sha384", "sha512"].contains(&algorithm.as_str()) => {
                out.at(&entry.path, format!("its hash uses `{algorithm}`"));
            }
            Some(_) => {}
        }
    }
}

const PATHS: Rule = Rule {
    id: "REC008",
    title: "RECORD uses relative paths with `/`",
    severity: Warning,
    provenance: Hygiene,
    why: "Paths with backslashes do not match members of the archive.",
    source: SOURCE,
    fix: FIX,
    example: "sample-1.0-py3-none-any.whl: /sample/__init__.py: not a relative path with `/`",
    check: Check::Wheel(paths),
    #[cfg(test)]
    fails: || fixture::record("sample/__init__.py", "/sample/__init__.py"),
};

fn paths(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(entries) = entries(wheel) else { return out.not_applicable() };
    for entry in entries {
        if entry.path.contains('\\') || entry.path.starts_with('/') {
            out.at(&entry.path, "not a relative path with `/`");
        }
    }
}
