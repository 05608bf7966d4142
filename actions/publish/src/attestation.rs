//! Attestations as indexes take and serve them (PEP 740).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use index::{Client, Index, ListedFile};
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{Bundle, Sha256Hash};
use sigstore_verify::VerificationPolicy;
use toolkit::{FileError, error_chain};

use crate::advice::{Advice, Problem};
use crate::error::Error;
use crate::inspect::Dist;

/// The payload type of an in-toto statement.
pub(crate) const PAYLOAD: &str = "application/vnd.in-toto+json";
/// The predicate type of SLSA provenance, which PyPI takes, too.
const SLSA: &str = "https://slsa.dev/provenance/v1";
/// PyPI's Integrity API.
const INTEGRITY: &str = "application/vnd.pypi.integrity.v1+json, application/json;q=0.5";
const LIMIT: Duration = Duration::from_secs(30);

/// Attestations by file name, each as an index takes it; one for each
/// predicate type.
pub type Attestations = BTreeMap<String, Vec<Value>>;

/// The statement of a publish attestation.
pub(crate) fn statement(dist: &Dist) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": dist.filename, "digest": { "sha256": dist.sha256 } }],
        "predicateType": index::attestation_predicate(),
        "predicate": null,
    })
}

/// The statement inside an attestation.
fn stated(attestation: &Value) -> Option<Value> {
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

/// Checks an attestation as an index does: signature, certificate,
/// transparency log, subject.
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

/// The attestations in files beside the distributions: `<file>.<what>.attestation`.
pub(crate) fn read(paths: &[PathBuf], dists: &[Dist]) -> Result<Attestations, Error> {
    let (mut found, mut problems) = (Attestations::new(), Vec::new());
    for path in paths {
        match read_one(path, dists)? {
            Ok((dist, attestation)) => found.entry(dist.filename.clone()).or_default().push(attestation),
            Err(what) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                problems.push(Problem { file, what, advice: Advice::Fix });
            }
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Error::Inspect(problems)) }
}

fn read_one<'d>(path: &Path, dists: &'d [Dist]) -> Result<Result<(&'d Dist, Value), String>, Error> {
    let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".attestation").and_then(|name| name.rsplit_once('.')).map(|(stem, _)| stem);
    let Some(dist) = dists.iter().find(|dist| Some(dist.filename.as_str()) == stem) else {
        return Ok(Err("there is no distribution that it belongs to".to_owned()));
    };
    let Ok(attestation) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(Err("it is not JSON".to_owned()));
    };
    let Some(statement) = stated(&attestation).filter(|_| attestation["version"] == 1) else {
        return Ok(Err("expected an attestation of version 1 (PEP 740)".to_owned()));
    };
    if !is_about(&statement, dist) {
        return Ok(Err(format!("it is about other bytes than `{}` has", dist.filename)));
    }
    let kind = statement["predicateType"].as_str().unwrap_or_default();
    if kind != index::attestation_predicate() && kind != SLSA {
        return Ok(Err(format!("PyPI takes no attestations of the type `{kind}`")));
    }
    Ok(Ok((dist, attestation)))
}

/// Whether it is a publish attestation.
pub(crate) fn is_publish(attestation: &Value) -> bool {
    stated(attestation).is_some_and(|statement| statement["predicateType"] == index::attestation_predicate())
}

/// The publish attestation that the index has of a file (PEP 740, "Provenance
/// objects"), or why there is none.
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
    let answer = client.fetch(LIMIT, || client.reader.get(url.clone()).header(ACCEPT, INTEGRITY)).await;
    let (_, body) = answer.map_err(|error| error_chain(&error))?;
    let provenance: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let bundles = list(&provenance, "attestation_bundles");
    let mut attestations = bundles.iter().flat_map(|bundle| list(bundle, "attestations"));
    let ours = |attestation: &Value| {
        is_publish(attestation) && stated(attestation).is_some_and(|statement| is_about(&statement, dist))
    };
    attestations.find(ours).ok_or_else(|| format!("`{place}` has none for these bytes"))
}

/// The name of the file that holds an attestation of a distribution.
pub fn file_name(dist: &str, attestation: &Value) -> String {
    let kind = if is_publish(attestation) { "publish" } else { "slsa" };
    format!("{dist}.{kind}.attestation")
}
