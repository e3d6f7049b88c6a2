//! Pages of listed origins may call, and no others.

use crate::support::{Answer, Server, request};
use crate::world::{ORIGIN, client, orders, post, service};

fn preflight(server: &Server, origin: &str) -> Answer {
    let headers = [
        ("origin", origin.to_owned()),
        ("access-control-request-method", "POST".to_owned()),
        ("access-control-request-headers", "authorization".to_owned()),
    ];
    let url = format!("{}/token", server.public);
    request("OPTIONS", &url, &headers, None)
}

#[test]
fn a_page_of_a_listed_origin_may_call() {
    let server = service("");
    let service = client(&server, orders());
    let answer = preflight(&server, ORIGIN);
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", ORIGIN),
        ("access-control-allow-methods", "POST"),
        (
            "access-control-allow-headers",
            "Authorization, Content-Type, DPoP",
        ),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let grant = "grant_type=client_credentials";
    let ask = |origin: &str, form: &str| {
        let headers = [
            ("authorization", service.basic()),
            ("origin", origin.to_owned()),
        ];
        post(&server, "/token", &headers, form)
    };
    // A page must be able to read why it is refused, too.
    for (form, status) in [(grant, 200), ("grant_type=x", 400)] {
        let answer = ask(ORIGIN, form);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("DPoP-Nonce"));
    }
}

#[test]
fn a_page_of_another_origin_may_not() {
    let server = service("");
    let service = client(&server, orders());
    for origin in [
        "https://evil.example",
        "https://app.example.evil",
        "null",
        "",
    ] {
        let answer = preflight(&server, origin);
        let headers = [
            ("authorization", service.basic()),
            ("origin", origin.to_owned()),
        ];
        let posted = post(&server, "/token", &headers, "grant_type=client_credentials");
        for answer in [answer, posted] {
            let shared = |(name, _): &&(String, String)| name.starts_with("access-control-");
            assert!(answer.headers.iter().find(shared).is_none(), "{origin}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
}
