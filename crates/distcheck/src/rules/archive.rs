//! `ZIP`: the archive itself.

use std::collections::{BTreeMap, BTreeSet};

use pydist::tags::Platform;
use pydist::zip::Fault;

use crate::facts::{Body, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Out, Rule};

const WAREHOUSE: &str = "Warehouse, `utils/zipfiles.py` and `forklift/legacy.py`.";
const REBUILD: &str = "Build the file again with the build backend; do not edit or re-pack it by hand. \
    To change a wheel use `wheel unpack` and `wheel pack`.";

pub(super) static RULES: &[Rule] = &[
    READABLE,
    RECORDS,
    DUPLICATES,
    DESCRIPTORS,
    METHODS,
    PATHS,
    LINKS,
    CASE,
    RATIO,
    SIZE,
    DATA,
    ENCODING,
    COMMENT,
    WINDOWS,
    PLAIN,
    UNICODE_PATHS,
    UNPRINTABLE,
    ENTRY_KINDS,
];

const READABLE: Rule = Rule {
    id: "ZIP001",
    title: "the archive can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "A file that is cut off, damaged or beyond all limits cannot be installed.",
    source: "APPNOTE.TXT 6.3; limits of this program.",
    fix: "Build or download the file again and compare its size and hash with the original.",
    example: "sample-1.0-py3-none-any.whl: not a ZIP archive, or cut off: there is no end-of-central-directory record",
    check: Check::Dist(readable),
    #[cfg(test)]
    fails: || ("sample-1.0-py3-none-any.whl".to_owned(), b"PK".to_vec()).into(),
};

fn readable(dist: &Dist, out: &mut Out) {
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

fn faults(wheel: &Wheel, out: &mut Out, wanted: impl Fn(&Fault) -> bool) {
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
    why: "Installers disagree on which record to believe, so the archive means different things to different ones.",
    source: WAREHOUSE,
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: local header and central directory differ in the name",
    check: Check::Wheel(records),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].local_name = Some("sample/__init_x.py".into())),
};

fn records(_: &Dist, wheel: &Wheel, out: &mut Out) {
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
    title: "no member stands twice",
    severity: Error,
    provenance: PypiRejects,
    why: "Which of two members of one name is installed depends on the installer.",
    source: WAREHOUSE,
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the archive holds this name more than once",
    check: Check::Wheel(duplicates),
    #[cfg(test)]
    fails: || fixture::after(|members| members.push(members[0].clone())),
};

fn duplicates(_: &Dist, wheel: &Wheel, out: &mut Out) {
    faults(wheel, out, |fault| matches!(fault, Fault::Duplicate(_)));
}

const DESCRIPTORS: Rule = Rule {
    id: "ZIP004",
    title: "no data descriptors and no comments",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses archives whose sizes stand after the data, or whose entries have comments.",
    source: WAREHOUSE,
    fix: "Write the archive to a seekable file, not to a pipe; drop the comments.",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the central directory's entry has a comment",
    check: Check::Wheel(descriptors),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].comment = b"hello".to_vec()),
};

fn descriptors(_: &Dist, wheel: &Wheel, out: &mut Out) {
    faults(wheel, out, |fault| matches!(fault, Fault::DataDescriptor(_) | Fault::EntryComment(_)));
}

const METHODS: Rule = Rule {
    id: "ZIP005",
    title: "members are stored or deflated, and not encrypted",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers understand no other method.",
    source: WAREHOUSE,
    fix: "Use deflate (`zipfile.ZIP_DEFLATED`).",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: compression method 14; only stored (0) and deflated (8) are allowed",
    check: Check::Wheel(methods),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].method = 14),
};

fn methods(_: &Dist, wheel: &Wheel, out: &mut Out) {
    faults(wheel, out, |fault| {
        matches!(fault, Fault::Method { .. } | Fault::NeededVersion { .. } | Fault::Encrypted(_))
    });
}

const ENCODING: Rule = Rule {
    id: "ZIP012",
    title: "names are UTF-8",
    severity: Error,
    provenance: PypiRejects,
    why: "A name without a known encoding is installed under different names.",
    source: "PyPA \"Binary distribution format\": archive file names are encoded as UTF-8.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/ä.py: the name is not ASCII and not marked as UTF-8",
    check: Check::Wheel(encoding),
    #[cfg(test)]
    fails: || fixture::plus("sample/ä.py", ""),
};

