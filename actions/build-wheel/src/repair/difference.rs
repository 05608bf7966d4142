//! How two builds of a wheel differ: the file, the section, the strings.

use std::collections::BTreeSet;
use std::path::Path;

use binfmt::elf::ElfInfo;
use binfmt::macho::MachOInfo;
use binfmt::source::ReadAt;
use pydist::zip::{Content, Member, contains};

use super::archive;

/// The first member that contains any of `texts`.
pub fn find_member_with(wheel: &(impl ReadAt + ?Sized), texts: &[&[u8]], scratch: &Path) -> Option<String> {
    let members = archive::open(wheel).ok()?;
    let has_text = |member: &&Member| {
        let mut content = Content::new(scratch);
        archive::read(member, wheel, |bytes| content.push(bytes)).is_ok()
            && contains(&content, texts).is_ok_and(|found| found)
    };
    members.iter().find(has_text).map(|member| member.name.clone())
}

/// Describes the first difference between two wheels; `None` if their members
/// are the same.
pub fn difference(first: &(impl ReadAt + ?Sized), second: &(impl ReadAt + ?Sized)) -> Option<String> {
    let (old, new) = (archive::open(first).ok()?, archive::open(second).ok()?);
    let mut differing = Vec::new();
    for (a, b) in old.iter().zip(&new) {
        if a.name != b.name {
            return Some(format!("one has `{}` where the other has `{}`", a.name, b.name));
        }
        if (a.crc32, a.size) != (b.crc32, b.size) {
            differing.push((a, b));
        } else if a.is_executable() != b.is_executable() {
            return Some(format!("`{}` is executable in only one of them", a.name));
        }
    }
    if old.len() != new.len() {
        return Some(format!("one has {} members, the other {}", old.len(), new.len()));
    }
    // RECORD differs because of another member.
    let (a, b) =
        differing.iter().find(|(a, _)| !a.name.ends_with(".dist-info/RECORD")).or(differing.first())?;
    let (old, new) = (a.content(first, u64::MAX).ok()?, b.content(second, u64::MAX).ok()?);
    Some(format!("`{}`: {}", a.name, describe(&old, &new)))
}

/// Describes how two versions of a file differ.
fn describe(old: &[u8], new: &[u8]) -> String {
    let positions = old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at);
    let end = (old.len() != new.len()).then_some(old.len().min(new.len()));
    let mut first = None;
    let mut sections: Vec<String> = Vec::new();
    let layout = Layout::read(old);
    let mut block = None;
    for at in positions.chain(end) {
        // Check only the first differing byte of each block.
        if block.replace(at / 256) == Some(at / 256) {
            continue;
        }
        let section = layout.section(old, at as u64);
        // The build ID and the signature are hashes of everything else.
        let is_derived = section
            .as_deref()
            .is_some_and(|name| [".note.gnu.build-id", "the code signature"].contains(&name));
        if !is_derived {
            first = first.or(Some(at));
            if let Some(name) = section.filter(|name| !sections.contains(name)) {
                sections.push(name);
            }
        }
        if sections.len() == 3 {
            break;
        }
    }
    let at = first.or(end).unwrap_or_default();
    let mut text = if sections.is_empty() {
        format!("different from byte {at} on")
    } else {
        format!("different in `{}`, from byte {at} on", sections.join("`, `"))
    };
    if old.len() != new.len() {
        text.push_str(&format!(" ({} and {} bytes)", old.len(), new.len()));
    }
    let (a, b) = (strings(old), strings(new));
    for (which, these, other) in [("first", &a, &b), ("second", &b, &a)] {
        let differing = these.difference(other).take(3);
        let shown: Vec<String> = differing.map(|text| format!("`{}`", excerpt(text, other))).collect();
        if !shown.is_empty() {
            text.push_str(&format!("; only in the {which}: {}", shown.join(", ")));
        }
    }
    text
}

/// The structure of a file.
enum Layout {
    Elf(Box<ElfInfo>),
    MachO(MachOInfo),
    Other,
}

impl Layout {
    fn read(data: &[u8]) -> Self {
        let elf = ElfInfo::read(data).ok().map(|elf| Self::Elf(Box::new(elf)));
        let macho = || MachOInfo::read(data).ok().map(Self::MachO);
        elf.or_else(macho).unwrap_or(Self::Other)
    }

    /// The section at an offset.
    fn section(&self, data: &[u8], at: u64) -> Option<String> {
        match self {
            Self::Elf(elf) => elf.section_at(data, at),
            Self::MachO(macho) => {
                let slice = macho.slices.iter().find(|slice| slice.range.contains(&at))?;
                if slice.signature.as_ref().is_some_and(|range| range.contains(&at)) {
                    return Some("the code signature".to_owned());
                }
                let within = at - slice.range.start;
                let segment = slice.segments.iter().find(|segment| {
                    (segment.offset..segment.offset.saturating_add(segment.size)).contains(&within)
                });
                segment.map(|segment| segment.name.clone())
            }
            Self::Other => None,
        }
    }
}

/// The printable strings of a file with at least eight characters.
fn strings(data: &[u8]) -> BTreeSet<&str> {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let runs = data.split(|byte| !is_printable(byte)).filter(|run| run.len() >= 8);
    runs.filter_map(|run| std::str::from_utf8(run).ok()).collect()
}

/// At most 120 characters of an ASCII string, around the point where it
/// diverges from the most similar string of the other file. Rust's string
/// constants are stored without terminators, so a path may be in the middle of a
/// long string.
fn excerpt<'a>(text: &'a str, other: &BTreeSet<&str>) -> &'a str {
    let common_prefix = |neighbor: Option<&&str>| {
        neighbor.map_or(0, |neighbor| text.bytes().zip(neighbor.bytes()).take_while(|(a, b)| a == b).count())
    };
    // In sorted order, the neighbours share the longest prefix.
    let diverged =
        common_prefix(other.range(..text).next_back()).max(common_prefix(other.range(text..).next()));
    let start = diverged.saturating_sub(40).min(text.len().saturating_sub(120));
    &text[start..text.len().min(start + 120)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_offsets_and_strings() {
        let old = b"\0/home/a/registry/x.rs\0same string\0".to_vec();
        let new = b"\0/home/b/registry/x.rs\0same string\0".to_vec();
        assert_eq!(
            describe(&old, &new),
            "different from byte 7 on; only in the first: `/home/a/registry/x.rs`; only in the second: `/home/b/registry/x.rs`"
        );
    }

    #[test]
    fn shows_a_long_string_where_it_differs() {
        let file =
            |user: &str| format!("{}/home/{user}/x.rs{}", "y".repeat(1000), "z".repeat(1000)).into_bytes();
        let text = describe(&file("anna"), &file("bert"));
        let expected = format!("only in the first: `{}/home/anna/x.rs{}`;", "y".repeat(34), "z".repeat(71));
        assert!(text.contains(&expected), "{text}");
    }
}
