//! The claims of a request's token, for a handler.

use ::axum::extract::FromRequestParts;
use ::axum::http::request::Parts;
use ::axum::response::Response;
use serde::de::DeserializeOwned;

use super::Accepted;
use super::answer::{Challenges, Denial};
use crate::{Verified, VerifyError};

/// The token that [`Authentication`](super::Authentication) has accepted, with its claims as `C`.
///
/// A token whose claims do not have the shape of `C` is answered with 401 `claims-mismatch`. Where no
/// `Authentication` stands before the handler, the answer is 500 and the handler does not run.
#[derive(Clone, Debug)]
pub struct Authenticated<C>(pub Verified<C>);

impl<S: Sync, C: DeserializeOwned> FromRequestParts<S> for Authenticated<C> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let Some(Accepted { token, by }) = parts.extensions.get() else {
            return Err(Denial::NoAuthentication.answer(&Challenges::default()));
        };
        let claims = C::deserialize(&token.claims).map_err(|_| {
            let token = by.presented_token(&parts.headers).ok();
            let denial = by.refuse(token.map(|(_, token)| token), VerifyError::ClaimsShape);
            by.answer(&denial)
        })?;
        Ok(Self(Verified {
            header: token.header.clone(),
            claims,
            vouched_at: token.vouched_at,
            confirmation: token.confirmation,
        }))
    }
}
