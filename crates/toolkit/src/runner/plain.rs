//! The context without ghactions, which does not compile for Windows and has many
//! dependencies that `cargo xtask` does not need.

use crate::{Context, Env};

/// The run that this process is part of. `env` is this process's environment.
pub(crate) fn context(env: &Env) -> Context {
    let given = |name: &str| env.get(name).map(str::to_owned);
    let default = Context::default();
    let address = |name: &str, default: String| {
        let value = env.get(name).unwrap_or_default().trim_end_matches('/');
        if value.is_empty() { default } else { value.to_owned() }
    };
    Context {
        repository: given("GITHUB_REPOSITORY"),
        sha: given("GITHUB_SHA"),
        ref_name: given("GITHUB_REF_NAME"),
        ref_type: given("GITHUB_REF_TYPE"),
        event: given("GITHUB_EVENT_NAME"),
        api_url: address("GITHUB_API_URL", default.api_url),
        server_url: address("GITHUB_SERVER_URL", default.server_url),
        workspace: env.get("GITHUB_WORKSPACE").map(Into::into),
        temp: env.get("RUNNER_TEMP").map(Into::into),
    }
}
