//! Identity tokens that CI services issue to a job (OpenID Connect).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use index::{Client, HttpError, RetryVerdict, Retryable, without_secrets};
use reqwest::Url;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use toolkit::{Env, Secret, Ui};

use crate::command;
use crate::error::AuthError;

/// The timeout of each identity request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The service that issues an identity token to this job.
#[derive(Debug, Clone)]
pub enum IdentityProvider {
    /// GitHub Actions: an endpoint of the runner.
    GitHub {
        /// The endpoint.
        url: Url,
        /// The bearer token for the request.
        token: Secret,
    },
    /// GitLab CI: the job's `id_tokens`, one variable for each audience.
    GitLab(BTreeMap<String, Secret>),
    /// Buildkite: the agent.
    Buildkite,
    /// CircleCI: its command line.
    CircleCi,
    /// Google Cloud: the metadata server.
    Google(Url),
}

/// The product names of Google's machines in their firmware.
const GOOGLE: [&str; 2] = ["Google", "Google Compute Engine"];

impl IdentityProvider {
    /// The provider that this job has; `None` if it has none.
    pub fn from_env(env: &Env, insecure_loopback: bool) -> Result<Option<Self>, AuthError> {
        let variable = "ACTIONS_ID_TOKEN_REQUEST_URL";
        if let (Some(url), Some(token)) = (env.get(variable), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) {
            let url = index::checked(url, insecure_loopback);
            let url = url.map_err(|source| AuthError::ProviderUrl { variable, source })?;
            return Ok(Some(Self::GitHub { url, token: Secret::new(token) }));
        }
        if env.get("GITHUB_ACTIONS").is_some() {
            return Ok(None);
        }
        if env.get("GITLAB_CI").is_some() {
            let tokens = env.iter().filter(|(name, value)| name.ends_with("_ID_TOKEN") && !value.is_empty());
            return Ok(Some(Self::GitLab(
                tokens.map(|(name, value)| (name.to_owned(), Secret::new(value))).collect(),
            )));
        }
        if env.get("BUILDKITE").is_some() {
            return Ok(Some(Self::Buildkite));
        }
        if env.get("CIRCLECI").is_some() {
            return Ok(Some(Self::CircleCi));
        }
        let host = env.get("GCE_METADATA_HOST");
        let product = std::fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
        if host.is_none() && !GOOGLE.contains(&product.trim()) {
            return Ok(None);
        }
        let host = host.unwrap_or("metadata.google.internal");
        // The metadata server uses plain HTTP on a link-local address.
        let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/identity");
        Ok(Url::parse(&url).ok().map(Self::Google))
    }

    /// A fresh identity token (a JWT) for `audience`, masked.
    pub async fn identity(&self, client: &Client, ui: &Ui, audience: &str) -> Result<Secret, AuthError> {
        let token = match self {
            Self::GitHub { url, token } => {
                ui.mask(token);
                github(client, url, token, audience).await.map_err(AuthError::Identity)?
            }
            Self::GitLab(tokens) => {
                let variable = variable(audience);
                let token = tokens.get(&variable).cloned();
                token.ok_or_else(|| AuthError::Variable { audience: audience.to_owned(), variable })?
            }
            Self::Buildkite => {
                command::secret(
                    "buildkite-agent",
                    &["oidc", "request-token", "--audience", audience],
                    TIMEOUT,
                )
                .await?
            }
            Self::CircleCi => {
                let claims = serde_json::json!({ "aud": audience }).to_string();
                command::secret("circleci", &["run", "oidc", "get", "--claims", &claims], TIMEOUT).await?
            }
            Self::Google(url) => google(client, url, audience).await.map_err(AuthError::Identity)?,
        };
        check_token("an identity token", &token).map_err(AuthError::Identity)?;
        ui.mask(&token);
        Ok(token)
    }
}

/// GitLab's name for the token with this audience, as sigstore's and PyPI's
/// tools look for it.
fn variable(audience: &str) -> String {
    let upper = audience.to_ascii_uppercase();
    let name: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    format!("{}{}_ID_TOKEN", if digit { "_" } else { "" }, if digit { &name[1..] } else { &name })
}

/// GitHub's transient answer 403 "Pending state": the run is not known yet.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Pending(HttpError);

impl Retryable for Pending {
    fn verdict(&self) -> RetryVerdict {
        match self.0.status() {
            Some(403) => RetryVerdict::Again(None),
            _ => self.0.verdict(),
        }
    }
}

