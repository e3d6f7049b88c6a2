//! The token inspector. The page has the form and the module; the key sets come from this console in one
//! document that is the same for every token.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::Response;
use keywright_api as api;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::console::api::of_issuer;
use crate::console::assets;
use crate::console::layout::{Page, Place};
use crate::console::response::{self, PageStatus};
use crate::console::session::SignedIn;

/// The most issuers whose sets the inspector gets.
const MOST_ISSUERS: usize = 200;

/// The most revocations of an issuer that it gets.
const MOST_REVOCATIONS: usize = 1000;

/// What the inspector checks with.
#[derive(Serialize)]
struct Sets {
    /// When it was read, in Unix seconds.
    now: u64,
    issuers: Vec<Set>,
}

/// What it has of an issuer.
#[derive(Serialize)]
struct Set {
    name: String,
    url: String,
    max_token_ttl: u64,
    clock_skew: u64,
    jwks: Box<RawValue>,
    keys: Vec<api::Key>,
    /// Absent where the client may not read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocations: Option<Vec<api::Revocation>>,
}

async fn read(signed: &SignedIn) -> Result<Sets, api::Problem> {
    let (calls, now) = (signed.calls(), signed.now());
    let at = signed.now_exactly();
    let issuers: api::Issuers = calls.get("/v1/issuers").await?;
    let living = issuers.issuers.into_iter();
    let living = living.filter(|issuer| issuer.deleted_at.is_none());
    let mut sets = Vec::new();
    for issuer in living.take(MOST_ISSUERS) {
        let name = issuer.name.as_str();
        let keys = calls.get::<api::Keys>(&of_issuer(name, "/keys")).await;
        let history = of_issuer(name, format!("/history?at={at}"));
        let history = calls.get::<api::History>(&history).await;
        // An issuer that cannot be read is none of those that are checked with.
        let (Ok(keys), Ok(history)) = (keys, history) else {
            continue;
        };
        let path = format!("/revocations?live=true&limit={MOST_REVOCATIONS}");
        let revocations = calls.get::<api::Revocations>(&of_issuer(name, path)).await;
        let seconds = |duration: &Option<api::DurationText>| {
            duration.as_ref().map_or(0, |duration| duration.0.as_secs())
        };
        let policy = &issuer.policy.0;
        sets.push(Set {
            url: policy.url.clone(),
            max_token_ttl: seconds(&policy.max_token_ttl),
            clock_skew: seconds(&policy.clock_skew),
            name: issuer.name.to_string(),
            jwks: history.jwks,
            keys: keys.keys,
            revocations: revocations.ok().map(|page| page.revocations),
        });
    }
    Ok(Sets { now, issuers: sets })
}

pub(in crate::console) async fn page(signed: SignedIn) -> Response {
    let main = html! {
        div.title {
            h1 { "Token inspector" }
            p.muted { "The token never leaves this page" }
            p.aside { a href="/console/inspector/offline" { "Save this page for use offline" } }
        }
        (tool())
    };
    let page = Page {
        module: Some(&assets::INSPECTOR),
        ..Page::new("Token inspector", Place::Inspector, main)
    };
    page.answer(PageStatus::Ok, &signed).await
}

/// The form and where the answer stands. The module shows it, in the place of what is said without one.
fn tool() -> Markup {
    html! {
        div.notice #unscripted {
            p { strong { "The inspector needs JavaScript, because the token must not be sent to us." } " On the command line:" }
            pre { "keywright token inspect - < token.jwt" }
        }
        div #tool hidden {
            form.first autocomplete="off" {
                label for="token" { "Token" }
                p.hint #token-hint {
                    "Paste a token, or open this page with " code { "#token" } " behind its address. Nothing is sent: \
                     your browser checks it against the key sets of this deployment."
                }
                textarea #token rows="4" spellcheck="false" autocomplete="off" autocapitalize="off" aria-describedby="token-hint" {}
                div.inline.field {
                    div { label for="audience" { "Audience" } input #audience autocomplete="off" spellcheck="false"; }
                    div {
                        label for="at" { "At the time" }
                        select #at { option value="now" { "now" } option value="issued" { "when it was issued" } }
                    }
                    button #clear type="button" { "Clear" }
                }
            }
            section aria-labelledby="verdict" aria-live="polite" {
                h2.unseen #verdict { "Verdict" }
                div #answer {}
                div.empty #nothing {
                    h3 { "Paste a token to see what it says and who would accept it" }
                    p { "You need one? This makes one:" }
                    pre { "keywright token sign --issuer shop --claim sub=user-1 --claim aud=orders" }
                }
            }
            section.split #explained aria-label="Checks and contents" {}
        }
    }
}

/// The sets, for the module.
pub(in crate::console) async fn sets(signed: SignedIn) -> Response {
    match read(&signed).await {
        Ok(sets) => response::json(PageStatus::Ok, &sets),
        Err(problem) => response::json(PageStatus::OfApi(problem.status), &problem),
    }
}

/// The inspector as one file: with its style, its module and the sets of now in it.
pub(in crate::console) async fn offline(signed: SignedIn) -> Response {
    let sets = match read(&signed).await {
        Ok(sets) => sets,
        Err(problem) => return response::json(PageStatus::OfApi(problem.status), &problem),
    };
    // Nothing in the document ends the element that it stands in.
    let sets = serde_json::to_string(&sets).unwrap_or_default();
    let sets = sets.replace('<', "\\u003c");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Token inspector · keywright" }
                style { (PreEscaped(assets::STYLE.text())) }
            }
            body {
                main #main {
                    div.title { h1 { "Token inspector" } p.muted { "A saved page: the token never leaves it" } }
                    (tool())
                }
                script type="application/json" #sets { (PreEscaped(sets)) }
                script type="module" { (PreEscaped(assets::INSPECTOR.text())) }
            }
        }
    };
    let mut response = response::html(PageStatus::Ok, page);
    let name = HeaderValue::from_static("attachment; filename=\"keywright-inspector.html\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    response
}
