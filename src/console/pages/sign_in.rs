//! The way in: a credential, a link that is good once, or the certificate of the connection.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::problem;
use crate::access::credential::PREFIX;
use crate::authority::authentication::{Proof, RequestCredentials, Unauthenticated};
use crate::authority::sessions::{BegunSession, SessionError};
use crate::console::elements::{Tone, alert, visible};
use crate::console::form::{Submitted, anonymous};
use crate::console::layout::outside;
use crate::console::response::{PageStatus, see_other, with_cookie};
use crate::console::session::{SignedIn, unavailable};
use crate::console::{Console, api, cookie};
use crate::http::Peer;

const PATH: &str = "/console/sign-in";

/// Where a page leads a browser without a session, and from there back.
pub(in crate::console) fn path_to(wanted: &str) -> String {
    match is_ours(wanted) && wanted != "/console" {
        true => format!("{PATH}?to={}", api::encoded(wanted)),
        false => PATH.to_owned(),
    }
}

/// Whether a path leads to a page of the console, and nowhere else.
fn is_ours(path: &str) -> bool {
    let below = path.strip_prefix("/console");
    below.is_some_and(|below| below.is_empty() || below.starts_with(['/', '?']))
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && path.len() <= 1024
}

/// The path, if it leads to a page of the console, and else that of its first page.
fn ours(path: &str) -> &str {
    Some(path)
        .filter(|path| is_ours(path))
        .unwrap_or("/console")
}

#[derive(Deserialize)]
pub(in crate::console) struct Target {
    to: Option<String>,
}

pub(in crate::console) async fn page(
    State(console): State<Arc<Console>>,
    Query(target): Query<Target>,
    signed: Result<SignedIn, Response>,
) -> Response {
    match signed {
        Ok(_) => see_other(ours(target.to.as_deref().unwrap_or_default())),
        Err(_) => {
            let to = target.to.unwrap_or_default();
            show(&console, PageStatus::Ok, &to, &html! {})
        }
    }
}

fn show(console: &Console, status: PageStatus, to: &str, message: &Markup) -> Response {
    let main = html! {
        div.title { h1 { "Sign in" } }
        (message)
        form.first method="post" action=(PATH) {
            input type="hidden" name="to" value=(ours(to));
            div.field {
                label for="credential" { "Credential" }
                p.hint #credential-hint {
                    "Of a client that may do what you want to do. You act as this client, with its roles and \
                     limits. The session ends after 15 minutes without a click, after 8 hours, and with the \
                     credential."
                }
                input #credential name="credential" type="password" autocomplete="off" required
                    maxlength="128" spellcheck="false" autofocus aria-describedby="credential-hint";
            }
            div.buttons { button.main { "Sign in" } }
        }
        section aria-labelledby="other" {
            h2 #other { "Other ways in" }
            div.stack {
            p { "On the command line, with a link that is good once, for a minute:" }
            pre { "keywright console" }
            p { "With a client certificate, if your browser has one that names a client: open any page." }
            }
        }
    };
    let environment = console.settings.environment.as_deref();
    outside(status, environment, "Sign in", &main)
}

pub(in crate::console) async fn by_credential(
    State(console): State<Arc<Console>>,
    request: Request,
) -> Result<Response, Response> {
    let headers = request.headers().clone();
    let address = address_of(&request);
    let form = anonymous(request).await?;
    let to = form.get("to").unwrap_or_default();
    let credential = form.get("credential").unwrap_or_default().trim();
    // A token of another kind is no way into a page: it would be kept in forms and histories.
    let proof = match credential.starts_with(PREFIX) {
        true => Proof::Bearer(credential),
        false => Proof::Bearer(PREFIX),
    };
    let presented = RequestCredentials {
        proof: Some(proof),
        certificate: None,
        address,
    };
    let caller = match console.authority.admit(presented).await {
        Ok(caller) => caller,
        Err(reason @ Unauthenticated::Invalid) => {
            let rest = "It is no client’s, or not any more. You are not signed in.";
            let message = alert(Tone::Danger, "This credential is not valid.", rest);
            return Ok(show(&console, reason.into(), to, &message));
        }
        Err(reason) => return Err(problem::not_signed_in(reason)),
    };
    let begun = console.authority.open_session(&caller).await;
    let begun = begun.map_err(|error| unavailable(&SessionError::Change(error)))?;
    Ok(enter(&console, &headers, &begun, to).await)
}

