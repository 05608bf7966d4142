//! `ZIP`: the archive itself.

use pydist::zip::Fault;

use crate::dist::{Body, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) const WAREHOUSE: &str = "Warehouse, `utils/zipfiles.py` and `forklift/legacy.py`.";
const REBUILD: &str = "Rebuild the file with the build backend; do not edit or repack it by hand. \
    To change a wheel, use `wheel unpack` and `wheel pack`.";

pub(super) static RULES: &[Rule] = &[
    READABLE,
    RECORDS,
    DUPLICATES,
    DESCRIPTORS,
    METHODS,
    RATIO,
    SIZE,
    DATA,
    ENCODING,
    COMMENT,
    UNICODE_PATHS,
];

const READABLE: Rule = Rule {
    id: "ZIP001",
    title: "the archive can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "A file that is cut off, damaged or above the limits cannot be installed.",
    source: "APPNOTE.TXT 6.3; this program's limits.",
    fix: "Rebuild the file, or download it again and compare its size and hash with the original.",
    example: "sample-1.0-py3-none-any.whl: not a ZIP archive, or cut off: there is no end-of-central-directory record",
    check: Check::Dist(readable),
    #[cfg(test)]
    fails: || ("sample-1.0-py3-none-any.whl".to_owned(), b"PK".to_vec()).into(),
};

fn readable(dist: &Dist, out: &mut Findings) {
    match &dist.body {
        Body::Broken(why) => out.found(why.clone()),
        Body::Sdist(sdist) => {
            if let Some(why) = &sdist.fault {
                out.found(why.clone());
            }
        }
        Body::Wheel(wheel) if wheel.members.is_empty() => out.found("the archive is empty"),
        Body::Wheel(_) => {}
    }
}

fn faults(wheel: &Wheel, out: &mut Findings, wanted: impl Fn(&Fault) -> bool) {
    for fault in wheel.faults.iter().filter(|fault| wanted(fault)) {
        match fault.member() {
            Some(member) => out.at(member, fault.to_string()),
            None => out.found(fault.to_string()),
        }
    }
}

const RECORDS: Rule = Rule {
    id: "ZIP002",
    title: "local headers and central directory agree",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers disagree on which record to use, so different installers install different content.",
    source: WAREHOUSE,
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: local header and central directory differ in the name",
    check: Check::Wheel(records),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].local_name = Some("sample/__init_x.py".into())),
};

fn records(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| {
        matches!(
            fault,
            Fault::Before(_)
                | Fault::After(_)
                | Fault::Gap { .. }
                | Fault::Overlap(_)
                | Fault::Mismatch { .. }
                | Fault::StoredSize(_)
                | Fault::Extra(_)
                | Fault::Count { .. }
                | Fault::Disks
                | Fault::Extensible(_)
        )
    });
}

const DUPLICATES: Rule = Rule {
    id: "ZIP003",
    title: "no duplicate members",
    severity: Error,
    provenance: PypiRejects,
    why: "Which of two members with the same name is installed depends on the installer.",
    source: WAREHOUSE,
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: duplicate name",
    check: Check::Wheel(duplicates),
    #[cfg(test)]
    fails: || fixture::after(|members| members.push(members[0].clone())),
};

fn duplicates(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| matches!(fault, Fault::Duplicate(_)));
}

const DESCRIPTORS: Rule = Rule {
    id: "ZIP004",
    title: "no data descriptors and no comments",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects archives whose sizes follow the data, or whose entries have comments.",
    source: WAREHOUSE,
    fix: "Write the archive to a seekable file, not to a pipe; drop the comments.",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the central directory's entry has a comment",
    check: Check::Wheel(descriptors),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].comment = b"hello".to_vec()),
};

fn descriptors(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| matches!(fault, Fault::DataDescriptor(_) | Fault::EntryComment(_)));
}

const METHODS: Rule = Rule {
    id: "ZIP005",
    title: "members are stored or deflated, and not encrypted",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers support no other method.",
    source: WAREHOUSE,
    fix: "Use deflate (`zipfile.ZIP_DEFLATED`).",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: compression method 14; only stored (0) and deflated (8) are allowed",
    check: Check::Wheel(methods),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].method = 14),
};

fn methods(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| {
        matches!(fault, Fault::Method { .. } | Fault::NeededVersion { .. } | Fault::Encrypted(_))
    });
}

