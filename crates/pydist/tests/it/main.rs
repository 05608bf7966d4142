//! Hostile input: whatever the bytes, readers return a value or an error. They
//! never panic and never use more memory than the input has bytes.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use binfmt::elf::ElfInfo;
use binfmt::macho::MachOInfo;
use binfmt::pe::{PeInfo, file_version};
use binfmt::source::ReadAt;
use pydist::digest::sha256;
use pydist::zip::{Archive, Limits};
use pydist::{record, tar};
use testkit::wheel::{Elf, MachO, Pe, Wheel};

mod pe;

/// Runs every reader over the same bytes.
fn read_all(bytes: &[u8]) {
    let limits = Limits { members: 1000, member_size: 1 << 20, total_size: 4 << 20 };
    if let Ok(archive) = Archive::open(bytes, &limits) {
        for member in &archive.members {
            let mut size = 0;
            let _ = member.read(bytes, |piece| {
                size += piece.len() as u64;
                Ok(())
            });
            assert!(size <= member.size, "inflated to more than the archive declares");
        }
    }
    let _ = ElfInfo::read(bytes);
    let _ = MachOInfo::read(bytes);
    let _ = PeInfo::read(bytes);
    let _ = file_version(bytes);
    let _ = record::parse(bytes);
    let _ = pydist::metadata::Metadata::parse(bytes);
    let _ = tar::walk(bytes, &limits, |_, _| Ok(()));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<pydist::filename::DistName>();
        let _ = pydist::requirement::parse(text);
    }
}

/// Pseudo-random numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        let digest = sha256(&self.0.to_le_bytes());
        let number = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        number as usize % limit
    }
}

fn sdist() -> Vec<u8> {
    use std::io::Write as _;
    let mut archive = ::tar::Builder::new(Vec::new());
    for name in ["sample-1.0/PKG-INFO", "sample-1.0/pyproject.toml"] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &b"text"[..]).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn readers_never_panic() {
    let samples = [
        Wheel::sample("py3-none-any").bytes(),
        Elf { interpreter: Some("/lib/ld.so".into()), ..Elf::default() }.bytes(),
        MachO::default().bytes(),
        Pe {
            delayed: vec![("python3.dll".into(), vec!["PyErr_Clear".into()])],
            version: Some([1, 2, 3, 4]),
            is_hybrid: true,
            ..Pe::default()
        }
        .bytes(),
        sdist(),
        b"a-1.dist-info/RECORD,sha256=x,1\n\"a\"\"b\",,\n".to_vec(),
        b"Metadata-Version: 2.4\nName: a\nVersion: 1\n folded\n\nbody".to_vec(),
        b"a[b,c]>=1,<2; python_version < '3' and (extra == \"x\")".to_vec(),
    ];
    let mut numbers = Numbers(0);
    let edges = [0u8, 1, 0x7f, 0x80, 0xfe, 0xff];
    for sample in &samples {
        for cut in 0..sample.len().min(600) {
            read_all(&sample[..cut]);
        }
        for _ in 0..1500 {
            let mut bytes = sample.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                let width = 1 << numbers.below(4);
                let value = edges[numbers.below(edges.len())];
                for byte in bytes.iter_mut().skip(at).take(width) {
                    *byte = value;
                }
            }
            read_all(&bytes);
        }
    }
}

#[test]
fn reads_this_test_program() {
    // This very test is an ELF or Mach-O file with everything in it.
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert!(file.size().unwrap() > 0);
    if cfg!(target_os = "linux") {
        let info = ElfInfo::read(&file).unwrap();
        assert_eq!(info.arch(), Some(std::env::consts::ARCH));
        assert!(info.needed().any(|library| library.starts_with("libc.")), "{info:?}");
        assert!(!info.undefined.is_empty() && info.exec_stack == Some(false));
        assert!(info.versions.values().flatten().any(|version| version.starts_with("GLIBC_")));
    } else if cfg!(target_os = "macos") {
        assert!(MachOInfo::read(&file).unwrap().slices[0].min_macos.is_some());
    }
}

#[test]
fn limits_stop_a_zip_bomb() {
    let wheel = Wheel::sample("py3-none-any").bytes();
    let limits = Limits { members: 2, ..Limits::default() };
    assert!(Archive::open(&wheel[..], &limits).unwrap_err().to_string().contains("members"));
    let limits = Limits { total_size: 10, ..Limits::default() };
    assert!(Archive::open(&wheel[..], &limits).unwrap_err().to_string().contains("uncompressed"));
    let limits = Limits { total_size: 600, ..Limits::default() };
    assert!(
        tar::walk(&sdist()[..], &limits, |_, _| Ok(())).unwrap_err().to_string().contains("more than 600")
    );
}
