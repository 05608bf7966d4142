//! Authentication errors and their hints.

use index::{AudienceError, HttpError, IndexError};
use pydist::name::ProjectName;
use toolkit::Exit;

use crate::advice;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Neither a password nor an identity provider.
    #[error("no `password` is given, and this machine has no identity for trusted publishing")]
    Nothing,
    /// The runner's variable is invalid.
    #[error("cannot use `{variable}`")]
    ProviderUrl {
        /// The variable.
        variable: &'static str,
        /// Why.
        source: IndexError,
    },
    /// The job has no identity token for this audience.
    #[error("the job has no identity token for the audience `{audience}`: `{variable}` is not set")]
    Variable {
        /// The audience.
        audience: String,
        /// The variable.
        variable: String,
    },
    /// A command that issues identities or passwords failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// The command.
        command: String,
        /// Why.
        why: String,
    },
    /// The identity provider issued no token.
    #[error("the identity provider issued no token")]
    Identity(#[source] HttpError),
    /// The index named no audience.
    #[error("{}", audience(.0))]
    Audience(#[source] HttpError),
    /// The index requests an audience that it must not get.
    #[error("no identity token was requested")]
    Foreign(#[source] AudienceError),
    /// The index issued no token.
    #[error("the index rejected the OIDC token{}", identity(claims))]
    Mint {
        /// Why.
        source: HttpError,
        /// The identity's claims, one per line.
        claims: String,
        /// The reusable workflow that the job is in, if it is in one.
        reusable: Option<String>,
        /// The projects that do not exist on the index yet.
        new: Vec<ProjectName>,
    },
}

fn identity(claims: &str) -> String {
    if claims.is_empty() { String::new() } else { format!("; the identity has these claims:{claims}") }
}

pub(super) fn names(names: &[ProjectName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

fn audience(error: &HttpError) -> &'static str {
    if error.is_refusal() {
        "the index does not offer trusted publishing"
    } else {
        "cannot ask the index for its OIDC audience"
    }
}

impl AuthError {
    /// The program's exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Nothing | Self::ProviderUrl { .. } | Self::Variable { .. } => Exit::Usage,
            Self::Audience(error) if error.is_refusal() && !is_switched_off(error) => Exit::Usage,
            Self::Mint { source, .. } if !source.is_refusal() || takes_no_projects(source) => {
                Exit::Undetermined
            }
            Self::Foreign(_) | Self::Mint { .. } => Exit::Findings,
            _ => Exit::Undetermined,
        }
    }

    /// The hint. The codes are Warehouse's (`warehouse/oidc/views.py`).
    pub(super) fn hint(&self) -> String {
        let hint = match self {
            Self::Nothing => {
                "set the environment variable INPUT_PASSWORD or `password-file`, or give the job \
                 `permissions: id-token: write`"
            }
            Self::ProviderUrl { .. } => {
                "the runner sets this variable: check that no step overrides it; for a test server on this \
                 machine, set `allow-insecure-loopback`"
            }
            Self::Variable { audience, variable } => {
                return format!("add `id_tokens: {{ {variable}: {{ aud: {audience} }} }}` to the job");
            }
            Self::Command { .. } => "run the command by hand in the same environment to see its output",
            Self::Identity(_) => "check that the job has `permissions: id-token: write`, then rerun",
            Self::Audience(error) if is_switched_off(error) => {
                "the index has temporarily disabled trusted publishing: wait, or set `password` to an API \
                 token"
            }
            Self::Audience(error) if error.is_refusal() => "set `password` to an API token of this index",
            Self::Audience(error) => error.fault().map_or("rerun, or set `password`", advice::connection),
            Self::Foreign(error) if error.taken => "set `password` to an API token of this index",
            Self::Foreign(_) => {
                "if you trust this index with that audience, set `oidc-audience` to it; otherwise set `password`"
            }
            Self::Mint { source, .. } if !source.is_refusal() => "rerun",
            Self::Mint { reusable: Some(workflow), .. } => {
                return format!(
                    "this job runs in the reusable workflow `{workflow}`, which trusted publishers do not match: \
                     publish from the calling workflow itself"
                );
            }
            Self::Mint { source, new, .. } => return mint(source, new),
        };
        hint.to_owned()
    }
}

/// Whether Warehouse's administrators have switched trusted publishing off.
fn is_switched_off(error: &HttpError) -> bool {
    error.status() == Some(403) && error.message().contains("functionality not enabled")
}

/// Whether a pending publisher cannot create its project, for a while.
fn takes_no_projects(error: &HttpError) -> bool {
    error.message().contains("project registration temporarily disabled")
}

fn mint(source: &HttpError, new: &[ProjectName]) -> String {
    let code = source.message().split(':').next().unwrap_or_default().trim();
    let hint = match code {
        "invalid-pending-publisher" => {
            "the project of the pending publisher exists already; register a trusted publisher in its settings"
        }
        "invalid-reuse-token" => "the identity token was used before; rerun",
        "invalid-payload" if takes_no_projects(source) => {
            "the index accepts no new projects for now: wait, then rerun"
        }
        "invalid-payload" if source.message().contains("The name ") => {
            "the index does not allow a project of this name: choose another one"
        }
        "invalid-payload" | "invalid-token" => {
            "the index does not accept this identity provider: check `index`, and the machine's clock"
        }
        "not-enabled" => "the index has disabled trusted publishing: set `password` to an API token, or wait",
        _ if new.is_empty() => {
            "the projects exist, but none of their trusted publishers matches: an owner must register this \
             repository, workflow and environment in the project's settings"
        }
        _ => {
            return format!(
                "{} not on the index yet: register a pending publisher with this repository, workflow and \
                 environment",
                if let [only] = new { format!("`{only}` is") } else { format!("{} are", names(new)) }
            );
        }
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn refused(code: &str, new: &[&str]) -> String {
        let source = HttpError::Status {
            url: String::new(),
            status: reqwest::StatusCode::UNPROCESSABLE_ENTITY,
            message: code.to_owned(),
            retry_after: None,
        };
        let new = new.iter().map(|name| ProjectName::new(name)).collect();
        AuthError::Mint { source, claims: String::new(), reusable: None, new }.hint()
    }

    #[test]
    fn each_mint_error_has_its_own_hint() {
        let codes = [
            "invalid-publisher",
            "invalid-token",
            "invalid-reuse-token",
            "invalid-pending-publisher",
            "not-enabled",
            "invalid-payload: New project registration temporarily disabled.",
            "invalid-payload: The name 'io' isn't allowed",
        ];
        let hints: BTreeSet<String> = codes.iter().map(|code| refused(code, &[])).collect();
        assert_eq!(hints.len(), codes.len());
        assert_eq!(refused("invalid-payload", &[]), refused("invalid-token", &[]));
    }

    #[test]
    fn distinguishes_a_missing_publisher_from_a_missing_project() {
        assert!(refused("invalid-publisher", &[]).contains("the projects exist"));
        assert!(refused("invalid-publisher", &["htty"]).contains("`htty` is not on the index yet"));
    }
}
