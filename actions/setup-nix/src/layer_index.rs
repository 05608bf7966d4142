//! The index of the cache's layers. It is untrusted input: anyone may have written it.

use std::collections::BTreeSet;
use std::path::Path;

use pydist::digest::{hex, sha256};
use serde::{Deserialize, Serialize};
use toolkit::{FileError, write_atomic};

use crate::cache::read_text;
use crate::narinfo::NarInfo;
use crate::nix32;

const SCHEMA: u32 = 2;
/// Each layer is restored by a step of the action.
pub(crate) const MAX_LAYERS: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) schema: u32,
    /// Oldest first.
    pub(crate) layers: Vec<Layer>,
    /// The ids of layers with damaged entries. Their paths are uploaded again in new layers,
    /// whose ids must differ because the service keeps the old ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) damaged: Vec<String>,
    /// SHA-256 of the index with this field empty, to detect truncation and edits.
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    pub(crate) id: String,
    /// The total size of its files.
    pub(crate) bytes: u64,
    /// The SHA-256 of the Nix tarball in it, if any.
    pub(crate) tarball: Option<String>,
    /// SHA-256 over all of its narinfo files, sorted by name.
    pub(crate) manifest: String,
    /// The [`name`]s of its paths that were not dropped.
    pub(crate) paths: BTreeSet<String>,
}

/// The length of a name without an image id.
pub(crate) const PLAIN_NAME_LEN: usize = 32 + 1 + 16;

/// A name for a path and its content: the 32 digits, the start of the NAR hash, and the id
/// of the image that holds it, if any.
pub(crate) fn name(narinfo: &NarInfo) -> String {
    let hash = nix32::encode(&narinfo.info.nar_hash);
    let image = narinfo.image().map(|id| format!("-{id}")).unwrap_or_default();
    format!("{}-{}{image}", narinfo.info.path.digits(), &hash[..16])
}

/// Whether `name` has the form of [`name`].
fn is_name(name: &str) -> bool {
    let mut parts = name.split('-');
    let mut next_is = |length| parts.next().is_some_and(|part| is_digits(part, length));
    let valid = next_is(32) && next_is(16);
    valid && parts.next().is_none_or(|id| is_digits(id, 32)) && parts.next().is_none()
}

pub(crate) fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
}

impl Index {
    /// An index of `layers`.
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self { schema: SCHEMA, layers, ..Self::default() }
    }

    /// Reads and validates an untrusted index.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let index: Self = serde_json::from_str(&read_text(file).ok()?).ok()?;
        let valid = |layer: &Layer| {
            is_digits(&layer.id, 32)
                && layer.tarball.as_ref().is_none_or(|hash| is_digits(hash, 64))
                && layer.paths.iter().all(|name| is_name(name))
        };
        let accepted = index.schema == SCHEMA
            && index.layers.len() <= MAX_LAYERS
            && index.sha256 == index.digest()
            && index.layers.iter().all(valid);
        accepted.then_some(index)
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), FileError> {
        let index = Self { sha256: self.digest(), ..self.clone() };
        write_atomic(file, serde_json::to_string(&index).unwrap_or_default().as_bytes())
    }

    fn digest(&self) -> String {
        let index = Self { sha256: String::new(), ..self.clone() };
        hex(&sha256(serde_json::to_string(&index).unwrap_or_default().as_bytes()))
    }
}
