//! Who we are: a password or token, or an identity from the workflow run that
//! the index exchanges for a token (trusted publishing).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use toolkit::{Env, Secret, Ui, error_chain};

use crate::error::{AuthError, Error};
use crate::http::{self, Http, HttpError};
use crate::index::{self, Index};

/// For each request about identities.
const LIMIT: Duration = Duration::from_secs(20);
/// A token with less than this left is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// How long a minted token is taken to be good where the index does not say.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// A user and a password for basic authentication.
#[derive(Debug, Clone)]
pub struct Basic {
    /// `__token__` where the password is a token.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

impl Basic {
    /// Masks the password, also as it stands in a header. To be called before
    /// it is used.
    pub fn mask(&self, ui: &Ui) {
        ui.mask(&self.password);
        ui.mask(&Secret::new(format!("{}:{}", self.user, self.password.expose())));
    }

    /// Puts it on a request.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose()))
    }
}

/// The identity provider of the workflow run.
#[derive(Debug, Clone)]
pub struct Provider {
    url: Url,
    token: Secret,
}

impl Provider {
    /// The provider that the runner offers; `None` where it offers none.
    pub fn from_env(env: &Env, insecure_loopback: bool) -> Result<Option<Self>, AuthError> {
        let (Some(url), Some(token)) =
            (env.get("ACTIONS_ID_TOKEN_REQUEST_URL"), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
        else {
            return Ok(None);
        };
        let url = index::checked(url, insecure_loopback).map_err(AuthError::ProviderUrl)?;
        Ok(Some(Self { url, token: Secret::new(token) }))
    }

    /// A fresh identity token (a JWT) for `audience`, masked.
    pub async fn identity(&self, http: &Http, ui: &Ui, audience: &str) -> Result<Secret, AuthError> {
        #[derive(Deserialize)]
        struct Answer {
            value: String,
        }
        ui.mask(&self.token);
        let mut url = self.url.clone();
        // The provider's URL has a query of its own already.
        url.query_pairs_mut().append_pair("audience", audience);
        let get = || {
            http.sender.get(url.clone()).bearer_auth(self.token.expose()).header(ACCEPT, "application/json")
        };
        let mut tries = 1;
        let (_, body) = loop {
            match http.fetch(LIMIT, get).await {
                Ok(answer) => break answer,
                // "Pending state": the run is not known to the provider yet.
                Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {
                    tries += 1;
                    let Some(wait) = http.pace.wait(tries, error.retry_after()) else {
                        return Err(AuthError::Identity(error));
                    };
                    http.pause(&error_chain(&error), wait).await.map_err(AuthError::Identity)?;
                }
                Err(error) => return Err(AuthError::Identity(error)),
            }
        };
        let answer: Answer = parse(&url, "an identity token", &body).map_err(AuthError::Identity)?;
        let token = Secret::new(answer.value);
        usable(&url, "an identity token", &token).map_err(AuthError::Identity)?;
        ui.mask(&token);
        Ok(token)
    }
}

/// What uploads are authorised with.
pub enum Credentials<'a> {
    /// What the user has given.
    Given(Basic),
    /// Minted, and minted again when it grows old.
    Trusted(Box<Trusted<'a>>),
}

/// Trusted publishing: identity in, token out.
pub struct Trusted<'a> {
    http: &'a Http,
    ui: &'a Ui,
    index: &'a Index,
    allowed: Option<&'a str>,
    provider: Provider,
    token: Mutex<Option<(Basic, Instant)>>,
}

impl<'a> Trusted<'a> {
    /// For `index`; `allowed` is the audience that the user has said.
    pub fn new(
        http: &'a Http,
        ui: &'a Ui,
        index: &'a Index,
        allowed: Option<&'a str>,
        provider: Provider,
    ) -> Self {
        Self { http, ui, index, allowed, provider, token: Mutex::new(None) }
    }

    async fn audience(&self) -> Result<String, AuthError> {
        #[derive(Deserialize)]
        struct Answer {
            audience: String,
        }
        let url = self.index.at_host("/_/oidc/audience");
        let answer = self.http.fetch(LIMIT, || self.http.sender.get(url.clone())).await;
        let (_, body) = answer.map_err(AuthError::Audience)?;
        let answer: Answer = parse(&url, "an audience", &body).map_err(AuthError::Audience)?;
        let audience = self.index.audience(&answer.audience, self.allowed);
        Ok(audience.map_err(AuthError::Foreign)?.to_owned())
    }

