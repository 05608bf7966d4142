//! Valid distributions of the package `sample` 1.0, for tests to change.

use std::io::Write as _;

use crate::wheel::{Elf, MachO, Member, Pe, Wheel};

/// The tag of [`linux`].
pub const LINUX: &str = "cp312-cp312-manylinux_2_17_x86_64";
/// The tag of [`macos`].
pub const MACOS: &str = "py3-none-macosx_11_0_arm64";

/// The file name and the bytes.
pub fn file(wheel: &Wheel) -> (String, Vec<u8>) {
    (wheel.filename(), wheel.bytes())
}

/// A pure wheel.
pub fn pure() -> Wheel {
    Wheel::sample("py3-none-any")
}

/// A wheel for Linux with one extension module.
pub fn linux(elf: Elf) -> Wheel {
    let mut wheel = Wheel::sample(LINUX);
    wheel.members.push(Member::new("sample/core.cpython-312-x86_64-linux-gnu.so", elf.bytes()));
    wheel
}

/// A wheel for Linux with one program.
pub fn program(elf: Elf) -> Wheel {
    let mut wheel = Wheel::sample("py3-none-manylinux_2_17_x86_64");
    wheel.members.push(Member::new("sample/bin/tool", elf.bytes()).executable());
    wheel
}

/// A wheel for macOS with one program.
pub fn macos(macho: MachO) -> Wheel {
    let mut wheel = Wheel::sample(MACOS);
    wheel.members.push(Member::new("sample/bin/tool", macho.bytes()).executable());
    wheel
}

/// A wheel for Windows with one extension module.
pub fn windows(pe: &Pe) -> Wheel {
    let mut wheel = Wheel::sample("cp312-cp312-win_amd64");
    wheel.members.push(Member::new("sample/core.cp312-win_amd64.pyd", pe.bytes()));
    wheel
}

/// A gzip-compressed tar archive of files with their content.
pub fn targz(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    build(&mut archive);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().expect("writing to memory does not fail"))
        .expect("writing to memory does not fail");
    gzip.finish().expect("writing to memory does not fail")
}

/// Adds a file.
pub fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]) {
    add_with_mode(archive, name, data, 0o644);
}

/// Adds a file with this mode.
pub fn add_with_mode(archive: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8], mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(mode);
    // Not `append_data`, which rejects entries of malicious archives.
    let bytes = header.as_old_mut();
    bytes.name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    archive.append(&header, data).expect("writing to memory does not fail");
}

/// A valid source distribution of `sample` 1.0, with the additions of `more`.
pub fn sdist(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> (String, Vec<u8>) {
    let bytes = targz(|archive| {
        add(archive, "sample-1.0/PKG-INFO", Wheel::sample("py3-none-any").metadata.as_bytes());
        add(
            archive,
            "sample-1.0/pyproject.toml",
            b"[build-system]\nrequires = ['maturin']\nbuild-backend = 'maturin'\n",
        );
        add(archive, "sample-1.0/Cargo.toml", b"[package]\nname = 'sample'\n");
        more(archive);
    });
    ("sample-1.0.tar.gz".into(), bytes)
}
