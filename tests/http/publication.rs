//! What verifiers are served, byte for byte.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright_verifier::{Algorithm, Jwk, JwkSet, Jws};
use serde_json::{Value, json};

use crate::exchange::{Raw, plain, send};
use crate::support::{Server, start};
use crate::world::{self, create_issuer, kid, ok, p256_jwk, p256_pem, rsa_pem};

const JWKS: &str = "/.well-known/jwks.json";
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// Each issuer's name, its URL and its path.
const ISSUERS: [(&str, &str, &str); 3] = [
    ("default", "http://127.0.0.1:8080", ""),
    (
        "tenant",
        "https://id.example/tenants/a-b_c~1.0",
        "/tenants/a-b_c~1.0",
    ),
    ("slash", "https://id.example:8443/slash/", "/slash"),
];

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// No test of this module changes the issuers of this server.
fn server() -> Arc<Server> {
    world::shared(&SHARED, || {
        let server = start("");
        create_issuer(
            &server,
            "tenant",
            json!({ "url": ISSUERS[1].1, "stale_if_error": "0s" }),
        );
        let both = json!({ "url": ISSUERS[2].1, "algorithms": ["RS256", "ES256"] });
        create_issuer(&server, "slash", both);
        server
    })
}

fn get(server: &Server, path: &str) -> Raw {
    plain(&server.public, "GET", path, &[])
}

fn get_with(server: &Server, path: &str, header: (&str, &str)) -> Raw {
    plain(&server.public, "GET", path, &[header])
}

/// Every document that the server publishes.
fn documents() -> Vec<String> {
    ISSUERS
        .iter()
        .flat_map(|(name, _, path)| {
            let openid = (*name != "tenant").then(|| format!("{path}{OPENID}"));
            [format!("{path}{JWKS}"), format!("{OAUTH}{path}")]
                .into_iter()
                .chain(openid)
        })
        .collect()
}

#[test]
fn the_key_set_has_exactly_the_public_members_in_a_fixed_order() {
    let server = server();
    for (name, _, path) in ISSUERS {
        let answer = get(&server, &format!("{path}{JWKS}"));
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/jwk-set+json")
        );
        let document = answer.json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let keys = document["keys"].as_array().unwrap();
        let written: Vec<String> = keys
            .iter()
            .map(|key| {
                let kid = text(&key["kid"]);
                if key["kty"] == "EC" {
                    let (x, y) = (text(&key["x"]), text(&key["y"]));
                    format!(
                        r#"{{"kty":"EC","kid":"{kid}","use":"sig","alg":"ES256","crv":"P-256","x":"{x}","y":"{y}"}}"#
                    )
                } else {
                    let (n, e) = (text(&key["n"]), text(&key["e"]));
                    format!(
                        r#"{{"kty":"RSA","kid":"{kid}","use":"sig","alg":"RS256","n":"{n}","e":"{e}"}}"#
                    )
                }
            })
            .collect();
        let expected = format!(r#"{{"keys":[{}]}}"#, written.join(","));
        assert_eq!(String::from_utf8(answer.body.clone()).unwrap(), expected);
        assert!(answer.body.len() < 51_200 && keys.len() <= 100);

        let held = world::keys(&server, name);
        assert_eq!(
            keys.len(),
            held.len(),
            "a key for each that is pending or active"
        );
        let kids: HashSet<String> = keys.iter().map(|key| text(&key["kid"])).collect();
        assert_eq!(kids.len(), keys.len(), "kids are distinct");
        let held: HashSet<String> = held.iter().map(|key| text(&key["kid"])).collect();
        assert_eq!(kids, held);
    }
}

#[test]
fn no_byte_of_a_key_set_is_a_private_member() {
    let server = server();
    for document in documents() {
        let body = String::from_utf8(get(&server, &document).body).unwrap();
        for member in [
            "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "key_ops", "x5c", "x5u",
        ] {
            assert!(
                !body.contains(&format!("\"{member}\"")),
                "{document}: {member}"
            );
        }
        assert!(!body.contains("PRIVATE"));
    }
}

