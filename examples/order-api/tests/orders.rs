//! What tokens allow that identity-api would never ask for. `examples/story` has the rest.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tempfile::TempDir;

const ISSUER: &str = "https://id.example";

/// The service, cut off from the network, with the keys of an issuer that signs whatever we like.
struct Service {
    child: Child,
    url: String,
    key: EcdsaKeyPair,
    _folder: TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key");
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "key-1", "x": base64url(x), "y": base64url(y),
        }]});
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, keys.to_string()).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_order-api"))
            .args([Path::new("--issuer"), ISSUER.as_ref()])
            .args([Path::new("--keys-file"), &file])
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        let url = line.strip_prefix("listening on ").expect("an address");
        Self {
            child,
            url: url.trim().to_owned(),
            key,
            _folder: folder,
        }
    }

    /// Status and answer to a request of alice, whose token also has these claims.
    fn call(&self, typ: &str, more: &Value, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut claims = json!({
            "iss": ISSUER, "aud": "orders", "sub": "alice", "exp": 4_102_444_800_u64,
            "scope": "orders:read orders:write",
        });
        let members = claims.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        let header = json!({"alg": "ES256", "kid": "key-1", "typ": typ}).to_string();
        let input = format!("{}.{}", base64url(header), base64url(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes());
        let token = format!("{input}.{}", base64url(signature.expect("a signature")));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let agent: ureq::Agent = agent.into();
        let url = format!("{}{path}", self.url);
        let bearer = format!("Bearer {token}");
        let answer = match body {
            None => agent.get(url).header("authorization", bearer).call(),
            Some(body) => agent
                .post(url)
                .header("authorization", bearer)
                .header("content-type", "application/json")
                .send(body.to_string()),
        };
        let mut answer = answer.expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        let json = serde_json::from_str(&text).expect("JSON");
        (answer.status().as_u16(), json)
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ids(orders: &Value) -> Vec<&str> {
    let orders = orders.as_array().expect("a list");
    orders
        .iter()
        .filter_map(|order| order.get("id")?.as_str())
        .collect()
}

#[test]
fn a_token_for_one_order_makes_no_other_though_its_scope_says_so() {
    let service = Service::start();
    let one = json!({"order": "1001"});
    let pump = json!({"item": "a pump"});
    let (status, problem) = service.call("at+jwt", &one, "/orders", Some(&pump));
    assert_eq!((status, problem), (403, json!({"code": "one-order-only"})));
    let (status, orders) = service.call("at+jwt", &one, "/orders", None);
    assert_eq!((status, ids(&orders)), (200, vec!["1001"]));
    let (_, orders) = service.call("at+jwt", &json!({}), "/orders", None);
    assert_eq!(ids(&orders), ["1001", "1002"]);
}

#[test]
fn an_order_of_somebody_else_cannot_be_told_from_none() {
    let service = Service::start();
    let elsewhere = [
        (json!({"order": "1003"}), "/orders/1003"),
        (json!({"order": "1001"}), "/orders/1002"),
        (json!({}), "/orders/1003"),
        (json!({}), "/orders/none"),
    ];
    for (claims, path) in elsewhere {
        let answer = service.call("at+jwt", &claims, path, None);
        assert_eq!(answer, (404, json!({"code": "no-such-order"})));
    }
}

#[test]
fn a_claim_that_is_not_understood_opens_nothing() {
    let service = Service::start();
    for order in [
        Value::Null,
        json!(1001),
        json!(["1001"]),
        json!({"id": "1001"}),
    ] {
        let (status, problem) = service.call("at+jwt", &json!({"order": order}), "/orders", None);
        assert_eq!(
            (status, problem.get("code")),
            (401, Some(&json!("claims-mismatch")))
        );
    }
}

#[test]
fn an_id_token_of_the_same_issuer_is_no_access_token() {
    let service = Service::start();
    let (status, problem) = service.call("JWT", &json!({}), "/orders", None);
    assert_eq!(
        (status, problem.get("code")),
        (401, Some(&json!("wrong-type")))
    );
}
