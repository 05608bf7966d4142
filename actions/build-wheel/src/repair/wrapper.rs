//! Programs compiled by nixpkgs' `makeBinaryWrapper`, which execute a program in the store.

use std::io;

use binfmt::source::ReadAt;
use pydist::zip::each_piece;

/// The start of the command line in a wrapper compiled by `makeBinaryWrapper`.
const MAKE_C_WRAPPER: &[u8] = b"makeCWrapper '";

/// What follows the marker: the store, a hash of this many letters, and a hyphen.
const STORE: &[u8] = b"/nix/store/";
const HASH: usize = 32;

/// Whether a binary is a wrapper of a store path. The marker alone is not
/// enough: this program contains it, too.
pub(super) fn is_wrapper(binary: &(impl ReadAt + ?Sized)) -> io::Result<bool> {
    let mut found = false;
    // A piece, after the end of the previous one: a match may be in both.
    let mut window = Vec::new();
    each_piece(binary, 0, |_, bytes| {
        window.extend(bytes);
        found |= has_wrapper(&window);
        let overlap = MAKE_C_WRAPPER.len() + STORE.len() + HASH;
        window.drain(..window.len().saturating_sub(overlap));
        Ok(())
    })?;
    Ok(found)
}

fn has_wrapper(binary: &[u8]) -> bool {
    memchr::memmem::find_iter(binary, MAKE_C_WRAPPER).any(|at| {
        let path = &binary[at + MAKE_C_WRAPPER.len()..];
        let path = path.strip_prefix(STORE).unwrap_or_default();
        let name = path.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        name == HASH && path.get(name) == Some(&b'-')
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const WRAPPER: &[u8] = b"x makeCWrapper '/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x' y";

    #[test]
    fn detects_only_wrappers_of_store_paths() {
        assert!(is_wrapper(WRAPPER).unwrap());
        for text in ["makeCWrapper '/nix/store/", "makeCWrapper '\0/nix/store/abc-x", "makeCWrapper 'x"] {
            assert!(!is_wrapper(text.as_bytes()).unwrap(), "{text}");
        }
    }

    /// A source that does not give its whole content at once, and that notes the most it was
    /// asked for.
    struct Pieces<'b>(&'b [u8], AtomicUsize);

    impl ReadAt for Pieces<'_> {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }

        fn read_exact_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.1.fetch_max(buffer.len(), Ordering::Relaxed);
            self.0.read_exact_at(at, buffer)
        }
    }

    #[test]
    fn finds_a_wrapper_across_pieces_without_reading_the_whole_binary() {
        for start in (512 << 10) - WRAPPER.len()..=512 << 10 {
            let mut binary = vec![0; 1 << 20];
            binary[start..][..WRAPPER.len()].copy_from_slice(WRAPPER);
            let binary = Pieces(&binary, AtomicUsize::new(0));
            assert!(is_wrapper(&binary).unwrap(), "at {start}");
            assert!(binary.1.into_inner() <= 256 << 10, "it reads more than a piece at once");
        }
    }
}
