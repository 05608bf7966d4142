//! The metadata of store paths: narinfo files and rows of Nix's database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pydist::digest::{Sha256Bytes, hex, sha256};

use crate::nix32;

/// The only store directory that is supported; the paths of public caches are for it.
pub const STORE: &str = "/nix/store";

/// The last part of a store path: 32 digits, a hyphen, a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// Parses `hash-name`.
    pub fn from_base(base: &str) -> Option<Self> {
        let (hash, name) = base.split_at_checked(32)?;
        let name = name.strip_prefix('-')?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
        // Nix, `checkName` in `src/libstore/path.cc`.
        let dots = matches!(name.split('-').next(), Some("." | ".."));
        let valid = !name.is_empty() && !dots && name.len() <= 211 && name.chars().all(allowed);
        (valid && nix32::decode::<20>(hash).is_some()).then(|| Self(base.to_owned()))
    }

    /// Parses `/nix/store/hash-name`.
    pub fn from_full(path: &str) -> Option<Self> {
        Self::from_base(path.strip_prefix(STORE)?.strip_prefix('/')?)
    }

    /// `hash-name`.
    pub fn base(&self) -> &str {
        &self.0
    }

    /// The 32 digits of the hash, which narinfo files are named after.
    pub fn digits(&self) -> &str {
        &self.0[..32]
    }

    /// Whether it is a derivation (`.drv`).
    pub fn is_derivation(&self) -> bool {
        self.0.strip_suffix(".drv").is_some()
    }

    /// The part after the hash.
    pub fn name(&self) -> &str {
        &self.0[33..]
    }

    /// `/nix/store/hash-name`.
    pub fn full(&self) -> String {
        format!("{STORE}/{}", self.0)
    }

    /// `/nix/store/hash-name` as a path.
    pub fn path(&self) -> PathBuf {
        self.full().into()
    }
}

/// The metadata of a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Sha256Bytes,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// What built it.
    pub deriver: Option<StorePath>,
    /// The paths that it refers to, possibly including itself.
    pub references: Vec<StorePath>,
    /// Signatures of the form `key-name:base64`.
    pub signatures: Vec<String>,
    /// Nix's content address, if it has one.
    pub ca: Option<String>,
}

/// Parses the output of `nix-store --dump-db`, which is also the format of `.reginfo` in
/// official tarballs.
pub fn parse_rows(text: &str) -> Result<Vec<PathInfo>, String> {
    let mut lines = text.lines();
    let mut rows = Vec::new();
    while let Some(first) = lines.next() {
        let mut next = || lines.next().ok_or_else(|| format!("the row of `{first}` is truncated"));
        let path = StorePath::from_full(first).ok_or_else(|| format!("`{first}` is not a store path"))?;
        let hash = next()?;
        let nar_hash = nix32::sha256(hash).ok_or_else(|| format!("`{hash}` is not a SHA-256"))?;
        let nar_size = next()?.parse().map_err(|_| format!("invalid size in the row of `{first}`"))?;
        let deriver = StorePath::from_full(next()?);
        let count: usize =
            next()?.parse().map_err(|_| format!("invalid number of references in the row of `{first}`"))?;
        let mut references = Vec::new();
        for _ in 0..count {
            let line = next()?;
            references
                .push(StorePath::from_full(line).ok_or_else(|| format!("`{line}` is not a store path"))?);
        }
        rows.push(PathInfo {
            path,
            nar_hash,
            nar_size,
            deriver,
            references,
            signatures: Vec::new(),
            ca: None,
        });
    }
    Ok(rows)
}

/// Parses a NAR size. The limit of 1 TiB keeps sums from overflowing.
fn size(text: &str) -> Result<u64, String> {
    let size: Option<u64> = text.parse().ok();
    size.filter(|size| *size <= 1 << 40).ok_or_else(|| format!("NarSize is `{text}`, expected at most 2^40"))
}

/// A narinfo file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// The metadata of the path.
    pub info: PathInfo,
    /// The file of the compressed NAR, or of the image that holds the path, relative to the
    /// cache.
    pub url: String,
}

/// The file of an image, relative to the cache.
pub(crate) fn image_url(id: &str) -> String {
    format!("image/{id}.squashfs")
}

impl NarInfo {
    /// The id of the image that holds the path, if any.
    pub fn image(&self) -> Option<&str> {
        self.url.strip_prefix("image/")?.strip_suffix(".squashfs")
    }

