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
        let valid = !name.is_empty() && name.len() <= 211 && name.chars().all(allowed);
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

/// The content that `info.ca` requires, if the path is derived from it, so that nobody can
/// claim the path for other content. `None` if there is no content address, or one of an
/// unsupported kind. Fails if the path does not match its content address.
pub fn addressed_content(info: &PathInfo) -> Result<Option<Content>, String> {
    let Some(ca) = &info.ca else { return Ok(None) };
    let others: Vec<String> =
        info.references.iter().filter(|path| **path != info.path).map(StorePath::full).collect();
    let refers_to_itself = others.len() != info.references.len();
    let (kind, inner, content) = if let Some(hash) = ca.strip_prefix("fixed:r:sha256:") {
        let Some(hash) = nix32::sha256(hash) else {
            return Err(format!("`{ca}` does not contain a SHA-256"));
        };
        if refers_to_itself {
            // Then the hash is of the NAR with its own path blanked out.
            return Ok(None);
        }
        let kind = [vec!["source".to_owned()], others].concat().join(":");
        (kind, format!("sha256:{}", pydist::digest::hex(&hash)), Content::Nar(hash))
    } else if let Some(hash) = ca.strip_prefix("text:sha256:") {
        let Some(hash) = nix32::sha256(hash) else {
            return Err(format!("`{ca}` does not contain a SHA-256"));
        };
        let kind = [vec!["text".to_owned()], others].concat().join(":");
        (kind, format!("sha256:{}", pydist::digest::hex(&hash)), Content::File(hash))
    } else if let Some(hash) = ca.strip_prefix("fixed:sha256:") {
        let Some(hash) = nix32::sha256(hash) else {
            return Err(format!("`{ca}` does not contain a SHA-256"));
        };
        let inner = sha256(format!("fixed:out:sha256:{}:", pydist::digest::hex(&hash)).as_bytes());
        ("output:out".into(), format!("sha256:{}", pydist::digest::hex(&inner)), Content::File(hash))
    } else {
        return Ok(None);
    };
    let text = format!("{kind}:{inner}:{STORE}:{}", info.path.name());
    let digest = sha256(text.as_bytes());
    // Nix folds the digest to 160 bits by exclusive or.
    let mut folded = [0; 20];
    digest.iter().enumerate().for_each(|(n, byte)| folded[n % 20] ^= byte);
    if nix32::encode(&folded) == info.path.digits() {
        Ok(Some(content))
    } else {
        Err(format!("the path does not match its content address `{ca}`"))
    }
}

/// A digest over a set of paths and their contents.
pub(crate) fn set_name<'a>(infos: impl Iterator<Item = &'a PathInfo>) -> String {
    let text: String = infos.map(|info| format!("{} {}\n", info.path.base(), hex(&info.nar_hash))).collect();
    hex(&sha256(text.as_bytes()))[..16].to_owned()
}
