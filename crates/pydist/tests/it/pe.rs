//! PE files that linkers other than Microsoft's current one write.

use binfmt::pe::{PeInfo, file_version};
use testkit::wheel::Pe;

fn read(pe: &Pe) -> PeInfo {
    PeInfo::read(pe.bytes().as_slice()).unwrap().unwrap()
}

fn library(name: &str) -> Vec<(String, Vec<String>)> {
    vec![(name.into(), vec!["PyLong_FromLong".into(), "PyErr_Clear".into()])]
}

/// The names of the imported libraries, and whether they are loaded on first use.
fn imports(info: &PeInfo) -> Vec<(&str, bool)> {
    info.imports.iter().map(|import| (import.name.as_str(), import.is_delayed)).collect()
}

#[test]
fn directories_beyond_the_count_are_not_read() {
    let pe = Pe { delayed: library("python311.dll"), is_hybrid: true, ..Pe::default() };
    let info = read(&pe);
    assert_eq!(imports(&info), [("python3.dll", false), ("python311.dll", true)]);
    assert_eq!(info.arch(), Some("arm64ec"));
    let info = read(&Pe { directories: 10, ..pe.clone() });
    assert_eq!(imports(&info), [("python3.dll", false)]);
    assert_eq!(info.arch(), Some("amd64"));
    let info = read(&Pe { directories: 1, ..pe.clone() });
    assert_eq!(imports(&info), []);
    // More than Windows knows.
    assert_eq!(read(&Pe { directories: u32::MAX, ..pe.clone() }), read(&pe));
}

#[test]
fn descriptors_for_delayed_loading_may_hold_addresses() {
    for machine in [0x8664, 0x014c] {
        let delayed = Pe { machine, imports: Vec::new(), delayed: library("python311.dll"), ..Pe::default() };
        for pe in [Pe { delay_base: Some(0x40_0000), ..delayed.clone() }, delayed] {
            let info = read(&pe);
            assert_eq!(imports(&info), [("python311.dll", true)], "{pe:?}");
            assert_eq!(info.python_symbols, ["PyLong_FromLong", "PyErr_Clear"], "{pe:?}");
        }
    }
}

#[test]
fn a_descriptor_without_a_lookup_table_has_its_names_in_the_other() {
    for machine in [0x8664, 0x014c] {
        let pe = Pe { machine, imports: library("python311.dll"), has_lookup_table: false, ..Pe::default() };
        assert_eq!(read(&pe).python_symbols, ["PyLong_FromLong", "PyErr_Clear"]);
    }
}

#[test]
fn arm64ec_is_x64_with_metadata_of_arm64_code() {
    let hybrid = |machine| Pe { machine, is_hybrid: true, ..Pe::default() };
    assert_eq!(read(&hybrid(0x8664)).arch(), Some("arm64ec"));
    // ARM64X is loaded by processes of both.
    assert_eq!(read(&hybrid(0xaa64)).arch(), Some("arm64"));
    assert_eq!(read(&hybrid(0x014c)).arch(), Some("x86"));
}

#[test]
fn reads_the_file_version() {
    let version = |pe: &Pe| file_version(pe.bytes().as_slice());
    let pe = Pe { version: Some([14, 44, 35211, 0]), ..Pe::default() };
    assert_eq!(version(&pe), Some([14, 44, 35211, 0]));
    assert_eq!(version(&Pe { machine: 0x014c, ..pe.clone() }), Some([14, 44, 35211, 0]));
    assert_eq!(version(&Pe::default()), None);
    assert_eq!(file_version(&b"MZ"[..]), None);
    // Wherever the file ends, or whatever a byte of the resource is, there is an answer.
    let bytes = pe.bytes();
    for end in 0..bytes.len() {
        let _ = file_version(&bytes[..end]);
    }
    for at in 512..bytes.len() {
        for value in [0, 1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let _ = file_version(bytes.as_slice());
        }
    }
}

#[test]
fn delayed_imports_may_lack_the_attribute_of_relative_addresses() {
    let pe = Pe { imports: Vec::new(), delayed: library("python311.dll"), ..Pe::default() };
    let mut bytes = pe.bytes();
    let attributes = bytes.len() - 64;
    assert_eq!(bytes[attributes], 1);
    (bytes[attributes], bytes[64 + 24 + 26]) = (0, 0x40);
    let names = |bytes: &[u8]| {
        let info = PeInfo::read(bytes).unwrap().unwrap();
        info.imports.into_iter().map(|import| import.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&bytes), ["python311.dll"]);
    // The loader never reads a name outside the file.
    bytes[attributes + 4..attributes + 8].fill(0x7f);
    assert_eq!(names(&bytes), [""; 0]);
}

#[test]
fn a_small_file_does_not_give_many_symbols() {
    let python = library("python3.dll");
    let pe = Pe { imports: python.iter().cycle().take(2000).cloned().collect(), ..Pe::default() };
    let info = PeInfo::read(pe.bytes().as_slice()).unwrap().unwrap();
    assert_eq!(info.imports.len(), 2000);
    assert!(info.python_symbols.len() <= 4096, "{}", info.python_symbols.len());
}
