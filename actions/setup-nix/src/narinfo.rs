//! What Nix knows about a store path: rows of its database and narinfo files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pydist::digest::{Sha256Bytes, hex, sha256};

use crate::nix32;

/// The only store folder whose paths the public caches have.
pub const STORE: &str = "/nix/store";

/// The last part of a store path: 32 digits, a hyphen, a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// From the last part (`hash-name`).
    pub fn from_base(base: &str) -> Option<Self> {
        let (hash, name) = base.split_at_checked(32)?;
        let name = name.strip_prefix('-')?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
        let sound = !name.is_empty() && name.len() <= 211 && name.chars().all(allowed);
        (sound && nix32::decode::<20>(hash).is_some()).then(|| Self(base.to_owned()))
    }

    /// From `/nix/store/hash-name`.
    pub fn from_full(path: &str) -> Option<Self> {
        Self::from_base(path.strip_prefix(STORE)?.strip_prefix('/')?)
    }

    /// `hash-name`.
    pub fn base(&self) -> &str {
        &self.0
    }

    /// The 32 digits that narinfo files are named by.
    pub fn digits(&self) -> &str {
        &self.0[..32]
    }

    /// Whether it is one that builds others.
    pub fn is_derivation(&self) -> bool {
        self.0.strip_suffix(".drv").is_some()
    }

    /// The name behind them.
    pub fn name(&self) -> &str {
        &self.0[33..]
    }

    /// `/nix/store/hash-name`.
    pub fn full(&self) -> String {
        format!("{STORE}/{}", self.0)
    }

    /// The same as a path.
    pub fn path(&self) -> PathBuf {
        self.full().into()
    }
}

/// One path and what must be true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Sha256Bytes,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// What built it.
    pub deriver: Option<StorePath>,
    /// What it refers to, itself included where it does.
    pub references: Vec<StorePath>,
    /// `key-name:base64`.
    pub signatures: Vec<String>,
    /// Nix's content address, where it has one.
    pub ca: Option<String>,
}

/// Reads the rows that `nix-store --dump-db` prints, which are also what an
/// official tarball's `.reginfo` holds.
pub fn parse_rows(text: &str) -> Result<Vec<Info>, String> {
    let mut lines = text.lines();
    let mut rows = Vec::new();
    while let Some(first) = lines.next() {
        let mut next = || lines.next().ok_or_else(|| format!("the row of `{first}` is cut off"));
        let path = StorePath::from_full(first).ok_or_else(|| format!("`{first}` is no store path"))?;
        let hash = next()?;
        let nar_hash = nix32::sha256(hash).ok_or_else(|| format!("`{hash}` is no SHA-256"))?;
        let nar_size = next()?.parse().map_err(|_| format!("no size in the row of `{first}`"))?;
        let deriver = StorePath::from_full(next()?);
        let count: usize = next()?.parse().map_err(|_| format!("no count in the row of `{first}`"))?;
        let mut references = Vec::new();
        for _ in 0..count {
            let line = next()?;
            references.push(StorePath::from_full(line).ok_or_else(|| format!("`{line}` is no store path"))?);
        }
        rows.push(Info { path, nar_hash, nar_size, deriver, references, signatures: Vec::new(), ca: None });
    }
    Ok(rows)
}

/// A NAR's size: 1 TiB is more than any has, and sums of such stay numbers.
fn size(text: &str) -> Result<u64, String> {
    let size: Option<u64> = text.parse().ok();
    size.filter(|size| *size <= 1 << 40).ok_or_else(|| format!("NarSize is `{text}`, expected at most 2^40"))
}

/// A narinfo file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// What it is about.
    pub info: Info,
    /// Where the compressed NAR is, or the image that holds the path, relative to
    /// the cache.
    pub url: String,
}

/// Where an image is, relative to the cache.
pub(crate) fn image_url(id: &str) -> String {
    format!("image/{id}.squashfs")
}

impl NarInfo {
    /// The id of the image that holds the path, if one does.
    pub fn image(&self) -> Option<&str> {
        self.url.strip_prefix("image/")?.strip_suffix(".squashfs")
    }

