//! Edits in place: strings that the loader reads become shorter or are removed,
//! and nothing moves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::info::{DynamicEntry, ElfInfo, tag};
use crate::binary::{BinaryError, EditError, Image, Writer};
use crate::source::WriteAt;

/// The changes to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new path of the loader.
    pub interpreter: Option<String>,
    /// New strings of entries of [`ElfInfo::dynamic`], by index; `None`
    /// removes the entry.
    pub strings: BTreeMap<usize, Option<String>>,
}

impl Changes {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.interpreter.is_none() && self.strings.is_empty()
    }
}

/// Changes the file that `elf` was read from. Strings that are no longer used are
/// overwritten with zeros. Returns `false` if some had to stay because the number
/// of symbols, which share strings, is unknown.
pub fn apply<S: WriteAt + ?Sized>(
    source: &mut S,
    elf: &ElfInfo,
    changes: &Changes,
) -> Result<bool, EditError> {
    let writer = Writer { big: elf.big_endian };
    if let Some(path) = &changes.interpreter {
        set_interpreter(source, elf, path, writer)?;
    }
    if changes.strings.is_empty() {
        return Ok(true);
    }
    let mut strings = Strings::read(source, elf)?;
    let before = strings.table.clone();
    let followers = strings.take_followers(elf, changes);
    let mut removed = BTreeSet::new();
    let mut placed = Vec::new();
    for (index, entry) in elf.dynamic.iter().enumerate() {
        let Some(old) = &entry.text else { continue };
        match changes.strings.get(&index) {
            None => strings.kept.push(entry.value),
            Some(new) => {
                strings.free(entry, old)?;
                match new {
                    None => drop(removed.insert(index)),
                    Some(new) if new.len() > old.len() => {
                        return Err(EditError::NoRoom(format!("`{new}` is longer than `{old}`")));
                    }
                    Some(new) => placed.push((entry, old, new)),
                }
            }
        }
    }
    for (entry, old, new) in placed {
        let value = strings.place(entry.value, old, new)?;
        writer.word(source, entry.offset + word(elf), value, elf.is_64)?;
        for field in followers.get(old.as_bytes()).into_iter().flatten() {
            writer.word(source, *field, value, false)?;
        }
    }
    let scrubbed = strings.scrub();
    let differs = || before.iter().zip(&strings.table).map(|(old, new)| old != new);
    if let (Some(first), Some(last)) = (differs().position(|it| it), differs().rposition(|it| it)) {
        source.write_all_at(elf.tables.strings.start + first as u64, &strings.table[first..=last])?;
    }
    remove(source, elf, &removed)?;
    Ok(scrubbed)
}

fn word(elf: &ElfInfo) -> u64 {
    if elf.is_64 { 8 } else { 4 }
}

fn set_interpreter<S: WriteAt + ?Sized>(
    source: &mut S,
    elf: &ElfInfo,
    path: &str,
    writer: Writer,
) -> Result<(), EditError> {
    let damaged = BinaryError::Damaged { what: "the interpreter", offset: 0 };
    let old = elf.interpreters.first().ok_or(damaged)?;
    let room = old.range.end - old.range.start;
    let size = path.len() as u64 + 1;
    if size > room {
        let old = &old.path;
        return Err(EditError::NoRoom(format!("`{path}` is longer than the interpreter `{old}`")));
    }
    let mut bytes = path.as_bytes().to_owned();
    bytes.resize(usize::try_from(room).unwrap_or_default(), 0);
    source.write_all_at(old.range.start, &bytes)?;
    // `p_filesz` and `p_memsz`, and the section at the same offset.
    for at in if elf.is_64 { [32, 40] } else { [16, 20] } {
        writer.word(source, old.header + at, size, elf.is_64)?;
    }
    if let Some(section) = elf.sections.iter().find(|section| section.offset == old.range.start) {
        let at = if elf.is_64 { 32 } else { 20 };
        writer.word(source, section.header + at, size, elf.is_64)?;
    }
    Ok(())
}

/// Removes entries from the dynamic section; those after them move up.
fn remove<S: WriteAt + ?Sized>(
    source: &mut S,
    elf: &ElfInfo,
    removed: &BTreeSet<usize>,
) -> Result<(), EditError> {
    let Some(first) = removed.first().and_then(|index| elf.dynamic.get(*index)) else { return Ok(()) };
    let size = 2 * word(elf);
    let mut rest = Vec::new();
    for (index, entry) in elf.dynamic.iter().enumerate().filter(|(_, entry)| entry.offset >= first.offset) {
        if !removed.contains(&index) {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            source.read_exact_at(entry.offset, &mut bytes)?;
            rest.extend(bytes);
        }
    }
    // The closing DT_NULL stays where it was, with more before it.
    rest.resize(rest.len() + removed.len() * usize::try_from(size).unwrap_or_default(), 0);
    Ok(source.write_all_at(first.offset, &rest)?)
}

/// The string table during an edit. Linkers share the tails of strings, so the
/// bytes of a freed string may be the end of a symbol's name.
struct Strings {
    table: Vec<u8>,
    /// The fields of the version tables that name libraries: their file offsets
    /// and the string offsets that they hold.
    libraries: Vec<(u64, u64)>,
    /// Offsets that are still referred to.
    kept: Vec<u64>,
    /// Whether `kept` is complete.
    is_complete: bool,
    /// Ranges that no entry refers to any more.
    freed: Vec<Range<u64>>,
}

