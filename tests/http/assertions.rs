//! The third way in: assertions that a client signs itself, and tokens of issuers that are trusted.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub use crate::support::Signatory;
use crate::support::{Answer, Server, since_epoch, start, start_in};
use crate::world::{self, create_issuer, eventually, merge, ok};

pub const AUDIENCE: &str = "https://keys.example.com/internal";

pub fn now() -> u64 {
    since_epoch().as_secs()
}

/// What a client says of itself, good as it is.
pub fn claims(client: &str) -> Value {
    json!({
        "iss": client, "sub": client, "aud": AUDIENCE, "iat": now(), "exp": now() + 60,
        "jti": format!("jti-{}-{:x}", std::process::id(), world::number()),
    })
}

/// Assertions from the second of the start are refused: whether they were used is not known.
pub fn outlast_the_second_of_the_start() {
    std::thread::sleep(Duration::from_millis(1100));
}

pub fn create(server: &Server, changes: Value) -> String {
    let mut body = json!({"name": "a client", "roles": ["issuer"], "credential": null});
    merge(&mut body, changes);
    let client = ok(server.call("POST", "/v1/clients", Some(&body)));
    client["id"].as_str().unwrap().to_owned()
}

fn signs(server: &Server, bearer: &str) -> Answer {
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    server.call_as(Some(bearer), "POST", "/v1/issuers/default/tokens", body)
}

/// No caller is let in with this. After 20 failures it is said in another way.
fn refuses(server: &Server, bearer: &str, what: &str) {
    let answer = signs(server, bearer);
    let (status, code) = (answer.status, answer.json()["code"].clone());
    let said = (status, code.as_str().unwrap());
    assert!(
        matches!(
            said,
            (401, "credential-invalid") | (429, "too-many-failures")
        ),
        "{what}: {said:?}"
    );
}

fn lets_in(server: &Server, bearer: &str, what: &str) {
    let answer = signs(server, bearer);
    assert_eq!(answer.status, 201, "{what}: {}", answer.json());
}

