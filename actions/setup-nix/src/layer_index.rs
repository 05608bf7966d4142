//! The index of the cache's layers, as it is stored and as anybody may have written it.

use std::collections::BTreeSet;
use std::path::Path;

use pydist::digest::{hex, sha256};
use serde::{Deserialize, Serialize};
use toolkit::{FileError, write_atomic};

use crate::folder::read_text;
use crate::narinfo::NarInfo;
use crate::nix32;

const SCHEMA: u32 = 2;
/// The most layers: each is restored by a step of the action.
pub(crate) const LAYERS: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) schema: u32,
    /// The oldest first.
    pub(crate) layers: Vec<Layer>,
    /// Layers with something damaged in them: what they held is sent anew, and
    /// their ids, which the service still has, are not taken again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) damaged: Vec<String>,
    /// SHA-256 of the text without it: one that is cut off or edited is none.
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    pub(crate) id: String,
    /// What its files measure.
    pub(crate) bytes: u64,
    /// The SHA-256 of a tarball of Nix in it.
    pub(crate) tarball: Option<String>,
    /// SHA-256 over all of its narinfo files, in the order of their names.
    pub(crate) manifest: String,
    /// Those of its paths that were not dropped, by [`name`].
    pub(crate) paths: BTreeSet<String>,
}

/// The length of a name without an image.
pub(crate) const PLAIN: usize = 32 + 1 + 16;

/// Names a path with its content: the 32 digits, the start of the NAR hash, and the image
/// that holds it, if one does.
pub(crate) fn name(narinfo: &NarInfo) -> String {
    let hash = nix32::encode(&narinfo.info.nar_hash);
    let image = narinfo.image().map(|id| format!("-{id}")).unwrap_or_default();
    format!("{}-{}{image}", narinfo.info.path.digits(), &hash[..16])
}

/// Whether anybody may have written it.
fn is_name(name: &str) -> bool {
    let mut parts = name.split('-');
    let mut is = |length| parts.next().is_some_and(|part| is_digits(part, length));
    let sound = is(32) && is(16);
    sound && parts.next().is_none_or(|id| is_digits(id, 32)) && parts.next().is_none()
}

pub(crate) fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
}

impl Index {
    /// One that is not written yet.
    pub(crate) fn of(layers: Vec<Layer>) -> Self {
        Self { schema: SCHEMA, layers, ..Self::default() }
    }

    /// Reads one that anybody may have written.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let index: Self = serde_json::from_str(&read_text(file).ok()?).ok()?;
        let sound = |layer: &Layer| {
            is_digits(&layer.id, 32)
                && layer.tarball.as_ref().is_none_or(|hash| is_digits(hash, 64))
                && layer.paths.iter().all(|name| is_name(name))
        };
        let fits = index.schema == SCHEMA && index.layers.len() <= LAYERS;
        let fits = fits && index.sha256 == index.digest();
        (fits && index.layers.iter().all(sound)).then_some(index)
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