async fn github(client: &Client, url: &Url, token: &Secret, audience: &str) -> Result<Secret, HttpError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let mut url = url.clone();
    // The provider's URL already has a query.
    url.query_pairs_mut().append_pair("audience", audience);
    let get =
        || client.sender.get(url.clone()).bearer_auth(token.expose()).header(ACCEPT, "application/json");
    let once = client.once();
    // A missing permission gives 403 too, so stop retrying after half a minute.
    let patient =
        client.with_retry(index::Retry { budget: client.retry.budget.min(PENDING), ..client.retry });
    let answer = patient.retry(async || once.fetch(TIMEOUT, get).await.map_err(Pending)).await;
    let (_, body) = answer.map_err(|Pending(error)| error)?;
    let answer: Answer = parse(&url, "an identity token", &body)?;
    Ok(Secret::new(answer.value))
}

/// How long GitHub may take to know a run.
const PENDING: Duration = Duration::from_secs(30);

async fn google(client: &Client, url: &Url, audience: &str) -> Result<Secret, HttpError> {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("audience", audience).append_pair("format", "full");
    let get = || client.sender.get(url.clone()).header("Metadata-Flavor", "Google");
    let (_, body) = client.fetch(TIMEOUT, get).await?;
    Ok(Secret::new(String::from_utf8_lossy(&body).trim().to_owned()))
}

/// Rejects an empty token, or one with characters other than visible ASCII.
pub(crate) fn check_token(expected: &'static str, token: &Secret) -> Result<(), HttpError> {
    let text = token.expose();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let found = if text.is_empty() { "an answer without one" } else { "a token with invalid characters" };
    Err(HttpError::Malformed { url: "the answer".to_owned(), expected, found: found.to_owned() })
}

/// Parses JSON that may hold a token: errors show only the position.
pub(crate) fn parse<'de, T: Deserialize<'de>>(
    url: &Url,
    expected: &'static str,
    body: &'de [u8],
) -> Result<T, HttpError> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let found = format!("a {:?} error at {place}", error.classify());
        HttpError::Malformed { url: without_secrets(url), expected, found }
    })
}

/// The claims of a JWT, unverified: they are only shown, or compared with what
/// another service will verify.
pub(crate) fn jwt_claims(jwt: &Secret) -> serde_json::Value {
    let part = jwt.expose().split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    part.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The reusable workflow that the job is in, if any. PyPI's trusted publishers
/// and attestations name the calling workflow, the identity names both.
pub(crate) fn reusable_workflow(jwt: &Secret) -> Option<String> {
    let claims = jwt_claims(jwt);
    let (caller, own) = (claims["workflow_ref"].as_str()?, claims["job_workflow_ref"].as_str()?);
    (caller != own).then(|| own.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(variables: &[(&str, &str)]) -> Option<IdentityProvider> {
        IdentityProvider::from_env(&variables.iter().copied().collect(), true).unwrap()
    }

    #[test]
    fn recognises_each_service() {
        let request = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://a.example/t"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x"),
        ];
        assert!(matches!(provider(&request), Some(IdentityProvider::GitHub { .. })));
        assert!(provider(&[("GITHUB_ACTIONS", "true"), ("GCE_METADATA_HOST", "m")]).is_none());
        assert!(matches!(provider(&[("BUILDKITE", "true")]), Some(IdentityProvider::Buildkite)));
        assert!(matches!(provider(&[("CIRCLECI", "true")]), Some(IdentityProvider::CircleCi)));
        let Some(IdentityProvider::GitLab(tokens)) =
            provider(&[("GITLAB_CI", "true"), ("PYPI_ID_TOKEN", "a.b.c"), ("SIGSTORE_ID_TOKEN", "")])
        else {
            panic!("GitLab was not recognised")
        };
        assert_eq!(tokens.keys().collect::<Vec<_>>(), ["PYPI_ID_TOKEN"]);
        assert!(matches!(
            provider(&[("GCE_METADATA_HOST", "127.0.0.1:1")]),
            Some(IdentityProvider::Google(_))
        ));
    }

    #[test]
    fn gitlab_has_a_variable_for_each_audience() {
        assert_eq!(variable("pypi"), "PYPI_ID_TOKEN");
        assert_eq!(variable("http://test.audience"), "HTTP___TEST_AUDIENCE_ID_TOKEN");
        assert_eq!(variable("127.0.0.1"), "_27_0_0_1_ID_TOKEN");
    }

    #[test]
    fn recognises_a_reusable_workflow() {
        let jwt = |claims: serde_json::Value| {
            Secret::new(format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())))
        };
        let caller = "o/r/.github/workflows/release.yml@refs/tags/v1";
        let claims = |own: &str| serde_json::json!({ "workflow_ref": caller, "job_workflow_ref": own });
        assert_eq!(reusable_workflow(&jwt(claims(caller))), None);
        assert_eq!(reusable_workflow(&jwt(claims("o/x/y.yml@main"))).as_deref(), Some("o/x/y.yml@main"));
    }
}
