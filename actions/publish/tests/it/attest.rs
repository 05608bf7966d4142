//! Attestations, before the verifiers that indexes use.

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

/// A release published with attestations; their folder is `attestations`.
fn attested(set: &Set, lost: u32) -> (Sigstore, Warehouse) {
    let oidc = Oidc::start(0);
    let sigstore = Sigstore::start(oidc.issued(), lost);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.folder.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let folder = set.folder.path().join("attestations");
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let ran = set.publish_trusted(
        &index.url(),
        &oidc,
        &[&args[..], &["--attestations-path", folder.to_str().unwrap()]].concat(),
    );
    let ran = ran.expect(0);
    assert!(ran.report["files"].as_array().unwrap().iter().all(|file| file["attested"] == true));
    assert_eq!(oidc.issued().audiences(), ["127.0.0.1", "sigstore"]);
    assert_eq!(sigstore.certificates(), 1, "one certificate for the run");
    (sigstore, index)
}

/// The attestation as a sigstore bundle, as verifiers put it together.
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
fn every_file_has_one_that_holds() {
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
fn a_lost_log_entry_is_made_again() {
    attested(&Set::htty(), 2);
}

/// What PyPI itself checks with: pypi-attestations over sigstore-python.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn pypi_attestations_accepts_them() {
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
    let output = tools::scrubbed(python).args(["-c", script]).arg(set.folder.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 4, "{out}{err}");
}

#[test]
fn required_with_a_password_is_refused_at_once() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let ran = set.publish(&index.url(), &["--attestations", "required"]).expect(2);
    assert!(ran.text.contains("input `attestations`: `required` needs trusted publishing"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty(), "they can never be added later");
}

/// An index never takes an attestation for a file that it has.
#[test]
fn required_is_not_met_by_files_without_one() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    let ran = set.publish_trusted(&index.url(), &oidc, &["--attestations", "required"]).expect(1);
    assert!(ran.text.contains("the index has it without an attestation"), "{}", ran.text);
}

/// An identity is at hand, and no service of sigstore is asked with it.
#[test]
fn off_makes_none_and_auto_none_for_an_index_that_is_not_known_to_take_them() {
    for word in ["off", "auto"] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0);
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let config = set.folder.path().join("trust-config.json");
        std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
        let folder = set.folder.path().join("attestations");
        let (config, written) = (config.to_str().unwrap(), folder.to_str().unwrap());
        let args = ["--attestations", word, "--trust-config", config, "--attestations-path", written];
        let ran = set.publish_trusted(&index.url(), &oidc, &args).expect(0);
        ran.all("uploaded");
        assert!(ran.report["files"].as_array().unwrap().iter().all(|file| file["attested"] == false));
        assert_eq!((oidc.issued().audiences(), sigstore.certificates()), (vec!["127.0.0.1".to_owned()], 0));
        let files = &index.shelf().files;
        assert_eq!(files.len(), 4);
        let plain = |fields: &[(String, String)]| fields.iter().all(|field| field.0 != "attestations");
        assert!(files.values().all(|file| plain(&file.fields)), "{word}");
        assert!(!folder.exists(), "{word}");
    }
}

/// Fulcio's certificates are valid for ten minutes; signing many files may take
/// longer.
#[test]
fn a_certificate_is_replaced_before_it_expires() {
    for (life, certificates) in [(119, 4), (600, 1)] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0).with_life(life);
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let config = set.folder.path().join("trust-config.json");
        std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
        let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
        set.publish_trusted(&index.url(), &oidc, &args).expect(0).all("uploaded");
        assert_eq!(sigstore.certificates(), certificates, "{life} s");
        // The index's token, and an identity for each certificate.
        assert_eq!(u32::try_from(oidc.issued().audiences().len()), Ok(1 + certificates));
    }
}

/// A log whose signature nobody knows: an index would refuse the first file, or
/// worse, the second.
#[test]
fn an_attestation_is_verified_before_it_is_sent() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0).with_forged_entries();
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.folder.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let ran = set.publish_trusted(&index.url(), &oidc, &args).expect(3);
    assert!(ran.text.contains("nothing was sent: cannot make the attestations"), "{}", ran.text);
    assert!(ran.text.contains("the new attestation is not valid"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}

/// The log answers no entry before all four are waiting for it.
#[test]
fn files_are_signed_in_parallel_and_the_wait_is_visible() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0).with_entries_together(4);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.folder.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let ran = set.publish_trusted(&index.url(), &oidc, &args).expect(0);
    ran.all("uploaded");
    assert_eq!(sigstore.certificates(), 1, "one key and certificate for all of them");
    let text =
        "signing attestations of `htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl` and 3 more files";
    assert!(ran.text.contains(text), "{}", ran.text);
}

/// The wait for sigstore ends, and shows what is waited for.
#[test]
fn a_log_that_is_down_is_given_up() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), u32::MAX);
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.folder.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let ran = set.publish_trusted(&index.url(), &oidc, &args).expect(3);
    assert!(ran.text.contains("no entry in the transparency log"), "{}", ran.text);
    assert!(ran.text.contains("503") && ran.text.contains("retrying in"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}
