//! The routes of the public listener, as the OpenAPI document names them: for metrics and traces.

use super::Kind;
use super::feed::FeedPath;
use super::status_lists::StatusPath;

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
pub(super) use issuer_route;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event_stream::EventStreamEndpoint;
    use crate::http::public::issuer_endpoint::IssuerEndpoint;
    use crate::http::public::{HEALTH, READINESS, operations};
    use crate::oauth::Endpoint;

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