fn encoding(_: &Dist, wheel: &Wheel, out: &mut Out) {
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

fn comment(_: &Dist, wheel: &Wheel, out: &mut Out) {
    faults(wheel, out, |fault| matches!(fault, Fault::ArchiveComment(_)));
}

const PATHS: Rule = Rule {
    id: "ZIP006",
    title: "paths stay inside the target directory and work on every system",
    severity: Error,
    provenance: BreaksInstall,
    why: "An absolute path, `..`, a backslash or a control character can write outside the environment.",
    source: "PyPA \"Binary distribution format\"; Warehouse refuses control characters.",
    fix: "Find out what made the file: no build backend writes such a path.",
    example: "sample-1.0-py3-none-any.whl: ../evil.py: the path has a path that leaves the directory",
    check: Check::Dist(paths),
    #[cfg(test)]
    fails: || fixture::plus("../evil.py", ""),
};

fn paths(dist: &Dist, out: &mut Out) {
    for member in dist.members() {
        let name = member.name.strip_suffix('/').unwrap_or(&member.name);
        let sdist = matches!(dist.body, Body::Sdist(_));
        let name = if sdist { name.strip_prefix("./").unwrap_or(name) } else { name };
        let fault = if name.is_empty() {
            "an empty name"
        } else if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
            "an absolute path"
        } else if name.split('/').any(|part| part == "..") {
            "a path that leaves the directory"
        } else if name.contains('\\') {
            "a backslash, which is a separator on Windows alone"
        } else if name.chars().any(char::is_control) {
            "a control character"
        } else if name.split('/').any(|part| part.is_empty() || (part == "." && !sdist)) {
            "an empty or `.` component"
        } else {
            continue;
        };
        out.at(&member.name, format!("the path has {fault}"));
    }
}

const LINKS: Rule = Rule {
    id: "ZIP007",
    title: "no symbolic links in a wheel",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers write the link's target into a plain file in its place.",
    source: "PyPA \"Binary distribution format\": a wheel holds regular files.",
    fix: "Copy the file in place of the link. In Nix: `cp -L`; `auditwheel repair` copies libraries by itself.",
    example: "sample-1.0-py3-none-any.whl: sample/x.py: a symbolic link",
    check: Check::Wheel(links),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member { mode: 0o120_777, ..fixture::Member::new("sample/x.py", "__init__.py") },
        )
    },
};

fn links(_: &Dist, wheel: &Wheel, out: &mut Out) {
    for member in wheel.members.iter().filter(|member| member.is_symlink()) {
        out.at(&member.name, "a symbolic link");
    }
}

const CASE: Rule = Rule {
    id: "ZIP008",
    title: "names differ in more than case",
    severity: Error,
    provenance: BreaksInstall,
    why: "On macOS and Windows one file overwrites the other. A warning where the wheel is for Linux alone, \
        or the two are equal.",
    source: "pydistcheck, `files-only-differ-by-case`.",
    fix: "Rename one of the files.",
    example: "sample-1.0-py3-none-any.whl: sample/__INIT__.py: differs from `sample/__init__.py` only in case",
    check: Check::Dist(case),
    #[cfg(test)]
    fails: || fixture::plus("sample/__INIT__.py", "other"),
};

fn case(dist: &Dist, out: &mut Out) {
    let linux = |platform: &Platform| {
        matches!(platform, Platform::Manylinux { .. } | Platform::Musllinux { .. } | Platform::Linux { .. })
    };
    let platforms = dist.platforms();
    let linux = !platforms.is_empty() && platforms.iter().all(linux);
    let mut seen: BTreeMap<String, &Member> = BTreeMap::new();
    for member in dist.members() {
        if let Some(first) = seen.insert(member.name.to_lowercase(), member)
            && first.name != member.name
        {
            if linux || member.is_dir() || (member.sha256.is_some() && member.sha256 == first.sha256) {
                out.only(Warning);
            }
            out.at(&member.name, format!("differs from `{}` only in case", first.name));
        }
    }
}

/// Names that Windows keeps for devices, whatever their extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_lowercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && ("1"..="9").contains(&rest))
    };
    ["con", "prn", "aux", "nul"].contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

const WINDOWS: Rule = Rule {
    id: "ZIP014",
    title: "names work on Windows",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Windows has no files of these names: installing stops, or writes another file.",
    source: "Microsoft, \"Naming Files, Paths, and Namespaces\".",
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/aux.py: `aux.py` cannot be a file's name on Windows",
    check: Check::Dist(windows),
    #[cfg(test)]
    fails: || fixture::plus("sample/aux.py", ""),
};

fn windows(dist: &Dist, out: &mut Out) {
    let serves = |platform: &Platform| matches!(platform, Platform::Any | Platform::Windows { .. });
    if dist.wheel().is_some() && !dist.platforms().iter().any(serves) {
        return out.not_applicable();
    }
    for member in dist.members() {
        let part = |part: &&str| {
            is_device(part)
                || part.contains(['<', '>', ':', '"', '|', '?', '*'])
                || (part.ends_with(['.', ' ']) && !matches!(*part, "." | ".."))
        };
        if let Some(part) = member.name.split('/').find(part) {
            out.at(&member.name, format!("`{part}` cannot be a file's name on Windows"));
        }
    }
}

