//! Webhooks: who is told of what.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::{Service, path_text};
use crate::authority::webhooks::LONGEST_OVERLAP;
use crate::http::authentication::{HasRole, role};
use crate::http::body::{Body, OptionalBody};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created_at, no_content, ok};
use crate::http::shown;
use crate::webhook::check_url;

path_text! {
    /// The webhook that the path names, which need not exist.
    WebhookId, "webhook"
}

/// For how long the secret before the current one signs, unless it is said.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let stored = authority.webhooks().await?;
    Ok(ok(api::Webhooks {
        webhooks: stored
            .iter()
            .map(|stored| shown::webhook(&stored.webhook))
            .collect(),
    }))
}

pub(super) async fn create(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    Body(body): Body<api::WebhookRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let mut events = body.events.into_vec();
    events.sort_unstable();
    events.dedup();
    check_url(&body.url).map_err(|error| Problem::new(Code::InvalidWebhookUrl, error))?;
    let actor = caller.actor();
    let made = authority.create_webhook(body.url, events, &actor).await?;
    let location = format!("/v1/webhooks/{}", made.webhook.id);
    Ok(created_at(&location, shown::webhook_with_secret(&made)))
}

pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Reader>,
    WebhookId(id): WebhookId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let stored = authority.webhook(&id).await?;
    Ok(ok(shown::webhook(&stored.webhook)))
}

pub(super) async fn remove(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    WebhookId(id): WebhookId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    authority.delete_webhook(&id, &caller.actor()).await?;
    Ok(no_content())
}

pub(super) async fn rotate_secret(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    WebhookId(id): WebhookId,
    OptionalBody(body): OptionalBody<api::WebhookSecretRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let overlap = body.overlap.map_or(DEFAULT_OVERLAP, |overlap| overlap.0);
    if overlap > LONGEST_OVERLAP {
        let detail = "overlap is at most 30d";
        return Err(Problem::new(Code::InvalidDuration, detail));
    }
    let actor = caller.actor();
    let rotated = authority.rotate_webhook_secret(&id, overlap, &actor);
    Ok(ok(shown::webhook_with_secret(&rotated.await?)))
}

pub(super) async fn resume(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    WebhookId(id): WebhookId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let resumed = authority.resume_webhook(&id, &caller.actor()).await?;
    Ok(ok(shown::webhook(&resumed)))
}
