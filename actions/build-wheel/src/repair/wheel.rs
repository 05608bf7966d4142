//! Repairs a wheel in one pass: reads, checks, edits, tags and writes it.

use std::collections::BTreeSet;
use std::io::Write;

use binfmt::source::ReadAt;
use pydist::filename::{DistName, NameError, WheelName};
use pydist::target::Arch;

use super::archive::{self, ArchiveError};
use super::change::Change;
use super::contents::Contents;
use super::error::WheelError;
use super::foreign::{self, WheelPlatform};
use super::metadata;
use super::options::Options;
use super::pass::Pass;
use super::tags::{self, Floor};

/// A wheel that can be published.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Its file name.
    pub name: WheelName,
    /// The size of the archive, in bytes.
    pub size: u64,
    /// The SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// The oldest system it runs on; `None` if it has no binary.
    pub floor: Option<Floor>,
    /// The changes, by member.
    pub changes: Vec<Change>,
    /// The warnings, by member.
    pub warnings: Vec<Change>,
    /// What it installs that a smoke test can run.
    pub contents: Contents,
    /// The members for another platform than the wheel.
    pub foreign: BTreeSet<String>,
}

/// Makes the wheel in `source`, named `file_name`, portable, and writes it to
/// `out`.
pub fn repair(
    file_name: &str,
    source: &(impl ReadAt + ?Sized),
    options: &Options,
    out: &mut impl Write,
) -> Result<Repaired, WheelError> {
    let DistName::Wheel(mut name) = file_name.parse()? else { return Err(NameError::Suffix.into()) };
    let members = archive::open(source)?;
    let dist_info = metadata::dist_info(&members)?;
    let mut pass = Pass::new(&members, &dist_info, options);
    let binaries = foreign::binaries(&members, source);
    pass.platform = WheelPlatform::of(options.target.as_ref(), &name.tags, &binaries);
    if tags::are_several(&name.tags.platform) && !binaries.is_empty() {
        tags::check_several(&name.tags.platform, &tags::platforms_of(binaries.values()))?;
        pass.platform = WheelPlatform::Unsupported;
    }
    pass.editable = binaries.into_keys().collect();
    pass.is_armv6 = match &options.target {
        Some(target) => target.known().is_some_and(|target| target.arch == Arch::Armv6l),
        None => name.tags.platform.iter().any(|tag| tag.ends_with("armv6l")),
    };
    let wheel_file = pass.process_members(source, &members)?;
    pass.add_grafts(source)?;
    pass.check_libraries()?;
    let needs = pass.retag(&mut name, file_name)?;
    let wheel_file = metadata::wheel_file(&wheel_file, &name)?;
    pass.add(&format!("{dist_info}WHEEL"), false, wheel_file.as_slice()).map_err(ArchiveError::Write)?;
    let written = pass.write(source, out).map_err(ArchiveError::Write)?;
    Ok(Repaired {
        name,
        size: written.size,
        sha256: written.sha256,
        floor: needs.map(|needs| needs.floor()),
        contents: pass.take_contents(),
        changes: pass.changes,
        warnings: pass.warnings,
        foreign: pass.foreign,
    })
}

/// The content of one member of a wheel.
pub fn member(wheel: &(impl ReadAt + ?Sized), name: &str) -> Option<Vec<u8>> {
    let members = archive::open(wheel).ok()?;
    let member = members.iter().find(|member| member.name == name)?;
    member.content(wheel, u64::MAX).ok()
}
