//! Edits of load commands in place: paths become shorter or are removed, and
//! nothing after the commands moves. [`super::renew`] updates the code signature.

use std::collections::BTreeMap;

use super::info::{MachOInfo, Slice};
use crate::binary::{BinaryError, EditError, Writer};
use crate::source::WriteAt;

/// A change to a load command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandChange {
    /// Replace its path.
    Path(String),
    /// Remove it.
    Remove,
}

/// Changes commands of the slice, by their index in [`Slice::commands`].
pub fn apply<S: WriteAt + ?Sized>(
    source: &mut S,
    slice: &Slice,
    changes: &BTreeMap<usize, CommandChange>,
) -> Result<(), EditError> {
    for (index, change) in changes {
        let command = slice.commands.get(*index);
        let (Some(old), CommandChange::Path(new)) =
            (command.and_then(|command| command.path.as_ref()), change)
        else {
            continue;
        };
        let room = old.range.end - old.range.start;
        // The path ends with a zero.
        if new.len() as u64 >= room {
            let message = format!("`{new}` does not fit in the room of `{}`", old.text);
            return Err(EditError::NoRoom(message));
        }
        let mut bytes = new.as_bytes().to_owned();
        bytes.resize(usize::try_from(room).unwrap_or_default(), 0);
        source.write_all_at(old.range.start, &bytes)?;
    }
    let is_removed = |index: usize| changes.get(&index) == Some(&CommandChange::Remove);
    let kept = slice.commands.iter().enumerate().filter(|(index, _)| !is_removed(*index));
    let (mut commands, mut count) = (Vec::new(), 0_u32);
    for (_, command) in kept {
        let start = commands.len();
        commands
            .resize(start + usize::try_from(command.range.end - command.range.start).unwrap_or_default(), 0);
        source.read_exact_at(command.range.start, &mut commands[start..])?;
        count += 1;
    }
    if count as usize == slice.commands.len() {
        return Ok(());
    }
    let start = slice.range.start + slice.header_size();
    set_size(source, slice, count, commands.len() as u64)?;
    let size = usize::try_from(slice.commands_end() - start).unwrap_or_default();
    commands.resize(size, 0);
    Ok(source.write_all_at(start, &commands)?)
}

/// Writes the number and the size of the load commands into the header.
pub(super) fn set_size<S: WriteAt + ?Sized>(
    source: &mut S,
    slice: &Slice,
    count: u32,
    size: u64,
) -> Result<(), EditError> {
    let writer = Writer { big: slice.big_endian };
    writer.u32(source, slice.range.start + 16, count)?;
    writer.word(source, slice.range.start + 20, size, false)
}

/// Resizes the slice with this index. The slices after it move, each to the next
/// offset of its alignment.
pub(super) fn resize<S: WriteAt + ?Sized>(
    source: &mut S,
    info: &MachOInfo,
    index: usize,
    size: u64,
) -> Result<(), EditError> {
    let Some(entry) = info.slices[index].entry else { return Ok(()) };
    let writer = Writer { big: true };
    let size_at = |wide: bool| if wide { 16 } else { 12 };
    writer.word(source, entry.offset + size_at(entry.wide), size, entry.wide)?;
    let mut end = info.slices[index].range.start + size;
    let mut moves = Vec::new();
    for pair in info.slices[index..].windows(2) {
        let [before, slice] = pair else { continue };
        let damaged = BinaryError::Damaged { what: "a slice", offset: slice.range.start };
        let Some(entry) = slice.entry.filter(|entry| entry.align <= 20) else { return Err(damaged.into()) };
        if slice.range.start < before.range.end {
            return Err(damaged.into());
        }
        let start = slice.range.start.max(end.next_multiple_of(1 << entry.align));
        end = start + (slice.range.end - slice.range.start);
        if start != slice.range.start {
            moves.push((slice.range.clone(), start));
            writer.word(source, entry.offset + 8, start, entry.wide)?;
        }
    }
    for (from, to) in moves.into_iter().rev() {
        move_up(source, from.start, to, from.end - from.start)?;
    }
    Ok(())
}

/// Moves `size` bytes to a higher offset, starting at the end.
fn move_up<S: WriteAt + ?Sized>(source: &mut S, from: u64, to: u64, size: u64) -> Result<(), EditError> {
    const PIECE: u64 = 1 << 20;
    let mut left = size;
    while left > 0 {
        let count = left.min(PIECE);
        left -= count;
        let mut piece = vec![0; usize::try_from(count).unwrap_or_default()];
        source.read_exact_at(from + left, &mut piece)?;
        source.write_all_at(to + left, &piece)?;
    }
    Ok(())
}