    /// Reads one; only NARs compressed by zstd, and images, are used here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        let mut signatures = Vec::new();
        for line in text.lines() {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no field in line `{line}`"))?;
            let value = value.trim();
            if name == "Sig" {
                signatures.push(value.to_owned());
            } else if fields.insert(name, value).is_some() {
                return Err(format!("the field `{name}` twice"));
            }
        }
        let field = |name: &str| fields.get(name).copied().ok_or_else(|| format!("no field `{name}`"));
        let base =
            |base: &str| StorePath::from_base(base).ok_or_else(|| format!("`{base}` is no store path"));
        let full = field("StorePath")?;
        let path = StorePath::from_full(full).ok_or_else(|| format!("`{full}` is no store path"))?;
        let hash = field("NarHash")?;
        let url = field("URL")?.to_owned();
        let file = url.strip_prefix("nar/").and_then(|file| file.strip_suffix(".nar.zst"));
        let image = url.strip_prefix("image/").and_then(|file| file.strip_suffix(".squashfs"));
        let named = |file: &str| file.bytes().all(|c| c.is_ascii_alphanumeric()) && !file.is_empty();
        let hexadecimal =
            |id: &str| id.len() == 32 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let compression = match (file.is_some_and(named), image.is_some_and(hexadecimal)) {
            (true, _) => "zstd",
            (_, true) => "squashfs",
            _ => {
                return Err(format!(
                    "expected a URL like `nar/….nar.zst` or `image/….squashfs`, found `{url}`"
                ));
            }
        };
        if field("Compression")? != compression {
            return Err(format!("expected the compression `{compression}`"));
        }
        let references = field("References")?.split_whitespace().map(base).collect::<Result<_, _>>()?;
        let deriver = fields.get("Deriver").filter(|text| **text != "unknown-deriver");
        let info = Info {
            path,
            nar_hash: nix32::sha256(hash).ok_or_else(|| format!("`{hash}` is no SHA-256"))?,
            nar_size: size(field("NarSize")?)?,
            deriver: deriver.map(|text| base(text)).transpose()?,
            references,
            signatures,
            ca: fields.get("CA").filter(|text| !text.is_empty()).map(|text| (*text).to_owned()),
        };
        Ok(Self { info, url })
    }

    /// As Nix reads it. `file` is digest and size of the compressed NAR, zeros for a
    /// path in an image.
    pub fn print(&self, file: (Sha256Bytes, u64)) -> String {
        let Info { path, nar_hash, nar_size, deriver, references, signatures, ca } = &self.info;
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

/// What the signatures of a path are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// One by a trusted key holds.
    Signed,
    /// None is by a trusted key.
    Unsigned,
    /// One claims a trusted key and does not hold.
    Forged,
}

/// Public keys by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, Vec<u8>>);

impl Keys {
    /// Reads `name:base64` each.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |text: &str| {
            let (name, key) = text.split_once(':')?;
            let key = BASE64_STANDARD.decode(key).ok().filter(|key| key.len() == 32)?;
            Some((name.to_owned(), key))
        };
        let wrong = |text: &str| format!("expected `name:` and an Ed25519 key in base64, found `{text}`");
        texts
            .into_iter()
            .map(|text| read(text).ok_or_else(|| wrong(text)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Judges `info`'s signatures. They cover path, NAR hash, size and
    /// references (Nix, `ValidPathInfo::fingerprint`).
    pub fn judge(&self, info: &Info) -> Trust {
        let references: Vec<String> = info.references.iter().map(StorePath::full).collect();
        let hash = nix32::encode(&info.nar_hash);
        let text = format!("1;{};sha256:{hash};{};{}", info.path.full(), info.nar_size, references.join(","));
        let mut trust = Trust::Unsigned;
        for signature in &info.signatures {
            let Some((name, signature)) = signature.split_once(':') else { return Trust::Forged };
            let Some(key) = self.0.get(name) else { continue };
            let holds = BASE64_STANDARD.decode(signature).is_ok_and(|bytes| {
                UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &bytes).is_ok()
            });
            if !holds {
                return Trust::Forged;
            }
            trust = Trust::Signed;
        }
        trust
    }
}

/// How a content address binds a path; `None` for kinds not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The NAR has this SHA-256.
    Nar(Sha256Bytes),
    /// The path is one file with this SHA-256.
    File(Sha256Bytes),
}

/// The content that `info.ca` promises, if the path itself follows from it, so
/// that nobody can claim the path with another content. An error is a lie;
/// `None` a kind that is not checked here.
pub fn content(info: &Info) -> Result<Option<Content>, String> {
    let Some(ca) = &info.ca else { return Ok(None) };
    let others: Vec<String> =
        info.references.iter().filter(|path| **path != info.path).map(StorePath::full).collect();
    let itself = others.len() != info.references.len();
    let (kind, inner, content) = if let Some(hash) = ca.strip_prefix("fixed:r:sha256:") {
        let Some(hash) = nix32::sha256(hash) else { return Err(format!("`{ca}` holds no SHA-256")) };
        if itself {
            // The hash is then one of the NAR with its own path blanked out.
            return Ok(None);
        }
        let kind = [vec!["source".to_owned()], others].concat().join(":");
        (kind, format!("sha256:{}", pydist::digest::hex(&hash)), Content::Nar(hash))
    } else if let Some(hash) = ca.strip_prefix("text:sha256:") {
        let Some(hash) = nix32::sha256(hash) else { return Err(format!("`{ca}` holds no SHA-256")) };
        let kind = [vec!["text".to_owned()], others].concat().join(":");
        (kind, format!("sha256:{}", pydist::digest::hex(&hash)), Content::File(hash))
    } else if let Some(hash) = ca.strip_prefix("fixed:sha256:") {
        let Some(hash) = nix32::sha256(hash) else { return Err(format!("`{ca}` holds no SHA-256")) };
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
        Err(format!("the path does not follow from its content address `{ca}`"))
    }
}

/// Names a set of paths and their content: the same set, the same name.
pub(crate) fn set_name<'a>(infos: impl Iterator<Item = &'a Info>) -> String {
    let text: String = infos.map(|info| format!("{} {}\n", info.path.base(), hex(&info.nar_hash))).collect();
    hex(&sha256(text.as_bytes()))[..16].to_owned()
}
