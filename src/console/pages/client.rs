//! One client: what it may do, and whether it would get a token that it asked for.

use axum::extract::Path;
use axum::response::Response;
use keywright_api as api;
use keywright_verifier::Algorithm;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::clients::{limits, proofs};
use crate::console::api::{Outcome, encoded};
use crate::console::elements::{
    Heading, Row, Tone, alert, notice, refused, sentence, table, visible,
};
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, crumbs, form_token};
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;
use crate::oauth::Form;

/// Claims whose values are times.
const TIMES: [&str; 3] = ["iat", "exp", "nbf"];

/// What is asked for, as it was typed.
struct Asked {
    issuer: String,
    claims: String,
    expires_in: String,
    typ: String,
    algorithm: String,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            claims: "{\n  \"sub\": \"user-1\",\n  \"aud\": \"orders\"\n}".to_owned(),
            expires_in: String::new(),
            typ: String::new(),
            algorithm: String::new(),
        }
    }
}

impl Asked {
    fn read(form: &Form) -> Self {
        let field = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            issuer: field("issuer"),
            claims: form.get("claims").unwrap_or_default().to_owned(),
            expires_in: field("expires_in"),
            typ: field("typ"),
            algorithm: field("alg"),
        }
    }

    /// The request that the client would send.
    ///
    /// # Errors
    /// The claims are no JSON.
    fn request(&self) -> Result<Request<'_>, serde_json::Error> {
        let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let lifetime = some(&self.expires_in);
        Ok(Request {
            // As they stand: a member that is there twice is the API's to refuse.
            claims: serde_json::from_str(&self.claims)?,
            expires_in: lifetime
                .map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
            typ: some(&self.typ),
            alg: some(&self.algorithm),
        })
    }
}

/// An [`api::SignRequest`] whose claims stand as they were typed.
#[derive(Serialize)]
struct Request<'a> {
    claims: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
}

pub(in crate::console) async fn page(Path(id): Path<String>, signed: SignedIn) -> Response {
    let asked = Asked::default();
    show(&signed, &id, PageStatus::Ok, &asked, &html! {}).await
}

pub(in crate::console) async fn check(
    Path(id): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let asked = Asked::read(&form);
    let (status, answer) = match asked.request() {
        Ok(request) => judged(&signed, &id, &asked, &request).await,
        Err(error) => {
            let why = sentence(&error.to_string());
            let rest = html! { a href="#claims" { "The claims are no JSON" } ": " (visible(&why)) };
            (
                PageStatus::Invalid,
                alert(Tone::Danger, "Nothing was asked.", rest),
            )
        }
    };
    show(&signed, &id, status, &asked, &answer).await
}

async fn judged(
    signed: &SignedIn,
    id: &str,
    asked: &Asked,
    request: &Request<'_>,
) -> (PageStatus, Markup) {
    let path = format!(
        "/v1/clients/{}/check?issuer={}",
        encoded(id),
        encoded(&asked.issuer)
    );
    let calls = signed.calls();
    match calls.post::<api::SigningCheck>(&path, request).await {
        Ok(Outcome::Done(check)) => (PageStatus::Ok, outcome(&check, signed.now())),
        // Nothing of it waits for another person.
        Ok(Outcome::Awaits(_)) => (PageStatus::Ok, html! {}),
        // Its form is wrong: the client would get the same.
        Err(problem) if problem.status == 400 => (PageStatus::OfApi(400), not_signed(&problem)),
        Err(problem) => (PageStatus::OfApi(problem.status), refused(&problem)),
    }
}

fn not_signed(problem: &api::Problem) -> Markup {
    let rest = html! {
        (visible(&sentence(&problem.detail))) " The client would get " (problem.status) " with the code "
        code { (problem.code.0) } "."
    };
    alert(Tone::Danger, "No token would be signed.", rest)
}

fn outcome(check: &api::SigningCheck, now: u64) -> Markup {
    if let Some(problem) = &check.problem {
        return not_signed(problem);
    }
    let rest = "Nothing was signed now. Whether the client can prove who it is, and whether its rate would allow one \
                more token, was not asked.";
    html! {
        (notice(Tone::Ok, "A token would be signed.", rest))
        (members("Header", check.header.as_ref(), now))
        (members("Claims", check.claims.as_ref(), now))
    }
}

