//! Who is signed in: by the cookie of a session, or by the certificate of the connection.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::Console;
use super::api::Calls;
use super::pages::{problem, sign_in};
use super::{cookie, response};
use crate::access::Role;
use crate::authority::authentication::{Caller, RequestCredentials, Unauthenticated};
use crate::authority::sessions::SessionError;
use crate::http::Peer;
use crate::lifecycle::Timestamp;

/// What the keys of form tokens are made for.
const FORM_TOKEN: &[u8] = b"keywright console form";

/// The client who is signed in.
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// When the session ends; `None` for one who comes with a certificate.
    pub(super) ends_at: Option<Timestamp>,
    /// What every form of the session has.
    pub(super) form_token: String,
    console: Arc<Console>,
    headers: HeaderMap,
}

impl SignedIn {
    /// The calls that this client can make.
    pub(super) fn calls(&self) -> Calls<'_> {
        Calls::new(&self.console.api, &self.caller, &self.headers)
    }

    /// The console.
    pub(super) fn console(&self) -> &Console {
        &self.console
    }

    /// Ends the session.
    ///
    /// # Errors
    /// The answer while the store does not say that it has ended.
    pub(super) async fn end(&self) -> Result<(), Response> {
        for secret in cookie::secrets(&self.console.settings, &self.headers) {
            let ended = self.console.authority.end_session(&secret).await;
            ended.map_err(|error| unavailable(&SessionError::Change(error)))?;
        }
        Ok(())
    }

    /// Whether the client may read which tokens were taken back.
    pub(super) fn may_read_revocations(&self) -> bool {
        let mut roles = Role::REVOCATION_READERS.iter();
        roles.any(|role| self.caller.has(*role))
    }

    /// What time it is, in Unix seconds with three decimals.
    pub(super) fn now_exactly(&self) -> String {
        let millis = self.console.authority.now().millis();
        format!("{}.{:03}", millis / 1000, millis % 1000)
    }

    /// What time it is, in Unix seconds.
    pub(super) fn now(&self) -> u64 {
        self.console.authority.now().floor_seconds()
    }
}

impl FromRequestParts<Arc<Console>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>();
        let address = peer.map(|peer| peer.address.ip());
        for secret in cookie::secrets(&console.settings, &parts.headers) {
            let found = console.authority.session(&secret, address).await;
            if let Some(live) = found.map_err(|error| unavailable(&error))? {
                return Ok(Self {
                    form_token: form_token(console, &live.id),
                    caller: live.caller,
                    ends_at: Some(live.ends_at),
                    console: Arc::clone(console),
                    headers: parts.headers.clone(),
                });
            }
        }
        let Some(certificate) = peer.and_then(|peer| peer.certificate.as_deref()) else {
            return Err(signed_out(parts));
        };
        let presented = RequestCredentials {
            proof: None,
            certificate: Some(certificate),
            address,
        };
        match console.authority.admit(presented).await {
            Ok(caller) => Ok(Self {
                form_token: form_token(console, &certificate.thumbprint_text()),
                caller: Caller {
                    via: caller.via.in_console(),
                    ..caller
                },
                ends_at: None,
                console: Arc::clone(console),
                headers: parts.headers.clone(),
            }),
            Err(Unauthenticated::Missing | Unauthenticated::Invalid) => Err(signed_out(parts)),
            Err(reason) => Err(problem::not_signed_in(reason)),
        }
    }
}

/// What a session's forms have: an attacker who does not know the session's pages cannot make it.
fn form_token(console: &Console, session: &str) -> String {
    let key = Key::new(HMAC_SHA256, &console.authority.nonce_secret());
    let key = Key::new(HMAC_SHA256, sign(&key, FORM_TOKEN).as_ref());
    URL_SAFE_NO_PAD.encode(sign(&key, session.as_bytes()))
}

/// A page leads to the sign-in, and from there back; what was sent is not done.
fn signed_out(parts: &Parts) -> Response {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return problem::signed_out();
    }
    let wanted = parts.uri.path_and_query().map(|path| path.as_str());
    response::see_other(&sign_in::path_to(wanted.unwrap_or_default()))
}

/// Why the session could not be looked up.
pub(super) fn unavailable(error: &SessionError) -> Response {
    match error {
        SessionError::Unauthenticated(reason) => problem::not_signed_in(*reason),
        SessionError::Change(error) => {
            tracing::warn!(%error, "a session of the console could not be read or written");
            problem::store_unavailable()
        }
    }
}