const ENCODING: Rule = Rule {
    id: "ZIP012",
    title: "names are UTF-8",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers decode a name without a known encoding differently.",
    source: "PyPA \"Binary distribution format\": archive file names are encoded as UTF-8.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/ä.py: the name is not ASCII and not marked as UTF-8",
    check: Check::Wheel(encoding),
    #[cfg(test)]
    fails: || fixture::plus("sample/ä.py", ""),
};

fn encoding(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| matches!(fault, Fault::Encoding(_)));
}

const COMMENT: Rule = Rule {
    id: "ZIP013",
    title: "the archive has no comment",
    severity: Warning,
    provenance: Hygiene,
    why: "Nothing reads it, and it can hide data.",
    source: "pydistcheck; APPNOTE.TXT 6.3, 4.3.16.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: the archive has a comment of 5 bytes",
    check: Check::Wheel(comment),
    #[cfg(test)]
    fails: || {
        let mut bytes = fixture::pure().bytes();
        let end = bytes.len();
        bytes[end - 2] = 5;
        (fixture::pure().filename(), [bytes, b"hello".to_vec()].concat()).into()
    },
};

fn comment(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| matches!(fault, Fault::ArchiveComment(_)));
}

const RATIO: Rule = Rule {
    id: "ZIP009",
    title: "the archive does not look like a zip bomb",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects an archive of more than 64 MiB, uncompressed, that is compressed more than 50 times.",
    source: WAREHOUSE,
    fix: "Do not ship sparse or zero-filled files; create them on first use.",
    example: "sample-1.0-py3-none-any.whl: 66383 bytes hold 68157440 bytes",
    check: Check::Wheel(ratio),
    #[cfg(test)]
    fails: fixture::bomb,
};

fn ratio(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let size: u64 = wheel.members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    if size > 64 << 20 && size > dist.size.saturating_mul(50) {
        out.found(format!("{} bytes hold {size} bytes", dist.size));
    }
}

const SIZE: Rule = Rule {
    id: "ZIP010",
    title: "the file is within the index's size limit",
    severity: Warning,
    provenance: PypiRejects,
    why: "The index rejects files of more than 100 MiB unless it has raised the project's limit.",
    source: WAREHOUSE,
    fix: "Strip binaries (`strip = true` in the release profile), exclude unneeded files, or ask the index for a higher limit.",
    example: "sample-1.0-py3-none-any.whl: the file has 104858703 bytes, the limit is 104857600",
    check: Check::Dist(size),
    #[cfg(test)]
    fails: || (fixture::pure().filename(), [fixture::pure().bytes(), vec![0; 100 << 20]].concat()).into(),
};

fn size(dist: &Dist, out: &mut Findings) {
    let limit = 100 << 20;
    if dist.size > limit {
        out.found(format!("the file has {} bytes, the limit is {limit}", dist.size));
    }
}

const DATA: Rule = Rule {
    id: "ZIP011",
    title: "every member's data is complete",
    severity: Error,
    provenance: BreaksInstall,
    why: "The size or checksum differs from the archive's records, so installers stop halfway.",
    source: "APPNOTE.TXT 6.3, RFC 1951.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the CRC-32 is 8bf6893b, expected 00000001",
    check: Check::Wheel(data),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].crc32 = Some(1)),
};

fn data(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for member in &wheel.members {
        if let Some(error) = &member.error {
            out.at(&member.name, error.clone());
        }
    }
}

const UNICODE_PATHS: Rule = Rule {
    id: "ZIP016",
    title: "no member has two names",
    severity: Error,
    provenance: BreaksInstall,
    why: "Python 3.12 and later and unzip read the name in the Unicode Path field (0x7075), Python 3.11 does not: \
        different installers install different files.",
    source: "APPNOTE.TXT 6.3, 4.6.9; CPython, `zipfile`.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: a Unicode Path field (0x7075) gives it another name, `evil.py`",
    check: Check::Wheel(unicode_paths),
    #[cfg(test)]
    fails: || {
        fixture::after(|members| members[0].extra = fixture::unicode_path("sample/__init__.py", "evil.py"))
    },
};

fn unicode_paths(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    faults(wheel, out, |fault| matches!(fault, Fault::UnicodePath { .. }));
}
