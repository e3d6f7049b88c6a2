//! `POST /login`: a password for a token, or for a session whose tokens are renewed.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::axum::Authentication;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::json;
use tower_http::timeout::TimeoutLayer;

use crate::keywright::{Claims, Keywright};
use crate::sessions;
use crate::users::{User, Users};

/// How long a token lives at most, in seconds. It can be taken back, but not every verifier asks.
const LONGEST_LIFE: u32 = 300;

/// Whom a token is for: the service with the orders, and this one, which ends its session.
const AUDIENCES: &[&str] = &["orders", "identity"];

/// A token for one order is handed on, and its holder must not end the session.
const AUDIENCES_OF_ONE_ORDER: &[&str] = &["orders"];

/// What this service knows.
pub(crate) struct Identity {
    pub(crate) users: Users,
    pub(crate) keywright: Keywright,
}

/// The routes, with a bound to what a request may be and take. In 1 KiB no claim is too long for a
/// token.
pub(crate) fn routes(identity: Arc<Identity>, authentication: Authentication) -> Router {
    let timeout = Duration::from_secs(10);
    Router::new()
        .route("/login", post(log_in))
        .merge(sessions::routes(authentication))
        .layer(DefaultBodyLimit::max(1024))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            timeout,
        ))
        .with_state(identity)
}

/// What a client sends. All but the first two members ask for less than the user may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
    /// Scopes with spaces between. Without it, all that the user has.
    scope: Option<String>,
    /// One order, which the token may read. It may do nothing else.
    order: Option<String>,
    /// Seconds.
    expires_in: Option<u32>,
    /// Whether there is a refresh token, too, with which the client renews its token at keywright.
    #[serde(default)]
    stay_logged_in: bool,
}

async fn log_in(
    State(identity): State<Arc<Identity>>,
    Json(login): Json<Login>,
) -> Result<Response, RuleViolation> {
    let user = identity.users.log_in(&login.user, login.password).await;
    let user = user
        .map_err(|error| RuleViolation::broken(&*error))?
        .ok_or(RuleViolation::LoginFailed)?;
    let scope = granted(&user, login.scope.as_deref(), login.order.is_some())?;
    let life = login.expires_in.unwrap_or(LONGEST_LIFE);
    let life = life.clamp(1, LONGEST_LIFE);
    if login.stay_logged_in && login.order.is_some() {
        // It is handed on.
        return Err(RuleViolation::ScopeNotGranted);
    }
    let claims = Claims {
        sub: user.name,
        aud: match login.order {
            Some(_) => AUDIENCES_OF_ONE_ORDER,
            None => AUDIENCES,
        },
        client_id: "shop",
        scope,
        sid: match login.stay_logged_in {
            true => None,
            false => Some(new_session()?),
        },
        order: login.order,
    };
    // RFC 6749 §5.1.
    let answer = if login.stay_logged_in {
        let granted = identity.keywright.open_grant(&claims, life).await?;
        json!({
            "token_type": "Bearer", "expires_in": life, "scope": claims.scope,
            "access_token": granted.access_token, "refresh_token": granted.refresh_token,
        })
    } else {
        let token = identity.keywright.sign(&claims, life).await?;
        json!({
            "token_type": "Bearer", "expires_in": life, "scope": claims.scope,
            "access_token": token,
        })
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The name of a session: 128 bits, which cannot be guessed.
fn new_session() -> Result<String, RuleViolation> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| RuleViolation::broken(&io::Error::other("there is no randomness")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The scope of the token. Who asks for more than the user has gets nothing: a token with less than
/// was asked for would fail later, without a hint why.
fn granted(
    user: &User,
    asked: Option<&str>,
    is_for_one_order: bool,
) -> Result<String, RuleViolation> {
    let asked: BTreeSet<&str> = match asked {
        Some(asked) => asked.split_ascii_whitespace().collect(),
        None if is_for_one_order => BTreeSet::from(["orders:read"]),
        None => user.scope.iter().map(String::as_str).collect(),
    };
    let is_allowed = |scope: &&str| {
        user.scope.contains(*scope) && (!is_for_one_order || *scope == "orders:read")
    };
    if !asked.iter().all(is_allowed) {
        return Err(RuleViolation::ScopeNotGranted);
    }
    Ok(asked.into_iter().collect::<Vec<_>>().join(" "))
}

/// Why there is no token, or none is taken back.
pub(crate) enum RuleViolation {
    /// The same for a wrong name as for a wrong password.
    LoginFailed,
    ScopeNotGranted,
    /// The password is right, and the user gets nothing.
    Banned,
    TryLater,
    /// Trying again does not help, an operator must look: the log says why.
    Broken,
}

impl RuleViolation {
    fn broken(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(
            error,
            "keywright refuses, or a password could not be checked"
        );
        Self::Broken
    }

    fn later(error: &(dyn Error + 'static)) -> Self {
        tracing::warn!(error, "keywright does not answer");
        Self::TryLater
    }
}

impl From<keywright_client::Error> for RuleViolation {
    fn from(error: keywright_client::Error) -> Self {
        match &error {
            keywright_client::Error::Refused(refusal) => match refusal.problem.status {
                _ if error.code() == Some("banned") => Self::Banned,
                // A wrong credential, or an issuer that it does not know.
                400..=428 => Self::broken(&error),
                _ => Self::later(&error),
            },
            _ => Self::later(&error),
        }
    }
}

impl IntoResponse for RuleViolation {
    fn into_response(self) -> Response {
        let problem = |code| Json(json!({"code": code}));
        match self {
            Self::LoginFailed => {
                // Each 401 has a challenge (RFC 9110 §11.6.1), and a password in a body no scheme.
                let challenge = [(WWW_AUTHENTICATE, "Login")];
                (StatusCode::UNAUTHORIZED, challenge, problem("login-failed")).into_response()
            }
            Self::ScopeNotGranted => {
                (StatusCode::FORBIDDEN, problem("scope-not-granted")).into_response()
            }
            Self::Banned => (StatusCode::FORBIDDEN, problem("banned")).into_response(),
            Self::TryLater => {
                let soon = [(RETRY_AFTER, "5")];
                (StatusCode::SERVICE_UNAVAILABLE, soon, problem("try-later")).into_response()
            }
            Self::Broken => {
                (StatusCode::INTERNAL_SERVER_ERROR, problem("internal-error")).into_response()
            }
        }
    }
}
