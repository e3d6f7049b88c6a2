//! `GET /orders`, `GET /orders/{id}`, `POST /orders`, and which token may do what.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use keywright_verifier::axum::{Authenticated, Authentication, require_scope};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use tower_http::timeout::TimeoutLayer;

/// The claims that this service reads.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// The one order that the token is for. Absent: all orders of `sub`.
    #[serde(default, deserialize_with = "present")]
    order: Option<String>,
}

/// Reads a claim that may be absent but not `null`, which a reader might take for "all".
fn present<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<String>, D::Error> {
    String::deserialize(claim).map(Some)
}

impl Claims {
    /// Whether the order exists for the holder of the token. What is not theirs does not.
    fn reach(&self, order: &Order) -> bool {
        order.owner == self.sub && self.order.as_ref().is_none_or(|only| *only == order.id)
    }
}

#[derive(Clone, Serialize)]
struct Order {
    id: String,
    #[serde(skip)]
    owner: String,
    item: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    item: String,
}

type Orders = Arc<RwLock<Vec<Order>>>;

/// The routes, behind `authentication` and with a bound to what a request may be and take.
pub(crate) fn routes(authentication: Authentication) -> Router {
    let order = |id: &str, owner: &str, item: &str| Order {
        id: id.to_owned(),
        owner: owner.to_owned(),
        item: item.to_owned(),
    };
    let orders = vec![
        order("1001", "alice", "a bicycle bell"),
        order("1002", "alice", "a spare tube"),
        order("1003", "bob", "a saddle"),
    ];
    let (read, write) = (require_scope("orders:read"), require_scope("orders:write"));
    Router::new()
        .route("/orders", get(list).layer(read.clone()))
        .route("/orders", post(create).layer(write))
        .route("/orders/{id}", get(show).layer(read))
        .layer(authentication)
        .layer(DefaultBodyLimit::max(4096))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(10),
        ))
        .with_state(Arc::new(RwLock::new(orders)))
}

async fn list(
    State(orders): State<Orders>,
    Authenticated(token): Authenticated<Claims>,
) -> Json<Vec<Order>> {
    let orders = orders.read().unwrap_or_else(PoisonError::into_inner);
    let within_reach = orders.iter().filter(|order| token.claims.reach(order));
    Json(within_reach.cloned().collect())
}

async fn show(
    State(orders): State<Orders>,
    Authenticated(token): Authenticated<Claims>,
    Path(id): Path<String>,
) -> Result<Json<Order>, RuleViolation> {
    let orders = orders.read().unwrap_or_else(PoisonError::into_inner);
    // One answer for another user's order and for none, so that callers cannot count our orders.
    let found = orders
        .iter()
        .find(|order| order.id == id && token.claims.reach(order));
    found.cloned().map(Json).ok_or(RuleViolation::NoSuchOrder)
}

async fn create(
    State(orders): State<Orders>,
    Authenticated(token): Authenticated<Claims>,
    Json(new): Json<NewOrder>,
) -> Result<(StatusCode, Json<Order>), RuleViolation> {
    if token.claims.order.is_some() {
        return Err(RuleViolation::OneOrderOnly);
    }
    let mut orders = orders.write().unwrap_or_else(PoisonError::into_inner);
    let order = Order {
        id: (1001 + orders.len()).to_string(),
        owner: token.claims.sub,
        item: new.item,
    };
    orders.push(order.clone());
    Ok((StatusCode::CREATED, Json(order)))
}

/// Why a good token gets nothing.
enum RuleViolation {
    NoSuchOrder,
    OneOrderOnly,
}

impl IntoResponse for RuleViolation {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::NoSuchOrder => (StatusCode::NOT_FOUND, "no-such-order"),
            Self::OneOrderOnly => (StatusCode::FORBIDDEN, "one-order-only"),
        };
        (status, Json(json!({"code": code}))).into_response()
    }
}
