//! Pages that say why there is no other. They are shown to every caller, so that they say nothing of the
//! deployment.

use axum::response::Response;
use maud::{Markup, html};

use crate::authority::authentication::Unauthenticated;
use crate::console::elements::{Tone, alert};
use crate::console::layout::outside;
use crate::console::response::PageStatus;

fn page(status: PageStatus, title: &str, text: &Markup) -> Response {
    let main = html! {
        div.title { h1 { (title) } }
        (text)
    };
    outside(status, None, title, &main)
}

pub(in crate::console) fn not_found() -> Response {
    let text = html! {
        div.empty { h3 { "There is no such page" } p { a href="/console" { "All issuers" } } }
    };
    page(PageStatus::NotFound, "Not found", &text)
}

pub(in crate::console) fn wrong_host() -> Response {
    let rest = html! {
        "On a loopback address it answers to names of this machine alone, so that no page elsewhere can \
         reach it by a name of its own. If a proxy leads here, put its name into "
        code { "console.hosts" } "."
    };
    let text = alert(Tone::Danger, "The console is not known by this name.", rest);
    page(PageStatus::WrongHost, "Another name", &text)
}

pub(in crate::console) fn from_elsewhere() -> Response {
    let rest = html! {
        "What you sent does not come from a page of this console, or from one of another session. "
        a href="/console" { "Begin again" } "."
    };
    let text = alert(Tone::Danger, "Nothing was done.", rest);
    page(PageStatus::Forbidden, "Not from here", &text)
}

pub(in crate::console) fn signed_out() -> Response {
    let rest = html! {
        "Nothing that you sent was done. Go back to keep what you typed, or "
        a href="/console/sign-in" { "sign in again" } "."
    };
    let text = alert(Tone::Warn, "You are signed out.", rest);
    page(PageStatus::SignedOut, "Signed out", &text)
}

pub(in crate::console) fn store_unavailable() -> Response {
    let rest = html! {
        "Sets are still published, and what is in memory goes on signing for a while. No user can sign in, \
         and nothing can be rotated or revoked here, until the store is back."
    };
    let text = html! {
        (alert(Tone::Danger, "The store does not answer.", rest))
        div.buttons { a.button href="/console" { "Try again" } }
    };
    page(PageStatus::Unavailable, "The store does not answer", &text)
}

pub(in crate::console) fn not_signed_in(reason: Unauthenticated) -> Response {
    let (fact, rest) = match reason {
        Unauthenticated::TooManyFailures => (
            "Too many failures from your address.",
            "Wait a minute, then try again.",
        ),
        Unauthenticated::Stale | Unauthenticated::Undecidable => (
            "Who may sign in cannot be told now.",
            "This process has lost touch with the store. Try again in a moment.",
        ),
        Unauthenticated::Missing | Unauthenticated::Invalid => (
            "You are not signed in.",
            "The proof matches no client, or no longer does.",
        ),
    };
    let text = html! {
        (alert(Tone::Danger, fact, rest))
        div.buttons { a.button href="/console/sign-in" { "Sign in" } }
    };
    page(reason.into(), "Not signed in", &text)
}
