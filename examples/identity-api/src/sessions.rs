//! `POST /logout`, `POST /logout/everywhere` and `POST /ban`: tokens that are taken back.
//!
//! A user comes with an access token, as to any other service: it must have this service among its
//! audiences.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use keywright_verifier::axum::{Authenticated, Authentication, require_scope};
use serde::Deserialize;
use serde_json::json;

use crate::login::{Identity, RuleViolation};

/// The claims that are read here.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    sid: String,
}

/// Whom an admin bans, and why. The reason goes into keywright's audit log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    user: String,
    reason: String,
}

/// The routes, which `authentication` protects.
pub(crate) fn routes(authentication: Authentication) -> Router<Arc<Identity>> {
    Router::new()
        .route("/logout", post(log_out))
        .route("/logout/everywhere", post(log_out_everywhere))
        .route("/ban", post(ban).layer(require_scope("users:ban")))
        .layer(authentication)
}

/// Ends the session of the token: on this device.
async fn log_out(
    State(identity): State<Arc<Identity>>,
    Authenticated(token): Authenticated<Claims>,
) -> Result<StatusCode, RuleViolation> {
    let Claims { sub, sid } = token.claims;
    let session = json!({"subject": sub, "session": sid, "reason": "log-out"});
    identity.keywright.revoke(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the user. The next login gets a good token.
async fn log_out_everywhere(
    State(identity): State<Arc<Identity>>,
    Authenticated(token): Authenticated<Claims>,
) -> Result<StatusCode, RuleViolation> {
    let user = json!({"subject": token.claims.sub, "reason": "log-out everywhere"});
    identity.keywright.revoke(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of another user, who gets no new one until an operator lifts the ban.
async fn ban(
    State(identity): State<Arc<Identity>>,
    Json(ban): Json<Ban>,
) -> Result<StatusCode, RuleViolation> {
    let user = json!({"subject": ban.user, "ban": true, "reason": ban.reason});
    identity.keywright.revoke(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}
