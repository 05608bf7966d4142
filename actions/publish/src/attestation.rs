//! Attestations as indexes accept and serve them (PEP 740).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use index::{Client, Index, ListedFile};
use pydist::attestation::publish_predicate;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{Bundle, Sha256Hash};
use sigstore_verify::VerificationPolicy;
use toolkit::{FileError, error_chain};

use crate::advice::{Advice, Problem};
use crate::error::Error;
use crate::inspect::Dist;
use crate::trust::Trust;

/// The payload type of an in-toto statement.
pub(crate) const PAYLOAD: &str = "application/vnd.in-toto+json";
/// The predicate type of SLSA provenance, which PyPI accepts too.
const SLSA: &str = "https://slsa.dev/provenance/v1";
/// PyPI's Integrity API.
const INTEGRITY: &str = "application/vnd.pypi.integrity.v1+json, application/json;q=0.5";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Attestations by file name, in the format of PEP 740; one for each predicate
/// type.
pub type Attestations = BTreeMap<String, Vec<Value>>;

/// The statement of a publish attestation.
pub(crate) fn statement(dist: &Dist) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": dist.filename, "digest": { "sha256": dist.sha256 } }],
        "predicateType": publish_predicate(),
        "predicate": null,
    })
}

/// The decoded statement of an attestation.
fn decoded_statement(attestation: &Value) -> Option<Value> {
    let statement = BASE64_STANDARD.decode(attestation["envelope"]["statement"].as_str()?).ok()?;
    serde_json::from_slice(&statement).ok()
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

/// Whether the statement is about these bytes.
fn is_about(statement: &Value, dist: &Dist) -> bool {
    list(statement, "subject").iter().any(|one| one["digest"]["sha256"] == dist.sha256)
}

/// Verifies an attestation as an index does: signature, certificate, transparency
/// log, subject.
pub(crate) fn verify(attestation: &Value, dist: &Dist, root: &TrustedRoot) -> Result<(), String> {
    let material = &attestation["verification_material"];
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": material["certificate"] },
            "tlogEntries": material["transparency_entries"],
        },
        "dsseEnvelope": {
            "payload": attestation["envelope"]["statement"], "payloadType": PAYLOAD,
            "signatures": [{ "sig": attestation["envelope"]["signature"] }],
        },
    });
    let bundle = Bundle::from_json(&bundle.to_string()).map_err(|error| error.to_string())?;
    let hash = Sha256Hash::from_hex(&dist.sha256).map_err(|error| error.to_string())?;
    let policy = VerificationPolicy::any_identity();
    sigstore_verify::verify(hash, &bundle, &policy, root).map_err(|error| error.to_string())?;
    Ok(())
}

/// The attestations in files beside the distributions
/// (`<file>.<kind>.attestation`), verified as an index does: an invalid one would
/// stop a release halfway.
pub(crate) fn read(paths: &[PathBuf], dists: &[Dist], config: Option<&Path>) -> Result<Attestations, Error> {
    let (mut found, mut problems) = (Attestations::new(), Vec::new());
    if paths.is_empty() {
        return Ok(found);
    }
    let trust = Trust::load(config)?;
    for path in paths {
        let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let what = match read_one(&file, &bytes, dists, &trust.root) {
            Ok((dist, attestation)) => {
                let list = found.entry(dist.filename.clone()).or_default();
                if list.iter().all(|other| kind(other) != kind(&attestation)) {
                    list.push(attestation);
                    continue;
                }
                format!("`{}` has another attestation of the type `{}`", dist.filename, kind(&attestation))
            }
            Err(what) => what,
        };
        problems.push(Problem { file, what, advice: Advice::Attestation });
    }
    if problems.is_empty() { Ok(found) } else { Err(Error::Inspect(problems)) }
}

fn read_one<'d>(
    file: &str,
    bytes: &[u8],
    dists: &'d [Dist],
    root: &TrustedRoot,
) -> Result<(&'d Dist, Value), String> {
    let stem = file.strip_suffix(".attestation").and_then(|name| name.rsplit_once('.')).map(|(stem, _)| stem);
    let dist = dists.iter().find(|dist| Some(dist.filename.as_str()) == stem);
    let dist =
        dist.ok_or("expected `<distribution>.publish.attestation`, found no distribution of that name")?;
    let attestation: Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON")?;
    let statement = decoded_statement(&attestation).filter(|_| attestation["version"] == 1);
    let statement = statement.ok_or("expected an attestation of version 1 (PEP 740)")?;
    if !is_about(&statement, dist) {
        return Err(format!("it is not about the bytes of `{}`", dist.filename));
    }
    let subjects = list(&statement, "subject");
    if subjects.len() != 1 || subjects[0]["name"] != *dist.filename {
        return Err(format!("expected `{}` as its only subject", dist.filename));
    }
    let kind = kind(&attestation);
    if kind != publish_predicate() && kind != SLSA {
        return Err(format!("PyPI accepts no attestations of the type `{kind}`"));
    }
    verify(&attestation, dist, root).map_err(|why| format!("verification failed: {why}"))?;
    Ok((dist, attestation))
}

/// The predicate type.
fn kind(attestation: &Value) -> String {
    let statement = decoded_statement(attestation).unwrap_or_default();
    statement["predicateType"].as_str().unwrap_or_default().to_owned()
}

/// Whether it is a publish attestation.
pub(crate) fn is_publish(attestation: &Value) -> bool {
    kind(attestation) == publish_predicate()
}

/// The publish attestation of a file on the index (PEP 740, "Provenance objects"),
/// or why there is none.
pub async fn published(
    client: &Client,
    index: &Index,
    dist: &Dist,
    listed: &ListedFile,
) -> Result<Value, String> {
    let place = listed.provenance.as_deref().unwrap_or_default();
    let url = index.simple.join(place).map_err(|error| format!("`{place}`: {error}"))?;
    if !index::same_origin(&url, &index.simple) {
        return Err(format!("`{place}` is not on the index"));
    }
    let answer = client.fetch(TIMEOUT, || client.reader.get(url.clone()).header(ACCEPT, INTEGRITY)).await;
    let (_, body) = answer.map_err(|error| error_chain(&error))?;
    let provenance: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let bundles = list(&provenance, "attestation_bundles");
    let mut attestations = bundles.iter().flat_map(|bundle| list(bundle, "attestations"));
    let ours = |attestation: &Value| {
        is_publish(attestation)
            && decoded_statement(attestation).is_some_and(|statement| is_about(&statement, dist))
    };
    attestations.find(ours).ok_or_else(|| format!("`{place}` has none for these bytes"))
}

/// The name of the file that holds an attestation of a distribution.
pub fn file_name(dist: &str, attestation: &Value) -> String {
    let kind = if is_publish(attestation) { "publish" } else { "slsa" };
    format!("{dist}.{kind}.attestation")
}
