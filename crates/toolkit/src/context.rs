//! What the runner tells about the run.

use std::path::PathBuf;

use ghactions::{ActionTrait, ActionsError};

use crate::Env;

/// The run's context. Every field is `None` outside a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// `owner/name`.
    pub repository: Option<String>,
    /// The commit that triggered the run.
    pub sha: Option<String>,
    /// `main`, `v1.2.3` …
    pub ref_name: Option<String>,
    /// `branch` or `tag`.
    pub ref_type: Option<String>,
    /// `push`, `workflow_dispatch` …
    pub event: Option<String>,
    /// The API's address without a slash at the end; GitHub's own by default.
    pub api_url: String,
    /// The web address without a slash at the end; GitHub's own by default.
    pub server_url: String,
    /// The checkout.
    pub workspace: Option<PathBuf>,
    /// A folder that is emptied before and after each job.
    pub temp: Option<PathBuf>,
}

impl Context {
    /// The context of this process's run.
    pub fn read(env: &Env) -> Self {
        let runner = Runner;
        Self {
            repository: given(runner.get_repository()),
            sha: given(runner.get_sha()),
            ref_name: given(runner.get_ref_name()),
            ref_type: given(runner.get_ref_type()),
            event: given(runner.get_event_name()),
            api_url: runner.get_api_url().trim_end_matches('/').to_owned(),
            server_url: runner.get_server_url().trim_end_matches('/').to_owned(),
            // ghactions has no getter for these two.
            workspace: env.get("GITHUB_WORKSPACE").map(PathBuf::from),
            temp: env.get("RUNNER_TEMP").map(PathBuf::from),
        }
    }

    /// The tag that triggered the run, if one did.
    pub fn tag(&self) -> Option<&str> {
        self.ref_name.as_deref().filter(|_| self.ref_type.as_deref() == Some("tag"))
    }
}

fn given(value: Result<String, ActionsError>) -> Option<String> {
    value.ok().filter(|value| !value.is_empty())
}

/// The runner as ghactions sees it: its context getters read this process's
/// environment.
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