#[test]
fn numbers_are_minimal_and_coordinates_are_whole() {
    let server = server();
    for (_, _, path) in ISSUERS {
        let document = get(&server, &format!("{path}{JWKS}")).json();
        for key in document["keys"].as_array().unwrap() {
            let bytes = |member: &str| {
                let text = key[member].as_str().unwrap();
                assert!(!text.contains(['=', '+', '/']), "{text}");
                BASE64URL.decode(text).unwrap()
            };
            if key["kty"] == "EC" {
                assert_eq!((bytes("x").len(), bytes("y").len()), (32, 32));
            } else {
                let n = bytes("n");
                assert_eq!(n.len(), 256);
                assert!(
                    n[0] & 0x80 != 0,
                    "2048 bits, not 2047, and no leading zero octet"
                );
                assert_eq!(key["e"], "AQAB");
            }
            let jwk = Jwk::from_value(key.clone()).unwrap();
            assert_eq!(jwk.thumbprint().as_str(), key["kid"].as_str().unwrap());
        }
    }
}

#[test]
fn a_foreign_jwk_is_published_in_its_canonical_form() {
    let server = start("");
    create_issuer(&server, "foreign", json!({ "takes_over": true }));
    let import = |algorithm: &str, jwk: &Value| {
        let body = json!({ "algorithm": algorithm, "state": "retired", "public_key": jwk });
        server.call("POST", "/v1/issuers/foreign/keys", Some(&body))
    };
    let published = |kid: &Value| {
        let document = get(&server, &format!("/foreign{JWKS}")).json();
        let keys = document["keys"].as_array().unwrap();
        keys.iter().find(|key| key["kid"] == *kid).unwrap().clone()
    };
    let (secret, _) = p256_pem();
    let ec = p256_jwk(&secret, "ec");
    let mut foreign = ec.clone();
    foreign["x"] = format!(
        "{}=",
        ec["x"]
            .as_str()
            .unwrap()
            .replace('-', "+")
            .replace('_', "/")
    )
    .into();
    let padded = [
        &[0],
        &BASE64URL.decode(ec["y"].as_str().unwrap()).unwrap()[..],
    ]
    .concat();
    foreign["y"] = BASE64URL.encode(padded).into();
    assert_eq!(import("ES256", &foreign).status, 201);
    assert_eq!(published(&ec["kid"]), ec);

    let (_, rsa) = rsa_pem(2048);
    let pair = keywright::engine::import_private_key(Algorithm::Rs256, &rsa, None).unwrap();
    let rsa: Value = serde_json::from_str(&pair.jwk.to_json()).unwrap();
    let mut foreign = rsa.clone();
    foreign["e"] = "AAEAAQ==".into();
    let n = BASE64URL.decode(rsa["n"].as_str().unwrap()).unwrap();
    foreign["n"] = BASE64URL.encode([&[0], &n[..]].concat()).into();
    // Without a kid it is named by its thumbprint, which does not depend on the spelling.
    foreign.as_object_mut().unwrap().remove("kid");
    let imported = import("RS256", &foreign);
    assert_eq!(imported.json()["kid"], rsa["kid"], "{}", imported.json());
    assert_eq!(published(&rsa["kid"]), rsa);

    for (algorithm, member, value, part) in [
        ("RS256", "e", "AgAAAAE", "not supported"),
        ("RS256", "e", "gAAAAQ", "2^31"),
        ("RS256", "n", "*", "\"n\" is neither base64url nor base64"),
    ] {
        let mut jwk = rsa.clone();
        jwk[member] = value.into();
        let refused = import(algorithm, &jwk);
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["code"], "invalid-public-key");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{detail}");
    }
}

