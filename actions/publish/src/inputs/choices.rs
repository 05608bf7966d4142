//! Choice inputs.

use index::Index;
use toolkit::choice;

choice! {
    /// What a run leaves out.
    pub enum DryRun {
        /// Publish.
        Off = "false",
        /// Compare the files with the index.
        Probe = "true" | "probe",
        /// Only check the files.
        Offline = "offline",
        /// Also request a token, and discard it.
        Auth = "auth",
    }
}

choice! {
    /// Whether attestations are made.
    pub enum Attestations {
        /// If the index accepts them and there is an identity.
        Auto = "auto",
        /// Always; fail if that is not possible.
        Required = "required",
        /// Never.
        Off = "off",
    }
}

impl Attestations {
    /// Whether to make them for `index`. `auto` makes them only with trusted
    /// publishing, because a job with a token may have no identity.
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
        /// Only the release.
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
        /// Let GitHub decide by date and version.
        Legacy = "legacy",
    }
}
