//! Makes attestations of which workflow published a file (PEP 740) with sigstore.
//! Keys and certificates stay in memory; a certificate is replaced before it
//! expires.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _};
use index::{Client, RetryVerdict, Retryable};
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use sigstore_fulcio::FulcioClient;
use sigstore_oidc::IdentityToken;
use sigstore_rekor::{DsseEntry, RekorClient};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::dsse::{DsseEnvelope, DsseSignature};
use sigstore_types::{DerCertificate, KeyId, KindVersion, PayloadBytes};
use tokio::sync::Mutex;
use tokio::time::timeout;
use toolkit::{Ui, count};

use crate::attestation::{self, Attestations, PAYLOAD};
use crate::error::Error;
use crate::identity::{IdentityProvider, reusable_workflow};
use crate::inspect::Dist;
use crate::trust::Trust;

/// The audience of identity tokens for Fulcio.
const AUDIENCE: &str = "sigstore";
/// The timeout for each answer of sigstore's services.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A certificate with less than this left is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(2 * 60);
/// The number of files signed at a time.
const PARALLEL: usize = 4;

/// A sigstore instance, with this job's identity.
pub struct Signer<'a> {
    client: &'a Client,
    ui: &'a Ui,
    provider: IdentityProvider,
    fulcio: FulcioClient,
    rekor: RekorClient,
    root: &'a TrustedRoot,
    signing_key: Mutex<Option<Arc<SigningKey>>>,
}

/// A key with its certificate.
struct SigningKey {
    key: KeyPair,
    certificate: DerCertificate,
    expires: SystemTime,
}

/// Why a request to a sigstore service failed.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error("{text}")]
    Answer { text: String, passing: bool },
    #[error("no answer for {} s", TIMEOUT.as_secs())]
    Hung,
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Auth(#[from] Box<Error>),
}

impl Retryable for ServiceError {
    fn verdict(&self) -> RetryVerdict {
        match self {
            Self::Answer { passing: true, .. } => RetryVerdict::Again(None),
            Self::Hung => RetryVerdict::Hung,
            _ => RetryVerdict::Final,
        }
    }
}

/// For `map_err`: an attestation error with the operation that failed.
fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Attest(format!("{what}: {error}"))
}

impl<'a> Signer<'a> {
    /// Signs with the identity of `provider` and the services of `trust`.
    pub fn new(
        client: &'a Client,
        ui: &'a Ui,
        provider: IdentityProvider,
        trust: &'a Trust,
        insecure_loopback: bool,
    ) -> Result<Self, Error> {
        // Version 2 of Rekor needs a timestamp, for which PEP 740 has no field.
        let service = |found: Option<&sigstore_trust_root::ServiceEndpoint>, what| {
            let url = found.ok_or_else(|| failed("the signing configuration")(what))?;
            index::checked(&url.url, insecure_loopback).map_err(failed("the signing configuration"))?;
            Ok::<_, Error>(url.url.clone())
        };
        let fulcio = service(trust.signing.fulcio_url(), "it names no Fulcio that is currently valid")?;
        let rekor = service(
            trust.signing.rekor_url(Some(1)),
            "it names no Rekor of version 1 that is currently valid",
        )?;
        let fulcio = FulcioClient::builder(fulcio).with_http_client(client.sender.clone()).build();
        let rekor = RekorClient::builder(rekor).with_http_client(client.sender.clone()).build();
        let (fulcio, rekor) = (fulcio.map_err(failed("Fulcio"))?, rekor.map_err(failed("Rekor"))?);
        Ok(Self { client, ui, provider, fulcio, rekor, root: &trust.root, signing_key: Mutex::new(None) })
    }

    /// Makes one attestation for each of `dists`, and verifies it as an index does.
    pub async fn attest(&self, dists: &[&Dist]) -> Result<Attestations, Error> {
        if let Some(first) = dists.first() {
            let others = dists.len() - 1;
            let more =
                if others == 0 { String::new() } else { format!(" and {}", count(others, "more file")) };
            self.ui.info(format!("signing attestations of `{}`{more}", first.filename));
        }
        let progress = self.ui.progress("signing attestations", Some(dists.len() as u64), "file");
        let progress = &progress;
        let one = |dist| async move {
            let dist: &Dist = dist;
            let (attestation, file) = (self.sign(&attestation::statement(dist)).await?, &dist.filename);
            attestation::verify(&attestation, dist, self.root)
                .map_err(|why| Error::Attest(format!("`{file}`: the new attestation is not valid: {why}")))?;
            progress.add(1);
            Ok::<_, Error>((dist.filename.clone(), vec![attestation]))
        };
        let signed = futures_util::stream::iter(dists.iter().copied().map(one)).buffer_unordered(PARALLEL);
        signed.try_collect().await
    }

