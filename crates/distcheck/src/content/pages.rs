//! Page hashes for signatures of Apple silicon code.

use std::ops::Range;

use binfmt::macho::{MachOInfo, SIGNATURE_PAGE, SignatureState, check_hashes, enforced};
use sha2::{Digest as _, Sha256};

use super::kept::KeptRanges;

/// Hashes the pages of Apple silicon code, to compare them with its signature.
#[derive(Default)]
pub(super) struct PageHashes {
    /// Each slice, with the hasher of its current page and the hashes of the previous
    /// pages.
    slices: Vec<(Range<u64>, Sha256, Vec<[u8; 32]>)>,
}

impl PageHashes {
    pub(super) fn of(head: &[u8], size: u64) -> Self {
        let slices = enforced(head, size).into_iter();
        Self { slices: slices.map(|range| (range, Sha256::new(), Vec::new())).collect() }
    }

    /// Hashes bytes that begin at `start`.
    pub(super) fn update(&mut self, start: u64, bytes: &[u8]) {
        for (range, sha, hashes) in &mut self.slices {
            let inside =
                |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
            let mut rest = &bytes[inside(range.start)..inside(range.end)];
            let mut at = start.max(range.start) - range.start;
            while !rest.is_empty() {
                let left = SIGNATURE_PAGE - usize::try_from(at).unwrap_or(0) % SIGNATURE_PAGE;
                let (page, after) = rest.split_at(left.min(rest.len()));
                sha.update(page);
                if page.len() == left {
                    hashes.push(sha.finalize_reset().into());
                }
                at += page.len() as u64;
                rest = after;
            }
        }
    }

    /// The architectures of the slices whose pages do not match their signature.
    pub(super) fn mismatches(&self, info: &MachOInfo, source: &KeptRanges) -> Vec<&'static str> {
        let is_broken = |slice: &&binfmt::macho::Slice| {
            let pages = self.slices.iter().find(|(range, ..)| *range == slice.range);
            let state = pages.and_then(|(.., hashes)| check_hashes(source, slice, hashes).ok());
            state == Some(SignatureState::Mismatch)
        };
        info.slices.iter().filter(is_broken).map(|slice| slice.arch).collect()
    }
}
