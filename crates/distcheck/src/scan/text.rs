//! Members whose text a rule reads.

use pydist::member_path::file_name;

use super::external::is_sbom;

/// Files of `….dist-info` that rules read.
pub(super) fn is_text(name: &str) -> bool {
    let Some((dir, rest)) = name.split_once('/') else { return false };
    dir.ends_with(".dist-info")
        && (["METADATA", "WHEEL", "RECORD", "entry_points.txt"].contains(&rest)
            || is_sbom(rest)
            || is_licence(name))
}

/// Credentials files of tools, with the words that precede credentials. Without
/// words, any content counts.
const CREDENTIALS: [(&str, &[&str]); 9] = [
    (".pypirc", &["password"]),
    (".netrc", &["password"]),
    (".npmrc", &["_authtoken", "_auth", "_password"]),
    (".env", &["="]),
    (".git-credentials", &["@"]),
    ("credentials.json", &[]),
    ("id_rsa", &[]),
    ("id_ed25519", &[]),
    ("id_ecdsa", &[]),
];

/// The words to look for, if the file is one of [`CREDENTIALS`].
pub(super) fn credentials(name: &str) -> Option<&'static [&'static str]> {
    let file = file_name(name);
    CREDENTIALS.iter().find(|(known, _)| *known == file).map(|(_, words)| *words)
}

pub(super) fn has_credentials(name: &str, content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content).to_lowercase();
    let Some(words) = credentials(name) else { return false };
    !text.trim().is_empty() && (words.is_empty() || words.iter().any(|word| text.contains(word)))
}

/// A licence's text: `LICENSE`, `COPYING`, `licenses/LICENSE-MIT` …
pub(super) fn is_licence(name: &str) -> bool {
    let file = file_name(name).to_ascii_uppercase();
    let top = name.contains(".dist-info/") || name.matches('/').count() == 1;
    top && ["LICENSE", "LICENCE", "COPYING"].iter().any(|word| file.starts_with(word))
}
