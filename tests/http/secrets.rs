//! What must never be seen: private keys, signatures, credentials and the master key are looked
//! for in everything that the service writes and answers, with the log at its most talkative.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use p256::pkcs8::EncodePrivateKey as _;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::assertions::{self, AUDIENCE, Signatory};
use crate::exchange::plain;
use crate::support::{Server, files_contain, start, start_in};
use crate::world::{self, create_issuer, credential, eventually, kids, policy, wait_for_keys};

/// A secret under the name that a failure shows, in one of the forms that it could be written in.
type Secret = (String, Vec<u8>);

/// Bytes as they are, in hexadecimal, in base64, and as a list of numbers.
fn forms(name: &str, bytes: &[u8]) -> Vec<Secret> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    [
        ("raw", bytes.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("base64", STANDARD_NO_PAD.encode(bytes).into_bytes()),
        ("base64url", URL_SAFE_NO_PAD.encode(bytes).into_bytes()),
        ("a list", numbers.join(", ").into_bytes()),
        ("a list", numbers.join(",").into_bytes()),
    ]
    .map(|(form, bytes)| (format!("{name} as {form}"), bytes))
    .into()
}

fn pem_forms(name: &str, pem: &str) -> Vec<Secret> {
    let lines: Vec<&str> = pem.lines().filter(|line| !line.contains("-----")).collect();
    let der = STANDARD.decode(lines.concat()).unwrap();
    let escaped = pem.trim_end().replace('\n', "\\n");
    let line = |(number, line): (usize, &&str)| {
        // The first characters of every key of its kind are the same.
        let start = if number == 0 { line.len().min(44) } else { 0 };
        (
            format!("line {number} of {name}"),
            line.as_bytes()[start..].to_vec(),
        )
    };
    let mut secrets: Vec<Secret> = lines.iter().enumerate().map(line).collect();
    secrets.retain(|(_, bytes)| bytes.len() >= 16);
    secrets.extend(forms(name, &der));
    secrets.push((format!("{name} with escapes"), escaped.into_bytes()));
    secrets
}

/// Everything that the service has answered.
struct Talk<'s> {
    server: &'s Server,
    answers: Vec<u8>,
    tokens: Vec<String>,
    /// Credentials that were made on the way.
    secret_credentials: Vec<String>,
}

impl Talk<'_> {
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let answer = self.server.call(method, path, body);
        self.keep(&answer.headers, &answer.body);
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn sends(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) {
        let body = Some((content_type, body.to_vec()));
        let answer = self
            .server
            .call_as(Some(&self.server.admin), method, path, body);
        assert!(answer.status >= 400, "{method} {path}");
        self.keep(&answer.headers, &answer.body);
    }

    fn keep(&mut self, headers: &[(String, String)], body: &[u8]) {
        for (name, value) in headers {
            self.answers
                .extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
        self.answers.extend_from_slice(body);
        self.answers.push(b'\n');
    }

    /// Signs; the answer with the token is the one place where the token belongs.
    fn sign(&mut self, issuer: &str, algorithm: &str) {
        let request = json!({ "claims": { "sub": "user-1" }, "alg": algorithm });
        self.tokens.push(self.server.sign(issuer, &request));
        let requests = json!({ "requests": vec![request; 5] });
        let path = format!("/v1/issuers/{issuer}/tokens/batch");
        let answer = world::ok(self.server.call("POST", &path, Some(&requests)));
        let token = |result: &Value| result["token"].as_str().unwrap().to_owned();
        self.tokens
            .extend(answer["results"].as_array().unwrap().iter().map(token));
    }
}

