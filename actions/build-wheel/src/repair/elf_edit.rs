//! Takes the Nix store out of what the dynamic loader reads, in place: a store
//! path only ever becomes shorter, so nothing moves.

use std::ops::Range;

use super::elf::{Dynamic, Elf, ElfError, tag};
use super::{Edit, in_store};

/// What the loader shall find beside the file, in place of the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// Libraries by their old names, with their new ones.
    pub(super) renamed: Vec<(String, String)>,
    /// The search path that finds them.
    pub(super) search: Option<String>,
}

/// Edits the ELF file `data`; gives what was changed. `remove_absolute` takes
/// absolute search paths outside the store away, too.
pub(super) fn edit(
    data: &mut [u8],
    elf: &Elf,
    remove_absolute: bool,
    beside: &Beside,
) -> Result<Edit, ElfError> {
    let mut edit = Edit::default();
    edit_interpreter(data, elf, &mut edit)?;

    let mut strings = Strings { elf, kept: Vec::new(), freed: Vec::new() };
    let mut removed = Vec::new();
    let mut changed = Vec::new();
    let search_in = beside.search.as_ref().map(|search| Ok((search_entry(elf)?, search))).transpose()?;
    for entry in elf.dynamic.iter().filter(|entry| tag::STRINGS.contains(&entry.tag)) {
        let old = elf.string(data, entry.value)?;
        let new = match entry.tag {
            tag::RPATH | tag::RUNPATH => {
                let goes = |path: &str| in_store(path) || remove_absolute && path.starts_with('/');
                let mut kept: Vec<&str> = old.split(':').filter(|path| !goes(path)).collect();
                for path in kept.iter().filter(|path| path.starts_with('/')) {
                    edit.warnings.push(format!("the search path `{path}` exists on few machines"));
                }
                kept.extend(
                    search_in.filter(|(place, _)| *place == entry.place).map(|(_, path)| path.as_str()),
                );
                kept.join(":")
            }
            tag::NEEDED | tag::SONAME => library_name(&old, beside),
            _ => old.clone(),
        };
        if new == old {
            strings.kept.push(entry.value);
            continue;
        }
        if new.len() > old.len() {
            return Err(ElfError::NoRoom(format!("`{new}` is longer than `{old}`")));
        }
        strings.freed.push(entry.value..entry.value + old.len() as u64);
        if new.is_empty() {
            edit.changes.push(format!("{} `{old}` removed", name(entry.tag)));
            removed.push(*entry);
        } else {
            edit.changes.push(format!("{} `{old}` is now `{new}`", name(entry.tag)));
            changed.push((*entry, old, new));
        }
    }
    if strings.freed.is_empty() {
        return Ok(edit);
    }
    // The tables of versions name libraries, too, and follow the entries.
    let mut followers = Vec::new();
    for (place, offset) in &elf.names.libraries {
        let old = elf.string(data, *offset)?;
        if changed.iter().any(|(entry, from, _)| *from == old && tag::LIBRARIES.contains(&entry.tag)) {
            followers.push((*place, old));
        } else {
            strings.kept.push(*offset);
        }
    }
    for (entry, old, new) in changed {
        let value = strings.place(data, entry.value, &old, &new)?;
        elf.form.set_word(data, entry.place + elf.form.size(), value);
        for (place, _) in followers.iter().filter(|(_, name)| *name == old) {
            // It was read from the table, so it fits.
            elf.form.set_u32(data, *place, u32::try_from(value).unwrap_or_default());
        }
    }
    remove(data, elf, &removed);
    if !strings.scrub(data) {
        edit.warnings
            .push("freed strings stay in the file: the number of its symbols cannot be known".into());
    }
    Ok(edit)
}

/// The name by which a library is asked for, or names itself.
fn library_name(old: &str, beside: &Beside) -> String {
    if let Some((_, new)) = beside.renamed.iter().find(|(name, _)| name == old) {
        return new.clone();
    }
    if in_store(old) { old.rsplit('/').next().unwrap_or_default().to_owned() } else { old.to_owned() }
}

/// Where the entry is that a search path can go into: RUNPATH, since RPATH is
/// not looked at beside it.
fn search_entry(elf: &Elf) -> Result<usize, ElfError> {
    let of = |tag: u64| elf.dynamic.iter().find(|entry| entry.tag == tag);
    let entry = of(tag::RUNPATH).or_else(|| of(tag::RPATH));
    entry.map(|entry| entry.place).ok_or_else(|| ElfError::NoRoom("it has no RUNPATH or RPATH".into()))
}

fn name(tag: u64) -> &'static str {
    match tag {
        tag::NEEDED => "the needed library",
        tag::SONAME => "the library's name",
        tag::RPATH => "RPATH",
        _ => "RUNPATH",
    }
}

