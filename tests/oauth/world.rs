//! A service with OAuth endpoints, and clients of it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keywright_verifier::{Algorithm, JwkSet, Jws};
use serde_json::{Value, json};

pub use crate::support::Signatory;
use crate::support::{Answer, Server, request, since_epoch, start};

/// The URL of the issuer that every store begins with.
pub const ISSUER: &str = "http://127.0.0.1:8080";

/// A page that may call.
pub const ORIGIN: &str = "https://app.example";

/// A service whose OAuth endpoints are enabled, with more configuration.
pub fn service(extra: &str) -> Server {
    let oauth = format!("oauth.enabled = true\noauth.allowed_origins = [\"{ORIGIN}\"]\n");
    start(&format!("{oauth}{extra}"))
}

/// A client of the service.
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    pub fn basic(&self) -> String {
        basic(&self.id, &self.secret)
    }

    /// Asks for a token with the client's credential in the header.
    pub fn ask(&self, server: &Server, form: &str) -> Answer {
        post(server, "/token", &[("authorization", self.basic())], form)
    }

    /// Asks for a token, and answers its document.
    pub fn token(&self, server: &Server, form: &str) -> Value {
        let answer = self.ask(server, form);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// A client with the role `issuer` and these limits.
pub fn client(server: &Server, limits: Value) -> Client {
    client_with(server, json!({ "limits": limits }))
}

/// A client with the role `issuer`, with changes of its document.
pub fn client_with(server: &Server, changes: Value) -> Client {
    let mut body = json!({"name": "a service", "roles": ["issuer"]});
    body.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    let answer = server.call("POST", "/v1/clients", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let client = answer.json();
    let text = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
    Client {
        id: text("id"),
        secret: text("credential"),
    }
}

/// The usual limits of a service that calls another one.
pub fn orders() -> Value {
    json!({"audiences": ["orders"], "scopes": ["orders:read", "orders:write"]})
}

/// Posts a form to the public listener.
pub fn post(server: &Server, path: &str, headers: &[(&str, String)], form: &str) -> Answer {
    let body = form.as_bytes().to_vec();
    let url = format!("{}{path}", server.public);
    let form = "application/x-www-form-urlencoded";
    request("POST", &url, headers, Some((form, body)))
}

/// Escapes a value of a form.
pub fn escape(value: &str) -> String {
    let escaped = value.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}

/// The header and the claims of a token of the first issuer, whose signature is verified.
pub fn verified(server: &Server, token: &str) -> (Value, Value) {
    let keys = server.fetch("/.well-known/jwks.json").body;
    let keys = JwkSet::parse(&keys).unwrap();
    let jws = Jws::parse(token, 8192).unwrap();
    let verified = jws.verify(&keys, &Algorithm::ALL).unwrap();
    let claims = serde_json::from_slice(verified.payload()).unwrap();
    let header = token.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    (serde_json::from_slice(&header).unwrap(), claims)
}

/// Asserts an OAuth error: its status, its name, and the code of the problem in its description.
pub fn assert_error(answer: &Answer, status: u16, name: &str, code: &str, what: &str) {
    let document = answer.json();
    let description = document["error_description"].as_str().unwrap_or_default();
    let found = (
        answer.status,
        document["error"].as_str().unwrap_or_default(),
    );
    assert_eq!(found, (status, name), "{what}: {document}");
    let begin = format!("{code}: ");
    assert!(description.starts_with(&begin), "{what}: {document}");
    let is_legal = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    assert!(description.bytes().all(is_legal), "{what}: {document}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{what}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
}

/// Whether what was answered expires in so many seconds, of which one may be over by the time of the answer.
pub fn expires_in(answer: &Value, seconds: u64) -> bool {
    let left = answer["expires_in"].as_u64().unwrap();
    (seconds - 1..=seconds).contains(&left)
}

pub fn now() -> u64 {
    since_epoch().as_secs()
}
