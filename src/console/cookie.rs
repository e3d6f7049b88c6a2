//! The cookie that names a session.
//!
//! Its prefix binds it to this host: no other host of the domain can set it. Browsers take such a cookie from
//! a loopback address without TLS, too; Safari does not, and gets one of another name there, which is
//! looked at nowhere else.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, USER_AGENT};
use zeroize::Zeroizing;

use super::Settings;

const NAME: &str = "__Host-keywright";
const LOOPBACK_NAME: &str = "keywright-loopback";

/// The length of a secret, in characters.
const SECRET_LENGTH: usize = 43;

/// The secrets that a request brings, each perhaps that of a session.
pub(super) fn secrets(settings: &Settings, headers: &HeaderMap) -> Vec<Zeroizing<String>> {
    let values = headers.get_all(COOKIE).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let is_ours = |name: &str| name == NAME || (is_plain(settings) && name == LOOPBACK_NAME);
    let is_secret = |value: &str| {
        let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        value.len() == SECRET_LENGTH && value.bytes().all(is_of_one)
    };
    pairs
        .filter(|(name, value)| is_ours(name) && is_secret(value))
        .map(|(_, value)| Zeroizing::new(value.to_owned()))
        .take(2)
        .collect()
}

/// The value of `Set-Cookie` that begins a session. It is forgotten when the browser ends; the session's own
/// ends are kept by the service.
pub(super) fn begin(settings: &Settings, headers: &HeaderMap, secret: &str) -> Zeroizing<String> {
    Zeroizing::new(match takes_no_secure_cookie(settings, headers) {
        true => format!("{LOOPBACK_NAME}={secret}; Path=/; HttpOnly; SameSite=Strict"),
        false => format!("{NAME}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict"),
    })
}

/// The values of `Set-Cookie` that end one.
pub(super) fn end() -> [String; 2] {
    [
        format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"),
        format!("{LOOPBACK_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
    ]
}

fn is_plain(settings: &Settings) -> bool {
    settings.is_loopback && !settings.is_tls
}

/// Safari's engine, and no other that calls itself like it.
fn takes_no_secure_cookie(settings: &Settings, headers: &HeaderMap) -> bool {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    is_plain(settings)
        && agent.is_some_and(|agent| {
            let others = ["Chrome/", "Chromium/", "HeadlessChrome/", "Firefox/"];
            agent.contains("Safari/") && !others.iter().any(|other| agent.contains(other))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(is_loopback: bool, is_tls: bool) -> Settings {
        Settings {
            is_loopback,
            is_tls,
            hosts: Vec::new(),
            environment: None,
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_safari_on_a_plain_loopback_address_gets_the_other_name() {
        let safari = headers("user-agent", "Mozilla/5.0 Version/17.0 Safari/605.1.15");
        let chrome = headers("user-agent", "Mozilla/5.0 Chrome/150.0 Safari/537.36");
        let secret = "s".repeat(SECRET_LENGTH);
        let name = |settings: &Settings, headers: &HeaderMap| {
            let cookie = begin(settings, headers, &secret);
            cookie.split('=').next().unwrap().to_owned()
        };
        assert_eq!(name(&settings(true, false), &safari), LOOPBACK_NAME);
        assert_eq!(name(&settings(true, false), &chrome), NAME);
        assert_eq!(name(&settings(true, true), &safari), NAME);
        assert_eq!(name(&settings(false, false), &safari), NAME);
    }

    #[test]
    fn a_secret_is_taken_from_our_cookies_alone() {
        let secret = "s".repeat(SECRET_LENGTH);
        let found =
            |settings: &Settings, cookie: &str| secrets(settings, &headers("cookie", cookie)).len();
        let plain = settings(true, false);
        let tls = settings(false, true);
        assert_eq!(found(&tls, &format!("a=b; {NAME}={secret}")), 1);
        assert_eq!(found(&tls, &format!("{LOOPBACK_NAME}={secret}")), 0);
        assert_eq!(found(&plain, &format!("{LOOPBACK_NAME}={secret}")), 1);
        assert_eq!(found(&tls, &format!("{NAME}={secret}x")), 0);
        assert_eq!(found(&tls, &format!("keywright={secret}")), 0);
    }
}
