//! A service that is attacked: what it trusts, for the crate and for the naive verifier alike.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::{Algorithm, JwkSet, MAX_LEEWAY, Rules, Verifier};
use serde_json::{Map, Value, json};

use crate::naive::{Defence, Naive};
use crate::signers::EcSigner;

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const OTHER_ISSUER: &str = "https://other.example";
pub(crate) const AUDIENCE: &str = "orders";
pub(crate) const NOW_SECONDS: u64 = 1_800_000_000;

#[derive(Clone)]
pub(crate) struct Service {
    /// The keys that the issuer publishes, good or bad.
    pub(crate) keys: Vec<Value>,
    /// The keys of [`OTHER_ISSUER`], which is trusted too unless it has none.
    pub(crate) other_keys: Vec<Value>,
    pub(crate) algorithms: Vec<Algorithm>,
    /// `None` for the default.
    pub(crate) typ: Option<&'static str>,
    /// What an operator wrote into a configuration. The crate takes [`MAX_LEEWAY`] of it at most.
    pub(crate) leeway: Duration,
    pub(crate) required: Vec<&'static str>,
    pub(crate) max_token_bytes: usize,
    /// What stands in files and on the web, for a verifier that reads whatever it is told to.
    pub(crate) reachable: BTreeMap<String, Vec<u8>>,
}

impl Service {
    pub(crate) fn new(keys: impl IntoIterator<Item = Value>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            other_keys: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            typ: None,
            leeway: Duration::ZERO,
            required: Vec::new(),
            max_token_bytes: 16_384,
            reachable: BTreeMap::new(),
        }
    }

    /// A service with one issuer, who has one ES256 key.
    pub(crate) fn with_issuer() -> (Self, EcSigner) {
        let issuer = EcSigner::new("k1");
        (Self::new([issuer.jwk()]), issuer)
    }

    /// The code of the crate's refusal, or the claims.
    pub(crate) fn verify(&self, token: &str) -> Result<Map<String, Value>, &'static str> {
        let now = UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
        self.verifier()
            .verify_with_held_keys(token, now)
            .map(|verified| verified.claims)
            .map_err(|error| error.code())
    }

    fn verifier(&self) -> Verifier {
        let verifier = Verifier::new(self.rules(ISSUER), key_set(&self.keys)).unwrap();
        if self.other_keys.is_empty() {
            return verifier;
        }
        verifier
            .and(self.rules(OTHER_ISSUER), key_set(&self.other_keys))
            .unwrap()
    }

    fn rules(&self, issuer: &str) -> Rules {
        let rules = Rules::new(issuer, AUDIENCE, self.algorithms.clone())
            .leeway(self.leeway.min(MAX_LEEWAY))
            .require(self.required.clone())
            .max_token_bytes(self.max_token_bytes);
        match self.typ {
            Some(typ) => rules.typ(typ),
            None => rules,
        }
    }

    /// A token that is no attack: both verifiers accept it.
    #[track_caller]
    pub(crate) fn accepts(&self, token: &str) -> Map<String, Value> {
        let claims = self.verify(token).expect("the crate refuses a good token");
        assert_eq!(Naive::complete(self).verify(token).as_ref(), Some(&claims));
        claims
    }

    /// A token that is an attack: the crate refuses it with `code`, so does a verifier with every
    /// defence, and the same verifier without the one defence accepts it. Answers what that one then
    /// believes.
    #[track_caller]
    pub(crate) fn withstands(
        &self,
        token: &str,
        code: &str,
        defence: Defence,
    ) -> Map<String, Value> {
        assert_eq!(
            self.verify(token).err(),
            Some(code),
            "the crate: {token:.300}"
        );
        let complete = Naive::complete(self).verify(token);
        assert_eq!(complete, None, "{defence:?} is no defence: {token:.300}");
        let believed = Naive::without(self, defence).verify(token);
        believed.unwrap_or_else(|| panic!("no attack on {defence:?}: {token:.300}"))
    }
}

fn key_set(keys: &[Value]) -> JwkSet {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// The claims of a token that the service accepts.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": NOW_SECONDS + 600, "sub": "user-1", "jti": "token-1"
    })
}

/// [`claims`] with another value for one of them.
pub(crate) fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

/// [`claims`] without one of them.
pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// What an attacker would like to be.
pub(crate) fn forged_claims() -> Value {
    claims_with("sub", "administrator")
}
