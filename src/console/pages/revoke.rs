//! A key is revoked in three steps: choose it, see what that does and confirm, watch it take effect.

use axum::extract::{Path, Query};
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde::Deserialize;

use super::in_force::{self, Place as PlaceInForce};
use super::issuer::awaits;
use super::live_tokens;
use crate::access::Role;
use crate::console::api::{Outcome, encoded, of_issuer};
use crate::console::assets;
use crate::console::elements::{
    Heading, Row, Tone, alert, empty, key_state, not_done, notice, refused, short, short_kid,
    table, visible,
};
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, crumbs, form_token};
use crate::console::moment;
use crate::console::policy_words::horizon;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

/// How long the scale of exposure is, in powers of ten of a second.
const DECADES: f64 = 6.0;

#[derive(Default, Deserialize)]
pub(in crate::console) struct Choice {
    kid: Option<String>,
    discard: Option<String>,
}

impl Choice {
    fn discards(&self) -> bool {
        self.discard.is_some()
    }
}

/// What was typed, and what is wrong with it.
#[derive(Default)]
struct Typed {
    reason: String,
    kid: String,
    reason_is_wrong: bool,
    kid_is_wrong: bool,
}

fn path(issuer: &str) -> String {
    format!("/console/issuers/{}/revoke", encoded(issuer))
}

fn issuer_path(issuer: &str) -> String {
    format!("/console/issuers/{}", encoded(issuer))
}

pub(in crate::console) async fn page(
    Path(issuer): Path<String>,
    Query(choice): Query<Choice>,
    signed: SignedIn,
) -> Response {
    let content = choose(&signed, &issuer, &choice, &Typed::default()).await;
    let (status, content) = answered(content);
    show(&signed, &issuer, status, &content).await
}

fn answered(content: Result<Markup, api::Problem>) -> (PageStatus, Markup) {
    match content {
        Ok(content) => (PageStatus::Ok, content),
        Err(problem) => (PageStatus::OfApi(problem.status), refused(&problem)),
    }
}

async fn show(signed: &SignedIn, issuer: &str, status: PageStatus, content: &Markup) -> Response {
    let main = html! {
        (crumbs(&[("Issuers", "/console"), (issuer, &issuer_path(issuer))], "Revoke a key"))
        div.title data-now=(signed.now()) { h1 { "Revoke a key of " (visible(issuer)) } }
        (content)
    };
    let page = Page {
        module: Some(&assets::COUNTDOWN),
        ..Page::new("Revoke a key", Place::Issuers, main)
    };
    page.answer(status, signed).await
}

fn steps(current: usize) -> Markup {
    let steps = [
        "1. Choose",
        "2. See what it does, and confirm",
        "3. Watch it take effect",
    ];
    html! {
        ol.steps {
            @for (number, step) in (1..).zip(steps) {
                li aria-current=[(number == current).then_some("step")] { (step) }
            }
        }
    }
}

async fn choose(
    signed: &SignedIn,
    issuer: &str,
    choice: &Choice,
    typed: &Typed,
) -> Result<Markup, api::Problem> {
    let keys: api::Keys = signed.calls().get(&of_issuer(issuer, "/keys")).await?;
    let keys: Vec<&api::Key> = keys
        .keys
        .iter()
        .filter(|key| !matches!(key.state, api::KeyState::Removed | api::KeyState::Revoked))
        .collect();
    let now = signed.now();
    if keys.is_empty() {
        let text = html! { p { "Nothing is published, so that nothing can be revoked." } };
        return Ok(empty("There is no key", text));
    }
    let wanted = choice.kid.as_deref().unwrap_or_default();
    let chosen = keys.iter().find(|key| key.kid.as_str() == wanted);
    let form = choose_form(issuer, &keys, choice, now);
    let Some(key) = chosen else {
        return Ok(html! { (steps(1)) (form) });
    };
    Ok(html! {
        (steps(2))
        (form)
        (confirm(signed, issuer, key, choice, typed).await?)
    })
}

