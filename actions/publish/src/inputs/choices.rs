//! Inputs that are one of a few words.

use index::Index;
use toolkit::choice;

choice! {
    /// How far a run goes.
    pub enum Depth {
        /// Everything.
        Full = "false",
        /// The index is asked what it has.
        Probe = "true" | "probe",
        /// Only the files are checked.
        Offline = "offline",
        /// A token is requested, and thrown away.
        Auth = "auth",
    }
}

choice! {
    /// Whether attestations are made.
    pub enum Attestations {
        /// If the index takes them and there is an identity.
        Auto = "auto",
        /// Always, or the run fails.
        Required = "required",
        /// Never.
        Off = "off",
    }
}

impl Attestations {
    /// Whether to make them for `index`. With `auto` only for trusted
    /// publishing: a job that has a token may have no identity.
    pub fn wanted(self, index: &Index, trusted: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Auto => trusted && index.known.is_some(),
            Self::Required => true,
        }
    }
}

choice! {
    /// Whether a GitHub Release is made.
    pub enum ReleaseMode {
        /// No.
        Off = "off",
        /// When the index has every file.
        After = "after",
        /// Nothing but the release.
        Only = "only",
    }
}

choice! {
    /// Whether the GitHub Release becomes the latest one.
    pub enum Latest {
        /// Unless it is a pre-release.
        Auto = "auto",
        /// Yes.
        Yes = "true",
        /// No.
        No = "false",
        /// As GitHub decides by date and version.
        Legacy = "legacy",
    }
}