    /// Parses a narinfo. Supports only zstd-compressed NARs and images.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        let mut signatures = Vec::new();
        for line in text.lines() {
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("expected `name: value`, found `{line}`"))?;
            let value = value.trim();
            if name == "Sig" {
                signatures.push(value.to_owned());
            } else if fields.insert(name, value).is_some() {
                return Err(format!("duplicate field `{name}`"));
            }
        }
        let field = |name: &str| fields.get(name).copied().ok_or_else(|| format!("missing field `{name}`"));
        let base =
            |base: &str| StorePath::from_base(base).ok_or_else(|| format!("`{base}` is not a store path"));
        let full = field("StorePath")?;
        let path = StorePath::from_full(full).ok_or_else(|| format!("`{full}` is not a store path"))?;
        let hash = field("NarHash")?;
        let url = field("URL")?.to_owned();
        let file = url.strip_prefix("nar/").and_then(|file| file.strip_suffix(".nar.zst"));
        let image = url.strip_prefix("image/").and_then(|file| file.strip_suffix(".squashfs"));
        let plain = |file: &str| !file.is_empty() && file.bytes().all(|c| c.is_ascii_alphanumeric());
        let hexadecimal =
            |id: &str| id.len() == 32 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let compression = match (file.is_some_and(plain), image.is_some_and(hexadecimal)) {
            (true, _) => "zstd",
            (_, true) => "squashfs",
            _ => {
                return Err(format!(
                    "expected a URL like `nar/….nar.zst` or `image/….squashfs`, found `{url}`"
                ));
            }
        };
        if field("Compression")? != compression {
            return Err(format!("expected compression `{compression}`"));
        }
        let references = field("References")?.split_whitespace().map(base).collect::<Result<_, _>>()?;
        let deriver = fields.get("Deriver").filter(|text| **text != "unknown-deriver");
        let info = PathInfo {
            path,
            nar_hash: nix32::sha256(hash).ok_or_else(|| format!("`{hash}` is not a SHA-256"))?,
            nar_size: size(field("NarSize")?)?,
            deriver: deriver.map(|text| base(text)).transpose()?,
            references,
            signatures,
            ca: fields.get("CA").filter(|text| !text.is_empty()).map(|text| (*text).to_owned()),
        };
        Ok(Self { info, url })
    }

    /// The text of the narinfo. `file` is the digest and size of the compressed NAR; zeros for
    /// a path in an image.
    pub fn to_text(&self, file: (Sha256Bytes, u64)) -> String {
        let PathInfo { path, nar_hash, nar_size, deriver, references, signatures, ca } = &self.info;
        let references: Vec<&str> = references.iter().map(StorePath::base).collect();
        let mut out = format!(
            "StorePath: {}\nURL: {}\nCompression: {}\nFileHash: sha256:{}\nFileSize: {}\n\
             NarHash: sha256:{}\nNarSize: {nar_size}\nReferences: {}\n",
            path.full(),
            self.url,
            if self.image().is_some() { "squashfs" } else { "zstd" },
            nix32::encode(&file.0),
            file.1,
            nix32::encode(nar_hash),
            references.join(" "),
        );
        if let Some(deriver) = deriver {
            out += &format!("Deriver: {}\n", deriver.base());
        }
        for signature in signatures {
            out += &format!("Sig: {signature}\n");
        }
        if let Some(ca) = ca {
            out += &format!("CA: {ca}\n");
        }
        out
    }
}

/// The result of checking a path's signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A signature by a trusted key is valid.
    Signed,
    /// No signature is by a trusted key.
    Unsigned,
    /// A signature by a trusted key is invalid, or one is malformed.
    Forged,
}

/// Public keys by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, Vec<u8>>);

impl Keys {
    /// Parses keys of the form `name:base64`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |text: &str| {
            let (name, key) = text.split_once(':')?;
            let key = BASE64_STANDARD.decode(key).ok().filter(|key| key.len() == 32)?;
            Some((name.to_owned(), key))
        };
        let invalid = |text: &str| format!("expected `name:` and an Ed25519 key in base64, found `{text}`");
        texts
            .into_iter()
            .map(|text| read(text).ok_or_else(|| invalid(text)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Verifies the signatures of `info`. They cover the path, the NAR hash, the size and the
    /// references (Nix, `ValidPathInfo::fingerprint`).
    pub fn verify(&self, info: &PathInfo) -> Trust {
        let references: Vec<String> = info.references.iter().map(StorePath::full).collect();
        let hash = nix32::encode(&info.nar_hash);
        let text = format!("1;{};sha256:{hash};{};{}", info.path.full(), info.nar_size, references.join(","));
        let mut trust = Trust::Unsigned;
        for signature in &info.signatures {
            let Some((name, signature)) = signature.split_once(':') else { return Trust::Forged };
            let Some(key) = self.0.get(name) else { continue };
            let valid = BASE64_STANDARD.decode(signature).is_ok_and(|bytes| {
                UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &bytes).is_ok()
            });
            if !valid {
                return Trust::Forged;
            }
            trust = Trust::Signed;
        }
        trust
    }
}

