//! Attestations, checked by the verifiers that indexes use.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash};
use sigstore_verify::{VerificationPolicy, verify};
use testkit::oidc::Oidc;
use testkit::sigstore::Sigstore;
use testkit::tools;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

/// A release published with attestations; their directory is `attestations`.
fn attested(set: &Set, lost: u32) -> (Sigstore, Warehouse) {
    let oidc = Oidc::start(0);
    let sigstore = Sigstore::start(oidc.issued(), lost);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.dir.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let dir = set.dir.path().join("attestations");
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let result = set.publish_trusted(
        &index.url(),
        &oidc,
        &[&args[..], &["--attestations-path", dir.to_str().unwrap()]].concat(),
    );
    let result = result.expect(0);
    assert!(result.report["files"].as_array().unwrap().iter().all(|file| file["attested"] == true));
    assert_eq!(oidc.issued().audiences(), ["127.0.0.1", "sigstore"]);
    assert_eq!(sigstore.certificates(), 1, "one certificate for the run");
    (sigstore, index)
}

/// The attestation as a sigstore bundle, as verifiers build it.
fn bundle(attestation: &Value) -> Bundle {
    let material = &attestation["verification_material"];
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": material["certificate"] },
            "tlogEntries": material["transparency_entries"],
        },
        "dsseEnvelope": {
            "payload": attestation["envelope"]["statement"], "payloadType": "application/vnd.in-toto+json",
            "signatures": [{ "sig": attestation["envelope"]["signature"] }],
        },
    });
    Bundle::from_json(&bundle.to_string()).unwrap()
}

#[test]
fn every_file_gets_a_valid_attestation() {
    let set = Set::htty();
    let (sigstore, index) = attested(&set, 0);
    let root = TrustedRoot::from_json(&sigstore.trusted_root().to_string()).unwrap();
    let policy = VerificationPolicy::any_identity()
        .require_identity("https://github.com/octo/htty/.github/workflows/release.yml@refs/tags/v0.3.0")
        .require_issuer("https://token.actions.githubusercontent.com");
    let shelf = index.shelf();
    assert_eq!(shelf.files.len(), 4);
    for (name, stored) in &shelf.files {
        let field = stored.fields.iter().find(|field| field.0 == "attestations").unwrap();
        let list: Vec<Value> = serde_json::from_str(&field.1).unwrap();
        let [attestation] = list.as_slice() else { panic!("one attestation, not {}", list.len()) };
        let statement =
            BASE64_STANDARD.decode(attestation["envelope"]["statement"].as_str().unwrap()).unwrap();
        let statement: Value = serde_json::from_slice(&statement).unwrap();
        assert_eq!(statement["subject"], json!([{ "name": name, "digest": { "sha256": stored.sha256 } }]));
        let hash = Sha256Hash::from_hex(&stored.sha256).unwrap();
        let result = verify(hash, &bundle(attestation), &policy, &root).unwrap();
        assert!(result.certificate_verified() && result.sct_verified() && result.tlog_verified(), "{name}");
        let other = Sha256Hash::from_hex(&"0".repeat(64)).unwrap();
        assert!(verify(other, &bundle(attestation), &policy, &root).is_err(), "it is about this file alone");
    }
}

#[test]
fn a_lost_log_entry_is_replaced() {
    attested(&Set::htty(), 2);
}

/// PyPI's own verifier: pypi-attestations with sigstore-python.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn pypi_attestations_accepts_our_attestations() {
    let set = Set::htty();
    let (_sigstore, _index) = attested(&set, 0);
    let python = tools::path("pypi-attestations").with_file_name("python");
    let script = r#"
import pathlib, sys
from pypi_attestations import Attestation, Distribution, GitHubPublisher
from sigstore.models import ClientTrustConfig
from sigstore.verify import Verifier
import pypi_attestations._impl as impl
root = pathlib.Path(sys.argv[1])
config = ClientTrustConfig.from_json((root / "trust-config.json").read_text())
verifier = Verifier(trusted_root=config.trusted_root)
impl.Verifier.production = classmethod(lambda cls, **kw: verifier)
publisher = GitHubPublisher(repository="octo/htty", workflow="release.yml")
for file in sorted((root / "dist").iterdir()):
    text = (root / "attestations" / (file.name + ".publish.attestation")).read_text()
    kind, _ = Attestation.model_validate_json(text).verify(publisher, Distribution.from_file(file))
    print(file.name, kind)
