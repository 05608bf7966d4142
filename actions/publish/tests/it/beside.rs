//! Existing attestations beside the files.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use testkit::oidc::Oidc;
use testkit::sigstore::Sigstore;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::{RunOutput, Set};

/// A set with an attestation beside each file, made by an earlier run.
struct World {
    set: Set,
    oidc: Oidc,
    _sigstore: Sigstore,
    config: String,
}

impl World {
    fn new() -> Self {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0);
        let config = set.dir.path().join("trust-config.json");
        std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
        let config = config.to_str().unwrap().to_owned();
        let world = Self { set, oidc, _sigstore: sigstore, config };
        let made = world.set.dist().to_str().unwrap().to_owned();
        let args = ["--attestations", "required", "--attestations-path", &made];
        world.publish(&world.index(), &args).expect(0);
        world
    }

    fn index(&self) -> Warehouse {
        let index = Warehouse::start(Behaviour::default(), Some(self.oidc.issued()));
        index.with_projects(&["htty", "htty-core"])
    }

    fn publish(&self, index: &Warehouse, args: &[&str]) -> RunOutput {
        let args: Vec<&str> =
            ["--trust-config", &self.config].into_iter().chain(args.iter().copied()).collect();
        self.set.publish_trusted(&index.url(), &self.oidc, &args)
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.set.dist().join(file)
    }

    fn read(&self, file: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(file)).unwrap()).unwrap()
    }
}

fn sent(index: &Warehouse, file: &str) -> Vec<Value> {
    let shelf = index.shelf();
    let field = shelf.files[file].fields.iter().find(|(name, _)| name == "attestations");
    field.map(|(_, text)| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

const FILE: &str = "htty-0.3.0.tar.gz";
const ATTESTATION: &str = "htty-0.3.0.tar.gz.publish.attestation";

#[test]
fn sends_existing_attestations_instead_of_new_ones() {
    let world = World::new();
    let before = world.oidc.issued().audiences().len();
    for mode in ["auto", "required"] {
        let index = world.index();
        let result = world.publish(&index, &["--attestations", mode]).expect(0);
        result.all("uploaded");
        for file in ["htty_core-0.3.0.tar.gz", FILE, "htty-0.3.0-py3-none-any.whl"] {
            assert_eq!(sent(&index, file), [world.read(&format!("{file}.publish.attestation"))], "{mode}");
        }
    }
    let asked = &world.oidc.issued().audiences()[before..];
    assert!(asked.iter().all(|audience| audience != "sigstore"), "{asked:?}");
    // `off` sends none.
    let index = world.index();
    world.publish(&index, &["--attestations", "off"]).expect(0);
    assert_eq!(sent(&index, FILE), Vec::<Value>::new());
}

/// Only the missing attestation is made.
#[test]
fn makes_only_missing_attestations() {
    let world = World::new();
    let old = world.read(ATTESTATION);
    std::fs::remove_file(world.path(ATTESTATION)).unwrap();
    let index = world.index();
    world.publish(&index, &["--attestations", "required"]).expect(0);
    let [new] = sent(&index, FILE).try_into().unwrap();
    assert_ne!(new, old);
    let other = "htty_core-0.3.0.tar.gz";
    assert_eq!(sent(&index, other), [world.read(&format!("{other}.publish.attestation"))]);
}

/// An index accepts them only from trusted publishers.
#[test]
fn does_not_send_attestations_with_a_password() {
    let world = World::new();
    let index = world.index();
    let result = world.set.publish(&index.url(), &["--trust-config", &world.config]).expect(0);
    assert!(result.text.contains("they need trusted publishing"), "{}", result.text);
    assert_eq!(sent(&index, FILE), Vec::<Value>::new());
}

/// An index would reject each of these after other files were uploaded.
#[test]
fn an_invalid_attestation_stops_the_run_before_the_first_byte() {
    let statement = |attestation: &Value, change: &dyn Fn(&mut Value)| {
        let text = attestation["envelope"]["statement"].as_str().unwrap();
        let mut statement = serde_json::from_slice(&BASE64_STANDARD.decode(text).unwrap()).unwrap();
        change(&mut statement);
        let mut changed = attestation.clone();
        changed["envelope"]["statement"] = BASE64_STANDARD.encode(statement.to_string()).into();
        changed.to_string()
    };
    let world = World::new();
    let good = world.read(ATTESTATION);
    let other = world.read("htty_core-0.3.0.tar.gz.publish.attestation");
    let slsa = "https://slsa.dev/provenance/v1";
    let cases: Vec<(&str, String, &str)> = vec![
        (ATTESTATION, "not JSON".to_owned(), "it is not JSON"),
        (ATTESTATION, json!({ "version": 2 }).to_string(), "expected an attestation of version 1"),
        (ATTESTATION, other.to_string(), "it is not about the bytes of"),
        (
            ATTESTATION,
            statement(&good, &|it| it["predicateType"] = "https://example.org/x".into()),
            "of the type",
        ),
        (
            ATTESTATION,
            statement(&good, &|it| it["subject"][0]["name"] = "other.whl".into()),
            "its only subject",
        ),
        // Well-formed, but signed with an unknown key.
        (ATTESTATION, statement(&good, &|it| it["predicate"] = json!({})), "verification failed"),
        (ATTESTATION, statement(&good, &|it| it["predicateType"] = slsa.into()), "verification failed"),
        ("htty-0.3.0.tar.gz.second.attestation", good.to_string(), "another attestation of the type"),
        ("nothing-1.0.tar.gz.publish.attestation", good.to_string(), "no distribution of that name"),
    ];
    for (file, text, words) in cases {
        std::fs::write(world.path(ATTESTATION), good.to_string()).unwrap();
        std::fs::write(world.path(file), text).unwrap();
        let index = world.index();
        for args in [&["--dry-run", "offline"][..], &[]] {
            let result = world.publish(&index, args).expect(1);
            assert!(result.text.contains(words) && result.text.contains(file), "{words}: {}", result.text);
            assert!(result.text.contains("hint: remove the attestation"), "{words}: {}", result.text);
        }
        assert!(index.shelf().uploads.is_empty());
        std::fs::remove_file(world.path(file)).unwrap();
    }
}

/// SLSA provenance is sent with the publish attestation.
#[test]
fn sends_provenance_too() {
    use index::{Client, Retry};
    use publish::attest::Signer;
    use publish::identity::IdentityProvider;
    use publish::trust::Trust;
    use toolkit::{Env, Ui};

    let world = World::new();
    let pairs = world.oidc.env();
    let env: Env = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (ui, _) = Ui::captured(&env);
    let client = Client::new("test", &env, Retry::within(std::time::Duration::ZERO), &ui).unwrap();
    let provider = IdentityProvider::from_env(&env, true).unwrap().unwrap();
    let trust = Trust::load(Some(world.config.as_ref())).unwrap();
    let signer = Signer::new(&client, &ui, provider, &trust, true).unwrap();
    let sha256 = pydist::digest::hex(&pydist::digest::sha256(&std::fs::read(world.path(FILE)).unwrap()));
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": FILE, "digest": { "sha256": sha256 } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": { "buildDefinition": { "buildType": "https://example.org/build" }, "runDetails": {} },
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let provenance = runtime.block_on(signer.sign(&statement)).unwrap();
    let path = world.path("htty-0.3.0.tar.gz.slsa.attestation");
    std::fs::write(path, provenance.to_string()).unwrap();
    let index = world.index();
    world.publish(&index, &["--attestations", "required"]).expect(0);
    assert_eq!(sent(&index, FILE), [world.read(ATTESTATION), provenance]);
}