    /// A new token. A JWT is good for one exchange, so each try gets its own.
    async fn mint(&self) -> Result<(Basic, Instant), AuthError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default = "yes")]
            success: bool,
            token: String,
            #[serde(default)]
            expires: Option<serde_json::Value>,
        }
        let audience = self.audience().await?;
        let url = self.index.at_host("/_/oidc/mint-token");
        let once = self.http.once();
        let mut tries = 1;
        loop {
            let identity = self.provider.identity(self.http, self.ui, &audience).await?;
            let body = serde_json::json!({ "token": identity.expose() });
            let asked = Instant::now();
            let error = match once.fetch(LIMIT, || once.sender.post(url.clone()).json(&body)).await {
                Ok((_, body)) => {
                    let failed = |source| AuthError::Mint { source, claims: String::new() };
                    let answer: Answer = parse(&url, "a minted token", &body).map_err(failed)?;
                    let token = Secret::new(if answer.success { answer.token } else { String::new() });
                    usable(&url, "a minted token", &token).map_err(failed)?;
                    let basic = Basic { user: "__token__".to_owned(), password: token };
                    basic.mask(self.ui);
                    return Ok((basic, asked + life(answer.expires.as_ref())));
                }
                Err(error) => error,
            };
            tries += 1;
            let failed = |source, claims| AuthError::Mint { source, claims };
            let Some(wait) = self.http.pace.after(tries, &error) else {
                // Where the index says why it does not know this run.
                let refused = error.status() == Some(StatusCode::UNPROCESSABLE_ENTITY);
                return Err(failed(error, if refused { claims(&identity) } else { String::new() }));
            };
            let told = self.http.pause(&error_chain(&error), wait).await;
            told.map_err(|source| failed(source, String::new()))?;
        }
    }
}

fn yes() -> bool {
    true
}

/// Refuses a token that can be none: empty, or not of visible characters.
fn usable(url: &Url, expected: &'static str, token: &Secret) -> Result<(), HttpError> {
    let text = token.expose();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let found = if text.is_empty() { "it has none" } else { "it has characters that no token has" };
    Err(HttpError::Form { url: http::shown(url), expected, found: found.to_owned() })
}

/// What the identity says about this run, a line each: what an index compares
/// with its publishers. None of it is secret.
fn claims(identity: &Secret) -> String {
    const TOLD: [&str; 7] = [
        "sub",
        "repository",
        "repository_owner",
        "repository_owner_id",
        "workflow_ref",
        "job_workflow_ref",
        "environment",
    ];
    let claims = jwt_claims(identity);
    let told = TOLD.iter().filter_map(|name| Some(format!("\n  {name}: {}", claims[*name].as_str()?)));
    told.collect()
}

/// The claims of a JWT, which is not checked: they are only told, or compared
/// with what another service will check.
pub(crate) fn jwt_claims(jwt: &Secret) -> serde_json::Value {
    let part = jwt.expose().split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    part.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// How long a token is good: `expires` is a Unix time, in seconds.
fn life(expires: Option<&serde_json::Value>) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let expires = expires.and_then(serde_json::Value::as_u64).map(Duration::from_secs);
    expires.map_or(LIFE, |expires| expires.saturating_sub(now).min(LIFE))
}

impl Credentials<'_> {
    /// What is good for at least the next upload.
    pub async fn current(&self) -> Result<Basic, Error> {
        let trusted = match self {
            Self::Given(basic) => return Ok(basic.clone()),
            Self::Trusted(trusted) => trusted,
        };
        let mut token = trusted.token.lock().await;
        let good = token.as_ref().filter(|(_, end)| *end > Instant::now() + MARGIN);
        if let Some((basic, _)) = good {
            return Ok(basic.clone());
        }
        let (basic, end) = trusted.mint().await?;
        *token = Some((basic.clone(), end));
        Ok(basic)
    }

    /// Forgets `basic`, which the index no longer takes; whether there can be
    /// another.
    pub async fn renew(&self, basic: &Basic) -> bool {
        let Self::Trusted(trusted) = self else { return false };
        let mut token = trusted.token.lock().await;
        // Another upload may have got a new one already.
        if token.as_ref().is_some_and(|(held, _)| held.password.expose() == basic.password.expose()) {
            *token = None;
        }
        true
    }
}

fn parse<'de, T: Deserialize<'de>>(
    url: &Url,
    expected: &'static str,
    body: &'de [u8],
) -> Result<T, HttpError> {
    serde_json::from_slice(body).map_err(|error| {
        // The text could hold a token: only the place of the fault is told.
        let found = format!("line {}, column {}: {:?} error", error.line(), error.column(), error.classify());
        HttpError::Form { url: http::shown(url), expected, found }
    })
}
