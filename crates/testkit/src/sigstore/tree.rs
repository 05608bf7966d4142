//! The Merkle tree of a transparency log (RFC 6962, 2.1).

use sha2::{Digest as _, Sha256};

/// The hash of the concatenated parts.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// The largest power of two below the number of leaves (RFC 6962, 2.1).
fn split(leaves: &[[u8; 32]]) -> usize {
    leaves.len().next_power_of_two() / 2
}

pub(super) fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves));
    sha256(&[&[1], &root(left), &root(right)])
}

pub(super) fn path(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let at = split(leaves);
    let (left, right) = leaves.split_at(at);
    let (mut below, beside) =
        if index < at { (path(index, left), root(right)) } else { (path(index - at, right), root(left)) };
    below.push(beside);
    below
}
