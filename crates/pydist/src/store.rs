//! The stores of Nix and Guix, whose paths exist only on the machine that built a file.

/// The prefixes of store paths.
pub const STORES: [&str; 2] = ["/nix/store/", "/gnu/store/"];

/// The directories of the stores and of what links to them, such as `/nix/var/nix/profiles`.
const ROOTS: [&str; 2] = ["/nix/", "/gnu/"];

/// Whether `path` is where only machines with Nix or Guix have files: in a store, or in a
/// profile that links to it.
pub fn is_nix_path(path: &str) -> bool {
    ROOTS.iter().any(|root| path.starts_with(root))
}

/// Whether `path` is in a store.
pub fn is_store_path(path: &str) -> bool {
    STORES.iter().any(|store| path.starts_with(store))
}

/// Whether `text` contains a path in a store.
pub fn mentions_store(text: &str) -> bool {
    STORES.iter().any(|store| text.contains(store))
}
