//! Whether a request comes from where it should: to a name of the console's, and, where it changes something,
//! from one of its own pages.
//!
//! A foreign page can make a browser send requests to a loopback address under a name of its own
//! (DNS rebinding): such a name is refused. A form elsewhere can be sent here: what the browser says of
//! where a request comes from (`Sec-Fetch-Site`, otherwise `Origin`) must be this origin.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use url::Host;

use super::pages::problem;
use super::{Console, Settings};

/// Lets a request through, or refuses it.
pub(super) async fn check(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    if !is_host_ours(&console.settings, request.headers()) {
        return problem::wrong_host();
    }
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe && !is_from_here(&console.settings, request.headers()) {
        return problem::from_elsewhere();
    }
    next.run(request).await
}

/// The host of an authority, without its port.
fn host_of(authority: &str) -> Option<Host> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    Host::parse(host).ok()
}

fn is_host_ours(settings: &Settings, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some(host) = value.to_str().ok().and_then(host_of) else {
        return false;
    };
    let is_of_machine = match &host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => Ipv6Addr::is_loopback(address),
    };
    let is_named = || settings.hosts.contains(&host.to_string());
    match settings.is_loopback {
        true => is_of_machine || is_named(),
        false => settings.hosts.is_empty() || is_named(),
    }
}

fn is_from_here(settings: &Settings, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else {
        return false;
    };
    // Behind a proxy that speaks TLS the browser's scheme is https, whatever this listener's is.
    let is_ours = |scheme: &str| origin.strip_prefix(scheme) == Some(host);
    is_ours("https://") || (!settings.is_tls && is_ours("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(is_loopback: bool, hosts: &[&str]) -> Settings {
        Settings {
            is_loopback,
            is_tls: false,
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            environment: None,
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_loopback_console_is_reached_by_names_of_the_machine_alone() {
        for (host, expected) in [
            ("localhost:8081", true),
            ("127.0.0.1:8081", true),
            ("127.9.9.9", true),
            ("[::1]:8081", true),
            ("a.localhost", true),
            ("keys.example:8081", true),
            ("attacker.example:8081", false),
            ("localhost.attacker.example", false),
            ("10.0.0.1:8081", false),
            ("[::2]:8081", false),
            ("", false),
            ("keys.example:", false),
        ] {
            let ours = is_host_ours(
                &settings(true, &["keys.example"]),
                &headers(&[("host", host)]),
            );
            assert_eq!(ours, expected, "{host}");
        }
        let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
        assert!(!is_host_ours(&settings(true, &[]), &twice));
        let any = headers(&[("host", "whatever.example")]);
        assert!(is_host_ours(&settings(false, &[]), &any));
        assert!(!is_host_ours(&settings(false, &["keys.example"]), &any));
    }

    #[test]
    fn what_changes_something_comes_from_this_origin() {
        let host = ("host", "localhost:8081");
        for (pairs, expected) in [
            (&[host, ("sec-fetch-site", "same-origin")][..], true),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://localhost:8081"),
                ],
                false,
            ),
            (&[host, ("origin", "http://localhost:8081")], true),
            (&[host, ("origin", "http://localhost:8082")], false),
            (&[host, ("origin", "null")], false),
            (&[host], false),
        ] {
            let ours = is_from_here(&settings(true, &[]), &headers(pairs));
            assert_eq!(ours, expected, "{pairs:?}");
        }
    }
}
