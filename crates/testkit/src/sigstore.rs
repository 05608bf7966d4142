//! A minimal sigstore: Fulcio, Rekor v1 and a certificate transparency log with their own keys.
//! Real verifiers accept its signatures with its trust root.
//!
//! Not implemented: the proof of possession of the client's key, entries other than `dsse`,
//! reading the log, several shards, timestamp authorities, and most extensions of Fulcio's
//! certificates.

mod encoding;
mod tree;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_crypto::KeyPair;
use time::{Duration, OffsetDateTime};
use tokio::sync::Barrier;

use crate::oidc::Issued;
use crate::server::Server;

use encoding::{contents, der, encode, pem, prefixed, tbs};
use tree::{path, root, sha256};

/// The services, which run until this value is dropped.
pub struct Sigstore {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    issued: Arc<Issued>,
    ca: Issuer<'static, rcgen::KeyPair>,
    ca_certificate: Vec<u8>,
    ca_key: Vec<u8>,
    ct: Log,
    rekor: Log,
    leaves: Mutex<Vec<[u8; 32]>>,
    certificates: Mutex<u32>,
    /// How many log entries are stored although the response is 503.
    lost: Mutex<u32>,
    /// The lifetime of certificates in seconds.
    life: AtomicI64,
    /// Whether the log signs with another key.
    forged: AtomicBool,
    /// How many concurrent entries to wait for before responding.
    together: Mutex<Option<Arc<Barrier>>>,
}

/// The key of a log.
struct Log {
    key: KeyPair,
    spki: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let key = KeyPair::generate_ecdsa_p256().expect("a key");
        let spki = key.public_key_der().expect("a public key").as_bytes().to_vec();
        Self { key, spki }
    }

    fn id(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).expect("a signature").as_bytes().to_vec()
    }

    fn instance(&self, url: &str) -> Value {
        json!({
            "baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": { "keyId": encode(&self.id()) },
            "publicKey": {
                "rawBytes": encode(&self.spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": always(),
            },
        })
    }
}

fn always() -> Value {
    json!({ "start": "2020-01-01T00:00:00Z" })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sigstore {
    /// Starts the services, which issue certificates for the identities in `issued`. The first
    /// `lost` log entries are stored, but return 503.
    pub fn start(issued: Arc<Issued>, lost: u32) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "test sigstore");
        params.distinguished_name.push(DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(1);
        let certificate = params.self_signed(&key).expect("a root certificate");
        let shared = Arc::new(Shared {
            issued,
            ca_certificate: certificate.der().to_vec(),
            ca_key: key.subject_public_key_info(),
            ca: Issuer::new(params, key),
            ct: Log::new(),
            rekor: Log::new(),
            leaves: Mutex::default(),
            certificates: Mutex::default(),
            lost: Mutex::new(lost),
            life: AtomicI64::new(600),
            forged: AtomicBool::new(false),
            together: Mutex::default(),
        });
        let state = Arc::clone(&shared);
        let server = Server::start(|_| {
            Router::new()
                .route("/api/v2/signingCert", post(certify))
                .route("/api/v1/log/entries", post(log))
                .with_state(state)
        });
        Self { server, shared }
    }

    /// Sets the lifetime of certificates in seconds.
    #[must_use]
    pub fn with_life(self, seconds: i64) -> Self {
        self.shared.life.store(seconds, Ordering::SeqCst);
        self
    }

    /// Makes the log sign with an unknown key.
    #[must_use]
    pub fn with_forged_entries(self) -> Self {
        self.shared.forged.store(true, Ordering::SeqCst);
        self
    }

    /// Makes the log respond to entries only when `count` of them are waiting.
    #[must_use]
    pub fn with_entries_together(self, count: usize) -> Self {
        *self.shared.together.lock().expect("no panic while locked") = Some(Arc::new(Barrier::new(count)));
        self
    }

    /// The number of issued certificates.
    pub fn certificates(&self) -> u32 {
        *self.shared.certificates.lock().expect("no panic while locked")
    }

    /// The trust root for verifiers.
    pub fn trusted_root(&self) -> Value {
        let url = self.url();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.shared.rekor.instance(&url)],
            "ctlogs": [self.shared.ct.instance(&url)],
            "certificateAuthorities": [{
                "subject": { "organization": "test sigstore", "commonName": "test root" }, "uri": url,
                "certChain": { "certificates": [{ "rawBytes": encode(&self.shared.ca_certificate) }] },
                "validFor": always(),
            }],
            "timestampAuthorities": [],
        })
    }

    /// The trust root and URLs, as a `ClientTrustConfig`.
    pub fn trust_config(&self) -> Value {
        let service =
            json!([{ "url": self.url(), "majorApiVersion": 1, "validFor": always(), "operator": "test" }]);
        json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service, "oidcUrls": service, "rekorTlogUrls": service, "tsaUrls": [],
                "rekorTlogConfig": { "selector": "ANY" }, "tsaConfig": { "selector": "ANY" },
            },
        })
    }

    /// The root URL of all services, without a trailing slash.
    pub fn url(&self) -> String {
        self.server.url().trim_end_matches('/').to_owned()
    }
}

