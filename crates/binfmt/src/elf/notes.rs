//! The notes of an ELF file.

use std::ops::Range;

use crate::binary::View;

/// The combined `GNU_PROPERTY_X86_ISA_1_NEEDED` of all notes in a segment (ELF
/// gABI, "Note Section"; x86-64 psABI, "Program Property").
pub(super) fn isa_needed(view: View<'_>, align: usize, is_64: bool) -> u32 {
    let (mut needed, mut at) = (0, 0);
    while let Some((note, next)) = note(view, at, align) {
        needed |= note.and_then(|range| property(view, range, is_64)).unwrap_or_default();
        at = next;
    }
    needed
}

/// The range of the note at `at`, if it holds GNU properties, and the start of
/// the next note.
fn note(view: View<'_>, at: usize, align: usize) -> Option<(Option<Range<usize>>, usize)> {
    let number = |at| view.u32(at).and_then(|value| usize::try_from(value).ok());
    let (name, size, kind) = (number(at)?, number(at.checked_add(4)?)?, number(at.checked_add(8)?)?);
    let start = name.checked_next_multiple_of(4)?.checked_add(at + 12)?;
    let end = start.checked_add(size)?;
    let is_property = kind == 5 && view.bytes.get(at + 12..start) == Some(b"GNU\0");
    Some((is_property.then_some(start..end), end.checked_next_multiple_of(align)?))
}

/// The x86 ISA level among the properties in a note.
fn property(view: View<'_>, range: Range<usize>, is_64: bool) -> Option<u32> {
    let align = if is_64 { 8 } else { 4 };
    let mut at = range.start;
    while at + 8 <= range.end {
        let (kind, size) = (view.u32(at)?, usize::try_from(view.u32(at + 4)?).ok()?);
        if kind == 0xc000_8002 {
            return view.u32(at + 8);
        }
        at = at.checked_add(8)?.checked_add(size.checked_next_multiple_of(align)?)?;
    }
    None
}
