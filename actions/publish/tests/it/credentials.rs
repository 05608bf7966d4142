//! The sources of a password.

use std::io::Write as _;
use std::process::{Command, Stdio};

use testkit::tools;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::{RunOutput, Set};

fn start() -> (Set, Warehouse) {
    (Set::htty(), Warehouse::start(Behaviour::default(), None))
}

fn command(set: &Set, index: &Warehouse) -> Command {
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("HOME", set.dir.path());
    command.env_remove("NETRC");
    command
}

#[test]
fn reads_the_password_from_standard_input() {
    let (set, index) = start();
    let mut command = command(&set, &index);
    command.args(["--password-file", "-"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{TOKEN}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains(TOKEN) && index.shelf().files.len() == 4, "{text}");
}

#[test]
fn rejects_an_empty_password() {
    let (set, index) = start();
    let path = set.dir.path().join("token");
    std::fs::write(&path, "\n").unwrap();
    let mut command = command(&set, &index);
    command.arg("--password-file").arg(&path);
    let result = set.run(command).expect(3);
    assert!(
        result.text.contains("cannot find a password in `") && result.text.contains("hint: "),
        "{}",
        result.text
    );
}

#[test]
fn rejects_two_passwords() {
    let (set, index) = start();
    let mut command = command(&set, &index);
    command.args(["--password-file", "-"]).env("INPUT_PASSWORD", TOKEN);
    let result = set.run(command).expect(2);
    assert!(
        result.text.contains("input `password-file`: expected only one of `password` and `password-file`"),
        "{}",
        result.text
    );
}

/// A token as an argument would be seen by every user of the machine.
#[test]
fn no_secret_is_accepted_as_an_argument() {
    for secret in ["password", "simple-password", "github-token"] {
        let (set, index) = start();
        let mut command = command(&set, &index);
        command.args([&format!("--{secret}"), TOKEN]);
        let result = set.run(command).expect(2);
        let variable = format!("INPUT_{}", secret.to_uppercase().replace('-', "_"));
        assert!(
            result.text.contains(&variable) && !result.text.contains(TOKEN),
            "{variable}: {}",
            result.text
        );
        assert!(index.shelf().uploads.is_empty());
    }
}

#[test]
fn reads_netrc_from_its_variable_and_only_for_its_host() {
    let (set, index) = start();
    let path = set.dir.path().join("credentials");
    let run = |host: &str| {
        let text = format!("machine {host}\n  login __token__\n  password {TOKEN}\n");
        std::fs::write(&path, text).unwrap();
        let mut command = command(&set, &index);
        command.env("NETRC", &path);
        set.run(command)
    };
    let result = run("other.example").expect(2);
    assert!(result.text.contains("no `password` is given"), "{}", result.text);
    run("127.0.0.1").expect(0).all("uploaded");
}

/// Runs the real `keyring` with a backend that knows one password.
fn keyring(set: &Set, index: &Warehouse, service: &str) -> RunOutput {
    let backend = format!(
        "import keyring.backend\n\
         class Known(keyring.backend.KeyringBackend):\n    priority = 1\n\
         \x20   def get_password(self, service, username):\n\
         \x20       return {TOKEN:?} if (service, username) == ({service:?}, '__token__') else None\n\
         \x20   set_password = delete_password = None\n"
    );
    std::fs::write(set.dir.path().join("known.py"), backend).unwrap();
    let mut command = command(set, index);
    let tools = tools::path("keyring").parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).unwrap();
    command.arg("--keyring").env("PATH", path);
    command.env("PYTHON_KEYRING_BACKEND", "known.Known").env("PYTHONPATH", set.dir.path());
    set.run(command)
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reads_the_password_from_the_keyring() {
    let (set, index) = start();
    let result = keyring(&set, &index, &index.url()).expect(0);
    result.all("uploaded");
    assert!(!result.text.contains(TOKEN), "{}", result.text);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn names_a_keyring_without_the_password() {
    let (set, index) = start();
    let result = keyring(&set, &index, "https://other.example/").expect(3);
    assert!(result.text.contains("`keyring` failed: exit status: 1"), "{}", result.text);
    assert!(result.text.contains("hint: ") && index.shelf().uploads.is_empty(), "{}", result.text);
}

/// Without the input, `keyring` is not started.
#[test]
fn asks_the_keyring_only_with_the_input() {
    let (set, index) = start();
    let result = set.run(command(&set, &index)).expect(2);
    assert!(result.text.contains("no `password` is given"), "{}", result.text);
}
