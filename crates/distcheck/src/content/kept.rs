//! The parts of a binary that are kept while it is read.

use std::io;
use std::ops::Range;
use std::sync::Mutex;

use binfmt::source::ReadAt;

/// How many bytes after a missed range are kept with it.
const AHEAD: u64 = 1 << 20;

/// The kept bytes of a member.
pub(super) struct KeptRanges {
    pub(super) ranges: Vec<(Range<u64>, Vec<u8>)>,
    pub(super) size: u64,
    /// The first range that was requested but not kept.
    pub(super) missed: Mutex<Option<Range<u64>>>,
}

impl ReadAt for KeptRanges {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let holds = |(range, bytes): &&(Range<u64>, Vec<u8>)| {
            range.start <= offset && end <= range.start + bytes.len() as u64
        };
        if let Some((range, bytes)) = self.ranges.iter().find(holds) {
            return bytes[..].read_exact_at(offset - range.start, buffer);
        }
        if buffer.is_empty() {
            return Ok(());
        }
        if let Ok(mut missed) = self.missed.lock()
            && missed.is_none()
        {
            *missed = Some(offset..end.max(offset.saturating_add(AHEAD)).min(self.size));
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kept_ranges_and_records_missed_ones() {
        let ranges = vec![(0..3, b"012".to_vec()), (6..10, b"6789".to_vec())];
        let kept = KeptRanges { ranges, size: 10, missed: Mutex::new(None) };
        for start in 0..=10_u64 {
            for end in start..=10 {
                let mut found = vec![0; usize::try_from(end - start).unwrap()];
                let read = kept.read_exact_at(start, &mut found);
                let missed = kept.missed.lock().unwrap().take();
                let inside = start == end || end <= 3 || start >= 6;
                assert_eq!(read.is_ok(), inside, "{start}..{end}");
                assert_eq!(missed.map(|missed| missed.start), (!inside).then_some(start));
                if inside {
                    assert_eq!(found, &b"0123456789"[start.try_into().unwrap()..end.try_into().unwrap()]);
                }
            }
        }
        for (offset, count) in [(9, 2), (10, 1), (11, 1), (u64::MAX, 1)] {
            kept.read_exact_at(offset, &mut vec![0; count]).unwrap_err();
            assert!(kept.missed.lock().unwrap().is_none(), "there is nothing to be missed");
        }
    }
}
