//! Why a binary cannot be made portable.

use super::graft::GraftError;

/// Why a binary cannot be made portable.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be parsed.
    #[error(transparent)]
    Read(#[from] binfmt::binary::BinaryError),
    /// It cannot be edited.
    #[error(transparent)]
    Edit(#[from] binfmt::binary::EditError),
    /// A library cannot be copied into the wheel.
    #[error(transparent)]
    Graft(#[from] GraftError),
    /// It is for an unsupported machine.
    #[error("it is for an unsupported machine ({0})")]
    Machine(String),
    /// It needs a repair, which is not supported for its platform.
    #[error("its loader would use `{path}` in the Nix store, and binaries for {platform} cannot be repaired")]
    UnsupportedPlatform {
        /// The platform, for messages.
        platform: String,
        /// The path.
        path: String,
    },
    /// It needs a library in the store.
    #[error("it needs `{0}`, a library in the Nix store")]
    StoreLibrary(String),
    /// It needs a library that is not on every machine.
    #[error("it needs `{0}`, which is not in the wheel and not on every machine")]
    Library(String),
    /// The loader does not find a library that is in the wheel.
    #[error("it needs `{library}`, which is in the wheel, but {reason}")]
    Unreachable {
        /// The library.
        library: String,
        /// Why the loader does not find it.
        reason: String,
    },
    /// It uses a symbol that the policy forbids.
    #[error("it uses `{symbol}` of `{library}`, which differs between machines")]
    Forbidden {
        /// The library.
        library: String,
        /// The symbol.
        symbol: String,
    },
    /// macOS's own library lacks a symbol.
    #[error("it needs `{symbol}` of `{library}`, which macOS's own `{system}` is not known to have")]
    Symbol {
        /// The library in the store.
        library: String,
        /// macOS's own.
        system: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// It needs a symbol version that only this build of the library has.
    #[error("it uses `{version}` of `{library}`, which other builds of the library may not have")]
    Private {
        /// The library.
        library: String,
        /// The version.
        version: String,
    },
    /// A store path is left after the edit.
    #[error("the loader would still use `{0}` in the Nix store")]
    Store(String),
    /// The program's interpreter does not exist on other machines.
    #[error("its program interpreter is `{found}`, expected `{expected}`")]
    Interpreter {
        /// The interpreter in the file.
        found: String,
        /// The interpreter on every such system.
        expected: String,
    },
    /// The loader would reject it on every machine.
    #[error("no loader accepts it: {0}")]
    Rejected(&'static str),
    /// It has relative relocations, which old versions of musl ignore.
    #[error("it has DT_RELR, which musl supports only from 1.2.4 on; `musllinux_1_2` starts at 1.2.0")]
    MuslRelr,
    /// It is for an Apple platform other than macOS.
    #[error("it is for an Apple platform other than macOS (platform {0})")]
    Platform(u32),
}

impl BinaryError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::StoreLibrary(_) | Self::Library(_) | Self::Symbol { .. } => {
                "link it statically (for example with the crate's `vendored` or `static` feature, or with `pkgsStatic`), remove the dependency, or set `graft` if the library is on this machine"
            }
            Self::Unreachable { .. } => {
                "add a search path from the binary to the library's directory, such as `$ORIGIN/../lib` or `@loader_path/../lib`"
            }
            Self::Edit(binfmt::binary::EditError::Signature(_)) => {
                "build the wheel unsigned, and sign it afterwards if necessary"
            }
            Self::Edit(binfmt::binary::EditError::NoRoom(_))
            | Self::UnsupportedPlatform { .. }
            | Self::Store(_)
            | Self::Interpreter { .. } => {
                "build outside Nix, or run patchelf in the derivation's `postFixup`; with `graft: all`, install patchelf, which makes room"
            }
            Self::Read(_) | Self::Edit(_) | Self::Rejected(_) => {
                "build the wheel again; check the step that last changed the file (strip, patchelf, codesign)"
            }
            Self::Graft(GraftError::Dll { .. }) => {
                "put the directory of the DLL on PATH, link the library statically, or name the DLL in `exclude` if users have it"
            }
            Self::Graft(GraftError::DebugDll { .. }) => {
                "build in release mode (MSVC: `/MD` instead of `/MDd`), or add the DLL to `exclude` if users have it"
            }
            Self::Graft(_) => {
                "build and repair on the same machine, so that the store path exists, or link the library statically"
            }
            Self::Machine(_) | Self::Platform(_) => "build for one of the targets listed in `--help`",
            Self::Forbidden { .. } => "link the library statically",
            Self::MuslRelr => "link with `-Wl,-z,nopack-relative-relocs` (LLD: `-Wl,--pack-dyn-relocs=none`)",
            Self::Private { .. } => "build with older system libraries (`linker: zig`, or an older system)",
        }
    }
}
