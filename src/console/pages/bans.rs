//! Tokens of an issuer that are taken back: search, log out, ban, lift, and what is in force.

use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde::Deserialize;

use super::issuer::{awaits, tabs};
use super::taken_back::{in_force_section, just_made, live, read_one, refusal, selector_words};
use crate::access::Role;
use crate::console::api::{Outcome, encoded, of_issuer};
use crate::console::assets;
use crate::console::elements::{
    Heading, Row, Tone, alert, counted, not_done, notice, refused, table, visible,
};
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, crumbs, form_token};
use crate::console::moment;
use crate::console::response::{PageStatus, see_other};
use crate::console::session::SignedIn;

/// What can be searched by: the word, and the member of a selector.
const SELECTORS: [&str; 5] = ["subject", "session", "jti", "client", "audience"];

#[derive(Default, Deserialize)]
pub(in crate::console) struct Asked {
    by: Option<String>,
    value: Option<String>,
    /// A revocation that was just made.
    shown: Option<String>,
    /// A ban that may be lifted.
    lift: Option<String>,
}

impl Asked {
    /// What is searched for, if it is something.
    fn selector(&self) -> Option<(&'static str, &str)> {
        let value = self.value.as_deref().map(str::trim);
        let value = value.filter(|value| !value.is_empty())?;
        let by = self.by.as_deref().unwrap_or_default();
        let by = SELECTORS.into_iter().find(|word| *word == by);
        Some((by.unwrap_or("subject"), value))
    }
}

/// Where the page is.
pub(super) fn path(issuer: &str) -> String {
    format!("/console/issuers/{}/bans", encoded(issuer))
}

pub(in crate::console) async fn page(
    Path(issuer): Path<String>,
    Query(asked): Query<Asked>,
    signed: SignedIn,
) -> Response {
    show(&signed, &issuer, &asked, PageStatus::Ok, &html! {}).await
}

async fn show(
    signed: &SignedIn,
    issuer: &str,
    asked: &Asked,
    status: PageStatus,
    message: &Markup,
) -> Response {
    let policy: Result<api::Issuer, _> = signed.calls().get(&of_issuer(issuer, "")).await;
    // A revoker may act, and not read the policy.
    let max_ttl = match &policy {
        Ok(document) => document.policy.0.max_token_ttl.as_ref(),
        Err(problem) if problem.code.0 == "role-missing" => None,
        Err(problem) => {
            let status = PageStatus::OfApi(problem.status);
            return answer(signed, issuer, status, &refused(problem)).await;
        }
    };
    let max_ttl = max_ttl.map(|ttl| ttl.0.as_secs());
    let content = html! {
        (message)
        (just_made(signed, issuer, asked.shown.as_deref()).await)
        (lifting(signed, issuer, asked).await)
        (search_form(issuer, asked))
        @if let Some(selector) = asked.selector() {
            (found(signed, issuer, selector, max_ttl).await)
        }
        (live(signed, issuer).await)
    };
    answer(signed, issuer, status, &content).await
}

async fn answer(signed: &SignedIn, issuer: &str, status: PageStatus, content: &Markup) -> Response {
    let main = html! {
        (crumbs(&[("Issuers", "/console"), (issuer, &format!("/console/issuers/{}", encoded(issuer)))], "Bans"))
        div.title data-now=(signed.now()) { h1 { "Bans in " (visible(issuer)) } }
        (tabs(issuer, "Bans"))
        (content)
    };
    let page = Page {
        module: Some(&assets::COUNTDOWN),
        ..Page::new("Bans", Place::Issuers, main)
    };
    page.answer(status, signed).await
}

fn search_form(issuer: &str, asked: &Asked) -> Markup {
    let by = asked.selector().map_or("subject", |(by, _)| by);
    html! {
        form.inline.field method="get" action=(path(issuer)) role="search" aria-label="Find tokens" {
            div {
                label for="by" { "Search by" }
                select #by name="by" {
                    @for word in SELECTORS { option value=(word) selected[word == by] { (word) } }
                }
            }
            div.grow {
                label for="value" { "Value" }
                input #value name="value" value=(asked.value.as_deref().unwrap_or_default()) maxlength="512"
                    autocomplete="off" spellcheck="false";
            }
            button.main { "Search" }
        }
    }
}

