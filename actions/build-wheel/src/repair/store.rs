//! Which paths exist on the machine that built a wheel and on no other.

/// Whether `text` names something in the store of Nix or Guix.
pub(super) fn in_store(text: &str) -> bool {
    text.contains("/nix/store/") || text.contains("/gnu/store/")
}
