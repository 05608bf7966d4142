//! `LC_SYMTAB`: the symbols of a slice.

use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

/// An external symbol's role.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ExternalSymbol {
    /// Imported from the library with this number.
    Undefined(usize),
    /// Exported by this file.
    Exported,
}

/// Calls `visit` with each external symbol of `LC_SYMTAB`.
pub(super) fn each_symbol<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    command: View<'_>,
    is_64: bool,
    mut visit: impl FnMut(ExternalSymbol, String),
) -> Result<(), BinaryError> {
    let damaged = BinaryError::Damaged { what: "the symbol table", offset: 0 };
    let fields = [8, 12, 16, 20].map(|at| command.u32(at).map(u64::from));
    let [Some(symbols), Some(count), Some(names), Some(names_size)] = fields else { return Err(damaged) };
    let entry = if is_64 { 16 } else { 12 };
    let table = image.bytes("the symbol table", symbols, count * entry)?;
    let names = image.bytes("the symbol names", names, names_size)?;
    for bytes in table.chunks_exact(usize::try_from(entry).unwrap_or(12)) {
        let view = image.view(bytes);
        // `n_type`: bits for debugging, private external, the type, external.
        let symbol = match (bytes[4] & 0xe0, bytes[4] & 0x10, bytes[4] & 0x0e, bytes[4] & 1) {
            // The library's number is the high byte of `n_desc`.
            (0, _, 0, 1) => ExternalSymbol::Undefined(view.u16(6).map_or(0, |desc| usize::from(desc >> 8))),
            (0, 0, 0x0e, 1) => ExternalSymbol::Exported,
            _ => continue,
        };
        let Some(at) = view.u32(0).and_then(|at| usize::try_from(at).ok()) else { continue };
        if let Some(name) = image.view(&names).text(at) {
            visit(symbol, name);
        }
    }
    Ok(())
}
