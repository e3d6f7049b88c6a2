//! The endpoints under the path of an issuer whose callers prove who they are.

use std::sync::Arc;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;

use super::oauth::Oauth;
use super::published_under;
use super::route::issuer_route;
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::event_stream::EventStreamEndpoint;
use crate::oauth::Endpoint;

/// An endpoint under the path of an issuer, whose callers prove who they are.
#[derive(Clone, Copy)]
pub(super) enum IssuerEndpoint {
    /// For OAuth clients.
    Oauth(Endpoint),
    /// For receivers of security events.
    EventStream(EventStreamEndpoint),
}

impl IssuerEndpoint {
    /// The endpoint that a path names, and its issuer unless that is out of service.
    pub(super) fn find(authority: &Authority, path: &str) -> Option<(Self, Option<Arc<Issuer>>)> {
        let oauth = Endpoint::in_path(path).map(|(found, issuer)| (Self::Oauth(found), issuer));
        let (endpoint, path) = oauth.or_else(|| {
            let (found, issuer) = EventStreamEndpoint::in_path(path)?;
            Some((Self::EventStream(found), issuer))
        })?;
        let issuer = published_under(authority, path);
        let is_known = issuer.is_some() || authority.is_out_of_service(path);
        is_known.then_some((endpoint, issuer))
    }

    /// Answers a request at it.
    pub(super) async fn answer(
        self,
        oauth: Oauth,
        issuer: Option<Arc<Issuer>>,
        request: Request<Incoming>,
    ) -> Response {
        match self {
            Self::Oauth(endpoint) => oauth.answer(endpoint, issuer, request).await,
            Self::EventStream(endpoint) => oauth.answer_receiver(endpoint, issuer, request).await,
        }
    }

    /// The end of its path.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Oauth(endpoint) => endpoint.suffix(),
            Self::EventStream(endpoint) => endpoint.suffix(),
        }
    }

    /// The route, where it stands in this path.
    pub(super) fn route(self, path: &str) -> &'static str {
        let issuer = path.strip_suffix(self.suffix()).unwrap_or(path);
        match self {
            Self::Oauth(Endpoint::Token) => issuer_route!(issuer, "/token"),
            Self::Oauth(Endpoint::Revocation) => issuer_route!(issuer, "/revoke"),
            Self::Oauth(Endpoint::Introspection) => issuer_route!(issuer, "/introspect"),
            Self::Oauth(Endpoint::Consumption) => issuer_route!(issuer, "/consume"),
            Self::Oauth(Endpoint::GlobalRevocation) => {
                issuer_route!(issuer, "/global-token-revocation")
            }
            Self::Oauth(Endpoint::SecurityEvents) => issuer_route!(issuer, "/security-events"),
            Self::EventStream(EventStreamEndpoint::Configuration) => {
                issuer_route!(issuer, "/ssf/streams")
            }
            Self::EventStream(EventStreamEndpoint::Status) => issuer_route!(issuer, "/ssf/status"),
            Self::EventStream(EventStreamEndpoint::Verification) => {
                issuer_route!(issuer, "/ssf/verification")
            }
            Self::EventStream(EventStreamEndpoint::Poll) => issuer_route!(issuer, "/ssf/poll"),
        }
    }
}
