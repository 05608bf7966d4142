//! How much it weighs that a binary is for another system than the wheel.

use super::abi::is_importable;
use crate::facts::{Binary, Dist, Member, Wheel};
use crate::rule::Severity;

/// A warning for what nothing in the wheel loads, such as test data; none, which
/// is the rule's own weight, for what is imported, installed as a script, needed by
/// a binary of the wheel, or all that the wheel has.
pub(super) fn weight(dist: &Dist, wheel: &Wheel, member: &Member) -> Option<Severity> {
    let has_own =
        wheel.elf().next().is_some() || wheel.macho().next().is_some() || wheel.pe().next().is_some();
    let is_used = !has_own
        || !member.is_foreign
        || member.name.contains(".data/scripts/")
        || is_importable(member, &dist.platforms())
        || is_needed(wheel, member);
    (!is_used).then_some(Severity::Warning)
}

/// Whether a binary for the wheel's own system asks for the member by name.
fn is_needed(wheel: &Wheel, member: &Member) -> bool {
    let soname = match &member.binary {
        Some(Binary::Elf(elf)) => elf.soname(),
        _ => None,
    };
    let is_asked = |library: &str| {
        let file = library.rsplit('/').next().unwrap_or(library);
        file.eq_ignore_ascii_case(member.file_name()) || Some(file) == soname
    };
    let elf = wheel.elf().flat_map(|(_, facts)| facts.needed()).any(is_asked);
    let slices = wheel.macho().flat_map(|(_, info)| &info.slices);
    let macho = || slices.flat_map(|slice| slice.dylibs().map(|dylib| dylib.path)).any(is_asked);
    let imports = wheel.pe().flat_map(|(_, info)| &info.imports);
    let pe = || imports.map(|dll| dll.name.as_str()).any(is_asked);
    elf || macho() || pe()
}
