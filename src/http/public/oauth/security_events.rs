//! Security event tokens of other systems (RFC 8417), as they push them (RFC 8935): an account that was disabled is
//! banned.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request as HttpRequest};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_api::{SecurityEventError, SecurityEventErrorName};

use super::error::description;
use super::global_revocation::{revoker, selector};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::event_stream::{ReceivedEvent, subject_of_event};
use crate::http::body::EventTokenBody;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{event_status_of, is_event_error, taken};
use crate::http::slots::RequestSlot;

/// Takes a token. One of an event from which nothing follows here is taken, too: an error would say that the token
/// is wrong, and have it sent again (RFC 8935 §2).
pub(super) async fn take(
    authority: &Arc<Authority>,
    issuer: &Arc<Issuer>,
    slot: Option<&RequestSlot>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let caller = revoker(authority, issuer, slot, &parts).await?;
    let request = HttpRequest::from_parts(parts, body);
    let EventTokenBody(token) = EventTokenBody::from_request(request, &()).await?;
    let claims = authority.security_event(&token).await?;
    let Some(event) = ReceivedEvent::of(&claims, authority.now())? else {
        let client = caller.id();
        tracing::info!(client, "a security event has no effect here");
        return Ok(taken());
    };
    let subject = {
        let snapshot = issuer.snapshot();
        let url = snapshot.set().policy().url.as_str();
        // A transmitter names users as it knows them, and the tokens have the same names.
        subject_of_event(&event.subject, |iss| iss == url || iss == event.issuer)?
    };
    let selector = selector(&caller, &subject)?;
    authority
        .take_security_event(issuer, &event, &selector, &caller.actor())
        .await?;
    Ok(taken())
}

/// Writes the answer of a problem as RFC 8935 §2.3 asks. One that is not about the token or its transmitter stays as
/// it is: the token is sent again then.
pub(super) fn write_error(response: &mut Response, problem: &Problem) {
    let status = event_status_of(problem.kind());
    if !is_event_error(status) {
        return;
    }
    let error = SecurityEventError {
        err: name_of(problem.kind()),
        description: description(problem),
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::from(serde_json::to_vec(&error).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    // The router has counted the other body.
    headers.remove(CONTENT_LENGTH);
    headers.remove(WWW_AUTHENTICATE);
}

const fn name_of(code: Code) -> SecurityEventErrorName {
    match code {
        Code::CredentialMissing | Code::CredentialInvalid | Code::SeveralCredentials => {
            SecurityEventErrorName::AuthenticationFailed
        }
        Code::RoleMissing | Code::ClientLimit => SecurityEventErrorName::AccessDenied,
        Code::InvalidEventKey => SecurityEventErrorName::InvalidKey,
        Code::InvalidEventIssuer => SecurityEventErrorName::InvalidIssuer,
        Code::InvalidEventAudience => SecurityEventErrorName::InvalidAudience,
        _ => SecurityEventErrorName::InvalidRequest,
    }
}
