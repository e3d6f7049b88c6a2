//! Who may do what: every role against every operation of the document.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::document;
use crate::exchange::plain;
use crate::support::{Answer, Server, now_millis, request, start};
use crate::world::{self, create_client, create_issuer, credential, kid, ok, p256_pem};

/// What makes an operation succeed now.
#[derive(Default)]
struct Sample {
    /// In the path, beside the issuer, which is `a`.
    parameters: Vec<(&'static str, String)>,
    query: String,
    body: Option<Value>,
}

/// An operation of the document, by its identifier, and a sample of it.
type Call = (&'static str, fn(&Server) -> Sample);

/// What some of the operations need.
const SETTINGS: &str = "issuance_log.to = \"file\"\n";

const CALLS: [Call; 61] = [
    ("signToken", |_| body(json!({ "claims": {} }))),
    ("signTokens", |_| {
        body(json!({ "requests": [{ "claims": {} }] }))
    }),
    ("openGrant", |_| {
        let claims = json!({ "sub": "somebody", "aud": "orders" });
        body(json!({ "claims": claims, "client": "public" }))
    }),
    ("listGrants", |_| Sample::default()),
    ("readGrant", opened),
    ("changeGrant", |server| Sample {
        body: Some(json!({ "claims": { "sub": "somebody", "aud": "orders" } })),
        ..opened(server)
    }),
    ("endGrant", opened),
    ("revokeTokens", |_| body(json!({ "jti": "some" }))),
    ("revokeTokensInBatch", |_| {
        body(json!({ "revocations": [{ "jti": "some" }] }))
    }),
    ("listRevocations", |_| Sample::default()),
    ("readRevocationFile", |_| Sample::default()),
    ("readRevocation", banned),
    ("liftBan", banned),
    ("eraseRevocation", banned),
    ("listKeys", |_| Sample::default()),
    ("listVerifiers", |_| Sample::default()),
    ("readKey", active_key),
    ("readExposure", active_key),
    ("readLiveTokens", active_key),
    ("readPlan", |_| Sample::default()),
    ("previewPlan", |_| body(world::policy("a", json!({})))),
    ("readAudit", |_| Sample::default()),
    ("readAudit", |_| Sample {
        query: "?issuer=a&after=1&limit=2".to_owned(),
        ..Sample::default()
    }),
    ("rotate", |_| body(json!({ "force": true }))),
    ("stopCanary", |_| Sample::default()),
    ("revokeKey", |server| Sample {
        body: Some(json!({ "reason": "leak" })),
        ..active_key(server)
    }),
    ("importKey", |_| {
        let secret = p256_pem().0;
        let jwk = world::p256_jwk(&secret, &format!("kid-{}", world::number()));
        body(json!({ "algorithm": "ES256", "state": "retired", "public_key": jwk }))
    }),
    ("listIssuers", |_| Sample::default()),
    ("readIssuer", |_| Sample::default()),
    ("setIssuer", |_| body(world::policy("a", json!({})))),
    ("setIssuer", |_| {
        let name = format!("new-{:x}", world::number());
        Sample {
            body: Some(world::policy(&name, json!({}))),
            parameters: vec![("issuer", name)],
            ..Sample::default()
        }
    }),
    ("listClients", |_| Sample::default()),
    ("createClient", |_| {
        body(json!({ "name": "another", "roles": ["issuer"] }))
    }),
    ("readHistory", |_| Sample {
        query: format!("?at={}", now_millis() / 1000),
        ..Sample::default()
    }),
    ("readAuditHead", |_| Sample::default()),
    ("listReplicas", |_| Sample::default()),
    ("createConsoleLink", |_| Sample::default()),
    ("readHealthReport", |_| Sample::default()),
    ("exportAudit", |_| Sample::default()),
    ("followEvents", |_| Sample {
        query: "?max_seconds=1".to_owned(),
        ..Sample::default()
    }),
    ("listWebhooks", |_| Sample::default()),
    ("createWebhook", |_| {
        body(json!({ "url": "https://hooks.example/", "events": ["key.revoked"] }))
    }),
    ("readWebhook", webhook),
    ("deleteWebhook", webhook),
    ("rotateWebhookSecret", webhook),
    ("resumeWebhook", webhook),
    ("correctClock", |_| body(json!({ "reason": "a drill" }))),
    ("readMasterKey", |_| Sample::default()),
    ("rotateMasterKey", |server| {
        let state = ok(server.call("GET", "/v1/master-key", None));
        body(json!({ "to": state["sealing"] }))
    }),
    ("takeBackup", |_| Sample::default()),
    ("readRegister", |_| Sample::default()),
    ("readClient", short_lived_client),
    ("checkSigning", |server| Sample {
        query: "?issuer=a".to_owned(),
        body: Some(json!({ "claims": {} })),
        ..short_lived_client(server)
    }),
    ("setClient", |server| Sample {
        body: Some(json!({ "name": "changed", "roles": ["issuer"] })),
        ..short_lived_client(server)
    }),
    ("rotateCredential", short_lived_client),
    ("revokeCredential", |server| {
        let client = create_client(server, "short-lived", &["issuer"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let credential = text(&client["credentials"][0]["id"]);
        Sample {
            parameters: vec![("id", text(&client["id"])), ("credential", credential)],
            ..Sample::default()
        }
    }),
    ("listApprovals", |_| Sample::default()),
    ("confirm", waiting),
    ("reject", waiting),
    ("deleteIssuer", |server| Sample {
        parameters: vec![("issuer", new_issuer(server, json!({})))],
        body: Some(json!({ "reason": "moved elsewhere" })),
        ..Sample::default()
    }),
    ("deleteClient", short_lived_client),
];

fn body(body: Value) -> Sample {
    Sample {
        body: Some(body),
        ..Sample::default()
    }
}

fn active_key(server: &Server) -> Sample {
    Sample {
        parameters: vec![("kid", kid(server, "a", "active"))],
        ..Sample::default()
    }
}

/// A grant that the bootstrap client has opened.
fn opened(server: &Server) -> Sample {
    let claims = json!({ "sub": "somebody", "aud": "orders" });
    let grant = json!({ "claims": claims, "client": "public" });
    let grant = ok(server.call("POST", "/v1/issuers/a/grants", Some(&grant)));
    Sample {
        parameters: vec![("grant", grant["grant"].as_str().unwrap().to_owned())],
        ..Sample::default()
    }
}

/// A ban that the bootstrap client has made.
fn banned(server: &Server) -> Sample {
    let ban = json!({ "subject": format!("user-{:x}", world::number()), "ban": true });
    let ban = ok(server.call("POST", "/v1/issuers/a/revocations", Some(&ban)));
    Sample {
        parameters: vec![("revocation", ban["id"].as_str().unwrap().to_owned())],
        ..Sample::default()
    }
}

fn short_lived_client(server: &Server) -> Sample {
    let client = create_client(server, "short-lived", &["issuer"]);
    let id = client["id"].as_str().unwrap().to_owned();
    Sample {
        parameters: vec![("id", id)],
        ..Sample::default()
    }
}

fn new_issuer(server: &Server, changes: Value) -> String {
    let name = format!("new-{:x}", world::number());
    create_issuer(server, &name, changes);
    name
}

/// An operation that waits for another client than the bootstrap client.
fn waiting(server: &Server) -> Sample {
    let issuer = new_issuer(server, json!({ "confirmation": "second-person" }));
    let path = format!("/v1/issuers/{issuer}/delete");
    let asked = server.call("POST", &path, Some(&json!({ "reason": "moved" })));
    assert_eq!(asked.status, 202);
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    Sample {
        parameters: vec![("approval", id)],
        ..Sample::default()
    }
}

/// A request that succeeds for the right caller, and the roles of which the document asks for one.
struct Request {
    roles: Vec<String>,
    method: String,
    path: String,
    body: Option<Value>,
}

impl Request {
    fn send(&self, server: &Server, credential: Option<&str>) -> Answer {
        let body = self.body.as_ref();
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        server.call_as(credential, &self.method, &self.path, body)
    }
}

/// A webhook that is there: one of those that were made before, of which there may be few.
fn webhook(server: &Server) -> Sample {
    let listed = ok(server.call("GET", "/v1/webhooks", None));
    let known = listed["webhooks"][0]["id"].as_str().map(str::to_owned);
    let id = known.unwrap_or_else(|| {
        let request = json!({ "url": "https://hooks.example/", "events": ["key.revoked"] });
        let made = ok(server.call("POST", "/v1/webhooks", Some(&request)));
        made["id"].as_str().unwrap().to_owned()
    });
    Sample {
        parameters: vec![("webhook", id)],
        ..Sample::default()
    }
}

/// Every sample as a request, made when it is asked for: what it names must be there then.
fn requests() -> impl Iterator<Item = impl Fn(&Server) -> Request> {
    let document = document();
    let guarded = document.operations().into_iter();
    let guarded = guarded.filter(|operation| !operation.roles.is_empty());
    let guarded: BTreeSet<String> = guarded.map(|operation| operation.id).collect();
    let sampled: BTreeSet<String> = CALLS.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(guarded, sampled, "every operation with a role has a sample");
    CALLS.into_iter().map(move |(id, sample)| {
        let operation = document.operation(id);
        move |server: &Server| {
            let mut sample = sample(server);
            // The first one that is given counts.
            sample.parameters.push(("issuer", "a".to_owned()));
            Request {
                roles: operation.roles.clone(),
                method: operation.method.clone(),
                path: operation.path_with(&sample.parameters) + &sample.query,
                body: sample.body,
            }
        }
    })
}

#[test]
fn every_role_may_do_what_the_contract_says_and_nothing_else() {
    let server = start(SETTINGS);
    create_issuer(&server, "a", json!({}));
    let roles = ["issuer", "security", "auditor", "admin", "revoker"];
    let clients = roles.map(|role| (vec![role], create_client(&server, role, &[role])));
    let pairs = [
        ["issuer", "auditor"],
        ["security", "auditor"],
        ["admin", "issuer"],
    ];
    let pairs = pairs.map(|pair| (pair.to_vec(), create_client(&server, "pair", &pair)));
    for (roles, client) in clients.iter().chain(&pairs) {
        let credential = credential(client);
        for make in requests() {
            world::wait_for_keys(&server, "a");
            let request = make(&server);
            let shown = format!("{roles:?}: {} {}", request.method, request.path);
            let is_meant = |role: &&str| request.roles.iter().any(|one| one == role);
            if roles.iter().any(is_meant) {
                let answer = request.send(&server, Some(&credential));
                // A revoker alone takes back what it can show (`revocations`).
                if roles == &["revoker"] && answer.status != 204 {
                    assert_ne!(answer.json()["code"], "role-missing", "{shown}");
                    continue;
                }
                assert!((200..300).contains(&answer.status), "{shown}");
                continue;
            }
            let before = world::state(&server);
            let answer = request.send(&server, Some(&credential));
            let problem = answer.json();
            assert_eq!(
                (answer.status, &problem["code"]),
                (403, &json!("role-missing")),
                "{shown}"
            );
            assert_eq!(problem["role"], request.roles[0].as_str(), "{shown}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(&request.roles.join(" or ")), "{detail}");
            let challenge = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";
            assert_eq!(
                answer.header("www-authenticate"),
                Some(challenge),
                "{shown}"
            );
            before.assert_same(&world::state(&server));
        }
    }
}

#[test]
fn without_a_credential_nothing_answers_but_what_is_documented_so() {
    let server = start(SETTINGS);
    create_issuer(&server, "a", json!({}));
    let requests: Vec<Request> = requests().map(|make| make(&server)).collect();
    let before = world::state(&server);
    for request in requests {
        let shown = format!("{} {}", request.method, request.path);
        for credential in [None, Some("kw_0000000000000000_x")] {
            let answer = request.send(&server, credential);
            // After twenty bad credentials from one address the others are told to slow down.
            let is_refused = match credential {
                None => answer.status == 401,
                Some(_) => [401, 429].contains(&answer.status),
            };
            assert!(is_refused, "{shown}: {}", answer.status);
        }
        if request.method == "GET" {
            let answer = plain(&server.internal, "HEAD", &request.path, &[]);
            assert_eq!(answer.status, 401, "HEAD {}", request.path);
        }
    }
    before.assert_same(&world::state(&server));
    let open = document().operations().into_iter();
    // The OAuth endpoints have proofs of their own: see tests/oauth.
    let open = open.filter(|operation| operation.roles.is_empty() && !operation.is_oauth());
    for operation in open {
        let base = match operation.is_public {
            true => &server.public,
            false => &server.internal,
        };
        let path = operation.path_with(&[("issuer_path", "a".to_owned())]);
        let answer = request(&operation.method, &format!("{base}{path}"), &[], None);
        // An issuer without RS256 has no OpenID configuration.
        let missing = path.starts_with("/a/") && path.ends_with("/openid-configuration");
        // Nor does it name segments of its revocations before there are many.
        let missing = missing || path.contains("/.well-known/revocations/");
        // Nor is there a list before a token has an entry in it.
        let missing = missing || path.contains("/status/");
        // Streams of security events are served beside the OAuth endpoints.
        let missing = missing || path.contains("/ssf-configuration");
        let found = (200..300).contains(&answer.status);
        assert_eq!(found, !missing || operation.method == "OPTIONS", "{path}");
        assert_ne!(answer.status, 401, "{path}");
    }
    // What everybody may read names no kid and no client.
    let text = plain(&server.internal, "GET", "/metrics", &[]).body;
    let text = String::from_utf8(text).unwrap();
    assert!(
        !text.contains(&kid(&server, "a", "active")) && !text.contains("bootstrap"),
        "{text}"
    );
    // The public listener has none of it, with a credential or without.
    let credential = format!("Bearer {}", server.admin);
    for operation in document().operations() {
        if operation.is_public {
            continue;
        }
        let path = operation.path_with(&[("issuer", "a".to_owned())]);
        let credential = ("Authorization", credential.as_str());
        let answer = plain(&server.public, &operation.method, &path, &[credential]);
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[test]
fn a_credential_ends_with_its_client_and_nobody_elses() {
    let server = start("");
    create_issuer(&server, "a", json!({}));
    let (one, other) = (
        create_client(&server, "twin", &["issuer"]),
        create_client(&server, "twin", &["issuer"]),
    );
    let signs = |client: &Value| {
        let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
        server
            .call_as(
                Some(&credential(client)),
                "POST",
                "/v1/issuers/a/tokens",
                body,
            )
            .status
    };
    assert_ne!(one["id"], other["id"]);
    assert_eq!((signs(&one), signs(&other)), (201, 201));
    let path = format!("/v1/clients/{}", one["id"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    assert_eq!((signs(&one), signs(&other)), (401, 201));
    assert_eq!(server.call("DELETE", &path, None).status, 404);
    // The list has no credential and no hash of one.
    let listed = ok(server.call("GET", "/v1/clients", None)).to_string();
    assert!(
        !listed.contains("\"credential\"") && !listed.contains("kw_") && !listed.contains("hash"),
        "{listed}"
    );
    let folder = server.kill();
    let server = crate::support::start_in(folder, "").unwrap();
    let body = || Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    let status = |client: &Value| {
        server
            .call_as(
                Some(&credential(client)),
                "POST",
                "/v1/issuers/a/tokens",
                body(),
            )
            .status
    };
    assert_eq!(
        (status(&one), status(&other)),
        (401, 201),
        "also after a crash"
    );
}

#[test]
fn nobody_takes_away_the_last_way_to_manage_access() {
    let server = start("");
    let listed = ok(server.call("GET", "/v1/clients", None));
    let admin = &listed["clients"][0];
    let path = format!("/v1/clients/{}", admin["id"].as_str().unwrap());
    let credential = admin["credentials"][0]["id"].as_str().unwrap();
    let terms = |change: Value| {
        let mut terms = json!({ "name": "bootstrap", "roles": ["admin"] });
        world::merge(&mut terms, change);
        Some(terms)
    };
    // One that no caller can be is none.
    let body = json!({ "name": "nobody", "roles": ["admin"], "credential": null });
    assert_eq!(server.call("POST", "/v1/clients", Some(&body)).status, 201);
    for (method, path, body) in [
        ("DELETE", path.clone(), None),
        ("DELETE", format!("{path}/credentials/{credential}"), None),
        ("PUT", path.clone(), terms(json!({ "roles": ["auditor"] }))),
        (
            "PUT",
            path.clone(),
            terms(json!({ "limits": { "issuers": ["default"] } })),
        ),
    ] {
        let answer = server.call(method, &path, body.as_ref());
        let code = &answer.json()["code"];
        assert_eq!(
            (answer.status, code),
            (409, &json!("last-admin")),
            "{method} {path}"
        );
    }
    create_client(&server, "second", &["admin"]);
    assert_eq!(server.call("DELETE", &path, None).status, 204);
}

#[test]
fn every_403_has_a_challenge_and_a_credential_in_a_url_a_request_id() {
    let server = start("");
    let body = json!({ "name": "a", "roles": ["issuer"], "limits": { "issuers": ["elsewhere"] } });
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let answer = server.call_as(
        Some(&credential(&client)),
        "POST",
        "/v1/issuers/default/tokens",
        Some(("application/json", br#"{"claims":{}}"#.to_vec())),
    );
    assert_eq!(answer.json()["code"], "client-limit");
    let challenge = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    let answer = server.call("GET", "/v1/issuers?access_token=a", None);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("credential-in-url"))
    );
    assert!(answer.header("x-request-id").is_some());
}
