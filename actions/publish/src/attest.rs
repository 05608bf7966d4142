//! Attestations that say which workflow published a file (PEP 740), made with
//! sigstore: one key and one certificate for a run, both in memory alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use sigstore_fulcio::FulcioClient;
use sigstore_oidc::IdentityToken;
use sigstore_rekor::{DsseEntry, RekorClient};
use sigstore_trust_root::{SIGSTORE_PRODUCTION_SIGNING_CONFIG, SigningConfig};
use sigstore_types::dsse::{DsseEnvelope, DsseSignature};
use sigstore_types::{DerCertificate, KeyId, KindVersion, PayloadBytes};
use tokio::time::timeout;
use toolkit::{FileError, Secret, Ui, error_chain};

use crate::auth::{self, Provider};
use crate::error::Error;
use crate::http::Http;
use crate::index::{self, Index};
use crate::inspect::Dist;
use crate::simple::Listed;

/// The payload type of an in-toto statement.
const PAYLOAD: &str = "application/vnd.in-toto+json";
/// PyPI's Integrity API.
const INTEGRITY: &str = "application/vnd.pypi.integrity.v1+json, application/json;q=0.5";
/// The audience of identity tokens for Fulcio.
const AUDIENCE: &str = "sigstore";

/// For each answer of sigstore's services.
const LIMIT: Duration = Duration::from_secs(30);
const NO_ANSWER: &str = "no answer for 30 s";
/// A service that hangs is tried so often.
const HANGS: u32 = 2;

/// Attestations by file name, each as an index takes it.
pub type Attestations = BTreeMap<String, Value>;

/// Something that attests; sigstore's crates change often, so they stay
/// behind this.
pub trait Attester {
    /// One attestation for each of `dists`.
    fn attest(&self, dists: &[&Dist]) -> impl Future<Output = Result<Attestations, Error>>;
}

/// A sigstore instance, and who we are to it.
pub struct Sigstore<'a> {
    http: &'a Http,
    ui: &'a Ui,
    provider: Provider,
    fulcio: String,
    rekor: String,
}

/// For `map_err`: an error of the phase, with what was done.
fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Attest(format!("{what}: {error}"))
}

impl<'a> Sigstore<'a> {
    /// The public instance, or the one that the `ClientTrustConfig` at
    /// `config` names.
    pub fn new(
        http: &'a Http,
        ui: &'a Ui,
        provider: Provider,
        config: Option<&Path>,
        insecure_loopback: bool,
    ) -> Result<Self, Error> {
        let config = match config {
            None => SIGSTORE_PRODUCTION_SIGNING_CONFIG.to_owned(),
            Some(path) => {
                let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
                let value: Value = serde_json::from_slice(&bytes).map_err(failed("`trust-config`"))?;
                value["signingConfig"].to_string()
            }
        };
        let config = SigningConfig::from_json(&config).map_err(failed("the signing configuration"))?;
        // PEP 740 has no place for a timestamp, which Rekor's second version
        // would need.
        let service = |found: Option<&sigstore_trust_root::ServiceEndpoint>, what| {
            let url = found.ok_or_else(|| failed("the signing configuration")(what))?;
            index::checked(&url.url, insecure_loopback).map_err(failed("the signing configuration"))?;
            Ok::<_, Error>(url.url.clone())
        };
        let fulcio = service(config.fulcio_url(), "it names no Fulcio that is valid now")?;
        let rekor = service(config.rekor_url(Some(1)), "it names no Rekor of version 1 that is valid now")?;
        Ok(Self { http, ui, provider, fulcio, rekor })
    }

    async fn certificate(&self, key: &KeyPair) -> Result<DerCertificate, Error> {
        let client = FulcioClient::builder(&self.fulcio).with_http_client(self.http.sender.clone());
        let client = client.build().map_err(failed("Fulcio"))?;
        let mut tries = 1;
        loop {
            let jwt = self.provider.identity(self.http, self.ui, AUDIENCE).await?;
            not_reusable(&jwt)?;
            let token = IdentityToken::from_jwt(jwt.expose()).map_err(failed("the identity token"))?;
            let answer = timeout(LIMIT, client.create_signing_certificate(&token, key)).await;
            let (text, passing) = match answer {
                Ok(Ok(certificate)) => return Ok(certificate.leaf_certificate().clone()),
                Ok(Err(error)) => {
                    let passing = match &error {
                        sigstore_fulcio::Error::Http(_) => true,
                        sigstore_fulcio::Error::Status { status, .. } => may_pass(*status),
                        _ => false,
                    };
                    (error.to_string(), passing)
                }
                Err(_) => (NO_ANSWER.to_owned(), tries < HANGS),
            };
            tries += 1;
            match self.http.pace.wait(tries, None) {
                Some(wait) if passing => tokio::time::sleep(wait).await,
                _ => return Err(failed("no certificate")(text)),
            }
        }
    }

