//! The values of the choice inputs.

use toolkit::choice;

choice! {
    /// Which installed Nix may be reused.
    pub(crate) enum Reuse {
        /// Any.
        Any = "any",
        /// One of the requested version.
        SameVersion = "same-version",
        /// None.
        Never = "never",
    }
}

choice! {
    /// Nix's `sandbox`.
    pub(crate) enum Sandbox {
        /// Builds are isolated.
        On = "true",
        /// Builds are not isolated.
        Off = "false",
        /// Derivations may opt out.
        Relaxed = "relaxed",
    }
}

choice! {
    /// Where something is done.
    pub(crate) enum Where {
        /// On GitHub's runners.
        Auto = "auto",
        /// On every machine.
        Everywhere = "true",
        /// On none.
        Nowhere = "false",
    }
}

impl Where {
    /// Whether it is done on this machine.
    pub(crate) fn is_here(self, is_hosted: bool) -> bool {
        self == Self::Everywhere || self == Self::Auto && is_hosted
    }
}

choice! {
    /// How the cache is used.
    pub enum CacheMode {
        /// Restore store paths and save new ones.
        ReadWrite = "read-write",
        /// Only restore.
        ReadOnly = "read-only",
        /// Neither.
        Off = "off",
    }
}

choice! {
    /// Which cached paths are trusted.
    pub enum CacheTrust {
        /// All.
        All = "all",
        /// Those that are signed by a trusted key, or content-addressed.
        Signed = "signed",
    }
}

choice! {
    /// Which cached paths are restored.
    pub enum Restore {
        /// Skip paths that are better substituted on demand.
        Needed = "needed",
        /// All.
        All = "all",
    }
}