/// The uncompressed point of a P-256 key.
struct Key(Vec<u8>);

impl Key {
    fn from_pem(text: &str) -> Option<Self> {
        let der = contents(text)?;
        // A SubjectPublicKeyInfo of this kind ends with the 65 bytes of the point.
        let point = der.get(der.len().checked_sub(65)?..)?.to_vec();
        let key = Self(point);
        (key.subject_public_key_info() == der).then_some(key)
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Fulcio: issues a certificate for the identity, with the timestamp of the log.
async fn certify(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let token = request["credentials"]["oidcIdentityToken"].as_str().unwrap_or_default();
    let Some(claims) = shared.issued.redeem(token, "sigstore") else {
        return (StatusCode::UNAUTHORIZED, "invalid identity token").into_response();
    };
    let key = request["publicKeyRequest"]["publicKey"]["content"].as_str().unwrap_or_default();
    let Some(key) = Key::from_pem(key) else {
        return (StatusCode::BAD_REQUEST, "not a P-256 public key").into_response();
    };
    let number = {
        let mut certificates = shared.certificates.lock().expect("no panic while locked");
        *certificates += 1;
        *certificates
    };
    let claim = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let workflow = format!("https://github.com/{}", claim("job_workflow_ref"));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(u64::from(number)));
    params.not_before = OffsetDateTime::now_utc() - Duration::seconds(5);
    params.not_after = OffsetDateTime::now_utc() + Duration::seconds(shared.life.load(Ordering::SeqCst));
    params.subject_alt_names = vec![SanType::URI(workflow.as_str().try_into().expect("ASCII"))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.use_authority_key_identifier_extension = true;
    let repository = format!("https://github.com/{}", claim("repository"));
    let sha = "0".repeat(40);
    // Fulcio's OIDs: issuer, source repository, its commit and ref, and the workflow.
    for (arc, value) in
        [(8, claim("iss")), (12, repository), (13, sha), (14, "refs/tags/v0.3.0".to_owned()), (18, workflow)]
    {
        let extension = CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 57264, 1, arc],
            der(0x0c, value.as_bytes()),
        );
        params.custom_extensions.push(extension);
    }
    let issue = |params: &CertificateParams| params.signed_by(&key, &shared.ca).expect("a certificate");
    let list = timestamps(&shared, tbs(issue(&params).der()));
    // The list of signed certificate timestamps (RFC 6962, 3.3).
    let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
    params.custom_extensions.push(CustomExtension::from_oid_content(&oid, der(0x04, &list)));
    let chain = [pem(issue(&params).der()), pem(&shared.ca_certificate)];
    Json(json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": chain } } })).into_response()
}

/// A list with one timestamp for the certificate whose signed part, without this list, is
/// `tbs`.
fn timestamps(shared: &Shared, tbs: &[u8]) -> Vec<u8> {
    let now = OffsetDateTime::now_utc().unix_timestamp().unsigned_abs() * 1000;
    let length = u32::try_from(tbs.len()).expect("a short certificate").to_be_bytes();
    let precertificate = [&[0, 1][..], &sha256(&[&shared.ca_key]), &length[1..], tbs].concat();
    let signed = [&[0, 0][..], &now.to_be_bytes(), &precertificate, &[0, 0]].concat();
    let signature = prefixed(&shared.ct.sign(&signed));
    let sct = [&[0][..], &shared.ct.id(), &now.to_be_bytes(), &[0, 0, 4, 3], &signature].concat();
    prefixed(&prefixed(&sct))
}

/// Rekor: adds an entry; returns it with its inclusion proof, checkpoint and timestamp.
async fn log(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let Some(body) = body(&request) else {
        return (StatusCode::BAD_REQUEST, "not a dsse entry").into_response();
    };
    let together = shared.together.lock().expect("no panic while locked").clone();
    if let Some(together) = together {
        together.wait().await;
    }
    let leaf = sha256(&[&[0], body.as_bytes()]);
    let mut leaves = shared.leaves.lock().expect("no panic while locked");
    if leaves.contains(&leaf) {
        return (StatusCode::CONFLICT, "an equivalent entry already exists").into_response();
    }
    let index = leaves.len();
    leaves.push(leaf);
    {
        let mut lost = shared.lost.lock().expect("no panic while locked");
        if *lost > 0 {
            *lost -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    let (root, proof) = (root(&leaves), path(index, &leaves));
    let note = format!("rekor.test - 1\n{}\n{}\n", leaves.len(), encode(&root));
    let id = shared.rekor.id();
    let signature = [&id[..4], &shared.rekor.sign(note.as_bytes())].concat();
    let checkpoint = format!("{note}\n\u{2014} rekor.test {}\n", encode(&signature));
    let time = OffsetDateTime::now_utc().unix_timestamp();
    let body = encode(body.as_bytes());
    // Canonical JSON (RFC 8785): the keys are sorted.
    let signed =
        json!({ "body": body, "integratedTime": time, "logID": hex(&id), "logIndex": index }).to_string();
    let key = if shared.forged.load(Ordering::SeqCst) { &Log::new() } else { &shared.rekor };
    let entry = json!({
        "body": body, "integratedTime": time, "logID": hex(&id), "logIndex": index,
        "verification": {
            "inclusionProof": {
                "checkpoint": checkpoint, "hashes": proof.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
                "logIndex": index, "rootHash": hex(&root), "treeSize": leaves.len(),
            },
            "signedEntryTimestamp": encode(&key.sign(signed.as_bytes())),
        },
    });
    let uuid = hex(&leaf);
    (StatusCode::CREATED, Json(json!({ uuid: entry }))).into_response()
}

/// The canonical body of the requested entry.
fn body(request: &Value) -> Option<String> {
    let content = &request["spec"]["proposedContent"];
    let text = content["envelope"].as_str()?;
    let envelope: Value = serde_json::from_str(text).ok()?;
    let payload = BASE64_STANDARD.decode(envelope["payload"].as_str()?).ok()?;
    let verifier = BASE64_STANDARD.decode(content["verifiers"][0].as_str()?).ok()?;
    // Rekor re-encodes the PEM of the certificate.
    let verifier = pem(&contents(std::str::from_utf8(&verifier).ok()?)?);
    let body = json!({
        "apiVersion": "0.0.1", "kind": "dsse",
        "spec": {
            "envelopeHash": { "algorithm": "sha256", "value": hex(&sha256(&[text.as_bytes()])) },
            "payloadHash": { "algorithm": "sha256", "value": hex(&sha256(&[&payload])) },
            "signatures": [{ "signature": envelope["signatures"][0]["sig"], "verifier": encode(verifier.as_bytes()) }],
        },
    });
    Some(body.to_string())
}