fn choose_form(issuer: &str, keys: &[&api::Key], choice: &Choice, now: u64) -> Markup {
    let active = keys.iter().find(|key| key.state == api::KeyState::Active);
    let wanted = choice
        .kid
        .as_deref()
        .filter(|kid| keys.iter().any(|key| key.kid.as_str() == *kid));
    let wanted = wanted.or(active.map(|key| key.kid.as_str()));
    html! {
        form.first method="get" action=(path(issuer)) {
            fieldset.field {
                legend { "Which key can no longer be trusted?" }
                @for (number, key) in keys.iter().enumerate() {
                    @let id = format!("key-{number}");
                    div.choice {
                        input id=(id) type="radio" name="kid" value=(key.kid.as_str())
                            checked[wanted == Some(key.kid.as_str())];
                        label for=(id) {
                            (short_kid(key.kid.as_str())) " " (key.algorithm) ", " (key_state(key.state)) " "
                            span.hint { (hint(key, now)) }
                        }
                    }
                }
                p.hint.field {
                    "Only a token leaked, or a user must be out? Do not revoke the key: "
                    a href=(format!("{}/bans", issuer_path(issuer))) { "ban or log out" } " instead."
                }
            }
            fieldset.field {
                legend { "Was the host itself broken into?" }
                div.choice {
                    input #discard type="checkbox" name="discard" value="yes" checked[choice.discards()];
                    label for="discard" {
                        "Yes: discard the successor, too "
                        span.hint { "A fresh key signs at once that no verifier knows. That may take a second person." }
                    }
                }
            }
            div.buttons { button { "See what it does" } a href=(issuer_path(issuer)) { "Cancel" } }
        }
    }
}

fn hint(key: &api::Key, now: u64) -> Markup {
    html! {
        @match (key.state, key.activated_at) {
            (api::KeyState::Active, Some(at)) => { "signs since " (moment::at(at.0, now)) },
            (api::KeyState::Canary, _) => { "signs a share; the active key signs all again" },
            (api::KeyState::Retired, _) => { "signs no more; its last tokens still verify" },
            _ => { "has signed nothing; a new successor is made" },
        }
    }
}

/// What the revocation would do, and the form that does it.
async fn confirm(
    signed: &SignedIn,
    issuer: &str,
    key: &api::Key,
    choice: &Choice,
    typed: &Typed,
) -> Result<Markup, api::Problem> {
    let (calls, now) = (signed.calls(), signed.now());
    let kid = key.kid.as_str();
    let rest = format!(
        "/keys/{}/exposure?discard_successor={}",
        encoded(kid),
        choice.discards()
    );
    let exposure: api::Exposure = calls.get(&of_issuer(issuer, rest)).await?;
    let document: api::Issuer = calls.get(&of_issuer(issuer, "")).await?;
    let live: Result<api::LiveTokens, api::Problem> = calls
        .get(&of_issuer(
            issuer,
            format!("/keys/{}/live-tokens", encoded(kid)),
        ))
        .await;
    let policy = &document.policy.0;
    let max_age = policy
        .jwks_max_age
        .as_ref()
        .map_or(0, |age| age.0.as_secs());
    let signs = exposure.signs_now.as_ref().map(|kid| kid.as_str());
    Ok(html! {
        section aria-labelledby="does" {
            h2 #does { "What will happen" }
            div.notice.danger {
                p {
                    strong { "This cannot be undone." } " "
                    @for (number, kid) in exposure.revoked.iter().enumerate() {
                        @if number > 0 { ", " }
                        (short_kid(kid.as_str()))
                    }
                    @if exposure.revoked.len() == 1 { " leaves the set, never signs again, and its private half is erased." }
                    @else { " leave the set, never sign again, and their private halves are erased." }
                    " Every token that it has signed is refused from then on; callers must fetch new ones."
                }
                p {
                    @match signs {
                        Some(signs) if exposure.forced => {
                            strong { "Some verifiers will refuse new tokens for a while." } " "
                            (short_kid(signs)) " signs from the same moment on, and a cache may lack it until "
                            (moment::at(exposure.cached_until.0, now)) "."
                        },
                        Some(signs) => {
                            strong { "No verifier should be locked out." } " "
                            (short_kid(signs)) " signs, and verifiers that follow our headers know it."
                        },
                        None => {
                            strong { "Nothing signs " (key.algorithm) " for a moment." }
                            " A fresh key is made at once; no verifier knows it until it fetches."
                        },
                    }
                }
            }
        }
        @if !exposure.copies.is_empty() {
            p.field {
                "Copies of the key set that are pushed elsewhere ("
                (exposure.copies.iter().map(|copy| copy.target.as_str()).collect::<Vec<_>>().join(", "))
                ") have the key until a push without it succeeds, and their readers until what they have read is \
                 stale. It is pushed at once, and tried until it succeeds."
            }
        }
        section aria-labelledby="trust" {
            h2 #trust { "How long a forged token would still be accepted" }
            p.lead { "Dark: as a rule. Pale: at worst, when a cache could not reach us. The scale grows tenfold per step, from 1 s to 11 days." }
            (exposure_table(&exposure, max_age, horizon(policy), now))
        }
        section aria-labelledby="whose" {
            h2 #whose { "Whose tokens stop working" }
            (live_tokens::shown(live.as_ref(), now))
            p.muted { "The last token of this key would expire at " (moment::at(exposure.tokens_until.0, now)) "." }
        }
        @if signed.caller.has(Role::Security) { (confirm_form(signed, issuer, kid, choice, typed)) }
        @else { p.muted.field { "You may look, not act: revoking takes the role " code { "security" } "." } }
    })
}

