//! What several tests stand on: servers that they share, issuers, keys, and the whole state.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};
use sqlx::Connection as _;

pub use crate::support::eventually;
use crate::support::{Answer, Server};

/// A server for as long as a test uses it: the last one that lets go ends the process.
pub fn shared<T>(slot: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    let mut slot = slot
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = slot.upgrade() {
        return server;
    }
    let server = Arc::new(start());
    *slot = Arc::downgrade(&server);
    server
}

/// A policy under the path `name`, with ES256 alone and with `changes`.
pub fn policy(name: &str, changes: Value) -> Value {
    let url = format!("http://127.0.0.1:8080/{name}");
    let mut policy = json!({ "url": url, "algorithms": ["ES256"] });
    merge(&mut policy, changes);
    policy
}

pub fn merge(target: &mut Value, changes: Value) {
    let (Value::Object(target), Value::Object(changes)) = (target, changes) else {
        panic!("two objects");
    };
    target.extend(changes);
}

/// Creates an issuer with ES256 alone and with `changes`.
pub fn create_issuer(server: &Server, name: &str, changes: Value) -> Value {
    let answer = server.call(
        "PUT",
        &format!("/v1/issuers/{name}"),
        Some(&policy(name, changes)),
    );
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

pub fn create_client(server: &Server, name: &str, roles: &[&str]) -> Value {
    let body = json!({ "name": name, "roles": roles });
    let answer = server.call("POST", "/v1/clients", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

pub fn credential(client: &Value) -> String {
    client["credential"]
        .as_str()
        .expect("a credential")
        .to_owned()
}

pub fn ok(answer: Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{}", answer.json());
    answer.json()
}

pub fn keys(server: &Server, issuer: &str) -> Vec<Value> {
    let answer = ok(server.call("GET", &format!("/v1/issuers/{issuer}/keys"), None));
    answer["keys"].as_array().expect("keys").clone()
}

/// The kids of an issuer's keys of one algorithm in one state.
pub fn kids(server: &Server, issuer: &str, algorithm: &str, state: &str) -> Vec<String> {
    let of = |key: &&Value| key["algorithm"] == algorithm && key["state"] == state;
    let kid = |key: &Value| key["kid"].as_str().expect("a kid").to_owned();
    keys(server, issuer).iter().filter(of).map(kid).collect()
}

pub fn kid(server: &Server, issuer: &str, state: &str) -> String {
    let mut kids = kids(server, issuer, "ES256", state);
    assert_eq!(kids.len(), 1, "one {state} key");
    kids.remove(0)
}

/// Waits until one ES256 key signs and one stands by: after a revocation keys are made that its answer
/// does not wait for.
pub fn wait_for_keys(server: &Server, issuer: &str) {
    eventually("a key that signs and one that stands by", || {
        let count = |state| kids(server, issuer, "ES256", state).len();
        (count("active") == 1 && count("pending") == 1).then_some(())
    });
}

pub fn jwks_path(name: &str) -> String {
    match name {
        "default" => "/.well-known/jwks.json".to_owned(),
        name => format!("/{name}/.well-known/jwks.json"),
    }
}

/// Everything that a request could have changed.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    issuers: Value,
    keys: Vec<Vec<Value>>,
    jwks: Vec<Vec<u8>>,
    clients: Value,
    events: Value,
}

impl State {
    pub fn assert_same(&self, other: &Self) {
        assert_eq!(self.issuers, other.issuers);
        assert_eq!(self.keys, other.keys);
        assert!(self.jwks == other.jwks, "a published key set has changed");
        assert_eq!(self.clients, other.clients);
        assert!(self.events == other.events, "the audit log has grown");
    }
}

/// The clients, without when they last called: this very question would change it.
fn clients(server: &Server) -> Value {
    let mut clients = ok(server.call("GET", "/v1/clients", None));
    for client in clients["clients"].as_array_mut().expect("clients") {
        for credential in client["credentials"].as_array_mut().expect("credentials") {
            credential.as_object_mut().unwrap().remove("last_used_at");
        }
    }
    clients
}

pub fn state(server: &Server) -> State {
    let issuers = ok(server.call("GET", "/v1/issuers", None));
    let listed = issuers["issuers"].as_array().expect("issuers");
    let names: Vec<&str> = listed
        .iter()
        .map(|issuer| issuer["name"].as_str().unwrap())
        .collect();
    let jwks = |name: &&str| {
        let answer = server.fetch(&jwks_path(name));
        assert_eq!(answer.status, 200, "the key set of {name}");
        answer.body
    };
    State {
        keys: names.iter().map(|name| keys(server, name)).collect(),
        jwks: names.iter().map(jwks).collect(),
        clients: clients(server),
        events: ok(server.call("GET", "/v1/audit?limit=1000", None)),
        issuers,
    }
}

/// A number that no other call of this process gets.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An ES256 private key as PKCS#8 PEM.
pub fn p256_pem() -> (p256::SecretKey, String) {
    use p256::elliptic_curve::Generate as _;
    use p256::pkcs8::EncodePrivateKey as _;
    let secret = p256::SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng).unwrap();
    let pem = secret
        .to_pkcs8_pem(p256::pkcs8::LineEnding::LF)
        .unwrap()
        .to_string();
    (secret, pem)
}

/// An RSA private key as PKCS#8 PEM.
pub fn rsa_pem(bits: usize) -> (rsa::PrivateKey, String) {
    use rsa::pkcs8::EncodePrivateKey as _;
    let secret = rsa::PrivateKey::new(&mut rand::rngs::SysRng, bits).unwrap();
    let pem = secret
        .to_pkcs8_pem(rsa::pkcs8::LineEnding::LF)
        .unwrap()
        .to_string();
    (secret, pem)
}

/// The public half of a P-256 key as a JWK.
pub fn p256_jwk(secret: &p256::SecretKey, kid: &str) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    let point = secret.public_key().to_sec1_point(false);
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
        "x": BASE64URL.encode(point.x().unwrap()), "y": BASE64URL.encode(point.y().unwrap()),
    })
}

/// Changes the database of a service that does not run.
pub fn edit(folder: &Path, statement: &str) {
    let database = folder.join("keys/keywright.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", database.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let query = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
        let done = query.execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
        connection.close().await.unwrap();
    });
}
