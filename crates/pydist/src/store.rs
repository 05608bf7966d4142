//! The stores of Nix and Guix, whose paths exist only on the machine that built a file.

/// The prefixes of store paths.
pub const STORES: [&str; 2] = ["/nix/store/", "/gnu/store/"];

/// Whether `path` is in a store.
pub fn is_store_path(path: &str) -> bool {
    STORES.iter().any(|store| path.starts_with(store))
}

/// Whether `text` contains a path in a store.
pub fn mentions_store(text: &str) -> bool {
    STORES.iter().any(|store| text.contains(store))
}
