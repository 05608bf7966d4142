//! Reads the run's context through ghactions, which reads the environment of this process on
//! each call; only [`main`](crate::main) uses it. Why its other features are not used:
//! `docs/decisions/0001-ghactions.md`.

use ghactions::{ActionTrait, ActionsError};

use crate::{Context, Env};

/// The run that this process is part of. `env` is this process's environment.
pub(crate) fn context(env: &Env) -> Context {
    let runner = Runner;
    let default = Context::default();
    Context {
        repository: non_empty(runner.get_repository()),
        sha: non_empty(runner.get_sha()),
        ref_name: non_empty(runner.get_ref_name()),
        ref_type: non_empty(runner.get_ref_type()),
        event: non_empty(runner.get_event_name()),
        api_url: address(runner.get_api_url(), default.api_url),
        server_url: address(runner.get_server_url(), default.server_url),
        // ghactions has no getter for these.
        workspace: env.get("GITHUB_WORKSPACE").map(Into::into),
        temp: env.get("RUNNER_TEMP").map(Into::into),
    }
}

/// Treats an empty variable as unset, as [`Env`] does.
fn non_empty(value: Result<String, ActionsError>) -> Option<String> {
    value.ok().filter(|value| !value.is_empty())
}

fn address(value: String, default: String) -> String {
    let value = value.trim_end_matches('/');
    if value.is_empty() { default } else { value.to_owned() }
}

struct Runner;

impl ActionTrait for Runner {
    fn init() -> Result<Self, ActionsError> {
        Ok(Self)
    }

    fn name(&self) -> &'static str {
        env!("CARGO_PKG_NAME")
    }

    fn description(&self) -> &'static str {
        "the runner's context"
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs itself as a child, because ghactions reads the environment of the process.
    #[test]
    fn reads_the_context_from_the_runners_variables() {
        const CHILD: &str = "TEST_PRINTS_ITS_CONTEXT";
        if std::env::var_os(CHILD).is_some() {
            let env = Env::from_process();
            assert_eq!(context(&env), super::super::plain::context(&env));
            println!("<{:?}>", context(&env));
            return;
        }
        let child = |variables: &[(&str, &str)]| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([
                "--exact",
                "runner::github::tests::reads_the_context_from_the_runners_variables",
                "--nocapture",
            ]);
            command.env_clear().env(CHILD, "1").envs(variables.iter().copied());
            let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
            let (_, text) = output.split_once('<').unwrap();
            text.split_once('>').unwrap().0.to_owned()
        };
        assert_eq!(child(&[]), format!("{:?}", Context::default()));
        let set = [
            ("GITHUB_REPOSITORY", "owner/name"),
            ("GITHUB_SHA", "0123"),
            ("GITHUB_REF_NAME", "v1.2.3"),
            ("GITHUB_REF_TYPE", "tag"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_API_URL", "https://forge.example/api/v3/"),
            ("GITHUB_SERVER_URL", ""),
            ("GITHUB_WORKSPACE", "/checkout"),
            ("RUNNER_TEMP", "/tmp/runner"),
        ];
        let expected = Context {
            repository: Some("owner/name".into()),
            sha: Some("0123".into()),
            ref_name: Some("v1.2.3".into()),
            ref_type: Some("tag".into()),
            event: Some("push".into()),
            api_url: "https://forge.example/api/v3".into(),
            workspace: Some("/checkout".into()),
            temp: Some("/tmp/runner".into()),
            ..Context::default()
        };
        assert_eq!(child(&set), format!("{expected:?}"));
    }
}
