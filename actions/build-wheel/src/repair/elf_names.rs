//! What uses the dynamic string table of an ELF file beside its dynamic
//! section: symbols (System V gABI, chapter 4) and the tables of versions
//! (Linux Standard Base, "Symbol Versioning").

use super::elf::{ElfError, Form, usize_of};

/// Offsets into the string table, by what they name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Symbols and versions.
    pub(super) others: Vec<u64>,
    /// Libraries, in the tables of versions: where the field of 4 bytes is,
    /// and what it holds.
    pub(super) libraries: Vec<(usize, u64)>,
    /// Whether there are symbols whose number cannot be known.
    pub(super) incomplete: bool,
}

/// Where the tables are in the file.
pub(super) struct Tables {
    pub(super) symbols: Option<usize>,
    pub(super) hash: Option<usize>,
    pub(super) gnu_hash: Option<usize>,
    pub(super) needed: Option<usize>,
    pub(super) needed_count: u64,
    pub(super) defined: Option<usize>,
    pub(super) defined_count: u64,
    /// Start, entry size and number of the section table.
    pub(super) sections: Option<(usize, usize, usize)>,
}

/// Versions stand in records, each with a chain of its own. The offsets of
/// fields in a record: how long its chain is, where the chain begins, where
/// the next record is; and in a link of the chain: its name, the next link.
struct Layout {
    what: &'static str,
    count: usize,
    chain: usize,
    next: usize,
    link_name: usize,
    link_next: usize,
}

/// `Verneed` and `Vernaux`.
const NEEDED: Layout =
    Layout { what: "the needed versions", count: 2, chain: 8, next: 12, link_name: 8, link_next: 12 };
/// `Verdef` and `Verdaux`.
const DEFINED: Layout =
    Layout { what: "the defined versions", count: 6, chain: 12, next: 16, link_name: 0, link_next: 4 };

/// The flag of the version that a library gives its own name
/// (`VER_FLG_BASE`).
const BASE: u16 = 1;

impl Tables {
    /// Reads all of them; every place is checked against the file.
    pub(super) fn read(&self, form: Form, data: &[u8]) -> Result<Names, ElfError> {
        let mut names = Names::default();
        if let Some(symbols) = self.symbols {
            match self.symbol_count(form, data)? {
                Some(count) => read_symbols(form, data, symbols, count, &mut names)?,
                None => names.incomplete = true,
            }
        }
        if let Some(start) = self.needed {
            let (libraries, others) = (&mut names.libraries, &mut names.others);
            walk(form, data, start, self.needed_count, &NEEDED, |record, name, first| {
                // The library's name, for all of the chain.
                if first {
                    libraries.push((record + 4, form.u32(data, record + 4, NEEDED.what)?.into()));
                }
                others.push(form.u32(data, name, NEEDED.what)?.into());
                Ok(())
            })?;
        }
        if let Some(start) = self.defined {
            let (libraries, others) = (&mut names.libraries, &mut names.others);
            walk(form, data, start, self.defined_count, &DEFINED, |record, name, first| {
                let offset = form.u32(data, name, DEFINED.what)?.into();
                if first && form.u16(data, record + 2, DEFINED.what)? & BASE != 0 {
                    libraries.push((name, offset));
                } else {
                    others.push(offset);
                }
                Ok(())
            })?;
        }
        Ok(names)
    }

    /// No field holds the number of dynamic symbols: it follows from the hash
    /// tables, or from the section table where that has been kept.
    fn symbol_count(&self, form: Form, data: &[u8]) -> Result<Option<usize>, ElfError> {
        let mut count: Option<usize> = None;
        if let Some(hash) = self.hash {
            count = Some(form.u32(data, hash + 4, "the hash table")? as usize);
        }
        if let Some(at) = self.gnu_hash {
            count = Some(count.unwrap_or(0).max(gnu_hash_count(form, data, at)?));
        }
        if let Some((start, size, sections)) = self.sections {
            for index in 0..sections {
                let at = start + index * size;
                if form.u32(data, at + 4, "the section table")? == 11 {
                    let bytes = form.word(data, at + form.either(32, 20), "the section table")?;
                    let symbols = usize_of(bytes, "the symbol table")? / form.either(24, 16);
                    count = Some(count.unwrap_or(0).max(symbols));
                }
            }
        }
        Ok(count)
    }
}

/// The last chain of the table ends with the last symbol.
fn gnu_hash_count(form: Form, data: &[u8], at: usize) -> Result<usize, ElfError> {
    let what = "the hash table";
    let field = |index: usize| form.u32(data, at + 4 * index, what).map(|value| value as usize);
    let (buckets, first, bloom) = (field(0)?, field(1)?, field(2)?);
    let table = at + 16 + bloom * form.size();
    let chains = table.checked_add(4 * buckets).ok_or(ElfError::Outside(what))?;
    let mut last = 0;
    for index in 0..buckets {
        last = last.max(form.u32(data, table + 4 * index, what)? as usize);
    }
    if last < first || last == 0 {
        return Ok(first);
    }
    while form.u32(data, chains + 4 * (last - first), what)? & 1 == 0 {
        last += 1;
    }
    Ok(last + 1)
}

fn read_symbols(
    form: Form,
    data: &[u8],
    start: usize,
    count: usize,
    names: &mut Names,
) -> Result<(), ElfError> {
    let what = "the symbol table";
    let size = form.either(24, 16);
    for index in 0..count {
        let at = index.checked_mul(size).and_then(|by| start.checked_add(by));
        let name = form.u32(data, at.ok_or(ElfError::Outside(what))?, what)?;
        names.others.extend((name != 0).then_some(u64::from(name)));
    }
    Ok(())
}

/// Goes along a table of versions: `visit` is given a record's place, the
/// place of a name in its chain, and whether that is the chain's first.
fn walk(
    form: Form,
    data: &[u8],
    start: usize,
    count: u64,
    layout: &Layout,
    mut visit: impl FnMut(usize, usize, bool) -> Result<(), ElfError>,
) -> Result<(), ElfError> {
    let what = layout.what;
    // No file has room for more: chains that share their links could be
    // followed for hours.
    let mut left = data.len() / 8;
    let mut record = start;
    for _ in 0..count {
        let mut link = record + form.u32(data, record + layout.chain, what)? as usize;
        for index in 0..form.u16(data, record + layout.count, what)? {
            left = left.checked_sub(1).ok_or(ElfError::Invalid("its versions go in circles"))?;
            visit(record, link + layout.link_name, index == 0)?;
            match form.u32(data, link + layout.link_next, what)? {
                0 => break,
                next => link += next as usize,
            }
        }
        match form.u32(data, record + layout.next, what)? {
            0 => break,
            next => record += next as usize,
        }
        left = left.checked_sub(1).ok_or(ElfError::Invalid("its versions go in circles"))?;
    }
    Ok(())
}
