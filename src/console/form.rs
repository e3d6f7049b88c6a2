//! What a page has sent: a form with the token of its session.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::Console;
use super::pages::problem;
use super::session::SignedIn;
use crate::http::{read_form, release_slot, take_slot_for_form};
use crate::oauth::Form;

/// The field of the token.
pub(super) const FORM_TOKEN: &str = "form_token";

/// A form of a client who is signed in.
pub(super) struct Submitted {
    pub(super) signed: SignedIn,
    pub(super) form: Form,
}

impl FromRequest<Arc<Console>> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Response> {
        use axum::extract::FromRequestParts as _;

        let (mut parts, body) = request.into_parts();
        let signed = SignedIn::from_request_parts(&mut parts, console).await?;
        let extensions = parts.extensions.clone();
        take_slot_for_form(&extensions, Some(&signed.caller)).map_err(|answer| *answer)?;
        let form = read_form(Request::from_parts(parts, body)).await;
        let form = form.map_err(|answer| *answer)?;
        release_slot(&extensions);
        let sent = form.get(FORM_TOKEN).unwrap_or_default().as_bytes();
        match bool::from(sent.ct_eq(signed.form_token.as_bytes())) {
            true => Ok(Self { signed, form }),
            false => Err(problem::from_elsewhere()),
        }
    }
}

/// Reads the form of a caller who is not known yet.
pub(super) async fn anonymous(request: Request) -> Result<Form, Response> {
    let extensions = request.extensions().clone();
    take_slot_for_form(&extensions, None).map_err(|answer| *answer)?;
    let form = read_form(request).await.map_err(|answer| *answer);
    release_slot(&extensions);
    form
}
