//! PEM, DER, and the length prefixes of TLS.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The content of a PEM text.
pub(super) fn contents(text: &str) -> Option<Vec<u8>> {
    let lines: String = text.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    BASE64_STANDARD.decode(lines).ok()
}

/// `bytes` with a length prefix of two bytes.
pub(super) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short value");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A DER value of less than 64 KiB.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short value");
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// The signed part of a certificate, which is its first value.
pub(super) fn tbs(certificate: &[u8]) -> &[u8] {
    let value = |der: &[u8]| match der[1] {
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        0x81 => (3, usize::from(der[2])),
        short => (2, usize::from(short)),
    };
    let inner = &certificate[value(certificate).0..];
    let (head, length) = value(inner);
    &inner[..head + length]
}

pub(super) fn pem(der: &[u8]) -> String {
    let text = encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
