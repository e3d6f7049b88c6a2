//! Which request a gateway asks about, for the DPoP proof of its token (RFC 9449 §4.3).
//!
//! The host is configured. Method and path are what the gateway says, in headers that it always sets
//! (nginx, Traefik), or by asking with the method and the path themselves (Envoy).

use axum::http::{HeaderMap, HeaderName, Method};

use super::denial::Denial;
use crate::config;

/// How the request is found out.
pub(super) struct OriginalRequests {
    /// The address of the service, without a slash at the end.
    base: String,
    from: Source,
}

enum Source {
    /// Headers that the gateway sets.
    Headers { method: HeaderName, uri: HeaderName },
    /// The request of the gateway, whose path begins with a segment that chooses a requirement if there
    /// are requirements.
    Question { has_segment: bool },
}

/// Settings of which no request could be found out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidOriginal {
    #[error(
        "dpop.url: \"{0}\" is not an http or https address without a query, such as \"https://api.example\""
    )]
    Url(String),
    #[error("dpop: set both method_header and uri_header, or neither")]
    OneHeader,
    #[error("dpop: \"{0}\" is not the name of a header")]
    Header(String),
}

/// A request that a proof must be about.
pub(super) struct OriginalRequest {
    pub(super) method: String,
    pub(super) url: String,
}

impl OriginalRequests {
    /// # Errors
    /// [`InvalidOriginal`].
    pub(super) fn new(
        settings: &config::GuardDpop,
        has_requirements: bool,
    ) -> Result<Self, InvalidOriginal> {
        let config::GuardDpop {
            url,
            method_header,
            uri_header,
        } = settings;
        let parsed = url::Url::parse(url).ok();
        let is_base = parsed.is_some_and(|parsed| {
            ["http", "https"].contains(&parsed.scheme())
                && parsed.has_host()
                && parsed.username().is_empty()
                && parsed.password().is_none()
                && parsed.query().is_none()
                && parsed.fragment().is_none()
        });
        if !is_base {
            return Err(InvalidOriginal::Url(url.clone()));
        }
        let name = |text: &String| {
            let name = text.parse::<HeaderName>();
            name.map_err(|_| InvalidOriginal::Header(text.clone()))
        };
        let from = match (method_header, uri_header) {
            (Some(method), Some(uri)) => Source::Headers {
                method: name(method)?,
                uri: name(uri)?,
            },
            (None, None) => Source::Question {
                has_segment: has_requirements,
            },
            _ => return Err(InvalidOriginal::OneHeader),
        };
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            from,
        })
    }

    /// The request that a gateway asks about.
    ///
    /// # Errors
    /// [`Denial::NoOriginalRequest`]: a header that the gateway should set is missing, is there twice, or is
    /// no method or path.
    pub(super) fn of(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<OriginalRequest, Denial> {
        let (method, path) = match &self.from {
            Source::Headers { method, uri } => (only(headers, method)?, only(headers, uri)?),
            Source::Question { has_segment: false } => (method.as_str(), path),
            Source::Question { has_segment: true } => {
                let rest = path.strip_prefix('/').and_then(|path| path.find('/'));
                let rest = rest.and_then(|at| path.get(at + 1..)).unwrap_or("/");
                (method.as_str(), rest)
            }
        };
        let is_method = method.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_method || !path.starts_with('/') {
            return Err(Denial::NoOriginalRequest);
        }
        Ok(OriginalRequest {
            method: method.to_owned(),
            url: format!("{}{path}", self.base),
        })
    }
}

/// The one value of a header.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Denial> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Denial::NoOriginalRequest),
        _ => Err(Denial::NoOriginalRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, headers: Option<(&str, &str)>) -> config::GuardDpop {
        config::GuardDpop {
            url: url.to_owned(),
            method_header: headers.map(|(method, _)| method.to_owned()),
            uri_header: headers.map(|(_, uri)| uri.to_owned()),
        }
    }

    const ORIGINAL: Option<(&str, &str)> = Some(("X-Original-Method", "X-Original-URI"));

    fn found(requests: &OriginalRequests, path: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match requests.of(&Method::PUT, path, &headers) {
            Ok(OriginalRequest { method, url }) => format!("{method} {url}"),
            Err(denial) => denial.code().to_owned(),
        }
    }

    #[test]
    fn the_request_is_that_of_the_headers_or_the_question_itself() {
        let by_headers = settings("https://api.example/", ORIGINAL);
        let by_headers = OriginalRequests::new(&by_headers, true).unwrap();
        let both = [("x-original-method", "GET"), ("x-original-uri", "/a/b?c=d")];
        assert_eq!(
            found(&by_headers, "/read", &both),
            "GET https://api.example/a/b?c=d"
        );
        for lines in [
            vec![],
            vec![both[0]],
            vec![both[1]],
            vec![both[0], both[1], both[1]],
            vec![both[0], ("x-original-uri", "http://evil.example/a")],
            vec![both[0], ("x-original-uri", "@evil.example/a")],
            vec![("x-original-method", "GET /"), both[1]],
        ] {
            let refused = found(&by_headers, "/read", &lines);
            assert_eq!(refused, "original-request-unknown", "{lines:?}");
        }
        let question = settings("https://api.example/v1", None);
        let all = OriginalRequests::new(&question, false).unwrap();
        assert_eq!(found(&all, "/a/b", &both), "PUT https://api.example/v1/a/b");
        let by_segment = OriginalRequests::new(&question, true).unwrap();
        assert_eq!(
            found(&by_segment, "/read/a", &[]),
            "PUT https://api.example/v1/a"
        );
        assert_eq!(
            found(&by_segment, "/read", &[]),
            "PUT https://api.example/v1/"
        );
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for url in [
            "api.example",
            "/",
            "https://api.example?a=b",
            "ftp://a",
            "https://u@a",
        ] {
            assert!(
                OriginalRequests::new(&settings(url, None), false).is_err(),
                "{url}"
            );
        }
        let mut one = settings("https://api.example", ORIGINAL);
        one.uri_header = None;
        let refused = OriginalRequests::new(&one, false).err();
        assert_eq!(refused, Some(InvalidOriginal::OneHeader));
        let spaced = settings("https://api.example", Some(("a b", "c")));
        let refused = OriginalRequests::new(&spaced, false).err();
        assert_eq!(refused, Some(InvalidOriginal::Header("a b".to_owned())));
    }
}
