//! Where a password comes from.

use std::io::Write as _;
use std::process::{Command, Stdio};

use testkit::tools;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::{Ran, Set};

fn start() -> (Set, Warehouse) {
    (Set::htty(), Warehouse::start(Behaviour::default(), None))
}

fn command(set: &Set, index: &Warehouse) -> Command {
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("HOME", set.folder.path());
    command.env_remove("NETRC");
    command
}

#[test]
fn standard_input_gives_the_password() {
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
fn an_empty_password_is_none() {
    let (set, index) = start();
    let path = set.folder.path().join("token");
    std::fs::write(&path, "\n").unwrap();
    let mut command = command(&set, &index);
    command.arg("--password-file").arg(&path);
    let ran = set.run(command).expect(3);
    assert!(ran.text.contains("cannot find a password in `") && ran.text.contains("hint: "), "{}", ran.text);
}

#[test]
fn two_passwords_are_one_too_many() {
    let (set, index) = start();
    let mut command = command(&set, &index);
    command.args(["--password-file", "-"]).env("INPUT_PASSWORD", TOKEN);
    let ran = set.run(command).expect(2);
    assert!(ran.text.contains("input `password-file`: `password` is given too"), "{}", ran.text);
}

/// A token as an argument would be seen by every user of the machine.
#[test]
fn no_secret_is_an_argument() {
    for secret in ["password", "simple-password", "github-token"] {
        let (set, index) = start();
        let mut command = command(&set, &index);
        command.args([&format!("--{secret}"), TOKEN]);
        let ran = set.run(command).expect(2);
        let variable = format!("INPUT_{}", secret.to_uppercase().replace('-', "_"));
        assert!(ran.text.contains(&variable) && !ran.text.contains(TOKEN), "{variable}: {}", ran.text);
        assert!(index.shelf().uploads.is_empty());
    }
}

#[test]
fn netrc_may_be_elsewhere_and_is_for_its_host_alone() {
    let (set, index) = start();
    let path = set.folder.path().join("credentials");
    let run = |host: &str| {
        let text = format!("machine {host}\n  login __token__\n  password {TOKEN}\n");
        std::fs::write(&path, text).unwrap();
        let mut command = command(&set, &index);
        command.env("NETRC", &path);
        set.run(command)
    };
    let ran = run("other.example").expect(2);
    assert!(ran.text.contains("no `password` is given"), "{}", ran.text);
    run("127.0.0.1").expect(0).all("uploaded");
}

/// The real program, with a backend that knows one password.
fn keyring(set: &Set, index: &Warehouse, service: &str) -> Ran {
    let backend = format!(
        "import keyring.backend\n\
         class Known(keyring.backend.KeyringBackend):\n    priority = 1\n\
         \x20   def get_password(self, service, username):\n\
         \x20       return {TOKEN:?} if (service, username) == ({service:?}, '__token__') else None\n\
         \x20   set_password = delete_password = None\n"
    );
    std::fs::write(set.folder.path().join("known.py"), backend).unwrap();
    let mut command = command(set, index);
    let tools = tools::path("keyring").parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).unwrap();
    command.arg("--keyring").env("PATH", path);
    command.env("PYTHON_KEYRING_BACKEND", "known.Known").env("PYTHONPATH", set.folder.path());
    set.run(command)
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn the_keyring_gives_the_password() {
    let (set, index) = start();
    let ran = keyring(&set, &index, &index.url()).expect(0);
    ran.all("uploaded");
    assert!(!ran.text.contains(TOKEN), "{}", ran.text);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_keyring_without_it_is_named() {
    let (set, index) = start();
    let ran = keyring(&set, &index, "https://other.example/").expect(3);
    assert!(ran.text.contains("`keyring` failed: exit status: 1"), "{}", ran.text);
    assert!(ran.text.contains("hint: ") && index.shelf().uploads.is_empty(), "{}", ran.text);
}

/// Without the input, no program is started.
#[test]
fn the_keyring_is_not_asked_unless_wanted() {
    let (set, index) = start();
    let ran = set.run(command(&set, &index)).expect(2);
    assert!(ran.text.contains("no `password` is given"), "{}", ran.text);
}