fn members(name: &'static str, members: Option<&Map<String, Value>>, now: u64) -> Markup {
    let value = |name: &str, value: &Value| match value.as_u64() {
        Some(at) if TIMES.contains(&name) => {
            html! { code { (at) } small { (moment::both(at, now)) } }
        }
        _ => html! { code { (visible(&value.to_string())) } },
    };
    let rows: Vec<Row> = members
        .into_iter()
        .flatten()
        .map(|(name, one)| Row::new(html! { code { (visible(name)) } }, [value(name, one)]))
        .collect();
    let headings = [Heading::Text(name), Heading::Text("Value")];
    html! { div.field { (table(Some("narrow"), name, &headings, &rows)) } }
}

async fn show(
    signed: &SignedIn,
    id: &str,
    status: PageStatus,
    asked: &Asked,
    answer: &Markup,
) -> Response {
    let path = format!("/v1/clients/{}", encoded(id));
    let client = signed.calls().get::<api::RegisteredClient>(&path).await;
    let name = client.as_ref().map_or(id, |client| &client.terms.name);
    let (status, content) = match &client {
        Ok(client) => {
            let content = html! {
                (facts(client, signed.now()))
                (tester(signed, client, asked, answer).await)
            };
            (status, content)
        }
        Err(problem) => (PageStatus::OfApi(problem.status), refused(problem)),
    };
    let main = html! {
        (crumbs(&[("Clients", "/console/clients")], name))
        div.title { h1 { "Client " (visible(name)) } p.muted { code { (visible(id)) } } }
        (content)
    };
    Page::new("Client", Place::Clients, main)
        .answer(status, signed)
        .await
}

fn facts(client: &api::RegisteredClient, now: u64) -> Markup {
    let terms = &client.terms;
    let roles: Vec<&str> = terms.roles.iter().map(|role| role.as_str()).collect();
    html! {
        section.first aria-label="What it may do" {
            dl.facts {
                dt { "Roles" } dd { (roles.join(", ")) }
                dt { "May have signed" } dd { (limits(terms)) }
                dt { "Proves itself by" } dd { (proofs(client, now)) }
                dt { "Since" } dd { (moment::at(client.created_at.0, now)) }
            }
            p.muted.small.field { "To change it: " code { "keywright clients set " (visible(&client.id)) } }
        }
    }
}

/// The form that asks, with its answer below.
async fn tester(
    signed: &SignedIn,
    client: &api::RegisteredClient,
    asked: &Asked,
    answer: &Markup,
) -> Markup {
    let issuers: Result<api::Issuers, _> = signed.calls().get("/v1/issuers").await;
    let issuers = issuers.map(|list| list.issuers).unwrap_or_default();
    let action = format!("/console/clients/{}#answer", encoded(&client.id));
    html! {
        section aria-labelledby="tester" {
            h2 #tester { "Would this be signed?" }
            p.lead {
                "The same judgment as of a request of the client, but nothing is signed, nothing is taken from its \
                 rate, and the issuance log gets no entry."
            }
            form method="post" action=(action) {
                (form_token(signed))
                div.inline.field {
                    div {
                        label for="issuer" { "Issuer" }
                        select #issuer name="issuer" {
                            @for issuer in &issuers {
                                option value=(issuer.name) selected[asked.issuer == issuer.name.as_str()] { (issuer.name) }
                            }
                        }
                    }
                    div {
                        label for="expires_in" { "Lifetime, seconds" }
                        input #expires_in name="expires_in" value=(asked.expires_in) inputmode="numeric" maxlength="32"
                            autocomplete="off" placeholder="the policy’s";
                    }
                    div {
                        label for="typ" { "Type" }
                        input #typ name="typ" value=(asked.typ) maxlength="128" autocomplete="off" spellcheck="false"
                            placeholder="JWT";
                    }
                    div {
                        label for="alg" { "Algorithm" }
                        select #alg name="alg" {
                            option value="" { "the policy’s" }
                            @for algorithm in Algorithm::ALL {
                                option value=(algorithm) selected[asked.algorithm == algorithm.as_str()] { (algorithm) }
                            }
                        }
                    }
                }
                div.field {
                    label for="claims" { "Claims" }
                    p.hint #claims-hint { "A JSON object, without those that the service sets: " code { "iss" } ", " code { "iat" } ", " code { "exp" } ", " code { "jti" } "." }
                    textarea #claims name="claims" rows="8" spellcheck="false" autocomplete="off" autocapitalize="off"
                        aria-describedby="claims-hint" { (asked.claims) }
                }
                div.buttons { button.main { "Would this be signed?" } }
            }
            div.answer #answer { (answer) }
            p.muted.small.field { "The command line asks the same: " code { "keywright clients check " (visible(&client.id)) } }
        }
    }
}
