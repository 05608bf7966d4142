//! Trusted publishing: the audience, and minting tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::state::Shared;

pub(super) async fn audience(State(state): State<Arc<Shared>>) -> Response {
    match state.issued {
        Some(_) => Json(json!({ "audience": state.audience() })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn mint(State(state): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let token = body["token"].as_str().unwrap_or_default();
    let audience = state.audience();
    let claims = state.issued.as_ref().and_then(|issued| issued.redeem(token, &audience));
    let refuses = state.shelf().behaviour.refuses.or(claims.is_none().then_some("invalid-token"));
    if let Some(code) = refuses {
        let errors = json!([{ "code": code, "description": "not valid: malformed, reused or for others" }]);
        let body = json!({ "message": "Token request failed", "errors": errors });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    }
    let mut shelf = state.shelf();
    let token = format!("pypi-minted/{}+{}=", shelf.tokens.len(), token.len());
    let expires = OffsetDateTime::now_utc() + Duration::from_secs(shelf.behaviour.life.unwrap_or(900));
    shelf.tokens.insert(token.clone(), expires);
    Json(json!({ "success": true, "token": token, "expires": expires.unix_timestamp() })).into_response()
}
