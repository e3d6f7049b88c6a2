//! An axum service on a free port, an issuer, and a client that sends exactly what it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use keywright_verifier::axum::{Authenticated, Authentication};
use keywright_verifier::{Algorithm, Jwk, Rules, Verifier};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::fixtures::{Signer, set};

/// 2100-01-01.
pub(crate) const FAR: u64 = 4_102_444_800;

pub(crate) const ISSUER: &str = "https://id.example";

/// Signs for [`ISSUER`].
pub(crate) struct Issuer(Signer);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(Signer::new())
    }

    /// A verifier for the audience `orders` that holds this issuer's key.
    pub(crate) fn verifier(&self) -> Verifier {
        let rules = Rules::new(ISSUER, "orders", [Algorithm::Es256]);
        Verifier::new(rules, set([self.jwk()])).unwrap()
    }

    /// The key that its tokens are signed with.
    pub(crate) fn jwk(&self) -> Jwk {
        self.0.jwk(Some("key-1"))
    }

    pub(crate) fn authentication(&self) -> Authentication {
        Authentication::new(self.verifier())
    }

    /// A token that is good but for what `changes` say. A change to `null` takes the claim out.
    pub(crate) fn token(&self, changes: Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": "orders", "sub": "alice", "exp": FAR, "scope": "orders:read",
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let header = r#"{"alg":"ES256","kid":"key-1","typ":"JWT"}"#;
        self.0.token(header, &claims.to_string())
    }

    /// The header of a request with such a token.
    pub(crate) fn bearer(&self, changes: Value) -> String {
        format!("Authorization: Bearer {}", self.token(changes))
    }
}

/// A running service. It ends when it is dropped.
pub(crate) struct Service {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Service {
    /// Serves what `routes` makes; it is called inside the service's runtime.
    pub(crate) fn start(routes: impl FnOnce() -> Router) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = runtime.block_on(async { routes() });
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// GET with these header lines, which need not be UTF-8.
    pub(crate) fn get<L: AsRef<[u8]>>(&self, path: &str, lines: &[L]) -> Answer {
        self.send("GET", path, lines)
    }

    pub(crate) fn send<L: AsRef<[u8]>>(&self, method: &str, path: &str, lines: &[L]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: orders\r\n").into_bytes();
        for line in lines {
            request.extend_from_slice(line.as_ref());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer)
    }
}

/// What came back, as text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) whole: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(whole: &str) -> Self {
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            status: status.parse().unwrap(),
            whole: whole.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The one header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// Status, code of the problem and challenge.
    pub(crate) fn refusal(&self) -> (u16, String, Option<&str>) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        let code = problem["code"].as_str().unwrap().to_owned();
        (self.status, code, self.header("www-authenticate"))
    }
}

/// Counts how often a handler has run.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What [`Authentication::on_refusal`] was told: the code and, where the token could be parsed, its
/// kid and unverified `sub`, such as `bad-signature key-1 mallory`.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn by(&self, authentication: Authentication) -> Authentication {
        let told = self.clone();
        authentication.on_refusal(move |error, token| {
            let mut entry = error.code().to_owned();
            if let Some(token) = token {
                let claims = token.unverified_claims().unwrap();
                let sub = claims.get("sub").and_then(Value::as_str).unwrap();
                entry.push_str(&format!(" {} {sub}", token.kid().unwrap().as_str()));
            }
            told.0.lock().unwrap().push(entry);
        })
    }

    /// What was told since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// `GET /orders` answers the token's `sub`, `/open` anything; both behind `authentication`.
pub(crate) fn protected(authentication: Authentication, runs: &Runs) -> Router {
    let (listed, opened) = (runs.clone(), runs.clone());
    let list = |Authenticated(token): Authenticated<Value>| async move {
        listed.add();
        token.claims["sub"].as_str().unwrap().to_owned()
    };
    let open = || async move { opened.add() };
    Router::new()
        .route("/orders", get(list))
        .route("/open", any(open))
        .layer(authentication)
}

/// A header line for a request without one.
pub(crate) const NO_LINES: [&str; 0] = [];
