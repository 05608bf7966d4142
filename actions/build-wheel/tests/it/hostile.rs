//! Random damage to binaries and archives gives an error or a clean wheel, never a
//! crash, and never a store path that a loader reads.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::corpus::check_clean;
use crate::macho::{fat, program};
use crate::support::*;

/// A program and a library as in nixpkgs, and thin and fat Mach-O files.
static BINARIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let elf = compile(&CC, at, "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let flags = format!("-shared -fPIC -Wl,-soname,{STORE}-x/lib/l.so -Wl,-rpath,{STORE}-gcc/lib:$ORIGIN");
    let library = compile(&CC, at, "l.so", "int lib(void) { return 1; }", &flags);
    let arm = program(at, "aarch64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let intel = program(at, "x86_64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let both = fat(&[&intel, &arm]);
    vec![elf, library, arm, both]
});

/// The binary, the bytes to overwrite, and where to cut it off.
fn damage() -> impl Strategy<Value = (usize, Vec<(usize, u64, u8)>, Option<usize>)> {
    // Mostly the beginning, which has headers and tables, but also the rest.
    let place = prop_oneof![3 => 0..0x900_usize, 1 => 0..0x12000_usize];
    let value = prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(1 << 31), Just(0x7fff_fff0), any::<u64>()];
    let width = prop_oneof![Just(1_u8), Just(2), Just(4), Just(8)];
    let edits = proptest::collection::vec((place, value, width), 1..4);
    (0..4_usize, edits, proptest::option::weighted(0.3, 0..0x12000_usize))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    #[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
    fn damaged_binaries_are_rejected_or_clean((which, edits, cut) in damage()) {
        let mut binary = BINARIES[which].clone();
        for (place, value, width) in edits {
            let place = place % binary.len();
            let end = binary.len().min(place + usize::from(width));
            binary[place..end].copy_from_slice(&value.to_le_bytes()[..end - place]);
        }
        binary.truncate(cut.unwrap_or(binary.len()));
        let wheel = program_wheel(&binary);
        match repaired(&wheel) {
            Ok(done) => check_clean("damaged", &done.bytes),
            // An error names the member and the problem.
            Err(error) => prop_assert!(toolkit::error_report(&error).contains("sample"), "{}", toolkit::error_report(&error)),
        }
    }

    #[test]
    fn damaged_archives_are_rejected_or_valid(at in 0..4000_usize, value in any::<u8>(), cut in proptest::option::of(0..4000_usize)) {
        let mut wheel = zip(&members(&[file("a.py", "x = 1\n".repeat(200)), file("b.txt", "text")]));
        let place = at % wheel.len();
        wheel[place] = value;
        wheel.truncate(cut.unwrap_or(wheel.len()));
        if let Ok(done) = repaired(&wheel) {
            check_clean("damaged archive", &done.bytes);
            let again = repaired(&done.bytes).unwrap();
            prop_assert_eq!(again.bytes, done.bytes, "what is written is read back");
        }
    }
}
