//! What some inputs accept.

use toolkit::choice;

choice! {
    /// Which Nix that is already there will do.
    pub(crate) enum Reuse {
        /// Any.
        Any = "any",
        /// One of the asked version.
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
        /// They are not.
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
    /// What is done with the cache.
    pub enum CacheMode {
        /// Store paths are restored and packed.
        ReadWrite = "read-write",
        /// They are restored.
        ReadOnly = "read-only",
        /// Nothing.
        Off = "off",
    }
}

choice! {
    /// Whether cached images are mounted.
    pub(crate) enum Mount {
        /// On GitHub's runners.
        Auto = "auto",
        /// On every machine that can.
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
        /// Not those that are better substituted.
        Needed = "needed",
        /// All.
        All = "all",
    }
}
