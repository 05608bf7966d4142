//! Nix's base 32, and SHA-256 in the spellings that Nix accepts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pydist::digest::Sha256Bytes;

/// Digits and letters without `e`, `o`, `t` and `u` (Nix, `base-nix-32.cc`).
const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// `bytes` in Nix's base 32: most significant digit first, five bits each.
pub fn encode(bytes: &[u8]) -> String {
    let digits = (bytes.len() * 8).div_ceil(5);
    let digit = |n: usize| {
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let low = u16::from(bytes[byte]) | u16::from(bytes.get(byte + 1).copied().unwrap_or(0)) << 8;
        char::from(ALPHABET[usize::from(low >> shift & 31)])
    };
    (0..digits).rev().map(digit).collect()
}

/// Decodes `text`; `None` if it is not the base 32 of `N` bytes.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, c) in text.bytes().rev().enumerate() {
        let digit = u16::try_from(ALPHABET.iter().position(|known| *known == c)?).ok()?;
        let (byte, wide) = (n * 5 / 8, digit << (n * 5 % 8));
        bytes[byte] |= (wide & 0xff) as u8;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= (wide >> 8) as u8,
            None if wide >> 8 != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

/// A SHA-256 as Nix writes it: `sha256:` with base 32 or hexadecimal,
/// `sha256-` with base64, or either of the first two alone.
pub fn sha256(text: &str) -> Option<Sha256Bytes> {
    if let Some(base64) = text.strip_prefix("sha256-") {
        return BASE64_STANDARD.decode(base64).ok()?.try_into().ok();
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() != 64 {
        return decode(digits);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decodes_what_it_encoded(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(decode::<32>(&encode(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn parses_all_spellings_of_a_digest() {
        // `nix hash file --base16|--base32|--sri` of a file holding `abc`.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let base32 = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s";
        let expected = pydist::digest::sha256(b"abc");
        assert_eq!(encode(&expected), base32);
        let sri = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        for text in [hex, base32, sri, &format!("sha256:{hex}"), &format!("sha256:{base32}")] {
            assert_eq!(sha256(text), Some(expected), "{text}");
        }
        assert_eq!(sha256("sha256:zzzz"), None);
        assert_eq!(decode::<32>(&"z".repeat(52)), None, "more than 256 bits");
    }
}
