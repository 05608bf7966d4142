//! Why a wheel cannot be made portable.

use pydist::filename::NameError;
use pydist::headers::HeaderError;
use pydist::record::RecordError;
use toolkit::{Exit, Failure};

use super::archive::ArchiveError;
use super::binary_error::BinaryError;
use super::tags::TagsError;

/// Why a wheel cannot be made portable.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The file name is not a wheel's.
    #[error("the file name is not a valid wheel file name")]
    Name(#[from] NameError),
    /// The archive is invalid.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A required metadata file is missing or duplicated.
    #[error("expected exactly one `{0}` in the wheel, found {1}")]
    Metadata(&'static str, usize),
    /// `WHEEL` cannot be read.
    #[error("its WHEEL file cannot be read")]
    Wheel(#[from] HeaderError),
    /// `RECORD` cannot be read.
    #[error("its RECORD cannot be read")]
    Record(#[from] RecordError),
    /// `RECORD` does not match the content.
    #[error("RECORD does not match the archive: {0}")]
    Mismatch(String),
    /// A binary cannot be made portable.
    #[error("`{file}` cannot be made portable")]
    Binary {
        /// The member.
        file: String,
        /// Why.
        source: BinaryError,
    },
    /// A script executes a program in the store.
    #[error("`{file}` {what}")]
    Script {
        /// The member.
        file: String,
        /// What it executes.
        what: String,
    },
    /// No platform tag matches the content.
    #[error(transparent)]
    Tags(#[from] TagsError),
}

impl Failure for WheelError {
    fn exit(&self) -> Exit {
        match self {
            Self::Archive(ArchiveError::Write(_)) => Exit::Undetermined,
            _ => Exit::Findings,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Binary { source, .. } => Some(source.hint().to_owned()),
            Self::Script { .. } => Some(
                "use `#!/usr/bin/env …`, set `dontPatchShebangs = true` in the derivation, and do not wrap the program (`makeWrapper`)".into(),
            ),
            Self::Tags(TagsError::Floor { floor, .. }) => Some(match floor.system {
                "macOS" => "set `compatibility` higher, or build with a lower MACOSX_DEPLOYMENT_TARGET (nixpkgs: `darwinMinVersion`)".into(),
                _ => "a repair cannot lower it: use `linker: zig`, build on a system with an older glibc, or build for a `…-linux-musl` target".into(),
            }),
            Self::Archive(ArchiveError::Write(_)) => Some("free up disk space".into()),
            Self::Archive(_) | Self::Record(_) | Self::Mismatch(_) => Some("build the wheel again".into()),
            _ => None,
        }
    }
}
