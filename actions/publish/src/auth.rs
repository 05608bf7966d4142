//! The credentials for an upload: a password or token, or an identity that the
//! index exchanges for a token (trusted publishing).

use pydist::name::ProjectName;
use std::time::{Duration, Instant};

use index::{Basic, Client, HttpError, Index, RetryVerdict, Retryable};
use serde::Deserialize;
use tokio::sync::Mutex;
use toolkit::{Secret, Ui};

use crate::error::{AuthError, Error};
use crate::identity::{IdentityProvider, TIMEOUT, check_token, jwt_claims, parse, reusable_workflow};

/// A token with less than this left is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// The lifetime of a minted token if the index does not state one.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// The credentials for uploads.
pub enum Credentials<'a> {
    /// Given by the user.
    Given(Basic),
    /// Minted by trusted publishing, and minted again before it expires.
    Trusted(Box<Trusted<'a>>),
}

/// Trusted publishing: identity in, token out.
pub struct Trusted<'a> {
    client: &'a Client,
    ui: &'a Ui,
    index: &'a Index,
    allowed: Option<&'a str>,
    provider: IdentityProvider,
    new: Vec<ProjectName>,
    token: Mutex<Option<(Basic, Instant)>>,
}

/// Minting is retried with a new identity, because each can be exchanged once.
impl Retryable for AuthError {
    fn verdict(&self) -> RetryVerdict {
        match self {
            Self::Mint { source, .. } => source.verdict(),
            _ => RetryVerdict::Final,
        }
    }
}

impl<'a> Trusted<'a> {
    /// Trusted publishing on `index`. `allowed` is the audience that it may
    /// request, `new` are the projects that do not exist on it yet.
    pub fn new(
        client: &'a Client,
        ui: &'a Ui,
        index: &'a Index,
        allowed: Option<&'a str>,
        provider: IdentityProvider,
        new: Vec<ProjectName>,
    ) -> Self {
        Self { client, ui, index, allowed, provider, new, token: Mutex::new(None) }
    }

    async fn audience(&self) -> Result<String, AuthError> {
        #[derive(Deserialize)]
        struct Answer {
            audience: String,
        }
        let url = self.index.at_host("/_/oidc/audience");
        let answer = self.client.fetch(TIMEOUT, || self.client.sender.get(url.clone())).await;
        let (_, body) = answer.map_err(AuthError::Audience)?;
        let answer: Answer = parse(&url, "an audience", &body).map_err(AuthError::Audience)?;
        let audience = self.index.audience(&answer.audience, self.allowed);
        Ok(audience.map_err(AuthError::Foreign)?.to_owned())
    }

    async fn mint(&self) -> Result<(Basic, Instant), AuthError> {
        let audience = self.audience().await?;
        let once = self.client.once();
        self.client
            .retry(async || {
                let identity = self.provider.identity(self.client, self.ui, &audience).await?;
                self.exchange(&once, &identity).await.map_err(|source| {
                    // Only if the index rejected the identity itself.
                    let is_refused = source.status() == Some(422);
                    AuthError::Mint {
                        claims: if is_refused { claims(&identity) } else { String::new() },
                        reusable: reusable_workflow(&identity),
                        new: self.new.clone(),
                        source,
                    }
                })
            })
            .await
    }

    async fn exchange(&self, once: &Client, identity: &Secret) -> Result<(Basic, Instant), HttpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default = "default_true")]
            success: bool,
            token: String,
            #[serde(default)]
            expires: Option<serde_json::Value>,
        }
        let url = self.index.at_host("/_/oidc/mint-token");
        let body = serde_json::json!({ "token": identity.expose() });
        let asked = Instant::now();
        let (_, body) = once.fetch(TIMEOUT, || once.sender.post(url.clone()).json(&body)).await?;
        let answer: Answer = parse(&url, "a minted token", &body)?;
        let token = Secret::new(if answer.success { answer.token } else { String::new() });
        check_token("a minted token", &token)?;
        let basic = Basic { user: "__token__".to_owned(), password: token };
        basic.mask(self.ui);
        Ok((basic, asked + remaining_lifetime(answer.expires.as_ref())))
    }
}

fn default_true() -> bool {
    true
}

/// The identity's claims that an index compares with its publishers, one per
/// line. None of them is secret.
fn claims(identity: &Secret) -> String {
    const SHOWN: [&str; 9] = [
        "sub",
        "repository",
        "repository_owner",
        "repository_owner_id",
        "workflow_ref",
        "job_workflow_ref",
        "project_path",
        "ci_config_ref_uri",
        "environment",
    ];
    let claims = jwt_claims(identity);
    let shown = SHOWN.iter().filter_map(|name| Some(format!("\n  {name}: {}", claims[*name].as_str()?)));
    shown.collect()
}

/// The remaining lifetime of a token; `expires` is a Unix time in seconds.
fn remaining_lifetime(expires: Option<&serde_json::Value>) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let expires = expires.and_then(serde_json::Value::as_u64).map(Duration::from_secs);
    expires.map_or(LIFE, |expires| expires.saturating_sub(now).min(LIFE))
}

impl Credentials<'_> {
    /// Fails if they need trusted publishing and the index does not offer it.
    pub async fn check_offered(&self) -> Result<(), Error> {
        if let Self::Trusted(trusted) = self {
            trusted.audience().await?;
        }
        Ok(())
    }

    /// Credentials that are valid for at least the next upload.
    pub async fn current(&self) -> Result<Basic, Error> {
        let trusted = match self {
            Self::Given(basic) => return Ok(basic.clone()),
            Self::Trusted(trusted) => trusted,
        };
        let mut token = trusted.token.lock().await;
        let valid = token.as_ref().filter(|(_, end)| *end > Instant::now() + MARGIN);
        if let Some((basic, _)) = valid {
            return Ok(basic.clone());
        }
        let (basic, end) = trusted.mint().await?;
        *token = Some((basic.clone(), end));
        Ok(basic)
    }

    /// Discards `basic`, which the index no longer accepts. Returns whether there
    /// can be a new token.
    pub async fn renew(&self, basic: &Basic) -> bool {
        let Self::Trusted(trusted) = self else { return false };
        let mut token = trusted.token.lock().await;
        // Another upload may have a new one already.
        if token.as_ref().is_some_and(|(held, _)| held.password.expose() == basic.password.expose()) {
            *token = None;
        }
        true
    }
}
