//! A canary that signs a share of the tokens, and the button that takes it back.

use axum::extract::Path;
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};

use super::chart::Span;
use super::issuer;
use crate::access::Role;
use crate::console::api::{Outcome, encoded, of_issuer};
use crate::console::elements::{Tone, not_done, notice, short_kid};
use crate::console::form::Submitted;
use crate::console::layout::form_token;
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

/// What is said where a canary signs; nothing elsewhere.
pub(super) fn section(issuer: &str, keys: &[api::Key], signed: &SignedIn) -> Markup {
    let canaries = keys.iter().filter(|key| key.state == api::KeyState::Canary);
    let canaries: Vec<&api::Key> = canaries.collect();
    if canaries.is_empty() {
        return html! {};
    }
    let path = format!("/console/issuers/{}/canary", encoded(issuer));
    html! {
        section aria-labelledby="canary" {
            h2 #canary { "A canary signs" }
            p {
                @for (number, key) in canaries.iter().enumerate() {
                    @if number > 0 { ", " }
                    (short_kid(key.kid.as_str())) " (" (key.algorithm) ")"
                }
                " signs a share of the tokens, and all of them once its time is over. If verifiers refuse them, take it back: \
                 the active key signs all tokens again, and those that the canary has signed still verify."
            }
            @if signed.caller.has(Role::Security) {
                form method="post" action=(path) {
                    (form_token(signed))
                    div.field {
                        label for="canary-why" { "Reason" }
                        input #canary-why name="reason" maxlength="500" autocomplete="off";
                    }
                    div.buttons { button { "Take the canary back" } }
                }
            }
        }
    }
}

pub(in crate::console) async fn stop(
    Path(name): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let mut request = serde_json::Map::new();
    if let Some(reason) = form.get("reason") {
        request.insert("reason".to_owned(), reason.into());
    }
    let now = signed.now();
    let path = of_issuer(&name, "/canary/stop");
    let calls = signed.calls();
    let stopped = calls.post::<api::StoppedCanaries>(&path, &request);
    let (status, message) = match stopped.await {
        Ok(Outcome::Done(canaries)) => (PageStatus::Ok, stopped_message(&canaries, now)),
        Ok(Outcome::Awaits(approval)) => (PageStatus::Ok, issuer::awaits(&approval, now)),
        Err(problem) => (PageStatus::OfApi(problem.status), not_done(&problem)),
    };
    issuer::show(&signed, &name, Span::Weeks, status, &message).await
}

fn stopped_message(canaries: &api::StoppedCanaries, now: u64) -> Markup {
    if canaries.stopped.is_empty() {
        return notice(Tone::Warn, "No canary signs any more.", html! {});
    }
    let rest = html! {
        @for stopped in &canaries.stopped {
            (short_kid(stopped.kid.as_str())) " signs no more, and is published until "
            (moment::at(stopped.published_until.0, now)) ". "
            @if let Some(at) = stopped.next_rotation_at.as_ref() {
                "The rotation is tried again " (moment::both(at.0, now)) " at the soonest. "
            }
        }
    };
    notice(Tone::Ok, "The canary is taken back.", rest)
}
