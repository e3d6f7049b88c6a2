//! What waits for a second person, and the buttons of that person.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde_json::json;

use super::issuers::operation;
use crate::console::api::{Outcome, encoded};
use crate::console::elements::{Tone, empty, not_done, notice, refused, short_kid, visible};
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, form_token};
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

pub(in crate::console) async fn page(signed: SignedIn) -> Response {
    show(&signed, PageStatus::Ok, &html! {}).await
}

async fn show(signed: &SignedIn, status: PageStatus, message: &Markup) -> Response {
    let waiting: Result<api::Approvals, _> = signed.calls().get("/v1/approvals").await;
    let (status, content) = match &waiting {
        Ok(waiting) if waiting.approvals.is_empty() => (
            status,
            empty(
                "Nothing waits",
                html! {
                    p {
                        "What an issuer’s policy gives to two people waits here for 15 minutes: forced rotations, keys \
                         revoked with their successors, whole audiences taken back, deletions. A policy asks for it like this:"
                    }
                    pre { "keywright issuers set shop --set confirmation=second-person" }
                },
            ),
        ),
        Ok(waiting) => (
            status,
            html! {
                ul.attention { @for approval in &waiting.approvals { (item(approval, signed)) } }
            },
        ),
        Err(problem) => (PageStatus::OfApi(problem.status), refused(problem)),
    };
    let main = html! {
        div.title { h1 { "Approvals" } p.muted { "What waits for a second person" } }
        (message)
        section.first aria-label="What waits" { (content) }
    };
    Page::new("Approvals", Place::Approvals, main)
        .answer(status, signed)
        .await
}

fn item(approval: &api::Approval, signed: &SignedIn) -> Markup {
    let now = signed.now();
    let by = |member| {
        approval
            .requested_by
            .get(member)
            .and_then(|value| value.as_str())
    };
    let is_own = by("id") == Some(signed.caller.id());
    let path = format!("/console/approvals/{}", encoded(&approval.id));
    html! {
        li {
            span.tag.warn { "second person" }
            div {
                p {
                    strong { (approval.issuer) } ": " (visible(by("name").unwrap_or("a client"))) " asks to "
                    (operation(approval))
                    @if let Some(kid) = &approval.kid { " (" (short_kid(kid.as_str())) ")" }
                    "."
                }
                p {
                    @if let Some(reason) = &approval.reason { "“" (visible(reason)) "”. " }
                    "Asked at " (moment::exactly(approval.requested_at.0, now)) ". After "
                    (moment::exactly(approval.expires_at.0, now)) " it can no longer be confirmed."
                }
                @if is_own { p { "You asked for it: another client must confirm it. You can take it back." } }
            }
            div.buttons {
                @if !is_own {
                    form method="post" action=(format!("{path}/confirm")) {
                        (form_token(signed))
                        button.final { "Confirm: " (operation(approval)) }
                    }
                }
                form method="post" action=(format!("{path}/reject")) {
                    (form_token(signed))
                    button { @if is_own { "Take it back" } @else { "Refuse" } }
                }
            }
        }
    }
}

pub(in crate::console) async fn confirm(
    Path(id): Path<String>,
    Submitted { signed, .. }: Submitted,
) -> Response {
    let path = format!("/v1/approvals/{}/confirm", encoded(&id));
    let confirmed = signed
        .calls()
        .post::<api::Confirmed>(&path, &json!({}))
        .await;
    let (status, message) = match confirmed {
        Ok(Outcome::Done(confirmed)) => {
            let what = operation(&confirmed.approval);
            let rest = html! { (confirmed.approval.issuer) ": " (what) ". The audit log names both of you." };
            (
                PageStatus::Ok,
                notice(Tone::Ok, "Confirmed and done.", rest),
            )
        }
        Ok(Outcome::Awaits(_)) => (PageStatus::Ok, notice(Tone::Warn, "It still waits.", "")),
        Err(problem) => (PageStatus::OfApi(problem.status), not_done(&problem)),
    };
    show(&signed, status, &message).await
}

pub(in crate::console) async fn reject(
    Path(id): Path<String>,
    Submitted { signed, .. }: Submitted,
) -> Response {
    let path = format!("/v1/approvals/{}", encoded(&id));
    let (status, message) = match signed.calls().act(Method::DELETE, &path).await {
        Ok(()) => (PageStatus::Ok, notice(Tone::Ok, "It will not happen.", "")),
        Err(problem) => (PageStatus::OfApi(problem.status), not_done(&problem)),
    };
    show(&signed, status, &message).await
}
