use super::*;

fn read(inputs: &[(&str, &str)]) -> Result<Inputs, String> {
    let env = inputs.iter().map(|(name, value)| (format!("INPUT_{name}"), (*value).to_owned())).collect();
    Inputs::read(&env).map_err(|errors| errors.to_string())
}

#[test]
fn requires_a_manifest_or_none() {
    assert!(read(&[]).unwrap_err().contains("input `manifest`: a value is required"));
    assert_eq!(read(&[("MANIFEST", "none")]).unwrap().files.manifest, None);
    let error = read(&[("MANIFEST", "none"), ("MANIFEST_SHA256", &"0".repeat(64))]).unwrap_err();
    assert!(error.contains("no manifest"), "{error}");
}

#[test]
fn rejects_a_misspelled_dry_run() {
    let dry_run = |value| read(&[("MANIFEST", "none"), ("DRY_RUN", value)]).map(|inputs| inputs.dry_run);
    assert_eq!(dry_run("true"), Ok(DryRun::Probe));
    assert_eq!(dry_run("auth"), Ok(DryRun::Auth));
    assert_eq!(dry_run(""), Ok(DryRun::Off));
    assert!(dry_run("ture").unwrap_err().contains("did you mean `true`"));
}

#[test]
fn attests_by_default_only_for_known_indexes_with_an_identity() {
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
fn rejects_required_attestations_with_a_password() {
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
fn reports_all_errors_at_once() {
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

/// A shell may export the secrets for all programs.
#[test]
fn other_actions_ignore_the_secrets() {
    let other = toolkit::Spec { name: "other", inputs: &[], ..SPEC.clone() };
    for secret in SPEC.inputs.iter().filter(|input| input.kind == toolkit::InputKind::Secret) {
        let env = Env::from_iter([(secret.variable(), "x".to_owned())]);
        assert_eq!(Reader::new(&other, &env).finish(()), Ok(()), "{}", secret.name);
    }
}