fn exposure_table(exposure: &api::Exposure, max_age: u64, horizon: u64, now: u64) -> Markup {
    let signers = exposure.in_force_everywhere_at.0.saturating_sub(now);
    let caches = exposure.cached_until.0.saturating_sub(now).max(horizon);
    let followers = [
        (
            "Our signers",
            "",
            0,
            signers,
            "if one loses touch with the store",
        ),
        (
            "Verifiers that follow our headers",
            "",
            max_age,
            caches,
            "if they cannot reach us",
        ),
    ];
    let mut rows: Vec<Row> = followers
        .iter()
        .map(|(who, hint, rule, worst, why)| {
            Row::new(
                html! { (who) small { (hint) } },
                [
                    html! { @if *rule == 0 { "at once" } @else { (moment::length(*rule)) } },
                    html! { @if *worst == 0 { "at once" } @else { (moment::length(*worst)) small { (why) } } },
                    bar(*rule, *worst),
                ],
            )
        })
        .collect();
    rows.push(Row::new(
        html! { "Verifiers that never fetch again" small { "a set that was copied by hand, or kept for good" } },
        [
            html! { span.danger { "until restarted" } },
            html! { span.danger { "until restarted" } },
            html! { svg.chart height="20" aria-hidden="true" { rect.exposed x="0" y="4" width="100%" height="12" {} } },
        ],
    ));
    let headings = [
        Heading::Text("Who"),
        Heading::Text("As a rule"),
        Heading::Text("At worst"),
        Heading::Chart("1 s to 11 d"),
    ];
    table(
        None,
        "How long a forged token would be accepted, by verifier",
        &headings,
        &rows,
    )
}

/// A length on a scale that grows tenfold per step.
fn bar(rule: u64, worst: u64) -> Markup {
    let place = |seconds: u64| {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        (f64::from(seconds.max(1)).log10() / DECADES * 100.0).clamp(1.0, 100.0)
    };
    let (dark, pale) = (place(rule), place(worst.max(rule)));
    html! {
        svg.chart height="20" aria-hidden="true" {
            line.grid x1="0" x2="100%" y1="10" y2="10" {}
            rect.exposed x="0" y="4" width=(format!("{dark:.1}%")) height="12" {}
            rect.unsure x=(format!("{dark:.1}%")) y="4" width=(format!("{:.1}%", pale - dark)) height="12" {}
        }
    }
}

