//! Trusted publishing from services other than GitHub.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

/// The audience of the test's index.
const AUDIENCE: &str = "127.0.0.1";

struct World {
    set: Set,
    oidc: Oidc,
    index: Warehouse,
}

impl World {
    fn new() -> Self {
        let oidc = Oidc::start(0);
        let index = Warehouse::start(Behaviour::default(), Some(oidc.issued()));
        Self { set: Set::htty(), index: index.with_projects(&["htty", "htty-core"]), oidc }
    }

    fn command(&self) -> Command {
        let mut command = self.set.command();
        command.args(["--index", &self.index.url(), "--allow-insecure-loopback"]);
        command.env("HOME", self.set.dir.path()).env("INPUT_RETRY_FOR", "6");
        command
    }

    /// Puts a program of the service first on PATH.
    fn with_program(&self, name: &str, script: &str) -> Command {
        let path = self.set.dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let rest = std::env::var("PATH").unwrap_or_default();
        let mut command = self.command();
        command.env("PATH", format!("{}:{rest}", self.set.dir.path().display()));
        command
    }

    #[track_caller]
    fn publishes(&self, command: Command) {
        let result = self.set.run(command).expect(0);
        result.all("uploaded");
        assert_eq!(self.oidc.issued().audiences(), [AUDIENCE]);
        assert!(!result.text.contains("eyJ") && !result.text.contains("pypi-minted"), "{}", result.text);
    }
}

#[test]
fn reads_gitlabs_variable_for_the_audience() {
    let world = World::new();
    let mut command = world.command();
    command.env("GITLAB_CI", "true").env("_27_0_0_1_ID_TOKEN", world.oidc.issued().issue(AUDIENCE));
    world.publishes(command);
    let world = World::new();
    let mut command = world.command();
    command.env("GITLAB_CI", "true").env("PYPI_ID_TOKEN", world.oidc.issued().issue("pypi"));
    let result = world.set.run(command).expect(2);
    assert!(result.text.contains("`_27_0_0_1_ID_TOKEN` is not set"), "{}", result.text);
    assert!(result.text.contains("id_tokens: { _27_0_0_1_ID_TOKEN: { aud: 127.0.0.1 } }"), "{}", result.text);
    assert!(world.index.shelf().uploads.is_empty());
}

#[test]
fn asks_buildkites_agent() {
    let world = World::new();
    let token = world.oidc.issued().issue(AUDIENCE);
    let script = format!(
        "[ \"$*\" = 'oidc request-token --audience {AUDIENCE}' ] || exit 9\n\
         [ -z \"$INPUT_GITHUB_TOKEN\" ] || exit 8\necho {token}"
    );
    let mut command = world.with_program("buildkite-agent", &script);
    command.env("BUILDKITE", "true").env("INPUT_GITHUB_TOKEN", "not for other programs");
    world.publishes(command);
}

#[test]
fn asks_circlecis_command_line() {
    let world = World::new();
    let token = world.oidc.issued().issue(AUDIENCE);
    let script =
        format!("[ \"$*\" = 'run oidc get --claims {{\"aud\":\"{AUDIENCE}\"}}' ] || exit 9\necho {token}");
    let mut command = world.with_program("circleci", &script);
    command.env("CIRCLECI", "true");
    world.publishes(command);
}

#[test]
fn asks_googles_metadata_server() {
    let world = World::new();
    let mut command = world.command();
    command.env("GCE_METADATA_HOST", world.oidc.host());
    world.publishes(command);
}

#[test]
fn names_a_program_that_fails() {
    for (script, words) in [
        ("echo 'no such job' >&2; exit 3", "`buildkite-agent` failed: exit status: 3: no such job"),
        ("exit 0", "an answer without one"),
        ("echo 'two words'", "a token with invalid characters"),
    ] {
        let world = World::new();
        let mut command = world.with_program("buildkite-agent", script);
        command.env("BUILDKITE", "true");
        let result = world.set.run(command).expect(3);
        assert!(result.text.contains(words) && result.text.contains("hint: "), "{}", result.text);
        assert!(world.index.shelf().uploads.is_empty());
    }
}

#[test]
fn names_a_reusable_workflow_as_the_cause() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    oidc.issued().set_reusable();
    let behaviour = Behaviour { refuses: Some("invalid-publisher"), ..Behaviour::default() };
    let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(1);
    let workflow = "reusable workflow `octo/shared/.github/workflows/publish.yml@refs/heads/main`";
    assert!(result.text.contains(workflow), "{}", result.text);
    assert!(result.text.contains("publish from the calling workflow itself"), "{}", result.text);
}