/// The content that a content address requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A NAR with this SHA-256.
    Nar(Sha256Bytes),
    /// A single file with this SHA-256.
    File(Sha256Bytes),
}

/// Why a content address is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// It is malformed or does not belong to the path.
    Invalid(String),
    /// Not every Nix can read it. A Nix that cannot fails for everything that needs the path.
    Unsupported(String),
}

/// The length of a digest in bytes, by its algorithm.
const ALGORITHMS: [(&str, usize); 4] = [("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)];

/// The digest of a content address, in hexadecimal (Nix, `ContentAddress::parse`).
fn address_digest(algorithm: &str, digest: &str) -> Option<String> {
    let (_, length) = ALGORITHMS.iter().find(|(name, _)| *name == algorithm)?;
    if digest.len() == length * 2 {
        return digest.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')).then(|| digest.to_owned());
    }
    match length {
        16 => nix32::decode::<16>(digest).map(|bytes| hex(&bytes)),
        20 => nix32::decode::<20>(digest).map(|bytes| hex(&bytes)),
        32 => nix32::decode::<32>(digest).map(|bytes| hex(&bytes)),
        _ => nix32::decode::<64>(digest).map(|bytes| hex(&bytes)),
    }
}

/// The content that `info.ca` requires, if the path is derived from it, so that nobody can
/// claim the path for other content. `None` if there is no content address, or one whose
/// content is not compared here. Fails if the content address is malformed, or the path or its
/// references do not match it.
pub fn addressed_content(info: &PathInfo) -> Result<Option<Content>, AddressError> {
    let Some(ca) = &info.ca else { return Ok(None) };
    let invalid = |why: String| Err(AddressError::Invalid(why));
    let methods = ["text:", "fixed:git:", "fixed:r:", "fixed:"];
    let method = methods.into_iter().find(|method| ca.starts_with(method));
    let parts = method.and_then(|method| Some((method, ca[method.len()..].split_once(':')?)));
    let Some((method, (algorithm, digest))) = parts else {
        return invalid(format!("`{ca}` is not a content address"));
    };
    if method == "fixed:git:" || algorithm == "blake3" {
        return Err(AddressError::Unsupported(format!("its content address `{ca}` is not supported")));
    }
    let digest = address_digest(algorithm, digest).filter(|_| method != "text:" || algorithm == "sha256");
    let Some(digest) = digest else {
        return invalid(format!("`{ca}` does not contain a valid hash"));
    };
    let others: Vec<String> =
        info.references.iter().filter(|path| **path != info.path).map(StorePath::full).collect();
    let refers_to_itself = others.len() != info.references.len();
    // Nix, `makeFixedOutputPath` and `makeTextPath` in `src/libstore/store-dir-config.cc`.
    let sha256_of = |digest: &str| nix32::sha256(digest).unwrap_or_default();
    let (kind, inner, content) = match (method, algorithm) {
        ("text:", _) if refers_to_itself => {
            return invalid(format!("`{ca}` does not allow a self-reference"));
        }
        ("text:", _) => {
            let kind = [vec!["text".to_owned()], others].concat().join(":");
            (kind, digest.clone(), Some(Content::File(sha256_of(&digest))))
        }
        ("fixed:r:", "sha256") => {
            if refers_to_itself {
                // Then the hash is of the NAR with its own path blanked out.
                return Ok(None);
            }
            let kind = [vec!["source".to_owned()], others].concat().join(":");
            (kind, digest.clone(), Some(Content::Nar(sha256_of(&digest))))
        }
        _ if !info.references.is_empty() => return invalid(format!("`{ca}` does not allow references")),
        _ => {
            let recursive = if method == "fixed:r:" { "r:" } else { "" };
            let inner = sha256(format!("fixed:out:{recursive}{algorithm}:{digest}:").as_bytes());
            let is_file = method == "fixed:" && algorithm == "sha256";
            ("output:out".into(), hex(&inner), is_file.then(|| Content::File(sha256_of(&digest))))
        }
    };
    let text = format!("{kind}:sha256:{inner}:{STORE}:{}", info.path.name());
    let digest = sha256(text.as_bytes());
    // Nix folds the digest to 160 bits by exclusive or.
    let mut folded = [0; 20];
    digest.iter().enumerate().for_each(|(n, byte)| folded[n % 20] ^= byte);
    if nix32::encode(&folded) == info.path.digits() {
        Ok(content)
    } else {
        invalid(format!("the path does not match its content address `{ca}`"))
    }
}

/// A digest over a set of paths and their contents.
pub(crate) fn set_name<'a>(infos: impl Iterator<Item = &'a PathInfo>) -> String {
    let text: String = infos.map(|info| format!("{} {}\n", info.path.base(), hex(&info.nar_hash))).collect();
    hex(&sha256(text.as_bytes()))[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_names_that_nix_accepts() {
        let path = |name: &str| StorePath::from_base(&format!("{}-{name}", "1".repeat(32)));
        for name in [".", "..", ".-", "..-", ".-a", "..-a", "", "a/b", "a b", "a\0", &"a".repeat(212)] {
            assert_eq!(path(name), None, "{name:?}");
        }
        for name in [".a", "..a", "...", "-", "a-.", "a.-b", "A1+-._?=", &"a".repeat(211)] {
            assert!(path(name).is_some(), "{name:?}");
        }
    }

    fn with_address(digits: &str, ca: &str, references: usize) -> Result<Option<Content>, AddressError> {
        let path = |digits: &str| StorePath::from_base(&format!("{digits}-x")).unwrap();
        addressed_content(&PathInfo {
            path: path(digits),
            nar_hash: [0; 32],
            nar_size: 1,
            deriver: None,
            references: (0..references).map(|n| path(&n.to_string().repeat(32))).collect(),
            signatures: Vec::new(),
            ca: Some(ca.into()),
        })
    }

    /// Nix fails for everything that needs a path with a content address that it cannot read.
    #[test]
    fn rejects_content_addresses_that_nix_cannot_read() {
        let digits = "1".repeat(32);
        let (hex, base32) = ("0".repeat(64), "0".repeat(52));
        for ca in [
            "garbage".into(),
            "fixed".into(),
            format!("fixed:{hex}"),
            format!("fixed:sha256:sha256:{hex}"),
            format!("fixed:sha256-{}=", "A".repeat(43)),
            format!("fixed:sha256:{}", "0".repeat(40)),
            format!("fixed:sha256:{}", "e".repeat(52)),
            format!("fixed:r:md4:{}", "0".repeat(32)),
            format!("fixed:r:r:sha256:{hex}"),
            format!("text:sha1:{}", "0".repeat(40)),
            format!("text:r:sha256:{hex}"),
            format!("fixed:md5:{base32}"),
            // Well-formed, but of another path.
            format!("fixed:sha512:{}", "0".repeat(128)),
            format!("fixed:r:sha1:{}", "0".repeat(32)),
            format!("text:sha256:{base32}"),
        ] {
            assert!(matches!(with_address(&digits, &ca, 0), Err(AddressError::Invalid(_))), "{ca}");
        }
        for ca in [format!("fixed:git:sha1:{}", "0".repeat(40)), format!("fixed:r:blake3:{base32}")] {
            assert!(matches!(with_address(&digits, &ca, 0), Err(AddressError::Unsupported(_))), "{ca}");
        }
    }

    /// The digests of the empty file.
    #[test]
    fn a_fixed_output_matches_its_path_and_has_no_references() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let file = Content::File(nix32::sha256(empty).unwrap());
        for (digits, ca, content) in [
            ("mn86j4m8ccag3fxbjcnn16ka4mdx7i1y", format!("fixed:sha1:{sha1}"), None),
            ("dii4qkmn9kdb6ziy6psgldkwa3k3gyia", format!("fixed:r:sha1:{sha1}"), None),
            ("9zicq1m4wy4bv50xa4l1jk4kpyy41kih", format!("fixed:sha256:{empty}"), Some(file)),
        ] {
            assert_eq!(with_address(digits, &ca, 0), Ok(content), "{ca}");
            let refused = with_address(digits, &ca, 1);
            assert!(matches!(refused, Err(AddressError::Invalid(why)) if why.contains("references")), "{ca}");
        }
    }
}
