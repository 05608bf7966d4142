//! Secrets that cannot be printed by accident.

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// A token or password. It has no `Display` and does not serialise; its memory
/// is cleared on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The secret itself, for the code that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The forms in which the secret may appear in a log or a page: unchanged, line by line,
    /// percent-encoded, in base64, and escaped for JSON and HTML.
    pub(crate) fn forms(&self) -> Vec<Zeroizing<String>> {
        let text = self.0.as_str();
        let mut forms: Vec<String> = vec![text.to_owned()];
        forms.extend(text.lines().map(str::to_owned));
        // Logs collapse white space.
        forms.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        for kept in ["", "/"] {
            let encoded = percent_encode(text, kept);
            forms.push(encoded.replace("%20", "+"));
            forms.push(lower_escapes(&encoded));
            forms.push(encoded);
        }
        forms.push(BASE64_STANDARD.encode(text));
        forms.push(BASE64_STANDARD_NO_PAD.encode(text));
        forms.push(BASE64_URL_SAFE_NO_PAD.encode(text));
        forms.push(text.replace('\\', "\\\\").replace('"', "\\\""));
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let quoted = html.replace('"', "&quot;");
        for apostrophe in ["&#39;", "&#x27;"] {
            forms.push(quoted.replace('\'', apostrophe));
        }
        forms.extend([html, quoted]);
        // Masking forms of one or two characters would make the log unreadable.
        forms.retain(|form| form.trim().len() > 2);
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        forms.into_iter().map(Zeroizing::new).collect()
    }
}

/// RFC 3986 percent-encoding of everything except unreserved characters and those in `kept`.
fn percent_encode(text: &str, kept: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The same text with its escapes in lower case.
fn lower_escapes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let (escape, rest) = part.split_at(2.min(part.len()));
        out + "%" + &escape.to_ascii_lowercase() + rest
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_all_common_encodings_of_a_secret() {
        let forms = Secret::new("a/S+ =%&t\"o'k  n").forms();
        let known = |form: &str| forms.iter().any(|known| known.as_str() == form);
        for form in [
            "a/S+ =%&t\"o'k n",
            "a/S%2B%20%3D%25%26t%22o%27k%20%20n",
            "a%2FS%2B%20%3D%25%26t%22o%27k%20%20n",
            "a%2fS%2b%20%3d%25%26t%22o%27k%20%20n",
            "a%2FS%2B+%3D%25%26t%22o%27k++n",
            "a/S+ =%&t\\\"o'k  n",
            "a/S+ =%&amp;t&quot;o&#39;k  n",
        ] {
            assert!(known(form), "{form}");
        }
    }
}
