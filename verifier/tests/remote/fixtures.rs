//! Keys, tokens and patience that several tests share.

use std::fmt::Debug;
use std::future::Future;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::{
    Algorithm, Jwk, JwkSet, KeySource, Kid, PublicKey, RemoteKeys, RemoteKeysBuilder, Rules,
    Verified, Verifier, VerifyError,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Map, Value};
use tokio::task::{JoinSet, LocalSet};

/// What tokens are from, unless a test says otherwise.
pub(crate) const ISSUER: &str = "https://id.example";

/// Longer than anything here takes, even beside a compiler.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests measure how long something takes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A holder of an ES256 private key.
pub(crate) struct Signer {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self {
            kid: kid.to_owned(),
            pair,
        }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        let point = self.pair.public_key().as_ref();
        let x = point[1..33].try_into().unwrap();
        let y = point[33..].try_into().unwrap();
        let kid = Kid::parse(&self.kid).unwrap();
        Jwk::new(Some(kid), PublicKey::p256(x, y).unwrap()).unwrap()
    }

    /// A good token of [`ISSUER`].
    pub(crate) fn token(&self) -> String {
        self.token_of(ISSUER)
    }

    pub(crate) fn token_of(&self, issuer: &str) -> String {
        let input = unsigned(&self.kid, issuer);
        let random = SystemRandom::new();
        let signature = self.pair.sign(&random, input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(kid: &str, issuer: &str) -> String {
    let header = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
    let claims = format!(r#"{{"iss":"{issuer}","aud":"orders","exp":4102444800}}"#);
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

/// What anybody can write without any key.
pub(crate) fn forged(kid: &str) -> String {
    format!("{}.{}", unsigned(kid, ISSUER), "A".repeat(86))
}

/// The set of these keys, as JSON.
pub(crate) fn set_of<'s>(signers: impl IntoIterator<Item = &'s Signer>) -> Vec<u8> {
    JwkSet::new(signers.into_iter().map(Signer::jwk).collect()).to_json()
}

/// A verifier of [`ISSUER`].
pub(crate) fn verifier(keys: impl Into<KeySource>) -> Verifier {
    verifier_of(ISSUER, keys)
}

pub(crate) fn verifier_of(issuer: &str, keys: impl Into<KeySource>) -> Verifier {
    Verifier::new(Rules::new(issuer, "orders", [Algorithm::Es256]), keys).unwrap()
}

/// Settings that make in seconds what takes hours by default.
pub(crate) fn hasty(builder: RemoteKeysBuilder) -> RemoteKeysBuilder {
    builder
        .freshness(Duration::from_secs(1)..=Duration::from_secs(1))
        .stale_limit(milliseconds(1000))
        .cool_down(milliseconds(50))
        .timeout(milliseconds(400))
}

/// The code of what is wrong with a token, `good` when nothing is. Never waits for long.
pub(crate) async fn verdict(verifier: &Verifier, token: &str) -> &'static str {
    let verified: Result<Verified<Map<String, Value>>, VerifyError> =
        in_time("a verdict", verifier.verify(token)).await;
    verified.map_or_else(|error| error.code(), |_| "good")
}

/// Why the last fetch failed, with its causes.
pub(crate) fn complaint(keys: &RemoteKeys) -> String {
    let Some(error) = keys.last_error() else {
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

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} takes forever"))
}

/// Runs all of them at once.
pub(crate) async fn together(
    futures: impl IntoIterator<Item = impl Future<Output = ()> + 'static>,
) {
    let here = LocalSet::new();
    let mut all = JoinSet::new();
    for future in futures {
        all.spawn_local_on(future, &here);
    }
    in_time("all of them together", here.run_until(all.join_all())).await;
}

/// Looks again and again until it is so.
pub(crate) async fn eventually(what: impl Debug, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(milliseconds(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, looking).await.is_ok(),
        "{what:?} never comes true"
    );
}

/// Waits for keys, though a machine that is busy may let the first fetch time out.
pub(crate) async fn first_set(keys: &RemoteKeys) {
    eventually("a first set", async || keys.ready().await.is_ok()).await;
}

/// Whether this process is the one that [`in_process_with`] has started.
pub(crate) fn is_child() -> bool {
    std::env::var_os("KEYWRIGHT_TEST_CHILD").is_some()
}

/// Runs one test again in a process of its own, because its environment is the process's.
pub(crate) fn in_process_with(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("KEYWRIGHT_TEST_CHILD", "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "no test {test}: {text}");
}