fn with(mut claims: Value, changes: Value) -> Value {
    merge(&mut claims, changes);
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn an_assertion_lets_its_client_in_once_and_a_bad_one_nobody() {
    let before_start = now();
    let server = start(&format!("internal.audience = \"{AUDIENCE}\"\n"));
    outlast_the_second_of_the_start();
    let (key, foreign) = (Signatory::new("mine"), Signatory::new("mine"));
    let id = create(&server, json!({"jwks": key.jwks()}));
    let other = create(&server, json!({"jwks": foreign.jwks()}));
    let keyless = create(&server, json!({}));
    let good = || claims(&id);

    let token = key.sign(&good());
    lets_in(&server, &token, "a good one");
    refuses(&server, &token, "the same once more");
    let same_jti = good();
    lets_in(&server, &key.sign(&same_jti), "a good one");
    let longer = with(same_jti.clone(), json!({"exp": now() + 120}));
    refuses(
        &server,
        &key.sign(&longer),
        "another one with a jti that was used",
    );
    // Each client has names of its own.
    let theirs = with(same_jti, json!({"iss": other, "sub": other}));
    lets_in(&server, &foreign.sign(&theirs), "the jti of another client");

    for (what, claims) in [
        (
            "another audience",
            with(good(), json!({"aud": "https://keys.example.com"})),
        ),
        (
            "an audience with more behind it",
            with(good(), json!({"aud": format!("{AUDIENCE}/")})),
        ),
        ("no audience", without(good(), "aud")),
        ("another subject", with(good(), json!({"sub": other}))),
        ("no subject", without(good(), "sub")),
        ("another issuer", with(good(), json!({"iss": other}))),
        (
            "an unknown issuer",
            with(good(), json!({"iss": "0000000000000000"})),
        ),
        (
            "a client without keys",
            with(good(), json!({"iss": keyless, "sub": keyless})),
        ),
        ("expired", with(good(), json!({"exp": now() - 1}))),
        (
            "expiring now",
            with(good(), json!({"iat": now() - 1, "exp": now()})),
        ),
        ("no expiry", without(good(), "exp")),
        ("301 seconds", with(good(), json!({"exp": now() + 302}))),
        ("for years", with(good(), json!({"exp": 4_000_000_000_u64}))),
        (
            "issued in the future, too long",
            with(good(), json!({"iat": now() + 600, "exp": now() + 800})),
        ),
        ("not valid yet", with(good(), json!({"nbf": now() + 60}))),
        ("no iat", without(good(), "iat")),
        ("no jti", without(good(), "jti")),
        ("an empty jti", with(good(), json!({"jti": ""}))),
        ("a long jti", with(good(), json!({"jti": "a".repeat(129)}))),
        ("a number for a jti", with(good(), json!({"jti": 7}))),
        (
            "from before the start",
            with(good(), json!({"iat": before_start - 1})),
        ),
        (
            "larger than 8 KiB",
            with(good(), json!({"more": "a".repeat(8 * 1024)})),
        ),
    ] {
        refuses(&server, &key.sign(&claims), what);
    }
    refuses(&server, &foreign.sign(&good()), "the key of another client");
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "HS256", "ES384"] {
        let header = json!({"alg": alg, "kid": "mine"});
        refuses(&server, &key.sign_under(&header, &good()), alg);
        refuses(
            &server,
            &format!("{}.{}.", encode(&header), encode(&good())),
            alg,
        );
    }
    let public = key.jwks()["keys"][0].to_string();
    let input = format!(
        "{}.{}",
        encode(&json!({"alg": "HS256", "kid": "mine"})),
        encode(&good())
    );
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    let tag = ring::hmac::sign(&hmac, input.as_bytes());
    let confused = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
    refuses(&server, &confused, "the public key as a secret");
    // A key of its own in the header proves nothing.
    let header = json!({"alg": "ES256", "kid": "mine", "jwk": foreign.jwks()["keys"][0]});
    refuses(
        &server,
        &foreign.sign_under(&header, &good()),
        "a key that comes along",
    );
    let own = server.sign("default", &json!({"claims": {"sub": id, "aud": AUDIENCE}}));
    refuses(&server, &own, "a token that keywright has signed");
    lets_in(&server, &key.sign(&good()), "a good one after all that");

    // Other keys, from the next request on.
    let next = Signatory::new("next");
    let body = json!({"name": "a client", "roles": ["issuer"], "jwks": next.jwks()});
    ok(server.call("PUT", &format!("/v1/clients/{id}"), Some(&body)));
    refuses(&server, &key.sign(&good()), "the key before");
    let used = next.sign(&good());
    lets_in(&server, &used, "the new key");
    // What has been used stays used when its terms change.
    ok(server.call("PUT", &format!("/v1/clients/{id}"), Some(&body)));
    refuses(&server, &used, "used under the terms before");
    let path = format!("/v1/clients/{id}");
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    refuses(&server, &next.sign(&good()), "a deleted client");
}

#[test]
fn an_assertion_from_before_a_restart_is_refused_and_without_an_audience_there_is_none() {
    let settings = format!("internal.audience = \"{AUDIENCE}\"\n");
    let server = start(&settings);
    outlast_the_second_of_the_start();
    let key = Signatory::new("mine");
    let id = create(&server, json!({"jwks": key.jwks()}));
    let (used, unused) = (key.sign(&claims(&id)), key.sign(&claims(&id)));
    lets_in(&server, &used, "a good one");
    let server = start_in(server.kill(), &settings).unwrap();
    refuses(&server, &used, "it was used before the restart");
    refuses(&server, &unused, "whether it was used is not known");
    outlast_the_second_of_the_start();
    lets_in(&server, &key.sign(&claims(&id)), "a new one");
    let server = start_in(server.kill(), "").unwrap();
    outlast_the_second_of_the_start();
    refuses(&server, &key.sign(&claims(&id)), "no audience is set");
}

