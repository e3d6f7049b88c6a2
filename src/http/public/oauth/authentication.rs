//! How a client authenticates at the OAuth endpoints (RFC 6749 §2.3, RFC 7523 §2.2).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::authority::Authority;
use crate::authority::authentication::{Caller, Proof, RequestCredentials};
use crate::authority::issuer::Issuer;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::oauth::{BasicCredentials, Endpoint, Form};
use crate::telemetry::traces::child_span;

/// The `client_assertion_type` of signed tokens (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Finds out which client calls, by the one way in which the request says it.
pub(super) async fn authenticate(
    authority: &Authority,
    issuer: &Issuer,
    parts: &Parts,
    form: &Form,
) -> Result<Caller, Problem> {
    let _step = child_span("authenticate");
    let basic = basic(&parts.headers)?;
    let client_id = form.get("client_id");
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let url = {
        let snapshot = issuer.snapshot();
        snapshot.set().policy().url.as_str().to_owned()
    };
    let token_endpoint = Endpoint::Token.url(&url);
    let proof = match (&basic, secret, assertion) {
        (None, None, None) => return by_certificate(authority, parts, client_id).await,
        (Some(basic), None, None) if client_id.is_none_or(|named| named == basic.client_id) => {
            Proof::Secret {
                client_id: &basic.client_id,
                secret: &basic.secret,
            }
        }
        (Some(_), None, None) => return Err(Problem::bad_credential()),
        (None, Some(secret), None) => Proof::Secret {
            client_id: form.required("client_id")?,
            secret,
        },
        (None, None, Some(assertion)) => {
            if form.required("client_assertion_type")? != JWT_BEARER {
                let detail = format!("client_assertion_type must be {JWT_BEARER}");
                return Err(Problem::new(Code::InvalidBody, detail));
            }
            Proof::Assertion {
                client_id,
                assertion,
                audiences: [&url, &token_endpoint],
            }
        }
        _ => {
            let detail = "the request authenticates its client in more than one way";
            return Err(Problem::new(Code::SeveralCredentials, detail));
        }
    };
    let presented = RequestCredentials {
        proof: Some(proof),
        certificate: None,
        address: parts.extensions.get::<Peer>().map(|peer| peer.address.ip()),
    };
    Ok(authority.admit(presented).await?)
}

/// The client of the connection's certificate (RFC 8705 §2.1), which the request must name. A request that names
/// no client of ours does not authenticate one: it may renew a public grant.
async fn by_certificate(
    authority: &Authority,
    parts: &Parts,
    client_id: Option<&str>,
) -> Result<Caller, Problem> {
    let peer = parts.extensions.get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate.as_deref());
    let named = client_id.filter(|id| authority.clients().find(id).is_some());
    let (Some(certificate), Some(named)) = (certificate, named) else {
        return Err(Problem::no_credential());
    };
    let presented = RequestCredentials {
        proof: None,
        certificate: Some(certificate),
        address: peer.map(|peer| peer.address.ip()),
    };
    let caller = authority.admit(presented).await?;
    match caller.id() == named {
        true => Ok(caller),
        false => Err(Problem::bad_credential()),
    }
}

/// What `Authorization: Basic` presents. Another scheme does not authenticate a client here.
fn basic(headers: &HeaderMap) -> Result<Option<BasicCredentials>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::bad_credential());
    }
    let value = value.to_str().map_err(|_| Problem::bad_credential())?;
    let (scheme, presented) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(Problem::bad_credential());
    }
    let basic = BasicCredentials::parse(presented);
    basic.map(Some).map_err(|_| Problem::bad_credential())
}