#[derive(Deserialize)]
pub(in crate::console) struct Link {
    link: Option<String>,
}

/// Says who a link would sign in. Looking does not use it up, so that a program which follows links in
/// advance does no harm.
pub(in crate::console) async fn link_page(
    State(console): State<Arc<Console>>,
    Query(link): Query<Link>,
    request: Request,
) -> Result<Response, Response> {
    let secret = link.link.unwrap_or_default();
    let found = console
        .authority
        .owner_of_link(&secret, address_of(&request));
    let caller = found.await.map_err(|error| no_link(&console, &error))?;
    let name = &caller.live.client.terms.name;
    let main = html! {
        div.title { h1 { "Sign in as " (visible(name)) } }
        form.first method="post" action="/console/enter" {
            input type="hidden" name="link" value=(secret);
            p {
                "A person who calls as " (visible(name)) " has made this link. It is good once, for a minute. \
                 If that was not you, close this page."
            }
            div.buttons { button.main autofocus { "Sign in as " (visible(name)) } }
        }
    };
    let environment = console.settings.environment.as_deref();
    Ok(outside(PageStatus::Ok, environment, "Sign in", &main))
}

pub(in crate::console) async fn by_link(
    State(console): State<Arc<Console>>,
    request: Request,
) -> Result<Response, Response> {
    let headers = request.headers().clone();
    let address = address_of(&request);
    let form = anonymous(request).await?;
    let secret = form.get("link").unwrap_or_default();
    let begun = console.authority.open_session_by_link(secret, address);
    let begun = begun.await.map_err(|error| no_link(&console, &error))?;
    Ok(enter(&console, &headers, &begun, "").await)
}

fn no_link(console: &Console, error: &SessionError) -> Response {
    let SessionError::Unauthenticated(reason @ Unauthenticated::Invalid) = error else {
        return unavailable(error);
    };
    let rest = html! {
        "A link is good once, for a minute. Make another one: " code { "keywright console" }
    };
    let message = alert(Tone::Danger, "This link is used up, or too old.", rest);
    show(console, (*reason).into(), "", &message)
}

/// Begins a session: under a new secret, whatever cookie the browser had before, whose session ends.
async fn enter(console: &Console, headers: &HeaderMap, begun: &BegunSession, to: &str) -> Response {
    for secret in cookie::secrets(&console.settings, headers) {
        if let Err(error) = console.authority.end_session(&secret).await {
            tracing::warn!(%error, "the session before goes on until it is unused for long enough");
        }
    }
    tracing::info!(client = %begun.session.client, "signed in to the console");
    let cookie = cookie::begin(&console.settings, headers, &begun.secret);
    with_cookie(see_other(ours(to)), &cookie)
}

pub(in crate::console) async fn sign_out(
    Submitted { signed, .. }: Submitted,
) -> Result<Response, Response> {
    signed.end().await?;
    let [own, other] = cookie::end();
    Ok(with_cookie(with_cookie(see_other(PATH), &own), &other))
}

fn address_of(request: &Request) -> Option<std::net::IpAddr> {
    let peer = request.extensions().get::<Peer>();
    peer.map(|peer| peer.address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_else() {
        for (path, expected) in [
            ("/console", true),
            ("/console/issuers/shop?span=day", true),
            ("/consoles", false),
            ("//attacker.example", false),
            ("/console\\@attacker", false),
            ("https://attacker.example/console", false),
            ("/console/\r\nSet-Cookie: a=b", false),
            ("", false),
        ] {
            assert_eq!(is_ours(path), expected, "{path:?}");
        }
    }
}
