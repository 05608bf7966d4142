use super::*;

fn read(inputs: &[(&str, &str)]) -> Result<Inputs, String> {
    let env = inputs.iter().map(|(name, value)| (format!("INPUT_{name}"), (*value).to_owned())).collect();
    Inputs::read(&env).map_err(|errors| errors.to_string())
}

#[test]
fn the_manifest_must_be_given_or_refused_in_words() {
    assert!(read(&[]).unwrap_err().contains("input `manifest`: a value is required"));
    assert_eq!(read(&[("MANIFEST", "none")]).unwrap().files.manifest, None);
    let error = read(&[("MANIFEST", "none"), ("MANIFEST_SHA256", &"0".repeat(64))]).unwrap_err();
    assert!(error.contains("no manifest"), "{error}");
}

#[test]
fn dry_run_is_never_guessed() {
    let depth = |value| read(&[("MANIFEST", "none"), ("DRY_RUN", value)]).map(|inputs| inputs.depth);
    assert_eq!(depth("true"), Ok(Depth::Probe));
    assert_eq!(depth("auth"), Ok(Depth::Auth));
    assert_eq!(depth(""), Ok(Depth::Full));
    assert!(depth("ture").unwrap_err().contains("did you mean `true`"));
}

#[test]
fn attestations_are_made_where_an_index_and_an_identity_are_known() {
    let wanted = |word: &str, index: &str| {
        let inputs = read(&[("MANIFEST", "none"), ("INDEX", index), ("ATTESTATIONS", word)]).unwrap();
        [false, true].map(|trusted| inputs.attesting.mode.wanted(&inputs.index, trusted))
    };
    for known in ["pypi", "testpypi"] {
        assert_eq!(wanted("", known), [false, true], "`auto` is the default");
        assert_eq!(wanted("auto", known), [false, true]);
        assert_eq!(wanted("off", known), [false, false]);
        assert_eq!(wanted("required", known), [true, true]);
    }
    let other = "https://index.example/legacy/";
    assert_eq!(wanted("auto", other), [false, false]);
    assert_eq!(wanted("off", other), [false, false]);
    assert_eq!(wanted("required", other), [true, true]);
}

#[test]
fn attestations_cannot_be_required_with_a_password() {
    let required = [("MANIFEST", "none"), ("ATTESTATIONS", "required")];
    assert!(read(&required).is_ok());
    for password in [("PASSWORD", "pypi-x"), ("PASSWORD_FILE", "-")] {
        let error = read(&[&required[..], &[password]].concat()).unwrap_err();
        assert!(error.contains("needs trusted publishing"), "{error}");
    }
}

#[test]
fn plain_http_needs_the_flag_and_loopback() {
    let index = |url: &str, flag: &str| {
        read(&[("MANIFEST", "none"), ("INDEX", url), ("ALLOW_INSECURE_LOOPBACK", flag)])
    };
    assert!(index("http://127.0.0.1:1/", "true").is_ok());
    assert!(index("http://[::1]:1/", "true").is_ok());
    assert!(index("http://127.0.0.1:1/", "false").unwrap_err().contains("allow-insecure-loopback"));
    assert!(index("http://192.0.2.1/", "true").unwrap_err().contains("https"));
    assert!(index("http://127.0.0.1.example/", "true").unwrap_err().contains("https"));
}

#[test]
fn all_faults_come_at_once() {
    let error = read(&[
        ("INDEX", "nowhere"),
        ("DRY_RUN", "x"),
        ("PACKAGE_ORDER", "a, A"),
        ("TIMEOUT", "0"),
        ("CONCURRENCY", "many"),
        ("ATTESTATIONS", "yes"),
    ]);
    let error = error.unwrap_err();
    for name in ["index", "dry-run", "manifest", "package-order", "timeout", "concurrency", "attestations"] {
        assert!(error.contains(&format!("input `{name}`")), "{error}");
    }
}

/// A shell exports the secrets once, for every program.
#[test]
fn the_secrets_are_no_unknown_inputs_of_other_actions() {
    let other = toolkit::Spec { name: "other", inputs: &[], ..SPEC.clone() };
    for secret in SPEC.inputs.iter().filter(|input| input.kind == toolkit::InputKind::Secret) {
        let env = Env::from_iter([(secret.variable(), "x".to_owned())]);
        assert_eq!(Reader::new(&other, &env).finish(()), Ok(()), "{}", secret.name);
    }
}