/// All that a key's life has, and every way to put a key where it does not belong.
fn a_whole_life_reveals_nothing(format: &str) {
    let (signatory, cluster) = (Signatory::new("mine"), Signatory::new("cluster"));
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("cluster.json");
    std::fs::write(&file, cluster.jwks().to_string()).unwrap();
    let server = start(&format!(
        "log.filter = \"trace\"\nlog.format = \"{format}\"\ninternal.audience = \"{AUDIENCE}\"\n\
         [[trusted_issuers]]\nname = \"cluster\"\nissuer = \"https://cluster.example\"\n\
         audience = \"{AUDIENCE}\"\njwks_file = {file:?}\n"
    ));
    let both = json!({ "algorithms": ["ES256", "RS256"], "takes_over": true });
    create_issuer(&server, "moving", both);
    create_issuer(&server, "orders", json!({}));
    let (p256_secret, p256_pem) = world::p256_pem();
    let (rsa_secret, rsa_pem) = world::rsa_pem(2048);
    let (_, spare_pem) = world::p256_pem();
    let mut talk = Talk {
        server: &server,
        answers: Vec::new(),
        tokens: Vec::new(),
        secret_credentials: Vec::new(),
    };

    let base = |algorithm: &str, state: &str, pem: &str| json!({ "algorithm": algorithm, "state": state, "private_key": pem });
    let moving = "/v1/issuers/moving/keys";
    assert_eq!(
        talk.call("POST", moving, &base("ES256", "active", &p256_pem))["state"],
        "active"
    );
    assert_eq!(
        talk.call("POST", moving, &base("RS256", "active", &rsa_pem))["state"],
        "active"
    );
    let orders = "/v1/issuers/orders/keys";
    assert_eq!(
        talk.call("POST", orders, &base("ES256", "pending", &spare_pem))["state"],
        "pending"
    );
    // Twice, elsewhere, and as something that it is not.
    talk.call("POST", moving, &base("ES256", "active", &p256_pem));
    talk.call("POST", orders, &base("RS256", "pending", &p256_pem));
    talk.call("POST", orders, &base("ES256", "pending", &rsa_pem));
    for pem in [&p256_pem, &rsa_pem] {
        for (path, body) in [
            (
                orders,
                json!({ "algorithm": pem, "state": "pending", "private_key": pem }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": pem, "private_key": pem }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "kid": pem, "private_key": pem }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "retired", "public_key": pem }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "retired", "public_key": { "kty": pem } }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "private_key": [pem] }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "private_keys": pem }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "private_key": pem.replace("-----END", "-----end") }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "private_key": pem.replace('\n', "*") }),
            ),
            (
                orders,
                json!({ "algorithm": "ES256", "state": "pending", "private_key": pem, "public_key": {} }),
            ),
            ("/v1/issuers/orders/rotate", json!({ "reason": pem })),
            ("/v1/issuers/orders/rotate", json!({ "algorithm": pem })),
            ("/v1/issuers/orders/tokens", json!({ "claims": pem })),
            (
                "/v1/issuers/orders/tokens",
                json!({ "claims": {}, "typ": pem }),
            ),
            (
                "/v1/issuers/orders/tokens",
                json!({ "claims": { "nbf": pem } }),
            ),
            ("/v1/clients", json!({ "name": pem, "roles": ["admin"] })),
            ("/v1/clients", json!({ "name": "a", "roles": pem })),
        ] {
            talk.sends(
                "POST",
                path,
                "application/json",
                body.to_string().as_bytes(),
            );
        }
        let body = policy("new", json!({ "url": pem }));
        talk.sends(
            "PUT",
            "/v1/issuers/new",
            "application/json",
            body.to_string().as_bytes(),
        );
        let body = policy("new", json!({ "lead": pem }));
        talk.sends(
            "PUT",
            "/v1/issuers/new",
            "application/json",
            body.to_string().as_bytes(),
        );
        talk.sends("POST", orders, "application/x-pem-file", pem.as_bytes());
        talk.sends("POST", orders, "application/json", pem.as_bytes());
        let torn = base("ES256", "pending", pem).to_string();
        talk.sends(
            "POST",
            orders,
            "application/json",
            &torn.as_bytes()[..torn.len() - 5],
        );
    }
    let d = URL_SAFE_NO_PAD.encode(p256_secret.to_bytes());
    let mut jwk = world::p256_jwk(&p256_secret, "mine");
    jwk["d"] = json!(d);
    let body = json!({ "algorithm": "ES256", "state": "retired", "public_key": jwk });
    talk.sends(
        "POST",
        orders,
        "application/json",
        body.to_string().as_bytes(),
    );

    for (issuer, algorithm) in [
        ("moving", "ES256"),
        ("moving", "RS256"),
        ("orders", "ES256"),
        ("default", "RS256"),
    ] {
        talk.sign(issuer, algorithm);
    }
    let created = world::create_client(&server, "shop", &["issuer"]);
    let shop = credential(&created);
    let body = Some(("application/json", br#"{"claims":{"sub":"x"}}"#.to_vec()));
    let signed = server.call_as(Some(&shop), "POST", "/v1/issuers/orders/tokens", body);
    talk.tokens
        .push(signed.json()["token"].as_str().unwrap().to_owned());
    let body = Some(("application/json", b"{}".to_vec()));
    let refused = server.call_as(Some(&shop), "POST", "/v1/issuers/orders/rotate", body);
    talk.keep(&refused.headers, &refused.body);
    let assertions = other_ways_in(&mut talk, &signatory, &cluster);
    // Credentials where they do not belong.
    for target in [
        format!("/v1/issuers?access_token={}", server.admin),
        format!("/v1/audit?after={shop}"),
        format!("/v1/issuers/orders/plan?until={shop}"),
    ] {
        let answer = plain(&server.internal, "GET", &target, &[]);
        talk.keep(&answer.headers, &answer.body);
    }
    for value in [
        format!("Basic {shop}"),
        format!("Bearer {shop}x"),
        format!("bearer  {shop} "),
    ] {
        let answer = plain(
            &server.internal,
            "GET",
            "/v1/clients",
            &[("Authorization", &value)],
        );
        talk.keep(&answer.headers, &answer.body);
    }
    talk.call(
        "POST",
        "/v1/issuers/moving/rotate",
        &json!({ "force": true, "reason": "drill" }),
    );
    talk.call("POST", "/v1/issuers/orders/rotate", &json!({}));
    let active = kids(&server, "orders", "ES256", "active").remove(0);
    let path = format!("/v1/issuers/orders/keys/{active}/revoke");
    talk.call(
        "POST",
        &path,
        &json!({ "reason": "leak", "discard_successor": true }),
    );
    let path = format!("/v1/clients/{}", created["id"].as_str().unwrap());
    talk.call("DELETE", &path, &Value::Null);
    for path in [
        "/v1/issuers",
        "/v1/issuers/moving",
        "/v1/issuers/moving/keys",
        "/v1/issuers/moving/plan",
        "/v1/issuers/orders/keys",
        "/v1/clients",
        "/v1/audit?limit=1000",
        "/v1/audit/export",
        "/v1/events?after=0&max_seconds=1",
        "/metrics",
    ] {
        talk.call("GET", path, &Value::Null);
    }
    for name in ["default", "moving", "orders"] {
        let answer = server.fetch(&world::jwks_path(name));
        talk.keep(&answer.headers, &answer.body);
    }

    let master = std::fs::read_to_string(server.data().join("master.key")).unwrap();
    let master = STANDARD.decode(master.trim()).unwrap();
    let mut secrets = [
        pem_forms("the P-256 key", &p256_pem),
        pem_forms("the RSA key", &rsa_pem),
        pem_forms("the spare key", &spare_pem),
        forms("d of the P-256 key", &p256_secret.to_bytes()),
        forms("d of the RSA key", &rsa_secret.d().to_be_bytes()),
        forms("p of the RSA key", &rsa_secret.primes()[0].to_be_bytes()),
        forms("q of the RSA key", &rsa_secret.primes()[1].to_be_bytes()),
        forms("the master key", &master),
    ]
    .concat();
    assert_eq!(rsa_secret.n().bit_width(), 2048);
    assert!(p256_secret.to_pkcs8_der().is_ok());
    for (name, credential) in [
        ("the bootstrap credential", &server.admin),
        ("shop's credential", &shop),
    ] {
        let (_, secret) = credential
            .strip_prefix("kw_")
            .unwrap()
            .split_once('_')
            .unwrap();
        secrets.push((name.to_owned(), secret.into()));
        secrets.extend(forms(name, &URL_SAFE_NO_PAD.decode(secret).unwrap()));
    }
    for (number, assertion) in assertions.iter().enumerate() {
        let signature = assertion.rsplit_once('.').unwrap().1;
        secrets.push((
            format!("the signature of assertion {number}"),
            signature.into(),
        ));
    }
    for credential in &talk.secret_credentials {
        let secret = credential.splitn(3, '_').nth(2).unwrap();
        secrets.push(("a rotated credential".to_owned(), secret.into()));
    }
    let Talk {
        answers, tokens, ..
    } = talk;
    for (name, secret) in &secrets {
        assert!(!contains(&answers, secret), "an answer has {name}");
    }
    // Tokens belong in answers, and nowhere else.
    for (number, token) in tokens.iter().enumerate() {
        let signature = token.rsplit_once('.').unwrap().1;
        secrets.push((format!("the signature of token {number}"), signature.into()));
    }
    let log = server.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is talkative"
    );
    assert!(log.contains(&active), "the log has what happened");
    for (name, secret) in &secrets {
        assert!(!contains(log.as_bytes(), secret), "the log has {name}");
        assert_not_in_files(&server.data(), name, secret);
    }
    // What was written at the end counts, too, and what a new start writes.
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    let server = start_in(folder, "log.filter = \"trace\"\n").unwrap();
    for (name, secret) in &secrets {
        assert!(
            !contains(server.log().as_bytes(), secret),
            "the second log has {name}"
        );
        assert_not_in_files(&server.data(), name, secret);
    }
}

/// Assertions and tokens of a trusted issuer, good and bad, wherever they can be put. Answers them.
fn other_ways_in(talk: &mut Talk<'_>, signatory: &Signatory, cluster: &Signatory) -> Vec<String> {
    assertions::outlast_the_second_of_the_start();
    let server = talk.server;
    let client = assertions::create(
        server,
        json!({
            "jwks": signatory.jwks(),
            "workloads": [{"issuer": "cluster", "claims": {"sub": "pod"}}],
        }),
    );
    let pod = |sub: &str| {
        json!({
            "iss": "https://cluster.example", "aud": AUDIENCE, "sub": sub,
            "exp": assertions::now() + 60,
        })
    };
    let once = signatory.sign(&assertions::claims(&client));
    let shown = [
        once.clone(),
        once,
        cluster.sign(&pod("pod")),
        cluster.sign(&pod("nobody")),
        signatory.sign(&pod("pod")),
        cluster.sign(&assertions::claims(&client)),
    ];
    let statuses = shown.each_ref().map(|bearer| {
        let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
        let answer = server.call_as(Some(bearer), "POST", "/v1/issuers/orders/tokens", body);
        if answer.status == 201 {
            let token = answer.json()["token"].as_str().unwrap().to_owned();
            talk.tokens.push(token);
        } else {
            talk.keep(&answer.headers, &answer.body);
        }
        let target = format!("/v1/audit?client={bearer}");
        let in_url = plain(&server.internal, "GET", &target, &[]);
        assert_eq!(in_url.status, 400);
        talk.keep(&in_url.headers, &in_url.body);
        let by_another_name = [
            ("X-Assertion", bearer.as_str()),
            ("Cookie", bearer.as_str()),
        ];
        let elsewhere = plain(&server.internal, "GET", "/v1/clients", &by_another_name);
        talk.keep(&elsewhere.headers, &elsewhere.body);
        answer.status
    });
    assert_eq!(statuses, [201, 401, 201, 401, 401, 401]);
    let own = format!("/v1/clients/{client}");
    for body in [
        json!({"name": "a", "roles": ["issuer"], "jwks": {"keys": [{"kty": shown[0]}]}}),
        json!({"name": "a", "roles": ["issuer"], "workloads": [{"issuer": shown[0]}]}),
        json!({"name": "a", "roles": ["issuer"], "limits": {"audiences": [shown[0], 1]}}),
        json!({"name": "a", "roles": ["issuer"], "limits": {"max_ttl": shown[0]}}),
        json!({"name": "a", "roles": ["issuer"], "limits": {"algorithms": [shown[0]]}}),
        json!({"name": "a", "roles": ["issuer"], "limits": {"claims_schema": {"type": shown[0]}}}),
        json!({"name": "a", "roles": ["issuer"], "certificates": [{"dns": shown[0]}]}),
        json!({"name": "a", "roles": ["issuer"], shown[0].as_str(): 1}),
    ] {
        talk.sends("PUT", &own, "application/json", body.to_string().as_bytes());
    }
    let rotated = world::ok(server.call("POST", &format!("{own}/credentials"), Some(&json!({}))));
    let mut used: Vec<String> = shown.into();
    used.dedup();
    let credential = credential(&rotated);
    let path = format!(
        "{own}/credentials/{}",
        rotated["credentials"][0]["id"].as_str().unwrap()
    );
    talk.call("DELETE", &path, &Value::Null);
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    let revoked = server.call_as(Some(&credential), "POST", "/v1/issuers/orders/tokens", body);
    talk.keep(&revoked.headers, &revoked.body);
    talk.secret_credentials.push(credential);
    used
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// `master.key` and `admin.token` are where the master key and the bootstrap credential belong.
fn assert_not_in_files(data: &Path, name: &str, secret: &[u8]) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let own = match path.file_name().unwrap().to_str().unwrap() {
            "master.key" => name.starts_with("the master key"),
            "admin.token" => name.starts_with("the bootstrap credential"),
            _ => false,
        };
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(
            own || !contains(&bytes, secret),
            "{} has {name}",
            path.display()
        );
    }
}

#[test]
fn a_whole_life_reveals_nothing_in_a_text_log() {
    a_whole_life_reveals_nothing("text");
}

#[test]
fn a_whole_life_reveals_nothing_in_a_json_log() {
    a_whole_life_reveals_nothing("json");
}

/// The sealed private half of a key, as the database has it.
fn sealed(data: &Path, kid: &str) -> Option<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", data.join("keywright.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let (sealed,): (Option<Vec<u8>>,) =
            sqlx::query_as("SELECT sealed FROM records WHERE kind = 'key' AND id = ?1")
                .bind(kid)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        connection.close().await.unwrap();
        sealed
    })
}