impl Strings {
    fn read<S: WriteAt + ?Sized>(source: &S, elf: &ElfInfo) -> Result<Self, EditError> {
        let image = Image::new(source)?.in_order(elf.big_endian);
        let table = elf.tables.read_strings(&image)?;
        let (mut libraries, mut kept) = (Vec::new(), Vec::new());
        elf.tables.each_symbol(&image, elf.is_64, |symbol| {
            kept.extend((symbol.name != 0).then_some(symbol.name));
        })?;
        for needed in elf.tables.needed_versions(&image)? {
            libraries.push((needed.field, needed.library));
            kept.extend(needed.names);
        }
        for defined in elf.tables.defined_versions(&image)? {
            if defined.is_library {
                libraries.push((defined.field, defined.name));
            } else {
                kept.push(defined.name);
            }
        }
        let is_complete = elf.tables.symbols_counted;
        Ok(Self { table, libraries, kept, is_complete, freed: Vec::new() })
    }

    /// The fields of the version tables that name a renamed library, by library:
    /// they change with its entry.
    fn take_followers(&mut self, elf: &ElfInfo, changes: &Changes) -> BTreeMap<Vec<u8>, Vec<u64>> {
        let mut followers: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
        for (field, offset) in std::mem::take(&mut self.libraries) {
            let name = self.string(offset).to_owned();
            let is_renamed = |(index, new): (&usize, &Option<String>)| {
                let entry = elf.dynamic.get(*index);
                new.is_some()
                    && entry.is_some_and(|entry| {
                        tag::LIBRARIES.contains(&entry.tag)
                            && entry.text.as_ref().is_some_and(|text| text.as_bytes() == name)
                    })
            };
            if changes.strings.iter().any(is_renamed) {
                followers.entry(name).or_default().push(field);
            } else {
                self.kept.push(offset);
            }
        }
        followers
    }

    /// The bytes of the string at an offset; empty outside the table.
    fn string(&self, offset: u64) -> &[u8] {
        let rest = usize::try_from(offset).ok().and_then(|at| self.table.get(at..)).unwrap_or_default();
        &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())]
    }

    /// Records that an entry no longer uses its string.
    fn free(&mut self, entry: &DynamicEntry, old: &str) -> Result<(), EditError> {
        let bytes = self.string(entry.value);
        if bytes != old.as_bytes() {
            return Err(EditError::NotUtf8(String::from_utf8_lossy(bytes).into_owned()));
        }
        let end = entry.value + old.len() as u64;
        if end >= self.table.len() as u64 {
            // Without a terminating zero the loader would read on.
            let what = "a string of the dynamic section";
            return Err(BinaryError::Damaged { what, offset: entry.value }.into());
        }
        self.freed.push(entry.value..end);
        Ok(())
    }

    /// Finds a place for `new`, which was at `offset` as `old`.
    fn place(&mut self, offset: u64, old: &str, new: &str) -> Result<u64, EditError> {
        let value = if old.ends_with(new) {
            offset + (old.len() - new.len()) as u64
        } else if self.reached(&(offset..offset + new.len() as u64 + 1)).is_some_and(|spans| spans.is_empty())
        {
            let at = usize::try_from(offset).unwrap_or_default();
            self.table[at..at + new.len()].copy_from_slice(new.as_bytes());
            self.table[at + new.len()] = 0;
            offset
        } else {
            // The bytes are shared; the table may hold the string elsewhere.
            let needle = [new.as_bytes(), &[0]].concat();
            let found = memchr::memmem::find(&self.table, &needle).map(|at| at as u64);
            found.ok_or_else(|| {
                let message = format!(
                    "the bytes of `{old}` are shared with another name, and there is no room for `{new}`"
                );
                EditError::NoRoom(message)
            })?
        };
        self.kept.push(value);
        Ok(value)
    }

    /// Zeroes the freed bytes that no other string uses; `false` if that is
    /// unknown.
    fn scrub(&mut self) -> bool {
        let mut all = true;
        for freed in std::mem::take(&mut self.freed) {
            let Some(spans) = self.reached(&freed) else {
                all = false;
                continue;
            };
            for offset in freed.filter(|offset| !spans.iter().any(|span| span.contains(offset))) {
                if let Some(byte) = usize::try_from(offset).ok().and_then(|at| self.table.get_mut(at)) {
                    *byte = 0;
                }
            }
        }
        all
    }

    /// The parts of `range` that other strings use; `None` if unknown.
    fn reached(&self, range: &Range<u64>) -> Option<Vec<Range<u64>>> {
        if !self.is_complete {
            return None;
        }
        let start = usize::try_from(range.start).ok()?;
        // A string that covers the range begins after the zero before it.
        let before = memchr::memrchr(0, self.table.get(..start)?).map_or(0, |at| at + 1) as u64;
        let near = self.kept.iter().filter(|offset| (before..range.end).contains(*offset));
        // Each includes its terminating zero.
        let spans = near.map(|offset| *offset..*offset + self.string(*offset).len() as u64 + 1);
        Some(spans.filter(|span| span.end > range.start).collect())
    }
}