const PLAIN: Rule = Rule {
    id: "ZIP015",
    title: "names are plain",
    severity: Note,
    provenance: Hygiene,
    why: "Spaces and characters beyond ASCII need care in scripts and on old systems.",
    source: "pydistcheck, `files-have-spaces`, `path-contains-non-ascii-characters`.",
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/a file.txt: the name has a space",
    check: Check::Dist(plain),
    #[cfg(test)]
    fails: || fixture::plus("sample/a file.txt", ""),
};

fn plain(dist: &Dist, out: &mut Out) {
    for member in dist.members() {
        if member.name.contains(' ') {
            out.at(&member.name, "the name has a space");
        } else if !member.name.is_ascii() {
            out.at(&member.name, "the name has characters beyond ASCII");
        }
    }
}

const RATIO: Rule = Rule {
    id: "ZIP009",
    title: "the archive does not look like a zip bomb",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects an archive of more than 64 MiB, uncompressed, that is compressed more than 50 times.",
    source: WAREHOUSE,
    fix: "Do not ship sparse or zero-filled files; create them at first use.",
    example: "sample-1.0-py3-none-any.whl: 66383 bytes hold 68157440 bytes",
    check: Check::Wheel(ratio),
    #[cfg(test)]
    fails: fixture::bomb,
};

fn ratio(dist: &Dist, wheel: &Wheel, out: &mut Out) {
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
    why: "The index refuses files of more than 100 MiB unless it has granted the project more.",
    source: WAREHOUSE,
    fix: "Strip binaries (`strip = true` in the release profile), leave out what is not needed, or ask the index for a higher limit.",
    example: "sample-1.0-py3-none-any.whl: the file has 104858703 bytes, the limit is 104857600",
    check: Check::Dist(size),
    #[cfg(test)]
    fails: || (fixture::pure().filename(), [fixture::pure().bytes(), vec![0; 100 << 20]].concat()).into(),
};

fn size(dist: &Dist, out: &mut Out) {
    let limit = 100 << 20;
    if dist.size > limit {
        out.found(format!("the file has {} bytes, the limit is {limit}", dist.size));
    }
}

const DATA: Rule = Rule {
    id: "ZIP011",
    title: "every member's data are whole",
    severity: Error,
    provenance: BreaksInstall,
    why: "Size or check sum differ from what the archive says: installers stop half-way.",
    source: "APPNOTE.TXT 6.3, RFC 1951.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the CRC-32 is 8bf6893b, the archive says 00000001",
    check: Check::Wheel(data),
    #[cfg(test)]
    fails: || fixture::after(|members| members[0].crc32 = Some(1)),
};

fn data(_: &Dist, wheel: &Wheel, out: &mut Out) {
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
    why: "Python 3.12 and later and unzip take the name from the Unicode Path field (0x7075), Python 3.11 does not: \
        different installers install different files.",
    source: "APPNOTE.TXT 6.3, 4.6.9; CPython, `zipfile`.",
    fix: REBUILD,
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: a Unicode Path field (0x7075) gives it the other name `evil.py`",
    check: Check::Wheel(unicode_paths),
    #[cfg(test)]
    fails: || {
        fixture::after(|members| members[0].extra = fixture::unicode_path("sample/__init__.py", "evil.py"))
    },
};

fn unicode_paths(_: &Dist, wheel: &Wheel, out: &mut Out) {
    faults(wheel, out, |fault| matches!(fault, Fault::UnicodePath { .. }));
}

const UNPRINTABLE: Rule = Rule {
    id: "ZIP017",
    title: "names have no control characters",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects an archive with a name that cannot be printed.",
    source: WAREHOUSE,
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/a�.py: the name has a control character",
    check: Check::Wheel(unprintable),
    #[cfg(test)]
    fails: || fixture::plus("sample/a\n.py", ""),
};

fn unprintable(_: &Dist, wheel: &Wheel, out: &mut Out) {
    for member in wheel.members.iter().filter(|member| member.name.contains(|c: char| c.is_ascii_control())) {
        out.at(&member.name, "the name has a control character");
    }
}

const ENTRY_KINDS: Rule = Rule {
    id: "ZIP018",
    title: "no name is both a file and a directory",
    severity: Error,
    provenance: BreaksInstall,
    why: "Whichever comes second cannot be installed.",
    source: "PyPA \"Binary distribution format\".",
    fix: "Rename one of them.",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the archive has a file and a directory of this name",
    check: Check::Dist(entry_kinds),
    #[cfg(test)]
    fails: || fixture::plus("sample/__init__.py/x.py", ""),
};

fn entry_kinds(dist: &Dist, out: &mut Out) {
    let files: BTreeSet<&str> =
        dist.members().iter().filter(|member| !member.is_dir()).map(|member| member.name.as_str()).collect();
    let mut told = BTreeSet::new();
    for member in dist.members() {
        let path = member.name.trim_end_matches('/');
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        let own = member.is_dir().then_some(path);
        for directory in parents.chain(own).filter(|directory| files.contains(directory)) {
            if told.insert(directory) {
                out.at(directory, "the archive has a file and a directory of this name");
            }
        }
    }
}
