//! What the readers of ELF, Mach-O and PE share: bounds, byte order, errors.
//!
//! They read what the *loader* reads: segments and load commands, not section
//! headers, which may be missing or wrong. They read a few ranges at a time, so
//! that a binary of hundreds of megabytes need not be in memory.

use std::io;
use std::ops::Range;

use crate::source::{ReadAt, WriteAt};

/// No legitimate table of names or symbols is larger.
const RANGE_LIMIT: u64 = 64 << 20;

/// Why a binary cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The bytes could not be read.
    #[error("the binary cannot be read")]
    Io(#[source] io::Error),
    /// Not of the expected format.
    #[error("not {0}")]
    Format(&'static str),
    /// A table is out of bounds or malformed.
    #[error("damaged or cut off at byte {offset}: {what}")]
    Damaged {
        /// The table.
        what: &'static str,
        /// Its offset.
        offset: u64,
    },
}

/// Why a binary cannot be edited in place.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// It could not be written.
    #[error("the binary cannot be written")]
    Io(#[from] io::Error),
    /// There is not enough room.
    #[error("cannot be edited in place: {0}")]
    NoRoom(String),
    /// A name is not UTF-8: with its bytes replaced, it would have another
    /// length.
    #[error("`{0}` is not UTF-8")]
    NotUtf8(String),
    /// The code signature cannot be updated.
    #[error("the code signature cannot be updated: {0}")]
    Signature(&'static str),
}

/// A file format, by its magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Linux and other Unix systems.
    Elf,
    /// macOS, one architecture or several.
    MachO,
    /// Windows.
    Pe,
    /// A static library or an object archive.
    Archive,
    /// WebAssembly: Emscripten (Pyodide) and WASI.
    Wasm,
}

impl Format {
    /// Detects the format by its magic number; needs at most eight bytes.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x7f, b'E', b'L', b'F', ..] => Some(Self::Elf),
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xcf | 0xce, ..] => Some(Self::MachO),
            // A Java class has the same magic number, and its version, which is 43 or
            // more, in place of the number of slices.
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, count, ..] if *count < 40 => Some(Self::MachO),
            [b'M', b'Z', ..] => Some(Self::Pe),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Some(Self::Archive),
            [0, b'a', b's', b'm', ..] => Some(Self::Wasm),
            _ => None,
        }
    }
}

/// A file or a slice of one, in one byte order.
pub(crate) struct Image<'a, S: ReadAt + ?Sized> {
    source: &'a S,
    start: u64,
    size: u64,
    pub(crate) big: bool,
}

impl<'a, S: ReadAt + ?Sized> Image<'a, S> {
    pub(crate) fn new(source: &'a S) -> Result<Self, BinaryError> {
        let size = source.size().map_err(BinaryError::Io)?;
        Ok(Self { source, start: 0, size, big: false })
    }

    /// The same image in another byte order.
    pub(crate) fn in_order(&self, big: bool) -> Self {
        Self { big, ..*self }
    }

    /// `size` bytes from `offset` on.
    pub(crate) fn slice(&self, offset: u64, size: u64) -> Option<Image<'a, S>> {
        offset.checked_add(size).filter(|end| *end <= self.size)?;
        Some(Image { source: self.source, start: self.start + offset, size, big: self.big })
    }

    /// Its range in the file.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.size
    }

    pub(crate) fn bytes(&self, what: &'static str, offset: u64, size: u64) -> Result<Vec<u8>, BinaryError> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.size) && size <= RANGE_LIMIT;
        if !fits {
            return Err(BinaryError::Damaged { what, offset });
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.source.read_exact_at(self.start + offset, &mut bytes).map_err(BinaryError::Io)?;
        Ok(bytes)
    }

    /// At most `size` bytes; fewer at the end of the file.
    pub(crate) fn up_to(&self, what: &'static str, offset: u64, size: u64) -> Result<Vec<u8>, BinaryError> {
        self.bytes(what, offset, size.min(self.size.saturating_sub(offset)))
    }

    pub(crate) fn view<'b>(&self, bytes: &'b [u8]) -> View<'b> {
        View { bytes, big: self.big }
    }
}

/// Numbers and strings at offsets of a table in memory.
#[derive(Clone, Copy)]
pub(crate) struct View<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) big: bool,
}

impl<'b> View<'b> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk::<N>().copied()
    }

    pub(crate) fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.array(at)?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(crate) fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.array(at)?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(crate) fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.array(at)?;
        Some(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// A 32-bit or 64-bit word.
    pub(crate) fn word(&self, at: usize, wide: bool) -> Option<u64> {
        if wide { self.u64(at) } else { self.u32(at).map(u64::from) }
    }

    /// The zero-terminated string at an offset; up to the end if there is no zero.
    pub(crate) fn string(&self, at: usize) -> Option<&'b [u8]> {
        let rest = self.bytes.get(at..)?;
        Some(&rest[..memchr::memchr(0, rest).unwrap_or(rest.len())])
    }

    pub(crate) fn text(&self, at: usize) -> Option<String> {
        self.string(at).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Writes numbers in the file's byte order.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) big: bool,
}

impl Writer {
    pub(crate) fn u32(
        self,
        source: &mut (impl WriteAt + ?Sized),
        offset: u64,
        value: u32,
    ) -> std::io::Result<()> {
        source.write_all_at(offset, &if self.big { value.to_be_bytes() } else { value.to_le_bytes() })
    }

    pub(crate) fn u64(
        self,
        source: &mut (impl WriteAt + ?Sized),
        offset: u64,
        value: u64,
    ) -> std::io::Result<()> {
        source.write_all_at(offset, &if self.big { value.to_be_bytes() } else { value.to_le_bytes() })
    }

    /// Writes a 32-bit or 64-bit word.
    pub(crate) fn word(
        self,
        source: &mut (impl WriteAt + ?Sized),
        offset: u64,
        value: u64,
        wide: bool,
    ) -> Result<(), EditError> {
        if wide {
            return Ok(self.u64(source, offset, value)?);
        }
        let narrow = u32::try_from(value)
            .map_err(|_| EditError::NoRoom(format!("{value} needs more than 32 bits")))?;
        Ok(self.u32(source, offset, narrow)?)
    }
}
