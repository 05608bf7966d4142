//! Which paths exist on the machine that built a wheel and on no other.

/// What betrays a path of the store.
pub(super) const STORES: [&[u8]; 2] = [b"/nix/store/", b"/gnu/store/"];

/// Whether `text` names something in the store of Nix or Guix.
pub(super) fn in_store(text: &str) -> bool {
    text.contains("/nix/store/") || text.contains("/gnu/store/")
}

/// What begins the command line in a wrapper that `makeBinaryWrapper` has compiled.
pub(super) const MAKE_C_WRAPPER: &[u8] = b"makeCWrapper '";

/// Whether a binary has the command line of a wrapper of a store path. The word alone
/// proves nothing: this program contains it, too.
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
    fn only_a_wrapper_of_a_store_path_is_one() {
        assert!(is_wrapper(b"x makeCWrapper '/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x' y"));
        for text in ["makeCWrapper '/nix/store/", "makeCWrapper '\0/nix/store/abc-x", "makeCWrapper 'x"] {
            assert!(!is_wrapper(text.as_bytes()), "{text}");
        }
    }
}