    async fn sign(
        &self,
        rekor: &RekorClient,
        key: &KeyPair,
        certificate: &DerCertificate,
        dist: &Dist,
    ) -> Result<Value, Error> {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": dist.filename, "digest": { "sha256": dist.sha256 } }],
            "predicateType": index::predicate(),
            "predicate": null,
        });
        let payload = statement.to_string().into_bytes();
        let pae = sigstore_types::dsse::pae(PAYLOAD, &payload);
        let mut tries = 1;
        loop {
            // A new signature each time: Rekor refuses an entry that it has,
            // and has it if only its answer was lost.
            let signature = key.sign(&pae).map_err(failed("signing"))?;
            let bytes = signature.as_bytes().to_vec();
            let signature = DsseSignature::new(signature, KeyId::default());
            let envelope = DsseEnvelope::new(PAYLOAD, PayloadBytes::new(payload.clone()), signature);
            let entry = DsseEntry::new(&envelope, certificate).map_err(failed("the log entry"))?;
            let (text, passing) = match timeout(LIMIT, rekor.create_dsse_entry(entry)).await {
                Ok(Ok(entry)) => {
                    let entry =
                        entry.to_bundle_entry(KindVersion::DsseV001).map_err(failed("Rekor's answer"))?;
                    return Ok(json!({
                        "version": 1,
                        "verification_material": {
                            "certificate": BASE64_STANDARD.encode(certificate.as_bytes()),
                            "transparency_entries": [entry],
                        },
                        "envelope": {
                            "statement": BASE64_STANDARD.encode(&payload),
                            "signature": BASE64_STANDARD.encode(&bytes),
                        },
                    }));
                }
                Ok(Err(error)) => {
                    let passing = match &error {
                        sigstore_rekor::Error::Http(_) => true,
                        sigstore_rekor::Error::Status { status, .. } => may_pass(*status) || *status == 409,
                        _ => false,
                    };
                    (error.to_string(), passing)
                }
                Err(_) => (NO_ANSWER.to_owned(), tries < HANGS),
            };
            tries += 1;
            match self.http.pace.wait(tries, None) {
                Some(wait) if passing => tokio::time::sleep(wait).await,
                _ => return Err(failed("no entry in the transparency log")(text)),
            }
        }
    }
}

impl Attester for Sigstore<'_> {
    async fn attest(&self, dists: &[&Dist]) -> Result<Attestations, Error> {
        let key = KeyPair::generate_ecdsa_p256().map_err(failed("no key"))?;
        let certificate = self.certificate(&key).await?;
        let rekor = RekorClient::builder(&self.rekor).with_http_client(self.http.sender.clone());
        let rekor = rekor.build().map_err(failed("Rekor"))?;
        let mut attestations = Attestations::new();
        for dist in dists {
            let attestation = self.sign(&rekor, &key, &certificate, dist).await?;
            attestations.insert(dist.filename.clone(), attestation);
        }
        Ok(attestations)
    }
}

fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// PyPI refuses attestations made in a reusable workflow, after the token for
/// it was given: the certificate names the reusable workflow, the publisher
/// names its caller.
fn not_reusable(jwt: &Secret) -> Result<(), Error> {
    let claims = auth::jwt_claims(jwt);
    match (claims["workflow_ref"].as_str(), claims["job_workflow_ref"].as_str()) {
        (Some(caller), Some(own)) if caller != own => Err(Error::Attest(format!(
            "this job is in a reusable workflow (`{own}`), from which PyPI takes no attestations; \
             publish from `{caller}` itself, or with `attestations: off`"
        ))),
        _ => Ok(()),
    }
}

/// The publish attestation that the index has of a file (PEP 740, "Provenance
/// objects"), or why there is none.
pub async fn published(http: &Http, index: &Index, dist: &Dist, listed: &Listed) -> Result<Value, String> {
    let place = listed.provenance.as_deref().unwrap_or_default();
    let url = index.simple.join(place).map_err(|error| format!("`{place}`: {error}"))?;
    if url.origin() != index.simple.origin() {
        return Err(format!("`{place}` is not on the index"));
    }
    let answer = http.fetch(LIMIT, || http.reader.get(url.clone()).header(ACCEPT, INTEGRITY)).await;
    let (_, body) = answer.map_err(|error| error_chain(&error))?;
    let provenance: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let bundles = list(&provenance, "attestation_bundles");
    let mut attestations = bundles.iter().flat_map(|bundle| list(bundle, "attestations"));
    let ours = |attestation: &Value| {
        let statement = attestation["envelope"]["statement"].as_str();
        let statement = statement.and_then(|text| BASE64_STANDARD.decode(text).ok());
        let statement: Option<Value> = statement.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        statement.is_some_and(|statement| {
            statement["predicateType"] == index::predicate()
                && list(&statement, "subject").iter().any(|one| one["digest"]["sha256"] == dist.sha256)
        })
    };
    attestations.find(ours).ok_or_else(|| format!("`{place}` holds none about these bytes"))
}

/// The name of the file that holds a distribution's attestation.
pub fn file_name(dist: &str) -> String {
    format!("{dist}.publish.attestation")
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_reusable_workflow_is_refused() {
        let jwt =
            |claims: Value| Secret::new(format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())));
        let caller = "o/r/.github/workflows/release.yml@refs/tags/v1";
        assert!(not_reusable(&jwt(json!({ "workflow_ref": caller, "job_workflow_ref": caller }))).is_ok());
        let error =
            not_reusable(&jwt(json!({ "workflow_ref": caller, "job_workflow_ref": "o/x/y.yml@main" })));
        assert!(error.unwrap_err().to_string().contains("`o/x/y.yml@main`"));
    }
}