"#;
    let output = tools::scrubbed(python).args(["-c", script]).arg(set.dir.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 4, "{out}{err}");
}

#[test]
fn rejects_required_attestations_with_a_password() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let result = set.publish(&index.url(), &["--attestations", "required"]).expect(2);
    assert!(
        result.text.contains("input `attestations`: `required` needs trusted publishing"),
        "{}",
        result.text
    );
    assert!(index.shelf().uploads.is_empty(), "they can never be added later");
}

/// An index never adds an attestation to a file that it has.
#[test]
fn required_fails_for_files_without_an_attestation() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    let result = set.publish_trusted(&index.url(), &oidc, &["--attestations", "required"]).expect(1);
    assert!(result.text.contains("the index has it without an attestation"), "{}", result.text);
}

/// There is an identity, but no sigstore service is queried.
#[test]
fn off_and_auto_for_an_unknown_index_make_no_attestations() {
    for word in ["off", "auto"] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0);
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let config = set.dir.path().join("trust-config.json");
        std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
        let dir = set.dir.path().join("attestations");
        let (config, written) = (config.to_str().unwrap(), dir.to_str().unwrap());
        let args = ["--attestations", word, "--trust-config", config, "--attestations-path", written];
        let result = set.publish_trusted(&index.url(), &oidc, &args).expect(0);
        result.all("uploaded");
        assert!(result.report["files"].as_array().unwrap().iter().all(|file| file["attested"] == false));
        assert_eq!((oidc.issued().audiences(), sigstore.certificates()), (vec!["127.0.0.1".to_owned()], 0));
        let files = &index.shelf().files;
        assert_eq!(files.len(), 4);
        let plain = |fields: &[(String, String)]| fields.iter().all(|field| field.0 != "attestations");
        assert!(files.values().all(|file| plain(&file.fields)), "{word}");
        assert!(!dir.exists(), "{word}");
    }
}

/// Fulcio's certificates are valid for ten minutes; signing many files may take
/// longer.
#[test]
fn replaces_a_certificate_before_it_expires() {
    for (life, certificates) in [(119, 4), (600, 1)] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0).with_life(life);
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let config = set.dir.path().join("trust-config.json");
        std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
        let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
        set.publish_trusted(&index.url(), &oidc, &args).expect(0).all("uploaded");
        assert_eq!(sigstore.certificates(), certificates, "{life} s");
        // The index's token, and an identity for each certificate.
        assert_eq!(u32::try_from(oidc.issued().audiences().len()), Ok(1 + certificates));
    }
}

/// The log has an unknown key: an index would reject the first file or, worse, the
/// second.
#[test]
fn verifies_an_attestation_before_sending_it() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0).with_forged_entries();
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.dir.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let result = set.publish_trusted(&index.url(), &oidc, &args).expect(3);
    assert!(result.text.contains("nothing was sent: cannot make the attestations"), "{}", result.text);
    assert!(result.text.contains("the new attestation is not valid"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

/// The log answers only when all four entries wait for it.
#[test]
fn signs_files_in_parallel_and_shows_progress() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0).with_entries_together(4);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.dir.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let result = set.publish_trusted(&index.url(), &oidc, &args).expect(0);
    result.all("uploaded");
    assert_eq!(sigstore.certificates(), 1, "one key and certificate for all of them");
    let text =
        "signing attestations of `htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl` and 3 more files";
    assert!(result.text.contains(text), "{}", result.text);
}

/// The wait for sigstore ends and names the service.
#[test]
fn gives_up_on_a_log_that_is_down() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), u32::MAX);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.dir.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let result = set.publish_trusted(&index.url(), &oidc, &args).expect(3);
    assert!(result.text.contains("cannot add an entry to the transparency log"), "{}", result.text);
    assert!(result.text.contains("503") && result.text.contains("retrying in"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}
