//! The severity of a binary for a system other than the wheel's.

use pydist::member_path::file_name;

use super::abi::is_importable;
use crate::dist::{Binary, Dist, Member, Wheel};
use crate::rule::Severity;

/// A warning for a binary that nothing in the wheel loads, such as test data. `None`,
/// the rule's own severity, for one that is imported, installed as a script, needed
/// by a binary of the wheel, or the only one.
pub(super) fn severity(dist: &Dist, wheel: &Wheel, member: &Member) -> Option<Severity> {
    let has_native =
        wheel.elf().next().is_some() || wheel.macho().next().is_some() || wheel.pe().next().is_some();
    let is_used = !has_native
        || !member.is_foreign
        || member.name.contains(".data/scripts/")
        || is_importable(member, &dist.platforms())
        || is_needed(wheel, member);
    (!is_used).then_some(Severity::Warning)
}

/// Whether a binary for the wheel's own system needs the member by name.
fn is_needed(wheel: &Wheel, member: &Member) -> bool {
    let soname = match &member.binary {
        Some(Binary::Elf(elf)) => elf.soname(),
        _ => None,
    };
    let is_named = |library: &str| {
        let file = file_name(library);
        file.eq_ignore_ascii_case(member.file_name()) || Some(file) == soname
    };
    let elf = wheel.elf().flat_map(|(_, info)| info.needed()).any(is_named);
    let slices = wheel.macho().flat_map(|(_, info)| &info.slices);
    let macho = || slices.flat_map(|slice| slice.dylibs().map(|dylib| dylib.path)).any(is_named);
    let imports = wheel.pe().flat_map(|(_, info)| &info.imports);
    let pe = || imports.map(|dll| dll.name.as_str()).any(is_named);
    elf || macho() || pe()
}