    /// A key and a certificate that is not about to expire.
    async fn signing_key(&self) -> Result<Arc<SigningKey>, Error> {
        let mut held = self.signing_key.lock().await;
        if let Some(signing_key) =
            held.as_ref().filter(|signing_key| signing_key.expires > SystemTime::now() + MARGIN)
        {
            return Ok(Arc::clone(signing_key));
        }
        let key = KeyPair::generate_ecdsa_p256().map_err(failed("cannot generate a key"))?;
        let certificate = self.client.retry(async || self.certificate(&key).await).await;
        let certificate = certificate.map_err(|error| match error {
            ServiceError::Auth(error) => *error,
            error => failed("cannot get a certificate")(error),
        })?;
        let info =
            sigstore_crypto::parse_certificate_info(&certificate).map_err(failed("the certificate"))?;
        let end = u64::try_from(info.not_after.as_second()).unwrap_or_default();
        let signing_key =
            Arc::new(SigningKey { key, certificate, expires: UNIX_EPOCH + Duration::from_secs(end) });
        *held = Some(Arc::clone(&signing_key));
        Ok(signing_key)
    }

    async fn certificate(&self, key: &KeyPair) -> Result<DerCertificate, ServiceError> {
        let jwt = self.provider.identity(self.client, self.ui, AUDIENCE).await;
        let jwt = jwt.map_err(|error| ServiceError::Auth(Box::new(error.into())))?;
        // PyPI rejects attestations made in a reusable workflow, even if it has
        // issued a token: the certificate names that workflow, the publisher its
        // caller.
        if let Some(workflow) = reusable_workflow(&jwt) {
            return Err(ServiceError::Other(format!(
                "this job is in the reusable workflow `{workflow}`, from which PyPI accepts no attestations; publish \
                 from the calling workflow itself, or with `attestations: off`"
            )));
        }
        let token =
            IdentityToken::from_jwt(jwt.expose()).map_err(|error| ServiceError::Other(error.to_string()))?;
        let answer = timeout(TIMEOUT, self.fulcio.create_signing_certificate(&token, key)).await;
        match answer.map_err(|_| ServiceError::Hung)? {
            Ok(certificate) => Ok(certificate.leaf_certificate().clone()),
            Err(error) => {
                let passing = match &error {
                    sigstore_fulcio::Error::Http(_) => true,
                    sigstore_fulcio::Error::Status { status, .. } => may_pass(*status),
                    _ => false,
                };
                Err(ServiceError::Answer { text: error.to_string(), passing })
            }
        }
    }

    /// Signs an in-toto statement and adds it to the transparency log.
    pub async fn sign(&self, statement: &Value) -> Result<Value, Error> {
        let payload = statement.to_string().into_bytes();
        let entry = self.client.retry(async || self.log(&payload).await).await;
        entry.map_err(|error| match error {
            ServiceError::Auth(error) => *error,
            error => failed("cannot add an entry to the transparency log")(error),
        })
    }

    /// Signs anew on each attempt: if only Rekor's answer was lost, it has the
    /// entry already, and rejects a duplicate.
    async fn log(&self, payload: &[u8]) -> Result<Value, ServiceError> {
        let other = |error: String| ServiceError::Other(error);
        let signing_key = self.signing_key().await.map_err(Box::new)?;
        let pae = sigstore_types::dsse::pae(PAYLOAD, payload);
        let signature = signing_key.key.sign(&pae).map_err(|error| other(error.to_string()))?;
        let bytes = signature.as_bytes().to_vec();
        let signature = DsseSignature::new(signature, KeyId::default());
        let envelope = DsseEnvelope::new(PAYLOAD, PayloadBytes::new(payload.to_vec()), signature);
        let entry =
            DsseEntry::new(&envelope, &signing_key.certificate).map_err(|error| other(error.to_string()))?;
        let answer =
            timeout(TIMEOUT, self.rekor.create_dsse_entry(entry)).await.map_err(|_| ServiceError::Hung)?;
        let entry = answer.map_err(|error| {
            let passing = match &error {
                sigstore_rekor::Error::Http(_) => true,
                sigstore_rekor::Error::Status { status, .. } => may_pass(*status) || *status == 409,
                _ => false,
            };
            ServiceError::Answer { text: error.to_string(), passing }
        })?;
        let entry = entry.to_bundle_entry(KindVersion::DsseV001).map_err(|error| other(error.to_string()))?;
        Ok(json!({
            "version": 1,
            "verification_material": {
                "certificate": BASE64_STANDARD.encode(signing_key.certificate.as_bytes()),
                "transparency_entries": [entry],
            },
            "envelope": {
                "statement": BASE64_STANDARD.encode(payload),
                "signature": BASE64_STANDARD.encode(&bytes),
            },
        }))
    }
}

fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}