fn edit_interpreter(data: &mut [u8], elf: &Elf, edit: &mut Edit) -> Result<(), ElfError> {
    let Some(interpreter) = elf.interpreter.as_ref().filter(|found| in_store(&found.path)) else {
        return Ok(());
    };
    let arch = elf.arch().ok_or(ElfError::Invalid("its machine is none whose loader is known"))?;
    let file = interpreter.path.rsplit('/').next().unwrap_or_default();
    let new = if file.contains("musl") { arch.musl_loader() } else { arch.glibc_loader().to_owned() };
    if new.len() >= interpreter.bytes.len() {
        let old = &interpreter.path;
        return Err(ElfError::NoRoom(format!("`{new}` is longer than the interpreter `{old}`")));
    }
    let bytes = &mut data[interpreter.bytes.clone()];
    bytes.fill(0);
    bytes[..new.len()].copy_from_slice(new.as_bytes());
    let size = new.len() as u64 + 1;
    let form = elf.form;
    for (wide, narrow) in [(32, 16), (40, 20)] {
        form.set_word(data, interpreter.header + form.either(wide, narrow), size);
    }
    if let Some(section) = elf.section_at(data, interpreter.bytes.start) {
        form.set_word(data, section + form.either(32, 20), size);
    }
    edit.changes.push(format!("the interpreter `{}` is now `{new}`", interpreter.path));
    Ok(())
}

/// Takes entries out of the dynamic section; those after them move up.
fn remove(data: &mut [u8], elf: &Elf, removed: &[Dynamic]) {
    let size = 2 * elf.form.size();
    // From the last to the first, so that the places before stay true.
    for entry in removed.iter().rev() {
        // The closing DT_NULL comes along: where it was, a second one stays.
        let last = elf.dynamic.last().map_or(entry.place, |last| last.place);
        data.copy_within(entry.place + size..last + size, entry.place);
        data[last..last + size].fill(0);
    }
}

/// The string table during an edit. Linkers share the tails of strings: the
/// bytes of a freed string may be the end of a symbol's name.
struct Strings<'e> {
    elf: &'e Elf,
    /// Offsets that entries of the dynamic section still use.
    kept: Vec<u64>,
    /// What no entry uses any more.
    freed: Vec<Range<u64>>,
}

impl Strings<'_> {
    /// Finds a place for `new`, which stood at `offset` as `old`.
    fn place(&mut self, data: &mut [u8], offset: u64, old: &str, new: &str) -> Result<u64, ElfError> {
        let value = if old.ends_with(new) {
            offset + (old.len() - new.len()) as u64
        } else if !self
            .reached(data, offset..offset + new.len() as u64 + 1)
            .is_some_and(|spans| spans.is_empty())
        {
            // Something else lives there; the table may hold it once more.
            let needle = [new.as_bytes(), &[0]].concat();
            let table = &data[self.elf.strings.clone()];
            let found = memchr::memmem::find(table, &needle).map(|at| at as u64);
            found.ok_or_else(|| {
                ElfError::NoRoom(format!(
                    "the bytes of `{old}` are shared with another name, and `{new}` fits nowhere"
                ))
            })?
        } else {
            let at = self.at(offset);
            data[at..at + new.len()].copy_from_slice(new.as_bytes());
            data[at + new.len()] = 0;
            offset
        };
        self.kept.push(value);
        Ok(value)
    }

    /// Zeroes the freed bytes that nothing else reaches; `false` where that
    /// cannot be known.
    fn scrub(&self, data: &mut [u8]) -> bool {
        let mut all = true;
        for freed in &self.freed {
            let Some(spans) = self.reached(data, freed.clone()) else {
                all = false;
                continue;
            };
            for offset in freed.clone().filter(|offset| !spans.iter().any(|span| span.contains(offset))) {
                data[self.at(offset)] = 0;
            }
        }
        all
    }

    /// What other strings cover of `range`; `None` where that is unknown.
    fn reached(&self, data: &[u8], range: Range<u64>) -> Option<Vec<Range<u64>>> {
        let names = &self.elf.names;
        if names.incomplete {
            return None;
        }
        let table = &data[self.elf.strings.clone()];
        let start = usize::try_from(range.start).ok()?;
        // A string that covers the range begins after the NUL before it.
        let before = table.get(..start)?.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1) as u64;
        let mut spans: Vec<Range<u64>> = Vec::new();
        for offset in
            names.others.iter().chain(&self.kept).filter(|offset| (before..range.end).contains(*offset))
        {
            let from = usize::try_from(*offset).ok()?;
            let rest = table.get(from..)?;
            let length = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            // The closing NUL belongs to it.
            let end = *offset + length as u64 + 1;
            if end > range.start {
                spans.push((*offset).max(range.start)..end);
            }
        }
        Some(spans)
    }

    fn at(&self, offset: u64) -> usize {
        // The string at this offset was read before, so it lies in the file.
        self.elf.strings.start + usize::try_from(offset).unwrap_or_default()
    }
}
