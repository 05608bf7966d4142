use super::*;

fn read(env: &[(&str, &str)]) -> Result<Inputs, String> {
    Inputs::read(&Env::from_iter(env.iter().copied())).map_err(|errors| errors.to_string())
}

#[test]
fn reports_every_error() {
    let env = [
        ("INPUT_DRY_RUN", "ture"),
        ("INPUT_TARGET", "sparc-sun-solaris"),
        ("INPUT_LINKER", "container"),
        ("INPUT_COMPATIBILITY", "manylinux"),
        ("INPUT_FLAKE_ATTR", "a b"),
        ("INPUT_MATURIN_ARGS", "x 'y"),
        ("INPUT_TEST_SOURCES", "../tests"),
    ];
    let errors = read(&env).unwrap_err();
    for expected in [
        "`dry-run`: expected one of `true`, `false`, found `ture`; did you mean `true`?",
        "`target`: unsupported target `sparc-sun-solaris`; expected a short name",
        "`container-image`: `linker: container` needs an image by digest",
        "`compatibility`: expected `manylinux_<major>_<minor>`",
        "`flake-attr`: expected an attribute such as",
        "`maturin-args`: a quotation mark is not closed",
        "`test-sources`: expected paths in the project, found `../tests`",
    ] {
        assert!(errors.contains(expected), "{expected} is not in\n{errors}");
    }
}

#[test]
fn requires_a_digest_for_an_image() {
    let digest = "0123456789abcdef".repeat(4);
    let image = format!("quay.example/maturin@sha256:{digest}");
    let read = |image: &str| read(&[("INPUT_LINKER", "container"), ("INPUT_CONTAINER_IMAGE", image)]);
    assert_eq!(read(&image).unwrap().container_image, Some(image.clone()));
    assert!(read("quay.example/maturin:latest").unwrap_err().contains("by digest"));
}

#[test]
fn accepts_options_with_and_without_an_equals_sign() {
    let lines = "--strip\n--features a,b\n--features=c\n--config 'a.b=\"c d\"'";
    let words = ["--strip", "--features", "a,b", "--features=c", "--config", "a.b=\"c d\""];
    assert_eq!(read(&[("INPUT_MATURIN_ARGS", lines)]).unwrap().maturin_args, words);
}

#[test]
fn backslashes_of_windows_survive_in_arguments() {
    let words = |line: &str, is_windows| argument_words(line, is_windows).unwrap();
    let line = r#"--config C:\a\new.toml --out "D:\my dir""#;
    assert_eq!(words(line, true), ["--config", r"C:\a\new.toml", "--out", r"D:\my dir"]);
    assert_eq!(words(r"--features a\ b", false), ["--features", "a b"], "as in a POSIX shell");
    assert_eq!(words("--features ''", true), ["--features", ""]);
    let quoted = r#"--config a.b=\"c\""#;
    assert_eq!(words(quoted, true), words(quoted, false));
    assert_eq!(argument_words("--out \"D:", true), None);
}

#[test]
fn paths_of_interpreters_may_have_spaces() {
    let words = |line: &str| interpreter_words(line, true).unwrap();
    let path = r"C:\Program Files\Python312\python.exe";
    assert_eq!(words(path), [path]);
    assert_eq!(words(&format!("3.13t, {path} {path}")), ["3.13t", path, path]);
    assert_eq!(words(r"C:\py\python.exe 3.12"), [r"C:\py\python.exe", "3.12"]);
    assert_eq!(words(r"C:\py\python 3.12"), [r"C:\py\python", "3.12"]);
    assert_eq!(words(r#""C:\my py\python" 3.12"#), [r"C:\my py\python", "3.12"]);
    let two = "/usr/bin/python3.11 '/opt/my py/bin/python3'";
    assert_eq!(interpreter_words(two, false).unwrap(), ["/usr/bin/python3.11", "/opt/my py/bin/python3"]);
    assert_eq!(interpreter_words("'3.12", false), None);
}
