//! The sigstore instance and the roots of trust.

use std::path::Path;

use serde_json::Value;
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SigningConfig, TrustedRoot,
};
use toolkit::FileError;

use crate::error::Error;

/// A sigstore instance.
pub struct Trust {
    /// The instance's services.
    pub(crate) signing: SigningConfig,
    /// The instance's keys and certificates.
    pub(crate) root: TrustedRoot,
}

impl Trust {
    /// Loads the public instance, or the one of the `ClientTrustConfig` at `config`.
    pub fn load(config: Option<&Path>) -> Result<Self, Error> {
        let (signing, root) = match config {
            None => {
                (SIGSTORE_PRODUCTION_SIGNING_CONFIG.to_owned(), SIGSTORE_PRODUCTION_TRUSTED_ROOT.to_owned())
            }
            Some(path) => {
                let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
                let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::Attest(format!("input `trust-config`: `{}`: {error}", path.display()))
                })?;
                (value["signingConfig"].to_string(), value["trustedRoot"].to_string())
            }
        };
        let failed = |what: &str, error: String| {
            let place = config.map(|path| format!(" of `{}`", path.display())).unwrap_or_default();
            Error::Attest(format!("{what}{place}: {error}"))
        };
        Ok(Self {
            signing: SigningConfig::from_json(&signing)
                .map_err(|error| failed("the signing configuration", error.to_string()))?,
            root: TrustedRoot::from_json(&root)
                .map_err(|error| failed("the trusted root", error.to_string()))?,
        })
    }
}
