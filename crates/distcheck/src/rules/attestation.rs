//! `ATT`: attestations beside the files (PEP 740). publish, which may use the
//! network, verifies the signatures; this rule checks only the files.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pydist::attestation::publish_predicate;
use pydist::digest::hex;
use pydist::filename::DistName;
use serde::Deserialize;

use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::Error;
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[ATTESTATION];

const ATTESTATION: Rule = Rule {
    id: "ATT001",
    title: "the attestation beside a file belongs to it",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects an upload whose attestation is malformed or has a different name or digest than the file.",
    source: "PEP 740; in-toto Attestation Framework, statement v1; Warehouse, `attestations/services.py`.",
    fix: "Sign the file again after its last change, and give each file its own attestation.",
    example: "sample-1.0-py3-none-any.whl: the attestation does not follow PEP 740: missing field `version` at line 1 column 2",
    check: Check::Dist(attestation),
    #[cfg(test)]
    fails: || fixture::Case { attestation: Some(b"{}".to_vec()), ..fixture::pure().into() },
};

#[derive(Deserialize)]
struct Attestation {
    version: u32,
    verification_material: VerificationMaterial,
    envelope: Envelope,
}

#[derive(Deserialize)]
struct VerificationMaterial {
    certificate: String,
    transparency_entries: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Envelope {
    statement: String,
    signature: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate: String,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Deserialize)]
struct Digest {
    sha256: String,
}

/// The predicates that the index accepts.
fn predicates() -> [String; 2] {
    [publish_predicate(), "https://slsa.dev/provenance/v1".to_owned()]
}

fn attestation(dist: &Dist, out: &mut Findings) {
    let Some(bytes) = &dist.attestation else { return out.not_applicable() };
    if let Err(why) = check(dist, bytes) {
        out.found(format!("the attestation {why}"));
    }
}

fn check(dist: &Dist, bytes: &[u8]) -> Result<(), String> {
    let attestation: Attestation =
        serde_json::from_slice(bytes).map_err(|error| format!("does not follow PEP 740: {error}"))?;
    if attestation.version != 1 {
        return Err(format!("has version {}, expected 1", attestation.version));
    }
    let material = &attestation.verification_material;
    if material.transparency_entries.is_empty() {
        return Err("has no transparency log entry".into());
    }
    let decode = |what: &str, text: &str| {
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| format!("has a {what} that is not valid base64: {error}"))
    };
    decode("certificate", &material.certificate)?;
    decode("signature", &attestation.envelope.signature)?;
    let statement = decode("statement", &attestation.envelope.statement)?;
    let statement: Statement =
        serde_json::from_slice(&statement).map_err(|error| format!("has no in-toto statement: {error}"))?;
    if statement.kind != "https://in-toto.io/Statement/v1" || !predicates().contains(&statement.predicate) {
        return Err(format!("has the predicate `{}`, which PyPI does not accept", statement.predicate));
    }
    let [subject] = &statement.subject[..] else {
        return Err(format!("has {} subjects, expected 1", statement.subject.len()));
    };
    let name: Option<DistName> = subject.name.parse().ok();
    if name.is_none() || name.as_ref() != dist.name.as_ref().ok() {
        return Err(format!("is for `{}`", subject.name));
    }
    if !subject.digest.sha256.eq_ignore_ascii_case(&hex(&dist.sha256)) {
        return Err(format!("is for a file with the SHA-256 {}", subject.digest.sha256));
    }
    Ok(())
}
