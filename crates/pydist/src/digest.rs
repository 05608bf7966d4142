//! SHA-256 in the forms that the specifications use.

use std::io::{self, Read};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Sha256Bytes = [u8; 32];

/// The digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256Bytes {
    Sha256::digest(bytes).into()
}

/// Reads `from` to its end in pieces and returns the digest and the size in bytes.
pub fn sha256_reader(mut from: impl Read) -> io::Result<(Sha256Bytes, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finalize().into(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

/// Lower-case hexadecimal, as indexes and manifests write it.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `text` is a number of `digits` hexadecimal digits: 64 for a SHA-256, 40 for a commit.
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// URL-safe base64 without padding, as `RECORD` writes it.
pub fn record_hash(digest: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_known_digest_in_both_forms() {
        // FIPS 180-2, appendix B.1.
        let digest = sha256(b"abc");
        assert_eq!(hex(&digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(record_hash(&digest), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(sha256_reader(&b"abc"[..]).unwrap(), (digest, 3));
    }
}
