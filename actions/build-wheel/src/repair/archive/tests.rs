use pydist::zip::{Content, NewMember, pack, write};

use super::*;

fn archive(files: &[(&str, bool, &[u8])], epoch: u64) -> Vec<u8> {
    let mut scratch = Content::new(&std::env::temp_dir());
    let pack =
        |file: &(&str, bool, &[u8])| NewMember::new(file.0, file.1, pack(file.2, 4, &mut scratch).unwrap());
    let members: Vec<_> = files.iter().map(pack).collect();
    let mut out = Vec::new();
    write(&members, b"".as_slice(), &scratch, epoch, &mut out).unwrap();
    out
}

fn contents(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let one = |member: &Member| {
        let mut content = Vec::new();
        read(member, bytes, |piece| {
            content.extend(piece);
            Ok(())
        })?;
        Ok(content)
    };
    open(bytes)?.iter().map(one).collect()
}

#[test]
fn reads_back_what_it_writes() {
    let long: Vec<u8> = (0..12_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
    let files =
        [("a/b.py", false, &b"x = 1\n"[..]), ("c.data/scripts/c", true, &long), ("empty", false, b"")];
    let bytes = archive(&files, 1_700_000_001);
    let members = open(bytes.as_slice()).unwrap();
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a/b.py", "c.data/scripts/c", "empty"]);
    assert!(members[1].is_executable() && !members[0].is_executable());
    assert!(contents(&bytes).unwrap().iter().zip(&files).all(|(found, file)| found == file.2));
    assert_eq!(bytes, archive(&files, 1_700_000_001));
    let copies: Vec<_> =
        members.iter().map(|member| NewMember::kept(member, member.is_executable())).collect();
    let mut rewritten = Vec::new();
    let scratch = Content::new(&std::env::temp_dir());
    let written = write(&copies, bytes.as_slice(), &scratch, 1_700_000_001, &mut rewritten).unwrap();
    assert_eq!(rewritten, bytes);
    assert_eq!((written.size, written.sha256), (bytes.len() as u64, pydist::digest::sha256(&bytes)));
}

#[test]
fn writes_zip64_for_many_members() {
    let names: Vec<String> = (0..70_000).map(|n| format!("{n}.py")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), false, &b""[..])).collect();
    let bytes = archive(&files, 315_532_800);
    assert_eq!(open(bytes.as_slice()).unwrap().len(), 70_000);
    assert!(memchr::memmem::find(&bytes, b"PK\x06\x06").is_some());
}

#[test]
fn rejects_truncated_archives() {
    let bytes = archive(&[("a", false, b"content")], 315_532_800);
    for end in 0..bytes.len() {
        assert!(contents(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn detects_a_changed_byte() {
    let bytes = archive(&[("a", false, &b"content ".repeat(20))], 315_532_800);
    let detected = (31..45).filter(|at| {
        let mut bytes = bytes.clone();
        bytes[*at] ^= 0x10;
        contents(&bytes).is_err()
    });
    assert_eq!(detected.count(), 14);
}

#[test]
fn rejects_names_outside_the_wheel_and_duplicates() {
    for name in ["/a", "../a", "a//b", "a/./b", "a\\b", "c:a"] {
        assert!(open(archive(&[(name, false, b"")], 315_532_800).as_slice()).is_err(), "{name}");
    }
    let duplicate = archive(&[("a", false, b"1"), ("a", false, b"2")], 315_532_800);
    assert!(open(duplicate.as_slice()).unwrap_err().to_string().contains("`a`"));
}