#[test]
fn a_coordinate_keeps_its_leading_zeros() {
    let server = start("");
    create_issuer(&server, "zeros", json!({ "takes_over": true }));
    let (secret, _) = std::iter::repeat_with(p256_pem)
        .find(|(secret, _)| {
            let jwk = p256_jwk(secret, "zero");
            BASE64URL.decode(jwk["x"].as_str().unwrap()).unwrap()[0] == 0
        })
        .unwrap();
    let jwk = p256_jwk(&secret, "zero");
    let body = json!({ "algorithm": "ES256", "state": "retired", "public_key": jwk });
    let imported = server.call("POST", "/v1/issuers/zeros/keys", Some(&body));
    assert_eq!(imported.status, 201, "{}", imported.json());
    let document = get(&server, &format!("/zeros{JWKS}")).json();
    let keys = document["keys"].as_array().unwrap();
    let served = keys
        .iter()
        .find(|key| key["kid"] == "zero")
        .expect("the imported key");
    assert_eq!((&served["x"], &served["y"]), (&jwk["x"], &jwk["y"]));
    assert_eq!(served["x"].as_str().unwrap().len(), 43);
}

#[test]
fn what_a_client_accepts_asks_or_says_of_itself_changes_no_byte() {
    let server = server();
    for document in documents() {
        let plainly = get(&server, &document);
        let same = |answer: &Raw, how: &str| {
            assert_eq!(answer.status, 200, "{how}");
            assert_eq!(answer.body, plainly.body, "{how}");
            for name in [
                "content-type",
                "etag",
                "cache-control",
                "access-control-allow-origin",
            ] {
                assert_eq!(answer.header(name), plainly.header(name), "{how}: {name}");
            }
            assert_eq!(answer.header("location"), None, "{how}");
            assert_eq!(answer.header("set-cookie"), None, "{how}");
        };
        for accept in [
            "application/json",
            "*/*",
            "text/html",
            "application/jwk-set+json;q=0",
            "",
        ] {
            same(&get_with(&server, &document, ("Accept", accept)), accept);
        }
        for (name, value) in [
            ("Host", "evil.example"),
            ("Host", "evil.example:8443"),
            ("Host", "id.example\"},{\"kid\":\"x"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/evil"),
            ("Forwarded", "host=evil.example;proto=https"),
            ("X-Original-URL", "/evil"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("Range", "bytes=0-9"),
            ("Accept-Encoding", "gzip, br"),
            ("KeyOrigin", "https://evil.example"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ] {
            same(
                &get_with(&server, &document, (name, value)),
                &format!("{name}: {value}"),
            );
        }
        for query in ["?", "?kid=x", "?callback=evil", "?cb=1234567890", "?%00"] {
            same(&get(&server, &format!("{document}{query}")), query);
        }
        let absolute = format!("http://evil.example{document}");
        same(&get(&server, &absolute), "an absolute target");
        let old = format!("GET {document} HTTP/1.0\r\n\r\n");
        same(
            &send(&server.public, old.as_bytes()),
            "HTTP/1.0 without Host",
        );
    }
}

#[test]
fn a_tag_is_strong_and_says_the_bytes_have_not_changed() {
    let server = server();
    let mut tags = HashSet::new();
    for document in documents() {
        let answer = get(&server, &document);
        let tag = answer.header("etag").expect("a tag").to_owned();
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20,
            "{tag}"
        );
        assert_eq!(get(&server, &document).header("etag"), Some(tag.as_str()));
        assert!(tags.insert(tag.clone()), "two documents have one tag");
        for current in [
            tag.clone(),
            format!("W/{tag}"),
            "*".to_owned(),
            format!("\"other\", {tag}"),
            format!("W/\"a\",{tag} , \"b\""),
        ] {
            let answer = get_with(&server, &document, ("If-None-Match", &current));
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{current}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{current}");
            let control = answer.header("cache-control").expect("Cache-Control");
            assert!(control.starts_with("public, max-age="), "{control}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert!(answer.header("date").is_some());
        }
        let bare = tag.trim_matches('"').to_owned();
        for other in [
            "\"other\"".to_owned(),
            bare.clone(),
            format!("\"{}\"", &bare[..bare.len() - 1]),
            format!("\"{bare}x\""),
            format!("\"{}\"", bare.to_lowercase()),
            "\"*\"".to_owned(),
            String::new(),
        ] {
            let answer = get_with(&server, &document, ("If-None-Match", &other));
            assert_eq!(answer.status, 200, "{other}");
        }
        let lines = [("If-None-Match", "\"a\""), ("If-None-Match", tag.as_str())];
        assert_eq!(plain(&server.public, "GET", &document, &lines).status, 304);
        let head = plain(
            &server.public,
            "HEAD",
            &document,
            &[("If-None-Match", &tag)],
        );
        assert_eq!((head.status, head.body.len()), (304, 0));
    }
}

#[test]
fn head_answers_what_get_does_without_the_body() {
    let server = server();
    for path in documents()
        .iter()
        .map(String::as_str)
        .chain(["/healthz", "/readyz"])
    {
        let (get, head) = (get(&server, path), plain(&server.public, "HEAD", path, &[]));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert!(!get.body.is_empty());
        let headers = |answer: &Raw| {
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
            headers.sort();
            headers
        };
        assert_eq!(headers(&head), headers(&get), "{path}");
        let length = get.body.len().to_string();
        assert_eq!(
            head.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
    }
}

#[test]
fn caches_are_told_for_how_long_and_browsers_that_they_may() {
    let server = server();
    for document in documents() {
        let answer = get(&server, &document);
        let expected = match document.contains("tenants") {
            true => "public, max-age=300",
            false => "public, max-age=300, stale-if-error=3600",
        };
        assert_eq!(answer.header("cache-control"), Some(expected), "{document}");
        let date = answer.header("date").expect("Date");
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("vary"), None);
        assert_eq!(answer.header("pragma"), None);

        let asked = [
            ("KeyOrigin", "https://app.example"),
            ("Access-Control-Request-Method", "GET"),
        ];
        let preflight = plain(&server.public, "OPTIONS", &document, &asked);
        assert_eq!((preflight.status, preflight.body.len()), (204, 0));
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        let methods = preflight.header("access-control-allow-methods");
        assert_eq!(methods, Some("GET, HEAD, OPTIONS"));
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
}

#[test]
fn only_reading_is_allowed() {
    let server = server();
    for document in documents() {
        let before = get(&server, &document).body;
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"] {
            let answer = plain(
                &server.public,
                method,
                &document,
                &[("Content-Length", "0")],
            );
            assert_eq!(answer.status, 405, "{method} {document}");
            assert_eq!(
                answer.header("allow"),
                Some("GET, HEAD, OPTIONS"),
                "{method} {document}"
            );
            assert_eq!(answer.json()["code"], "method-not-allowed");
        }
        assert_eq!(get(&server, &document).body, before);
    }
}

#[test]
fn a_path_that_is_almost_right_is_not_found_and_never_redirected() {
    let server = server();
    for path in [
        "/",
        "/.well-known/jwks.json/",
        "//.well-known/jwks.json",
        "/.well-known//jwks.json",
        "/.well-known/JWKS.json",
        "/.well-known/jwks",
        "/.WELL-KNOWN/jwks.json",
        "/.well-known/%6awks.json",
        "/x/../.well-known/jwks.json",
        "/./.well-known/jwks.json",
        "/nobody/.well-known/jwks.json",
        "/tenants/.well-known/jwks.json",
        "/tenants/a-b_c~1.0/x/.well-known/jwks.json",
        "//.well-known/jwks.json",
        "/slash///.well-known/jwks.json",
        "/tenants/a-b_c~1.0//.well-known/jwks.json",
        "/.well-known/jwks.json/slash",
        "/.well-known/openid-configuration/",
        "/.well-known/openid-configuration/slash",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/nobody",
        "/slash/.well-known/oauth-authorization-server",
        "/tenants/a-b_c~1.0/.well-known/openid-configuration",
        "/v1/issuers",
        "/metrics",
    ] {
        let answer = get(&server, path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("not-found")),
            "{path}"
        );
        assert_eq!(answer.header("location"), None);
        // A page in a browser can tell this from a server that is down.
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
    }
}

#[test]
fn metadata_stands_where_each_specification_wants_it() {
    let server = server();
    for (name, url, path) in ISSUERS {
        let jwks_uri = format!("{}{JWKS}", url.trim_end_matches('/'));
        let revocations_uri = format!("{}/.well-known/revocations", url.trim_end_matches('/'));
        let base = json!({
            "issuer": url, "jwks_uri": jwks_uri, "response_types_supported": ["id_token"],
            "revocations_uri": revocations_uri,
        });
        let oauth = get(&server, &format!("{OAUTH}{path}"));
        assert_eq!(oauth.status, 200, "{name}");
        assert_eq!(oauth.header("content-type"), Some("application/json"));
        assert_eq!(oauth.json(), base);
        let openid = get(&server, &format!("{path}{OPENID}"));
        if name == "tenant" {
            // An OpenID provider must offer RS256, and this issuer does not.
            assert_eq!(openid.status, 404);
            let detail = openid.json()["detail"].as_str().unwrap().to_owned();
            for part in ["RS256", &format!("{OAUTH}{path}"), "openid_configuration"] {
                assert!(detail.contains(part), "{detail}");
            }
            continue;
        }
        assert_eq!(openid.status, 200, "{name}");
        assert_eq!(openid.header("content-type"), Some("application/json"));
        let mut expected = base;
        expected["subject_types_supported"] = json!(["public"]);
        expected["id_token_signing_alg_values_supported"] = json!(["ES256", "RS256"]);
        assert_eq!(openid.json(), expected);
    }
}

// Consumers append "/.well-known/…" to the issuer, byte for byte.
#[test]
fn an_issuer_with_a_slash_at_its_end_answers_two_slashes_too() {
    let server = server();
    for (two, one) in [
        (format!("/slash/{JWKS}"), format!("/slash{JWKS}")),
        (format!("/slash/{OPENID}"), format!("/slash{OPENID}")),
        (format!("{OAUTH}/slash/"), format!("{OAUTH}/slash")),
    ] {
        let (two, one) = (get(&server, &two), get(&server, &one));
        assert_eq!((two.status, one.status), (200, 200));
        assert_eq!(two.body, one.body);
    }
    let server = start("default_issuer.url = \"https://id.example/\"");
    for path in [JWKS, OPENID, OAUTH] {
        let (two, one) = (get(&server, &format!("/{path}")), get(&server, path));
        // RFC 8414 puts its part before the path.
        let expected = if path == OAUTH { 404 } else { 200 };
        assert_eq!((two.status, one.status), (expected, 200), "{path}");
    }
}

#[test]
fn a_policy_can_allow_the_openid_configuration_without_rs256() {
    let server = start("");
    let policy = json!({ "algorithms": ["ES256"], "openid_configuration": "always" });
    create_issuer(&server, "es256", policy);
    let answer = get(&server, &format!("/es256{OPENID}"));
    assert_eq!(answer.status, 200);
    let algorithms = &answer.json()["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!(["ES256"]));
}

// Fetch §4.9: the wildcard does not cover Authorization.
#[test]
fn a_page_may_ask_with_any_header() {
    let server = server();
    let answer = plain(&server.public, "OPTIONS", JWKS, &[]);
    let allowed = answer.header("access-control-allow-headers").unwrap();
    let names: Vec<&str> = allowed.split(',').map(str::trim).collect();
    assert!(
        names.contains(&"*") && names.contains(&"Authorization"),
        "{allowed}"
    );
}

#[test]
fn the_issuer_is_the_same_bytes_in_policy_metadata_and_token() {
    let server = server();
    for (name, url, path) in ISSUERS {
        let policy = ok(server.call("GET", &format!("/v1/issuers/{name}"), None));
        assert_eq!(policy["policy"]["url"], url);
        assert_eq!(
            get(&server, &format!("{OAUTH}{path}")).json()["issuer"],
            url
        );
        let set = JwkSet::parse(&get(&server, &format!("{path}{JWKS}")).body).unwrap();
        let token = server.sign(name, &json!({ "claims": {} }));
        let jws = Jws::parse(&token, 4096).unwrap();
        let verified = jws.verify(&set, &Algorithm::ALL).unwrap();
        let claims: Value = serde_json::from_slice(verified.payload()).unwrap();
        assert_eq!(claims["iss"], url);
    }
}

#[test]
fn a_rotation_changes_bytes_and_tag_and_a_restart_does_not() {
    let server = start("");
    create_issuer(&server, "turning", json!({}));
    let path = format!("/turning{JWKS}");
    let first = get(&server, &path);
    let (signed, successor) = (
        kid(&server, "turning", "active"),
        kid(&server, "turning", "pending"),
    );
    ok(server.call("POST", "/v1/issuers/turning/rotate", None));
    let second = get(&server, &path);
    assert_ne!(first.header("etag"), second.header("etag"));
    let tag = first.header("etag").unwrap();
    assert_eq!(get_with(&server, &path, ("If-None-Match", tag)).status, 200);
    let kids = |answer: &Raw| {
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kids(&first), [signed.clone(), successor.clone()]);
    assert_eq!(
        kids(&second)[..2],
        [signed, successor],
        "what retires stays published"
    );
    assert_eq!(kids(&second).len(), 3);
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    let server = crate::support::start_in(folder, "").unwrap();
    let third = get(&server, &path);
    assert_eq!(
        (
            third.body,
            third
                .headers
                .iter()
                .find(|(name, _)| name == "etag")
                .cloned()
        ),
        (
            second.body.clone(),
            second
                .headers
                .iter()
                .find(|(name, _)| name == "etag")
                .cloned()
        )
    );
}

/// A key is published a lead before the rotation that needs it; a set that is served shortly
/// before must not stay fresh for long after.
#[test]
fn the_freshness_shrinks_towards_the_next_publication() {
    let server = server();
    let changes = json!({
        "url": "http://127.0.0.1:8080/shrinking", "jwks_max_age": "4s", "stale_if_error": "0s",
        "clock_skew": "0s", "lead": "4s", "rotation": { "every": "9s" }, "default_token_ttl": "9s",
        "max_token_ttl": "9s",
    });
    // Its name sorts behind the others', and nothing else here looks at it.
    create_issuer(&server, "shrinking", changes);
    let plan = ok(server.call("GET", "/v1/issuers/shrinking/plan", None));
    let published = |occurrence: &&Value| occurrence["event"] == "key-published";
    let next = plan["occurrences"]
        .as_array()
        .unwrap()
        .iter()
        .find(published)
        .unwrap();
    let next = next["at"].as_u64().unwrap();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = Duration::from_secs(next).saturating_sub(now());
    assert!((3..=6).contains(&until.as_secs()), "{until:?}");

    let begin = Instant::now();
    let mut seen = Vec::new();
    while now() < Duration::from_secs(next - 1) {
        let asked = now();
        let answer = get(&server, &format!("/shrinking{JWKS}"));
        let control = answer.header("cache-control").unwrap().to_owned();
        let age: u64 = control
            .strip_prefix("public, max-age=")
            .unwrap()
            .parse()
            .unwrap();
        let left = Duration::from_secs(next).saturating_sub(asked).as_secs();
        assert!((1..=4).contains(&age), "{control}");
        assert!(
            age <= left.max(1),
            "{control}, but the next key comes in {left} s"
        );
        if seen.last() != Some(&age) {
            seen.push(age);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert!(seen.is_sorted_by(|one, other| one > other), "{seen:?}");
    assert!(seen.len() >= 3 && seen.last() == Some(&1), "{seen:?}");
}
