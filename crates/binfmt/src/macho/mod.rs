//! Mach-O files as dyld reads them, with the file offset of each field, so that
//! it can be edited in place (Apple's `mach-o/loader.h`, `mach-o/fat.h`,
//! `mach-o/nlist.h`).

mod edit;
mod info;
mod read;
mod signature;
mod symbols;

pub use edit::{CommandChange, apply};
pub use info::{Dylib, LoadCommand, LoadPath, MachOInfo, MachSegment, Slice, SliceEntry, lc};
pub use signature::{PAGE as SIGNATURE_PAGE, SignatureState, check, check_hashes, enforced, renew, sign};
