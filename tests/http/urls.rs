//! Credentials and tokens in places that every log on the way writes down.

use serde_json::{Value, json};

use crate::exchange::plain;
use crate::support::{Server, start};
use crate::world::{self, create_client, eventually};

const TRACE: &str = "log.filter = \"trace\"\n";

fn percent(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| {
        text.replace('%', "%25")
            .replace('_', "%5F")
            .replace('.', "%2E")
    })
}

/// Refused, and neither logged nor shown.
fn refuses(server: &Server, target: &str, secrets: &[&str]) {
    let bearer = format!("Bearer {}", server.admin);
    for headers in [&[][..], &[("Authorization", bearer.as_str())][..]] {
        let answer = plain(&server.internal, "GET", target, headers);
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.json()["code"], "credential-in-url", "{target}");
        let shown = String::from_utf8(answer.body).unwrap();
        let headers = format!("{:?}", answer.headers);
        for secret in secrets {
            assert!(
                !shown.contains(secret) && !headers.contains(secret),
                "{target}"
            );
        }
    }
}

#[test]
fn a_credential_in_a_url_is_refused_and_not_logged() {
    let server = start(TRACE);
    let client = create_client(&server, "shop", &["issuer"]);
    let credential = world::credential(&client);
    let token = server.sign("default", &json!({"claims": {"sub": "a"}}));
    let secret = &credential[20..];
    let signature = token.rsplit_once('.').unwrap().1;
    // Percent-encoding takes characters out of a secret; what is around them still tells most.
    let bootstrap = &server.admin["kw_bootstrap_".len()..];
    let secrets: Vec<&str> = [secret, signature, bootstrap]
        .into_iter()
        .flat_map(|secret| [secret, &secret[..20], &secret[secret.len() - 20..]])
        .collect();
    for one in [&credential, &token, &server.admin] {
        for times in 0..4 {
            let one = percent(one, times);
            for target in [
                format!("/{one}"),
                format!("/v1/clients/{one}"),
                format!("/v1/clients/{one}/credentials/x"),
                format!("/v1/issuers/default/keys/{one}"),
                format!("/v1/issuers;{one}"),
                format!("/v1/issuers/a,{one}"),
                format!("/v1/issuers/%22{one}%22"),
                format!("/v1/clients/x-{one}"),
                format!("/v1/clients/kw_.{one}"),
                format!("/v1/audit?after={one}"),
                format!("/v1/audit?{one}"),
                format!("/v1/audit?a=b&c={one}&d"),
                format!("/v1/audit?a=Bearer%20{one}"),
                format!("/v1/audit?a=Bearer+{one}"),
                format!("/v1/audit?access_token={one}"),
                format!("/openapi.json?{one}"),
                format!("/metrics?x={one}"),
            ] {
                refuses(&server, &target, &secrets);
            }
        }
    }
    for name in ["access_token", "token", "authorization", "credential"] {
        refuses(&server, &format!("/v1/audit?{name}=unknown"), &[]);
    }
    let log = eventually("a line in the log", || {
        let log = server.log();
        log.contains("credential in its URL").then_some(log)
    });
    for secret in secrets {
        assert!(!log.contains(secret), "the log has a part of a secret");
    }
    // What only looks a little like one is a path like any other.
    for path in ["/v1/clients/kw_", "/v1/clients/eyJ", "/v1/clients/a.b.c"] {
        assert_eq!(server.call("GET", path, None).status, 404, "{path}");
    }
}

#[test]
fn a_credential_for_a_request_id_is_neither_taken_nor_logged() {
    let server = start(&format!("{TRACE}issuance_log.to = \"file\"\n"));
    let credential = world::credential(&create_client(&server, "shop", &["admin", "issuer"]));
    let bearer = format!("Bearer {credential}");
    let admin = &server.admin;
    let ids = [
        credential.clone(),
        admin.clone(),
        format!("x-{admin}"),
        format!("1.{admin}"),
        format!("{admin}.1"),
        admin[..admin.len() - 2].to_owned(),
    ];
    for id in &ids {
        for (method, target) in [
            ("GET", "/v1/clients"),
            ("GET", "/v1/issuers/nobody"),
            ("GET", "/nothing"),
            ("POST", "/v1/issuers/default/tokens"),
        ] {
            let headers = [("Authorization", bearer.as_str()), ("X-Request-Id", id)];
            let answer = plain(&server.internal, method, target, &headers);
            assert_ne!(answer.header("x-request-id"), Some(id.as_str()), "{id}");
        }
    }
    let issuance = server.folder().path().join("keys-issuance.jsonl");
    // The refusals after the first five are counted.
    let issuance = eventually("lines of the issuance log", || {
        let text = std::fs::read_to_string(&issuance).unwrap_or_default();
        (text.lines().count() == ids.len().min(5)).then_some(text)
    });
    let answer = plain(
        &server.internal,
        "GET",
        "/nothing",
        &[("X-Request-Id", "my-id")],
    );
    assert_eq!(answer.header("x-request-id"), Some("my-id"));
    for secret in [
        &credential[20..],
        &admin["kw_bootstrap_".len()..admin.len() - 2],
    ] {
        assert!(!server.log().contains(secret));
        assert!(!issuance.contains(secret));
    }
    assert_eq!(
        server.call("GET", "/v1/audit", None).json()["x"],
        Value::Null
    );
}
