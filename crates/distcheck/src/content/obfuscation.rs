//! Marks of obfuscation tools.

/// Detects obfuscated code that the index rejects (Warehouse,
/// `utils/scanner_rules`).
pub(super) struct Obfuscation {
    /// The end of the last piece.
    tail: Vec<u8>,
    found: [bool; 3],
}

impl Obfuscation {
    const PYARMOR: [&[u8]; 5] = [
        b"__pyarmor__(__name__, __file__,",
        b"__pyarmor_enter__",
        b"__pyarmor_exit__",
        b"__pyarmor_assert__",
        b"__pyarmor_bcc__",
    ];
    const SOURCEDEFENDER: [&[u8]; 2] = [b"---BEGIN PYE FILE---", b"---END PYE FILE---"];
    /// The maximum length of a mark.
    const LONGEST: usize = 40;

    /// The index scans only Python files.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let is_python = name.ends_with(".py") || name.ends_with(".pye");
        is_python.then(|| Self { tail: Vec::new(), found: [false; 3] })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let seam = [&self.tail[..], &bytes[..bytes.len().min(Self::LONGEST)]].concat();
        for piece in [bytes, &seam[..]] {
            let has = |mark: &[u8]| memchr::memmem::find(piece, mark).is_some();
            // Most files have no mark, so one search suffices.
            if has(b"__pyarmor_") && Self::PYARMOR.iter().any(|mark| has(mark)) {
                self.found[0] = true;
            }
            if has(b" PYE FILE---") {
                self.found[1] |= has(Self::SOURCEDEFENDER[0]);
                self.found[2] |= has(Self::SOURCEDEFENDER[1]);
            }
        }
        self.tail = bytes[bytes.len().saturating_sub(Self::LONGEST)..].to_vec();
    }

    pub(super) fn tool(&self) -> Option<&'static str> {
        match self.found {
            [true, ..] => Some("PyArmor"),
            [_, true, true] => Some("SourceDefender"),
            _ => None,
        }
    }
}
