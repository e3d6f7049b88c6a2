use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn freshness_is_max_age_less_age() {
    let seconds = |lines: &[_]| freshness(&headers(lines)).map(|fresh| fresh.as_secs());
    assert_eq!(seconds(&[]), None);
    assert_eq!(seconds(&[("cache-control", "public")]), None);
    assert_eq!(
        seconds(&[("cache-control", "public, Max-Age=300, stale-if-error=60")]),
        Some(300)
    );
    assert_eq!(seconds(&[("cache-control", "max-age=\"60\"")]), Some(60));
    assert_eq!(
        seconds(&[("cache-control", "max-age=300"), ("age", "100")]),
        Some(200)
    );
    assert_eq!(
        seconds(&[("cache-control", "max-age=300"), ("age", "900")]),
        Some(0)
    );
    assert_eq!(
        seconds(&[
            ("cache-control", "max-age=300"),
            ("cache-control", "no-cache")
        ]),
        Some(0)
    );
    for unreadable in [
        "max-age=soon",
        "max-age=-1",
        "max-age=",
        "max-age",
        "max-age=+5",
    ] {
        assert_eq!(
            seconds(&[("cache-control", unreadable)]),
            Some(0),
            "{unreadable}"
        );
    }
    assert_eq!(
        seconds(&[("cache-control", "max-age=99999999999999999999999")]),
        Some(u64::MAX)
    );
    assert_eq!(
        seconds(&[
            ("cache-control", "max-age=60"),
            ("age", "99999999999999999999999")
        ]),
        Some(0)
    );
    assert_eq!(
        seconds(&[("cache-control", "max-age=60, max-age=3600")]),
        Some(60)
    );
    assert_eq!(seconds(&[("cache-control", "s-maxage=9")]), None);
}

#[test]
fn json_says_so() {
    let is_json = |value| is_json(&headers(&[("content-type", value)]));
    for value in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/jwk-set+json",
        "application/jwk-set+json;x=y",
    ] {
        assert!(is_json(value), "{value}");
    }
    for value in ["text/html", "text/plain", "application/jsonp", "", ";"] {
        assert!(!is_json(value), "{value}");
    }
    assert!(!super::is_json(&HeaderMap::new()));
}

// Attack 83, and standard D2.
#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for text in [
        "https://id.example",
        "https://id.example:8443/tenant/jwks?x=1",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
        "http://localhost/jwks",
    ] {
        assert!(parse_address(text).is_ok(), "{text}");
    }
    for text in [
        "http://id.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost.example/jwks",
        "ftp://localhost/jwks",
        "file:///etc/passwd",
        "https://user@id.example/jwks",
        "https://user:word@id.example/jwks",
        "id.example/jwks",
        "",
    ] {
        assert_eq!(parse_address(text), Err(InvalidAddress), "{text}");
    }
}

#[test]
fn metadata_stands_where_each_specification_wants_it() {
    for (issuer, openid, oauth) in [
        (
            "https://id.example",
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://id.example/",
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://id.example/tenant",
            "https://id.example/tenant/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/tenant",
        ),
    ] {
        let issuer = Url::parse(issuer).unwrap();
        assert_eq!(openid_configuration(&issuer).as_str(), openid);
        assert_eq!(authorization_server_metadata(&issuer).as_str(), oauth);
    }
}

#[test]
fn issuer_has_neither_query_nor_fragment() {
    assert!(parse_issuer("https://id.example/tenant").is_ok());
    for text in [
        "https://id.example/?tenant=1",
        "https://id.example/?",
        "https://id.example/#tenant",
        "http://id.example",
    ] {
        assert_eq!(parse_issuer(text), Err(InvalidAddress), "{text}");
    }
}

#[test]
fn no_spelling_of_this_machine_is_taken_for_a_public_host() {
    for text in [
        "https://127.0.0.1/jwks",
        "https://127.8.9.1/jwks",
        "https://2130706433/jwks",
        "https://0x7f.1/jwks",
        "https://0.0.0.0/jwks",
        "https://[::1]/jwks",
        "https://[::]/jwks",
        "https://[::ffff:127.0.0.1]/jwks",
        "https://localhost/jwks",
        "https://LOCALHOST./jwks",
        "https://id.localhost/jwks",
    ] {
        assert!(may_be_this_machine(&Url::parse(text).unwrap()), "{text}");
    }
    for text in ["https://id.example/jwks", "https://localhost.example/jwks"] {
        assert!(!may_be_this_machine(&Url::parse(text).unwrap()), "{text}");
    }
}
