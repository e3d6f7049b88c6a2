//! The routes of the public listener, as the OpenAPI document names them: for metrics and traces.

use super::feed::FeedPath;
use super::status_lists::StatusPath;
use super::{IssuerEndpoint, Kind};
use crate::event_stream::EventStreamEndpoint;
use crate::oauth::Endpoint;

/// A route of issuers: with `{issuer_path}` where the issuer in the request's path has one. Clients that
/// append to a URL with a slash at its end send two slashes.
macro_rules! issuer_route {
    ($issuer:expr, $path:literal) => {
        match $issuer.trim_end_matches('/') {
            "" => $path,
            _ => concat!("/{issuer_path}", $path),
        }
    };
}

impl Kind {
    /// The route of this document of the issuer with this path.
    pub(super) fn route(self, issuer: &str) -> &'static str {
        match self {
            Self::Jwks => issuer_route!(issuer, "/.well-known/jwks.json"),
            Self::OpenidConfiguration => {
                issuer_route!(issuer, "/.well-known/openid-configuration")
            }
            Self::OauthMetadata => match issuer.trim_end_matches('/') {
                "" => "/.well-known/oauth-authorization-server",
                _ => "/.well-known/oauth-authorization-server/{issuer_path}",
            },
            Self::SsfConfiguration => match issuer.trim_end_matches('/') {
                "" => "/.well-known/ssf-configuration",
                _ => "/.well-known/ssf-configuration/{issuer_path}",
            },
        }
    }
}

impl FeedPath<'_> {
    /// The route.
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Head(issuer) => issuer_route!(issuer, "/.well-known/revocations"),
            Self::Segment(issuer, _) => issuer_route!(issuer, "/.well-known/revocations/{hash}"),
        }
    }
}

impl StatusPath<'_> {
    /// The route.
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Aggregation(issuer) => issuer_route!(issuer, "/status"),
            Self::List(issuer, _) => issuer_route!(issuer, "/status/{list}"),
        }
    }
}

impl IssuerEndpoint {
    /// The end of its path.
    const fn suffix(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::public::{HEALTH, READINESS, operations};

    #[test]
    fn the_routes_are_those_of_the_openapi_document() {
        let mut routes = BTreeSet::from([HEALTH, READINESS].map(str::to_owned));
        for issuer in ["", "/", "/tenant", "/tenant/"] {
            let of_kinds = Kind::ALL.map(|kind| kind.route(issuer));
            let oauth = Endpoint::ALL.into_iter().map(IssuerEndpoint::Oauth);
            let event_streams = EventStreamEndpoint::ALL.into_iter();
            let event_streams = event_streams.map(IssuerEndpoint::EventStream);
            let of_endpoints = oauth
                .chain(event_streams)
                .map(|endpoint| endpoint.route(&format!("{issuer}{}", endpoint.suffix())));
            let others = [
                FeedPath::Head(issuer).route(),
                FeedPath::Segment(issuer, "hash").route(),
                StatusPath::Aggregation(issuer).route(),
                StatusPath::List(issuer, "list").route(),
            ];
            let all = of_kinds.into_iter().chain(of_endpoints).chain(others);
            routes.extend(all.map(str::to_owned));
        }
        let described = operations().into_iter().map(|operation| operation.path);
        assert_eq!(routes, described.collect());
    }
}
