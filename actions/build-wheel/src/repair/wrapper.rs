//! Programs compiled by nixpkgs' `makeBinaryWrapper`, which execute a program in the store.

/// The start of the command line in a wrapper compiled by `makeBinaryWrapper`.
pub(super) const MAKE_C_WRAPPER: &[u8] = b"makeCWrapper '";

/// Whether a binary is a wrapper of a store path. The marker alone is not
/// enough: this program contains it, too.
pub(super) fn is_wrapper(binary: &[u8]) -> bool {
    memchr::memmem::find_iter(binary, MAKE_C_WRAPPER).any(|at| {
        let path = &binary[at + MAKE_C_WRAPPER.len()..];
        let path = path.strip_prefix(b"/nix/store/").unwrap_or_default();
        let name = path.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        name == 32 && path.get(name) == Some(&b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_only_wrappers_of_store_paths() {
        assert!(is_wrapper(b"x makeCWrapper '/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x' y"));
        for text in ["makeCWrapper '/nix/store/", "makeCWrapper '\0/nix/store/abc-x", "makeCWrapper 'x"] {
            assert!(!is_wrapper(text.as_bytes()), "{text}");
        }
    }
}
