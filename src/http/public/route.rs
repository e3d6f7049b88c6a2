//! The routes of the public listener, as the OpenAPI document names them: for metrics and traces.

use super::Kind;
use super::feed::FeedPath;
use super::status_lists::StatusPath;
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

/// The route of an endpoint, in this path.
pub(super) fn endpoint_route(endpoint: Endpoint, path: &str) -> &'static str {
    let issuer = path.strip_suffix(endpoint.suffix()).unwrap_or(path);
    match endpoint {
        Endpoint::Token => issuer_route!(issuer, "/token"),
        Endpoint::Revocation => issuer_route!(issuer, "/revoke"),
        Endpoint::Introspection => issuer_route!(issuer, "/introspect"),
        Endpoint::Consumption => issuer_route!(issuer, "/consume"),
        Endpoint::GlobalRevocation => issuer_route!(issuer, "/global-token-revocation"),
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
            let of_endpoints = Endpoint::ALL.map(|endpoint| {
                endpoint_route(endpoint, &format!("{issuer}{}", endpoint.suffix()))
            });
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
