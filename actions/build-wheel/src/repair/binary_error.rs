//! Why a binary cannot be made portable.

use super::graft::GraftError;

/// Why a binary cannot be made portable.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be understood.
    #[error(transparent)]
    Read(#[from] binfmt::binary::BinaryError),
    /// It cannot be edited.
    #[error(transparent)]
    Edit(#[from] binfmt::binary::EditError),
    /// A library cannot be copied into the wheel.
    #[error(transparent)]
    Graft(#[from] GraftError),
    /// For a machine that no target has.
    #[error("it is for a machine that is none of the targets ({0})")]
    Machine(String),
    /// It needs a repair, and there are no rules for its platform.
    #[error(
        "its loader would look at `{path}` in the Nix store, and there are no rules to repair a binary for {what}"
    )]
    Unruled {
        /// What it is for, in words.
        what: String,
        /// The path.
        path: String,
    },
    /// It needs a library of the store.
    #[error("it needs `{0}`, a library in the Nix store")]
    StoreLibrary(String),
    /// It needs a library that not every machine has.
    #[error("it needs `{0}`, which is not in the wheel and not on every machine")]
    Library(String),
    /// A library of the wheel is not where the loader looks.
    #[error("it needs `{library}`, which is in the wheel, but not where {looks}")]
    Unreachable {
        /// The library.
        library: String,
        /// Where the loader looks, in words.
        looks: String,
    },
    /// It uses a symbol of a library in a way that not every machine allows.
    #[error("it uses `{symbol}` of `{library}`, which differs from machine to machine")]
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
    /// It needs a version that only the glibc at hand has.
    #[error("it uses `{version}` of `{library}`, which no other build of the library need have")]
    Private {
        /// The library.
        library: String,
        /// The version.
        version: String,
    },
    /// After the edit there is still a store path.
    #[error("the loader would still look at `{0}` in the Nix store")]
    Store(String),
    /// The program asks for a loader that other machines do not have.
    #[error("its program interpreter is `{found}`, expected `{expected}`")]
    Interpreter {
        /// What it asks for.
        found: String,
        /// What every such system has.
        expected: String,
    },
    /// The loader would refuse it on every machine.
    #[error("no loader accepts it: {0}")]
    Rejected(&'static str),
    /// For another of Apple's systems.
    #[error("it is for another of Apple's systems than macOS (platform {0})")]
    Platform(u32),
}

impl BinaryError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::StoreLibrary(_) | Self::Library(_) | Self::Symbol { .. } => {
                "link it statically (for example by the crate's `vendored` or `static` feature, or `pkgsStatic`), remove the dependency, or set `graft` where the library is on this machine"
            }
            Self::Unreachable { .. } => {
                "set a search path that leads from the binary to the library, such as `$ORIGIN/../lib` or `@loader_path/../lib`"
            }
            Self::Edit(binfmt::binary::EditError::Signature(_)) => {
                "build the wheel unsigned, and sign it afterwards if it must be"
            }
            Self::Edit(binfmt::binary::EditError::NoRoom(_))
            | Self::Unruled { .. }
            | Self::Store(_)
            | Self::Interpreter { .. } => {
                "build outside of Nix, or with patchelf in the derivation's `postFixup`; with `graft: all`, install patchelf, which makes room"
            }
            Self::Read(_) | Self::Edit(_) | Self::Rejected(_) => {
                "build the wheel again; check the step that changed the file last (strip, patchelf, codesign)"
            }
            Self::Graft(GraftError::Dll { .. }) => {
                "put the directory of the DLL on PATH, link the library statically, or name the DLL in `exclude` if users have it"
            }
            Self::Graft(_) => {
                "build and repair on one machine, so that the store is there, or link it statically"
            }
            Self::Machine(_) | Self::Platform(_) => "build for one of the targets that `--help` names",
            Self::Forbidden { .. } => "link the library statically",
            Self::Private { .. } => "build with older system libraries (`linker: zig`, or an older system)",
        }
    }
}
