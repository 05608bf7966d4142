//! The identity provider that GitHub offers to a workflow run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::server::Server;

/// A provider of tokens for one imagined run; it ends with this value.
pub struct Oidc {
    server: Server,
    state: Arc<Issued>,
}

/// What was issued, shared with those who check it.
#[derive(Default)]
pub struct Issued {
    tokens: Mutex<BTreeSet<String>>,
    audiences: Mutex<Vec<String>>,
    pending: Mutex<u32>,
}

/// What authorises a request for an identity.
pub const REQUEST_TOKEN: &str = "runner-request-token-5d1a";

impl Oidc {
    /// A provider that answers the first `pending` requests with 403, as
    /// GitHub does while a run is not known to it yet.
    pub fn start(pending: u32) -> Self {
        let state = Arc::new(Issued { pending: Mutex::new(pending), ..Issued::default() });
        let shared = Arc::clone(&state);
        let server = Server::start(|_| Router::new().route("/token", get(issue)).with_state(shared));
        Self { server, state }
    }

    /// The runner's variables.
    pub fn env(&self) -> [(&'static str, String); 2] {
        let url = format!("{}token?api-version=2.0", self.server.url());
        [("ACTIONS_ID_TOKEN_REQUEST_URL", url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN.to_owned())]
    }

    /// For those who check tokens.
    pub fn issued(&self) -> Arc<Issued> {
        Arc::clone(&self.state)
    }
}

impl Issued {
    /// The claims of `token`, if it was issued for `audience` and not used up.
    pub fn redeem(&self, token: &str, audience: &str) -> Option<Value> {
        if !self.tokens.lock().expect("no panic while locked").remove(token) {
            return None;
        }
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        (claims["aud"] == audience).then_some(claims)
    }

    /// The audiences asked for, in order.
    pub fn audiences(&self) -> Vec<String> {
        self.audiences.lock().expect("no panic while locked").clone()
    }
}

async fn issue(
    State(state): State<Arc<Issued>>,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let authorised = headers.get("authorization").is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.eq_ignore_ascii_case(&format!("bearer {REQUEST_TOKEN}")))
    });
    let (Some(audience), true) = (query.get("audience"), authorised) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    {
        let mut pending = state.pending.lock().expect("no panic while locked");
        if *pending > 0 {
            *pending -= 1;
            return (StatusCode::FORBIDDEN, "Pending state").into_response();
        }
    }
    let mut audiences = state.audiences.lock().expect("no panic while locked");
    audiences.push(audience.clone());
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let workflow = "octo/htty/.github/workflows/release.yml@refs/tags/v0.3.0";
    let claims = json!({
        "iss": "https://token.actions.githubusercontent.com",
        "sub": "repo:octo/htty:environment:pypi",
        "aud": audience, "jti": audiences.len(), "iat": now, "nbf": now, "exp": now + 300,
        "repository": "octo/htty", "workflow_ref": workflow, "job_workflow_ref": workflow,
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "test" });
    let token = format!("{}.{}.{}", part(&head), part(&claims), BASE64_URL_SAFE_NO_PAD.encode([7; 256]));
    state.tokens.lock().expect("no panic while locked").insert(token.clone());
    axum::Json(json!({ "count": 1, "value": token })).into_response()
}
