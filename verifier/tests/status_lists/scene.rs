//! An issuer with a status list, as a fetcher in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keywright_verifier::status_list::{INVALID, SUSPENDED, StatusBits, StatusList};
use keywright_verifier::{
    Algorithm, FetchFuture, JwkSet, Rules, StatusListFetcher, StatusLists, Verified, Verifier,
    VerifyError,
};
use serde_json::{Value, json};

use crate::keys::{Signer, set};

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const LIST: &str = "https://id.example/lists/1";

/// The entries of the list: the second is invalid, the third suspended, the fourth has another status.
pub(crate) const ENTRIES: usize = 1024;

/// Now, in Unix seconds, as all of these tests have it.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What is at the addresses.
#[derive(Clone, Default)]
pub(crate) struct Web {
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    pub(crate) fetches: Arc<AtomicU32>,
}

impl Web {
    pub(crate) fn put(&self, uri: &str, page: impl Into<Vec<u8>>) {
        self.pages
            .lock()
            .unwrap()
            .insert(uri.to_owned(), page.into());
    }

    pub(crate) fn remove(&self, uri: &str) {
        self.pages.lock().unwrap().remove(uri);
    }

    pub(crate) fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl StatusListFetcher for Web {
    fn fetch<'f>(&'f self, uri: &'f str) -> FetchFuture<'f> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let page = self.pages.lock().unwrap().get(uri).cloned();
        Box::pin(async move { page.ok_or_else(|| "404".into()) })
    }
}

pub(crate) struct Scene {
    pub(crate) signer: Signer,
    pub(crate) web: Web,
}

impl Scene {
    /// An issuer whose list is good.
    pub(crate) fn new() -> Self {
        let scene = Self {
            signer: Signer::new(),
            web: Web::default(),
        };
        scene.publish(json!({}));
        scene
    }

    pub(crate) fn keys(&self) -> JwkSet {
        set([self.signer.jwk(Some("k"))])
    }

    pub(crate) fn verifier(&self, lists: StatusLists) -> Verifier {
        let rules = Rules::new(ISSUER, "orders", [Algorithm::Es256]);
        let verifier = Verifier::new(rules, self.keys()).unwrap();
        verifier.with_status_lists(lists).unwrap()
    }

    /// One that reads the lists of this issuer.
    pub(crate) fn reader(&self) -> Verifier {
        self.verifier(StatusLists::new().fetched_by(self.web.clone()))
    }

    /// Signs with a header of this type.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "k", "typ": typ});
        self.signer.token(&header.to_string(), &claims.to_string())
    }

    /// A token with this claim `status`.
    pub(crate) fn token_with(&self, claims: Value) -> String {
        let mut all = json!({
            "iss": ISSUER, "aud": "orders", "sub": "alice", "iat": NOW - 10, "exp": NOW + 7200,
        });
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        self.sign("JWT", &all)
    }

    /// A token with this entry of the list.
    pub(crate) fn token(&self, index: u64) -> String {
        self.token_with(json!({"status": {"status_list": {"idx": index, "uri": LIST}}}))
    }

    /// The claims of the list with `changes`; `null` takes one out.
    pub(crate) fn list_claims(&self, changes: Value) -> Value {
        let mut list = StatusList::all_valid(StatusBits::Two, ENTRIES);
        assert!(list.set(1, INVALID) && list.set(2, SUSPENDED) && list.set(3, 3));
        let mut claims = json!({
            "sub": LIST, "iat": NOW - 5, "exp": NOW + 60, "ttl": 5,
            "status_list": {"bits": 2, "lst": list.encode()},
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(members.remove(name)),
                false => drop(members.insert(name.clone(), value.clone())),
            }
        }
        claims
    }

    pub(crate) fn publish(&self, changes: Value) {
        let claims = self.list_claims(changes);
        self.web.put(LIST, self.sign("statuslist+jwt", &claims));
    }
}

pub(crate) async fn verify_at(
    verifier: &Verifier,
    token: &str,
    seconds: u64,
) -> Result<Verified<Value>, VerifyError> {
    verifier.verify_at(token, at(seconds)).await
}

/// The code of what is wrong with a token; `good` if nothing is.
pub(crate) async fn verdict(verifier: &Verifier, token: &str) -> &'static str {
    match verify_at(verifier, token, NOW).await {
        Ok(_) => "good",
        Err(error) => error.code(),
    }
}