fn confirm_form(
    signed: &SignedIn,
    issuer: &str,
    kid: &str,
    choice: &Choice,
    typed: &Typed,
) -> Markup {
    let first = short(kid);
    let class = |is_wrong: bool| if is_wrong { "field wrong" } else { "field" };
    html! {
        form method="post" action=(path(issuer)) aria-labelledby="confirm" {
            h2 #confirm { "Confirm" }
            (form_token(signed))
            input type="hidden" name="kid" value=(kid);
            @if choice.discards() { input type="hidden" name="discard" value="yes"; }
            @if typed.reason_is_wrong || typed.kid_is_wrong {
                div.notice.danger role="alert" {
                    p {
                        strong { "Not revoked yet." }
                        @if typed.reason_is_wrong { " " a href="#reason" { "Give a reason." } }
                        @if typed.kid_is_wrong { " " a href="#typed" { "Type the first eight characters of the key." } }
                    }
                }
            }
            div class=(class(typed.reason_is_wrong)) {
                label for="reason" { "Reason" }
                p.hint #reason-hint { "Stays with the key and in the audit log. An incident number helps." }
                @if typed.reason_is_wrong { p.error #reason-error { "Give a reason." } }
                input #reason name="reason" maxlength="500" autocomplete="off" value=(typed.reason)
                    aria-invalid=[typed.reason_is_wrong.then_some("true")]
                    aria-describedby=(if typed.reason_is_wrong { "reason-hint reason-error" } else { "reason-hint" });
            }
            div class=(class(typed.kid_is_wrong)) {
                label for="typed" { "Type " code { (visible(&first)) } }
                p.hint #typed-hint { "The first eight characters of the key." }
                @if typed.kid_is_wrong { p.error #typed-error { "This is not the beginning of the key." } }
                input.short.code #typed name="typed" autocomplete="off" autocapitalize="off" spellcheck="false"
                    value=(typed.kid) maxlength="64"
                    aria-invalid=[typed.kid_is_wrong.then_some("true")]
                    aria-describedby=(if typed.kid_is_wrong { "typed-hint typed-error" } else { "typed-hint" });
            }
            div.buttons {
                button.final { "Revoke " (visible(&first)) "… for good" }
                a href=(issuer_path(issuer)) { "Cancel" }
            }
        }
    }
}

pub(in crate::console) async fn revoke(
    Path(issuer): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let field = |name| form.get(name).unwrap_or_default().trim().to_owned();
    let choice = Choice {
        kid: form.get("kid").map(str::to_owned),
        discard: form.get("discard").map(str::to_owned),
    };
    let kid = choice.kid.clone().unwrap_or_default();
    let (reason, again) = (field("reason"), field("typed"));
    let typed = Typed {
        reason_is_wrong: reason.is_empty(),
        kid_is_wrong: again != short(&kid),
        reason,
        kid: again,
    };
    if typed.reason_is_wrong || typed.kid_is_wrong {
        let (_, content) = answered(choose(&signed, &issuer, &choice, &typed).await);
        return show(&signed, &issuer, PageStatus::Invalid, &content).await;
    }
    let mut request = serde_json::Map::new();
    request.insert("reason".to_owned(), typed.reason.clone().into());
    request.insert("discard_successor".to_owned(), choice.discards().into());
    let call = of_issuer(&issuer, format!("/keys/{}/revoke", encoded(&kid)));
    let revoked = signed.calls().post::<api::Exposure>(&call, &request).await;
    let (status, content) = match revoked {
        Ok(Outcome::Done(exposure)) => (PageStatus::Ok, done(&issuer, &exposure, signed.now())),
        Ok(Outcome::Awaits(approval)) => {
            let content = html! { (steps(2)) (awaits(&approval, signed.now())) };
            (PageStatus::Ok, content)
        }
        Err(problem) if problem.code.0 == "illegal-transition" => {
            let state = problem.state.as_deref().unwrap_or("gone");
            let rest = html! {
                "It is " (state) ": perhaps you have sent this twice. Nothing has changed now. "
                a href=(issuer_path(&issuer)) { "Look at the keys" } "."
            };
            (
                PageStatus::OfApi(problem.status),
                alert(Tone::Warn, "This key cannot be revoked any more.", rest),
            )
        }
        Err(problem) => {
            let (_, again) = answered(choose(&signed, &issuer, &choice, &typed).await);
            (
                PageStatus::OfApi(problem.status),
                html! { (not_done(&problem)) (again) },
            )
        }
    };
    show(&signed, &issuer, status, &content).await
}

/// What was done, and what is in force where.
fn done(issuer: &str, exposure: &api::Exposure, now: u64) -> Markup {
    let signs = exposure.signs_now.as_ref().map(|kid| kid.as_str());
    let known = if exposure.forced {
        " Some verifiers may not know it yet, and refuse its tokens until they fetch."
    } else {
        " It was known to verifiers: nothing was forced."
    };
    let rest = html! {
        @match signs {
            Some(signs) => { (short_kid(signs)) " signs." (known) },
            None => { "Nothing signs " (exposure.algorithm) " until a fresh key is there, in a moment." },
        }
    };
    let places = [
        PlaceInForce {
            who: html! { "Signers" small { "no process signs with it" } },
            at: Some(exposure.in_force_everywhere_at.0),
            is_covered: true,
            word: "in force",
        },
        PlaceInForce {
            who: html! { "Caches of verifiers that follow our headers" },
            at: Some(exposure.cached_until.0),
            is_covered: true,
            word: "in force",
        },
        PlaceInForce {
            who: html! { "Last honest token of the key" small { "would have expired" } },
            at: Some(exposure.tokens_until.0),
            is_covered: true,
            word: "expired",
        },
        PlaceInForce {
            who: html! { "Verifiers that never fetch again" small { "restart them" } },
            at: None,
            is_covered: false,
            word: "in force",
        },
    ];
    html! {
        (steps(3))
        section.first #answer aria-labelledby="done" {
            h2 #done { "Revoked at " (moment::exactly(exposure.revoked_at.0, now)) }
            (notice(if exposure.forced || signs.is_none() { Tone::Warn } else { Tone::Ok },
                html! { (short_kid(exposure.kid.as_str())) " is out of the set." }, rest))
            div.field { (in_force::draw("What is in force where", &places, exposure.revoked_at.0, now)) }
            p.field { "This page counts on by itself. The command line prints the same: " code { "keywright keys revoke" } }
            div.buttons { a.button href=(issuer_path(issuer)) { "Look at the keys" } }
        }
    }
}
