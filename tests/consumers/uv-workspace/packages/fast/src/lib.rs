//! Checksums.

/// Checksums.
#[pyo3::pymodule]
mod sample_ws_fast {
    use pyo3::pyfunction;

    /// The Adler-32 checksum (RFC 1950, section 8.2).
    #[pyfunction]
    fn adler32(data: &[u8]) -> u32 {
        const MODULUS: u32 = 65_521;
        let (a, b) = data.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % MODULUS;
            (a, (b + a) % MODULUS)
        });
        (b << 16) | a
    }
}
