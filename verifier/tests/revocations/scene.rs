//! An issuer with a feed of revocations, a verifier that follows it, and tokens.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keywright_verifier::revocation::{
    Content, FEED_PATH, Head, Record, Salt, SegmentReference, Selector, SelectorKind, feed_url,
    segment_bytes, segment_hash,
};
use keywright_verifier::{
    Algorithm, Jwk, RemoteKeys, RemoteKeysBuilder, RevocationFeed, RevocationSource, Revocations,
    Rules, Verified, Verifier, VerifyError,
};
use serde_json::{Map, Value, json};

use crate::fixtures::{eventually, in_time};
use crate::issuer::{Issuer, Reply, Request};
use crate::keys::{Signer, base64url, set};

pub(crate) const FEED_TYP: &str = "keywright-revocations+jwt";
pub(crate) const FILE_TYP: &str = "keywright-revocations-file+jwt";

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "heads and tokens are of now")]
pub(crate) fn now_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

pub(crate) fn now_seconds() -> u64 {
    now_milliseconds() / 1000
}

/// A private key by its name.
#[derive(Clone)]
pub(crate) struct Key {
    kid: &'static str,
    signer: Arc<Signer>,
}

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        let signer = Arc::new(Signer::new());
        Self { kid, signer }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        self.signer.jwk(Some(self.kid))
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Map<String, Value>) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": typ});
        let claims = Value::Object(claims.clone());
        self.signer.token(&header.to_string(), &claims.to_string())
    }

    /// A token for `orders` that is good for an hour, but for what `changes` say. A change to `null`
    /// takes the claim out.
    pub(crate) fn token(&self, issuer: &str, changes: Value) -> String {
        let now = now_seconds();
        let mut claims = json!({
            "iss": issuer, "aud": "orders", "sub": "alice", "iat": now - 1000, "exp": now + 3600,
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        self.sign("JWT", members)
    }
}

pub(crate) fn selector(kind: &str, values: &[&str]) -> Selector {
    let kind: SelectorKind = kind.parse().unwrap();
    Selector::new(kind, values).unwrap()
}

/// What the issuer publishes.
pub(crate) struct Published {
    pub(crate) active: Key,
    pub(crate) keys: Vec<Jwk>,
    /// Those of the selectors that have a record.
    pub(crate) kinds: Vec<SelectorKind>,
    pub(crate) recent: Vec<Record>,
    /// The bytes of each segment.
    pub(crate) segments: Vec<Vec<u8>>,
    pub(crate) max_age_seconds: u64,
    /// How old a head is when it is answered.
    pub(crate) lag: Duration,
    issuer: String,
}

impl Published {
    /// Nothing yet.
    pub(crate) fn new(issuer: &str, key: &Key, max_age_seconds: u64) -> Self {
        Self {
            keys: vec![key.jwk()],
            active: key.clone(),
            kinds: Vec::new(),
            recent: Vec::new(),
            segments: Vec::new(),
            max_age_seconds,
            lag: Duration::ZERO,
            issuer: issuer.to_owned(),
        }
    }

    pub(crate) fn revoke(&mut self, kind: &str, values: &[&str]) {
        self.kinds.push(kind.parse().unwrap());
        self.recent.push(Record {
            digest: selector(kind, values).digest(&self.salt()),
            issued_before: Some(now_seconds() + 1),
        });
    }

    /// So many records of others in a segment.
    pub(crate) fn fill_segment(&mut self, count: usize) {
        self.kinds.push(SelectorKind::Jti);
        let records = (0..count).map(|number| Record {
            digest: selector("jti", &[&number.to_string()]).digest(&self.salt()),
            issued_before: None,
        });
        let bytes = segment_bytes(records.collect());
        self.segments.push(bytes);
    }

    pub(crate) fn salt(&self) -> Salt {
        Salt::new([4; 32])
    }

    /// The head of now.
    pub(crate) fn head(&self, nonce: Option<&str>) -> Head {
        let segments = self.segments.iter().map(|bytes| SegmentReference {
            hash: segment_hash(bytes),
            count: u32::try_from(bytes.len() / 24).unwrap(),
        });
        let lag = u64::try_from(self.lag.as_millis()).unwrap();
        Head {
            issuer: self.issuer.clone(),
            feed: feed_url(&self.issuer),
            issued_at_milliseconds: now_milliseconds() - lag,
            max_age_seconds: self.max_age_seconds,
            nonce: nonce.map(str::to_owned),
            content: Content {
                salt: self.salt(),
                kinds: self.kinds.iter().copied().collect(),
                recent: self.recent.clone(),
                segments: segments.collect(),
            },
        }
    }

    pub(crate) fn signed_head(&self, nonce: Option<&str>) -> String {
        self.active.sign(FEED_TYP, &self.head(nonce).claims())
    }

    fn answer(&self, request: &Request) -> Reply {
        let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match path {
            "/jwks" => Reply::json(set(self.keys.iter().cloned()).to_json()),
            "/.well-known/openid-configuration" => Reply::json(
                json!({
                    "issuer": self.issuer,
                    "jwks_uri": format!("{}/jwks", self.issuer),
                    "revocations_uri": feed_url(&self.issuer),
                })
                .to_string(),
            ),
            FEED_PATH => reply_head(self.signed_head(parameter(request, "nonce"))),
            _ => self
                .segments
                .iter()
                .find(|bytes| path == format!("{FEED_PATH}/{}", base64url(segment_hash(bytes))))
                .map_or_else(not_found, |bytes| Reply::http("200 OK", &[], bytes)),
        }
    }
}

pub(crate) fn not_found() -> Reply {
    Reply::http("404 Not Found", &["cache-control: no-store"], "")
}

pub(crate) fn reply_head(token: impl AsRef<[u8]>) -> Reply {
    let content_type = "content-type: application/keywright-revocations+jwt";
    Reply::http("200 OK", &[content_type], token)
}

/// A parameter of the query, of which none here is escaped.
pub(crate) fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let (_, query) = request.path.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

pub(crate) fn is_head(request: &Request) -> bool {
    request.path.split('?').next() == Some(FEED_PATH)
}

/// An issuer that is honest unless it is told otherwise.
pub(crate) struct Scene {
    pub(crate) server: Issuer,
    published: Arc<Mutex<Published>>,
    pub(crate) key: Key,
}

impl Scene {
    pub(crate) fn start() -> Self {
        Self::on(Issuer::start(Reply::Silence))
    }

    pub(crate) fn on(server: Issuer) -> Self {
        let key = Key::new("first");
        let published = Published::new(&server.url(""), &key, 60);
        let scene = Self {
            server,
            published: Arc::new(Mutex::new(published)),
            key,
        };
        scene.be_honest();
        scene
    }

    pub(crate) fn name(&self) -> String {
        self.server.url("")
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap()
    }

    pub(crate) fn be_honest(&self) {
        let published = Arc::clone(&self.published);
        self.server
            .behave(move |request| published.lock().unwrap().answer(request));
    }

    /// Answers requests as `hostile` says, and those for which it says nothing honestly.
    pub(crate) fn behave(
        &self,
        hostile: impl Fn(&Published, &Request) -> Option<Reply> + Send + Sync + 'static,
    ) {
        let published = Arc::clone(&self.published);
        self.server.behave(move |request| {
            let published = published.lock().unwrap();
            hostile(&published, request).unwrap_or_else(|| published.answer(request))
        });
    }

    /// Answers requests for the head as `hostile` says.
    pub(crate) fn behave_with_head(
        &self,
        hostile: impl Fn(&Published, &Request) -> Reply + Send + Sync + 'static,
    ) {
        self.behave(move |published, request| {
            is_head(request).then(|| hostile(published, request))
        });
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules::new(self.name(), "orders", [Algorithm::Es256])
    }

    pub(crate) fn keys(&self) -> RemoteKeysBuilder {
        RemoteKeys::at(&self.server.url("/jwks"))
    }

    pub(crate) fn feed(&self) -> RevocationFeed {
        RevocationFeed::of_issuer(&self.name())
    }

    pub(crate) fn verifier(&self, source: impl Into<RevocationSource>) -> Verifier {
        self.verifier_with_keys(self.keys(), source)
    }

    pub(crate) fn verifier_with_keys(
        &self,
        keys: RemoteKeysBuilder,
        source: impl Into<RevocationSource>,
    ) -> Verifier {
        Verifier::new(self.rules(), keys.start().unwrap())
            .unwrap()
            .with_revocations(source)
            .unwrap()
    }

    /// A verifier that has a head.
    pub(crate) async fn ready_verifier(&self, feed: RevocationFeed) -> Verifier {
        let verifier = self.verifier(feed);
        self.has_head(&verifier).await;
        verifier
    }

    pub(crate) async fn has_head(&self, verifier: &Verifier) {
        let revocations = self.revocations(verifier);
        eventually("a head", async || revocations.ready().await.is_ok()).await;
    }

    pub(crate) fn revocations(&self, verifier: &Verifier) -> Revocations {
        verifier.revocations(&self.name()).unwrap().clone()
    }

    /// A token of the active key that was good a while before any revocation here.
    pub(crate) fn token(&self, changes: Value) -> String {
        self.key.token(&self.name(), changes)
    }

    pub(crate) fn head_requests(&self) -> Vec<Request> {
        let mut requests = self.server.requests();
        requests.retain(is_head);
        requests
    }
}

pub(crate) async fn verified(
    verifier: &Verifier,
    token: &str,
) -> Result<Verified<Value>, VerifyError> {
    in_time("a verdict", verifier.verify(token)).await
}

/// The code of what is wrong with a token, `good` when nothing is.
pub(crate) async fn verdict(verifier: &Verifier, token: &str) -> &'static str {
    let outcome = verified(verifier, token).await;
    outcome.map_or_else(|error| error.code(), |_| "good")
}

/// Why no newer revocations are in force, with the causes.
pub(crate) fn complaint(revocations: &Revocations) -> String {
    let Some(error) = revocations.last_error() else {
        return "none".to_owned();
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&*error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