#[test]
fn an_assertion_from_ahead_is_refused_or_counts_once_also_across_a_restart() {
    let settings = format!("internal.audience = \"{AUDIENCE}\"\n");
    let mut server = start(&settings);
    let key = Signatory::new("mine");
    let id = create(&server, json!({"jwks": key.jwks()}));
    let ahead = |seconds: u64| {
        let times = json!({"iat": now() + seconds, "exp": now() + seconds.max(60)});
        key.sign(&with(claims(&id), times))
    };
    for seconds in [10, 30, 60, 200, 295] {
        refuses(&server, &ahead(seconds), &format!("{seconds} s ahead"));
    }
    for seconds in [1, 2, 4] {
        outlast_the_second_of_the_start();
        let assertion = ahead(seconds);
        let issued_at = now() + seconds;
        lets_in(&server, &assertion, &format!("{seconds} s ahead"));
        assert!(now() >= issued_at, "used before it was issued");
        refuses(&server, &assertion, "a second time");
        server = start_in(server.kill(), &settings).unwrap();
        refuses(&server, &assertion, "again after a restart");
    }
}

/// A server with one document, as long as the test runs.
pub fn serve(document: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let body = document.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

pub const KUBERNETES: &str = "https://kubernetes.default.svc.cluster.local";

/// What a pod finds in its file, as Kubernetes writes it.
pub fn pod(namespace: &str, account: &str) -> Value {
    json!({
        "aud": [AUDIENCE], "iss": KUBERNETES, "iat": now(), "nbf": now(), "exp": now() + 3600,
        "jti": "a5c5e2b8-4f1a-4a39-9b1e-0a1c9be0bd0d",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "1ae2fc21"},
            "pod": {"name": "orders-6b7", "uid": "2ab3"},
            "serviceaccount": {"name": account, "uid": "77c1"},
        },
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
    })
}

pub fn trusting(name: &str, issuer: &str, keys: &str) -> String {
    format!(
        "[[trusted_issuers]]\nname = \"{name}\"\nissuer = \"{issuer}\"\naudience = \"{AUDIENCE}\"\n{keys}\n"
    )
}

#[test]
fn a_token_of_a_trusted_issuer_lets_in_the_one_client_that_it_names() {
    let (cluster, forge, stranger) = (
        Signatory::new("cluster-1"),
        Signatory::new("forge-1"),
        Signatory::new("cluster-1"),
    );
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("cluster.json");
    std::fs::write(&file, cluster.jwks().to_string()).unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = [
        trusting("kubernetes", KUBERNETES, &format!("jwks_file = {file:?}")),
        trusting(
            "forge",
            "https://forge.example",
            &format!("jwks_url = \"{}\"", serve(&forge.jwks())),
        ),
        trusting(
            "down",
            "https://down.example",
            &format!("jwks_url = \"http://{nowhere}/jwks\""),
        ),
    ];
    let server = start(&settings.concat());
    let orders = json!({"workloads": [{"issuer": "kubernetes", "claims": {
        "/kubernetes.io/namespace": "prod",
        "/kubernetes.io/serviceaccount/name": "orders",
    }}]});
    let orders = create(&server, orders);
    create(
        &server,
        json!({"workloads": [{"issuer": "forge", "claims": {"repository": "shop/*"}}]}),
    );
    create(
        &server,
        json!({"workloads": [{"issuer": "down", "claims": {"sub": "a"}}]}),
    );
    let untrusted = json!({"name": "a", "roles": ["issuer"],
        "workloads": [{"issuer": "elsewhere", "claims": {"sub": "a"}}]});
    let answer = server.call("POST", "/v1/clients", Some(&untrusted));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("untrusted-issuer"))
    );

    let token = cluster.sign(&pod("prod", "orders"));
    lets_in(&server, &token, "a pod of orders");
    lets_in(
        &server,
        &token,
        "a workload's token is no assertion, and may be used again",
    );
    for (what, claims) in [
        ("another namespace", pod("test", "orders")),
        ("another account", pod("prod", "billing")),
        ("a namespace that begins alike", pod("prod2", "orders")),
        (
            "another audience",
            with(
                pod("prod", "orders"),
                json!({"aud": ["https://kubernetes"]}),
            ),
        ),
        (
            "expired",
            with(pod("prod", "orders"), json!({"exp": now() - 70})),
        ),
        (
            "not valid yet",
            with(pod("prod", "orders"), json!({"nbf": now() + 90})),
        ),
        (
            "an issuer that is not trusted",
            with(
                pod("prod", "orders"),
                json!({"iss": "https://evil.example"}),
            ),
        ),
        (
            "another trusted issuer's name",
            with(
                pod("prod", "orders"),
                json!({"iss": "https://forge.example"}),
            ),
        ),
        (
            "its claims side by side",
            with(
                without(pod("prod", "orders"), "kubernetes.io"),
                json!({"/kubernetes.io/namespace": "prod", "/kubernetes.io/serviceaccount/name": "orders"}),
            ),
        ),
    ] {
        refuses(&server, &cluster.sign(&claims), what);
    }
    refuses(
        &server,
        &stranger.sign(&pod("prod", "orders")),
        "a key of the same name",
    );

    let job =
        json!({"iss": "https://forge.example", "aud": AUDIENCE, "sub": "job", "exp": now() + 60});
    let of = |repository: &str| forge.sign(&with(job.clone(), json!({"repository": repository})));
    lets_in(&server, &of("shop/web"), "a job of the shop");
    refuses(&server, &of("shopping/web"), "a job of another team");
    let cluster_says = with(job.clone(), json!({"repository": "shop/web"}));
    refuses(
        &server,
        &cluster.sign(&cluster_says),
        "an issuer with the keys of another",
    );

    let unknown =
        json!({"iss": "https://down.example", "aud": AUDIENCE, "sub": "a", "exp": now() + 60});
    let answer = signs(&server, &forge.sign(&unknown));
    let said = (answer.status, answer.json()["code"].clone());
    assert_eq!(said, (503, json!("caller-undecidable")));
    assert!(answer.header("retry-after").is_some());

    // A second client that the same token names makes it ambiguous; without it, it counts again.
    let rule = json!({"workloads": [{"issuer": "kubernetes", "claims": {"sub": "system:serviceaccount:prod:*"}}]});
    let second = create(&server, rule);
    refuses(&server, &token, "of two clients");
    eventually("the reason in the log", || {
        server
            .log()
            .contains("of several clients match")
            .then_some(())
    });
    assert_eq!(
        server
            .call("DELETE", &format!("/v1/clients/{second}"), None)
            .status,
        204
    );
    lets_in(&server, &token, "of one client again");
    assert_eq!(
        server
            .call("DELETE", &format!("/v1/clients/{orders}"), None)
            .status,
        204
    );
    refuses(&server, &token, "of a deleted client");
}