#[test]
fn the_sealed_half_of_a_key_leaves_the_disk_with_the_change_that_ends_it() {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let (_, pem) = world::p256_pem();
    let body = json!({ "algorithm": "ES256", "state": "pending", "private_key": pem });
    let imported = world::ok(server.call("POST", "/v1/issuers/orders/keys", Some(&body)));
    let imported = imported["kid"].as_str().unwrap().to_owned();
    let rotate = |server: &Server| {
        let body = json!({ "force": true });
        world::ok(server.call("POST", "/v1/issuers/orders/rotate", Some(&body)));
    };
    let revoke = |server: &Server, kid: &str| {
        let path = format!("/v1/issuers/orders/keys/{kid}/revoke");
        world::ok(server.call("POST", &path, Some(&json!({ "reason": "leak" }))));
    };
    let ends = |what: &str, kid: &str, end: &dyn Fn(&Server)| {
        let blob = sealed(&server.data(), kid).unwrap_or_else(|| panic!("{what}: no sealed half"));
        assert!(blob.len() > 100, "{what}");
        end(&server);
        assert_eq!(sealed(&server.data(), kid), None, "{what}");
        // Neither the row nor a page that was freed, nor the write-ahead log, which is emptied once
        // the answer is on its way.
        for (part, bytes) in [("all of it", &blob[..]), ("half of it", &blob[13..77])] {
            eventually(&format!("{what}: {part} left the disk"), || {
                (!files_contain(&server.data(), bytes)).then_some(())
            });
        }
    };
    let active = |server: &Server| kids(server, "orders", "ES256", "active").remove(0);
    ends("an active key that retires", &active(&server), &rotate);
    let kid = active(&server);
    ends("an active key that is revoked", &kid, &|server| {
        revoke(server, &kid)
    });
    ends("an imported key that is revoked", &imported, &|server| {
        revoke(server, &imported)
    });
    wait_for_keys(&server, "orders");
    let pending = kids(&server, "orders", "ES256", "pending").remove(0);
    ends("a pending key that is revoked", &pending, &|server| {
        revoke(server, &pending)
    });
    // Also of an algorithm that the policy drops.
    let both = policy("orders", json!({ "algorithms": ["ES256", "RS256"] }));
    world::ok(server.call("PUT", "/v1/issuers/orders", Some(&both)));
    let pending = kids(&server, "orders", "RS256", "pending").remove(0);
    let alone = policy("orders", json!({}));
    ends(
        "a key of an algorithm that is dropped",
        &pending,
        &|server| {
            world::ok(server.call("PUT", "/v1/issuers/orders", Some(&alone)));
        },
    );
}
