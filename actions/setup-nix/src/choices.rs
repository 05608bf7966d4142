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
    /// Whether everybody may use `/dev/kvm`.
    pub(crate) enum Kvm {
        /// On GitHub's runners.
        Auto = "auto",
        /// On every machine.
        Always = "true",
        /// On none.
        Never = "false",
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
    /// Whether cached images are mounted.
    pub(crate) enum Mount {
        /// On GitHub's runners.
        Auto = "auto",
        /// On every machine that supports it.
        Always = "true",
        /// On none.
        Never = "false",
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