#[test]
fn the_log_says_by_what_and_from_where_each_caller_came() {
    let cluster = Signatory::new("cluster-1");
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("cluster.json");
    std::fs::write(&file, cluster.jwks().to_string()).unwrap();
    let trust = trusting("kubernetes", KUBERNETES, &format!("jwks_file = {file:?}"));
    let server = start(&format!("internal.audience = \"{AUDIENCE}\"\n{trust}"));
    outlast_the_second_of_the_start();
    create_issuer(&server, "a", json!({}));
    let key = Signatory::new("mine");
    let client = json!({"name": "ops", "roles": ["security"], "credential": {},
        "jwks": key.jwks(),
        "workloads": [{"issuer": "kubernetes", "claims": {"sub": "system:serviceaccount:prod:ops"}}]});
    let client = ok(server.call("POST", "/v1/clients", Some(&client)));
    let (id, credential) = (client["id"].as_str().unwrap(), world::credential(&client));
    let own = claims(id);
    let ways = [
        (
            credential,
            json!({"via": "credential", "credential": client["credentials"][0]["id"]}),
        ),
        (
            key.sign(&own),
            json!({"via": "assertion", "jti": own["jti"]}),
        ),
        (
            cluster.sign(&pod("prod", "ops")),
            json!({"via": "workload", "issuer": "kubernetes", "subject": "system:serviceaccount:prod:ops"}),
        ),
    ];
    for (bearer, expected) in &ways {
        let body = Some(("application/json", br#"{"force":true}"#.to_vec()));
        ok(server.call_as(Some(bearer), "POST", "/v1/issuers/a/rotate", body));
        let page = ok(server.call("GET", "/v1/audit?event=key-activated&limit=1000", None));
        let actor = page["events"].as_array().unwrap().last().unwrap()["actor"].clone();
        let mut wanted = json!({"kind": "client", "id": id, "name": "ops", "address": "127.0.0.1"});
        merge(&mut wanted, expected.clone());
        assert_eq!(actor, wanted);
    }
}

#[test]
fn clocks_may_be_apart_as_far_as_the_trusted_issuers_leeway() {
    let cluster = Signatory::new("cluster-1");
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("cluster.json");
    std::fs::write(&file, cluster.jwks().to_string()).unwrap();
    let keys = format!("jwks_file = {file:?}");
    let settings = [
        trusting("kubernetes", KUBERNETES, &keys),
        trusting(
            "exact",
            "https://exact.example",
            &format!("{keys}\nleeway = \"0s\""),
        ),
    ];
    let server = start(&settings.concat());
    let rule = |issuer: &str| json!({"issuer": issuer, "claims": {"sub": "system:serviceaccount:prod:orders"}});
    create(
        &server,
        json!({"workloads": [rule("kubernetes"), rule("exact")]}),
    );
    let exact = json!({"iss": "https://exact.example"});
    for (what, times, with_leeway) in [
        (
            "an nbf of a clock ahead",
            json!({"nbf": now() + 40, "iat": now() + 40}),
            true,
        ),
        ("an exp just past", json!({"exp": now() - 10}), true),
        ("an exp long past", json!({"exp": now() - 70}), false),
    ] {
        let claims = with(pod("prod", "orders"), times);
        let token = cluster.sign(&claims);
        match with_leeway {
            true => lets_in(&server, &token, what),
            false => refuses(&server, &token, what),
        }
        refuses(&server, &cluster.sign(&with(claims, exact.clone())), what);
    }
}

#[test]
fn the_log_says_why_a_token_is_refused_and_repeats_no_token() {
    let (cluster, stranger) = (Signatory::new("cluster-1"), Signatory::new("cluster-1"));
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("cluster.json");
    std::fs::write(&file, cluster.jwks().to_string()).unwrap();
    let trust = trusting("kubernetes", KUBERNETES, &format!("jwks_file = {file:?}"));
    let server = start(&format!("internal.audience = \"{AUDIENCE}\"\n{trust}"));
    outlast_the_second_of_the_start();
    let key = Signatory::new("mine");
    let rule =
        json!({"issuer": "kubernetes", "claims": {"sub": "system:serviceaccount:prod:orders"}});
    let id = create(&server, json!({"jwks": key.jwks(), "workloads": [rule]}));
    let pod = pod("prod", "orders");
    let own = claims(&id);
    for (token, code) in [
        (
            cluster.sign(&with(pod.clone(), json!({"exp": now() - 70}))),
            "token-expired",
        ),
        (
            cluster.sign(&with(pod.clone(), json!({"nbf": now() + 90}))),
            "token-not-yet-valid",
        ),
        (
            cluster.sign(&with(pod.clone(), json!({"aud": "other"}))),
            "wrong-audience",
        ),
        (
            cluster.sign(&with(pod.clone(), json!({"iss": format!("{KUBERNETES}/")}))),
            "wrong-issuer",
        ),
        (cluster.sign(&without(pod.clone(), "iss")), "no-issuer"),
        (
            cluster.sign(&with(pod.clone(), json!({"sub": "x"}))),
            "no-client",
        ),
        (stranger.sign(&pod), "bad-signature"),
        ("no.token.at-all".to_owned(), "token-malformed"),
        (
            key.sign(&with(own.clone(), json!({"sub": "x"}))),
            "wrong-subject",
        ),
        (
            key.sign(&with(own.clone(), json!({"exp": now() + 900}))),
            "lives-too-long",
        ),
        (
            key.sign(&with(own.clone(), json!({"jti": ""}))),
            "invalid-jti",
        ),
        (
            key.sign(&with(own, json!({"iat": now() + 60}))),
            "token-not-yet-valid",
        ),
    ] {
        refuses(&server, &token, code);
        eventually(code, || {
            let log = server.log();
            let is_told = log
                .lines()
                .any(|line| line.contains("token is refused") && line.contains(code));
            is_told.then_some(())
        });
        let signature = token.rsplit('.').next().unwrap();
        assert!(!server.log().contains(signature), "{code}");
    }
}