/// What a subject may still do, and what can be done about it.
async fn found(
    signed: &SignedIn,
    issuer: &str,
    (by, value): (&'static str, &str),
    max_ttl: Option<u64>,
) -> Markup {
    let (calls, now) = (signed.calls(), signed.now());
    let rest = format!("/revocations?live=true&{by}={}", encoded(value));
    let revoked = calls
        .get::<api::Revocations>(&of_issuer(issuer, rest))
        .await;
    let grants = match by {
        "subject" => {
            let rest = format!("/grants?subject={}", encoded(value));
            Some(calls.get::<api::Grants>(&of_issuer(issuer, rest)).await)
        }
        _ => None,
    };
    let is_live = |grant: &&api::Grant| grant.state == api::GrantState::Live;
    let sessions: Vec<&api::Grant> = grants
        .iter()
        .flatten()
        .flat_map(|page| page.grants.iter().filter(is_live))
        .collect();
    let last = sessions.iter().map(|grant| grant.ends_at.0).max();
    html! {
        section aria-labelledby="who" {
            h2 #who { (by) " " code.whole { (visible(value)) } }
            dl.row {
                @if let Some(max_ttl) = max_ttl {
                    div { dt { "May use tokens" } dd {
                        "until " (moment::at(now + max_ttl, now)) " at the latest"
                        small { "a token of this issuer lives " (moment::length(max_ttl)) " at most" }
                    } }
                }
                @match &grants {
                    Some(Ok(_)) => div { dt { "May get new tokens" } dd {
                        @if let Some(last) = last {
                            "from " (counted(sessions.len(), "session"))
                            small { "the longest ends on " (moment::at(last, now)) }
                        } @else { "from no session" small { "what its issuer signs at a login is not known here" } }
                    } },
                    Some(Err(problem)) => div { dt { "Sessions" } dd { small { (visible(&problem.detail)) } } },
                    None => {},
                }
                @match &revoked {
                    Ok(page) if page.revocations.is_empty() => div { dt { "Refused so far" } dd {
                        "nothing" small { "no ban, no logout of exactly this is in force" }
                    } },
                    Ok(page) => div { dt { "Refused so far" } dd {
                        (counted(page.revocations.len(), "revocation"))
                        @for revocation in &page.revocations { small { (refusal(revocation, now)) } }
                    } },
                    Err(problem) => div { dt { "Refused so far" } dd { small { (visible(&problem.detail)) } } },
                }
            }
            @if !sessions.is_empty() { div.field { (session_table(&sessions, issuer, now)) } }
        }
        (act(signed, issuer, by, value))
    }
}

fn session_table(sessions: &[&api::Grant], issuer: &str, now: u64) -> Markup {
    let rows: Vec<Row> = sessions
        .iter()
        .map(|grant| {
            let audience = grant.claims.get("aud").map(ToString::to_string);
            let search = format!("{}?by=session&value={}", path(issuer), encoded(&grant.grant));
            Row::new(
                html! { code { (visible(&grant.grant)) } },
                [
                    html! { (visible(&grant.client)) },
                    html! { (moment::at(grant.opened_at.0, now)) },
                    html! { (visible(audience.as_deref().unwrap_or("–"))) },
                    html! { (moment::at(grant.expires_at.0, now)) small { "in any case until " (moment::at(grant.ends_at.0, now)) } },
                    html! { a href=(search) { "Look at it" } },
                ],
            )
        })
        .collect();
    let headings = [
        Heading::Text("Session"),
        Heading::Text("Client"),
        Heading::Text("Started"),
        Heading::Text("Tokens for"),
        Heading::Text("Can renew until"),
        Heading::Act,
    ];
    table(None, "Live sessions", &headings, &rows)
}

/// The form that takes tokens back.
fn act(signed: &SignedIn, issuer: &str, by: &str, value: &str) -> Markup {
    let may = [Role::Security, Role::Revoker];
    if !may.iter().any(|role| signed.caller.has(*role)) {
        return html! {
            p.muted.field { "You may look, not act: taking tokens back takes the role " code { "security" } " or " code { "revoker" } "." }
        };
    }
    let is_one_token = by == "jti";
    html! {
        form.split method="post" action=(path(issuer)) {
            div {
                h2 #act { "Take tokens back" }
                (form_token(signed))
                input type="hidden" name="by" value=(by);
                input type="hidden" name="value" value=(value);
                fieldset.field {
                    legend { "What should happen to " (by) " " (visible(value)) "?" }
                    div.choice {
                        input #what-once type="radio" name="what" value="once" checked;
                        label for="what-once" {
                            @if is_one_token { "Refuse the token" } @else { "Log out everywhere" }
                            " " span.hint { "What was issued until now is refused. The next login is good." }
                        }
                    }
                    @if !is_one_token {
                        div.choice {
                            input #what-ban type="radio" name="what" value="ban";
                            label for="what-ban" { "Ban " span.hint { "As above, and nothing is signed until you lift the ban." } }
                        }
                        div.choice {
                            input #what-until type="radio" name="what" value="until";
                            label for="what-until" { "Ban until a time " span.hint { "The ban lifts itself. Tokens from before stay refused." } }
                        }
                    }
                }
                @if !is_one_token {
                    div.field {
                        label for="until" { "Until " span.hint { "(for a ban with an end, UTC)" } }
                        input.short #until type="datetime-local" name="until";
                    }
                }
                div.field {
                    label for="why" { "Reason" }
                    p.hint #why-hint { "For the audit log. No personal data, please: it stays for good." }
                    input #why name="reason" maxlength="500" autocomplete="off" aria-describedby="why-hint";
                }
            }
            div {
                h2 { "When it holds, and where" }
                div.field.stack {
                p { "Our signers stop at once; one that has lost the store stops when its lease ends." }
                p { "Verifiers that follow the revocation feed refuse within seconds, and in an outage when what they hold is too old." }
                p { "Who does not follow the feed accepts a token until it expires. The answer has the exact times." }
                }
            }
            div.buttons {
                button.final { @if is_one_token { "Refuse the token" } @else { "Take back the tokens of " (visible(value)) } }
                a href=(path(issuer)) { "Cancel" }
            }
        }
    }
}

/// Asks before a ban is lifted.
async fn lifting(signed: &SignedIn, issuer: &str, asked: &Asked) -> Markup {
    let Some(id) = &asked.lift else {
        return html! {};
    };
    let revocation = match read_one(signed, issuer, id).await {
        Ok(in_force) => in_force.revocation,
        Err(problem) => return refused(&problem),
    };
    html! {
        form method="post" action=(format!("{}/lift", path(issuer))) {
            (form_token(signed))
            input type="hidden" name="revocation" value=(id);
            div.notice.warn {
                p {
                    strong { "Lift the ban of " (selector_words(&revocation)) "?" }
                    " Matching tokens are signed again at once. Tokens " (refusal(&revocation, signed.now())) " stay refused."
                }
                div.buttons { button.main { "Lift the ban" } a href=(path(issuer)) { "Keep it" } }
            }
        }
    }
}

pub(in crate::console) async fn take_back(
    Path(issuer): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let asked = Asked {
        by: form.get("by").map(str::to_owned),
        value: form.get("value").map(str::to_owned),
        ..Asked::default()
    };
    let Some((by, value)) = asked.selector() else {
        return show(
            &signed,
            &issuer,
            &asked,
            PageStatus::Invalid,
            &alert(Tone::Danger, "Not done.", "Say whose tokens."),
        )
        .await;
    };
    let mut request = serde_json::Map::new();
    request.insert(by.to_owned(), value.into());
    match form.get("what") {
        Some("ban") => drop(request.insert("ban".to_owned(), true.into())),
        Some("until") => match form.get("until").and_then(moment::parse) {
            Some(until) => {
                let end = serde_json::json!({ "until": until });
                request.insert("ban".to_owned(), end);
            }
            None => {
                let message = alert(
                    Tone::Danger,
                    "Not done.",
                    html! { a href="#until" { "Say until when." } },
                );
                return show(&signed, &issuer, &asked, PageStatus::Invalid, &message).await;
            }
        },
        _ => {}
    }
    if let Some(reason) = form.get("reason") {
        request.insert("reason".to_owned(), reason.into());
    }
    let path_of_call = of_issuer(&issuer, "/revocations");
    let made = signed
        .calls()
        .post::<api::RevocationInForce>(&path_of_call, &request)
        .await;
    match made {
        Ok(Outcome::Done(made)) => match signed.may_read_revocations() {
            true => see_other(&format!(
                "{}?shown={}#answer",
                path(&issuer),
                encoded(&made.revocation.id)
            )),
            false => {
                let message = in_force_section(&made, signed.now());
                show(
                    &signed,
                    &issuer,
                    &Asked::default(),
                    PageStatus::Ok,
                    &message,
                )
                .await
            }
        },
        Ok(Outcome::Awaits(approval)) => {
            let message = awaits(&approval, signed.now());
            show(&signed, &issuer, &asked, PageStatus::Ok, &message).await
        }
        Err(problem) => {
            let status = PageStatus::OfApi(problem.status);
            show(&signed, &issuer, &asked, status, &not_done(&problem)).await
        }
    }
}

pub(in crate::console) async fn lift(
    Path(issuer): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let id = form.get("revocation").unwrap_or_default();
    let call = of_issuer(&issuer, format!("/revocations/{}", encoded(id)));
    let lifted = signed.calls().act(Method::DELETE, &call).await;
    let (status, message) = match lifted {
        Ok(()) => (
            PageStatus::Ok,
            notice(
                Tone::Ok,
                "The ban is lifted.",
                "Tokens from before stay refused.",
            ),
        ),
        Err(problem) => (PageStatus::OfApi(problem.status), not_done(&problem)),
    };
    show(&signed, &issuer, &Asked::default(), status, &message).await
}
