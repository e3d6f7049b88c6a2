//! What verifiers are served: documents whose bytes are built once for each snapshot.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use keywright_verifier::revocation::feed_url;
use keywright_verifier::status_list::AGGREGATION_ENDPOINT;
use keywright_verifier::{Algorithm, Kid};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::status_lists::list_url;
use crate::event_stream;
use crate::lifecycle::{
    Key, KeySet, OpenidConfigurationPolicy, RevocationFeed, Timestamp, TokenStatus,
};
use crate::oauth::{self, Endpoints};

/// A key set that was served.
#[derive(Debug, PartialEq, Eq)]
pub struct ServedKeySet {
    /// Its entity tag, in quotes.
    pub etag: String,
    /// The keys in it.
    pub kids: Vec<Kid>,
}

/// The public documents of one issuer.
pub struct Publication {
    jwks: Document,
    served: Arc<ServedKeySet>,
    oauth_metadata: Document,
    openid_configuration: Option<Document>,
    ssf_configuration: Option<Document>,
    max_age: Duration,
    stale_if_error: Duration,
    next_publication: Option<Timestamp>,
    default_cache_control: String,
}

/// Bytes and their strong entity tag.
pub struct Document {
    /// The body.
    pub bytes: Bytes,
    /// A strong entity tag over exactly these bytes, in quotes (RFC 9110 §8.8.3).
    pub etag: String,
}

impl Document {
    fn new(bytes: Vec<u8>) -> Self {
        let hash = digest(&SHA256, &bytes);
        Self {
            etag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash)),
            bytes: bytes.into(),
        }
    }

    fn json(members: &Map<String, Value>) -> Self {
        // Text and lists always serialise.
        Self::new(serde_json::to_vec(members).unwrap_or_default())
    }
}

/// The bytes of a key set (RFC 7517 §5).
pub fn jwks<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<u8> {
    let mut body = br#"{"keys":["#.to_vec();
    for (index, key) in keys.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        key.jwk().write_json(&mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

/// The `Cache-Control` of a key set that is fresh for so long, and stale for so long after it.
pub(super) fn cache_control(max_age: Duration, stale_if_error: Duration) -> String {
    let max_age = max_age.as_secs();
    match stale_if_error.as_secs() {
        0 => format!("public, max-age={max_age}"),
        stale => format!("public, max-age={max_age}, stale-if-error={stale}"),
    }
}

impl Publication {
    /// Builds the documents of `set` as of `now`. The metadata names the OAuth endpoints if they are on.
    pub fn of(
        set: &KeySet,
        next_publication: Option<Timestamp>,
        endpoints: &Endpoints,
        now: Timestamp,
    ) -> Self {
        let mut algorithms: Vec<Algorithm> = set.published(now).map(Key::algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();

        let policy = set.policy();
        let mut metadata = Map::new();
        let mut say = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
        say("issuer", policy.url.as_str().into());
        say("jwks_uri", policy.url.jwks_url().into());
        say("response_types_supported", json!(["id_token"]));
        if policy.revocation_feed != RevocationFeed::Off {
            say("revocations_uri", feed_url(policy.url.as_str()).into());
        }
        if policy.status != TokenStatus::Off {
            let aggregation = list_url(policy.url.as_str(), None);
            say(AGGREGATION_ENDPOINT, aggregation.into());
        }
        if let Endpoints::On { mtls } = endpoints {
            let mtls = (mtls.as_ref()).map(|address| format!("{address}{}", policy.url.path()));
            let url = policy.url.as_str();
            let endpoints =
                serde_json::to_value(oauth::metadata(url, &algorithms, mtls.as_deref()));
            if let Ok(Value::Object(endpoints)) = endpoints {
                metadata.extend(endpoints);
            }
        }
        let oauth_metadata = Document::json(&metadata);
        // An OpenID provider must offer RS256 (OpenID Connect Discovery §3): without it an issuer
        // has OAuth metadata only, unless its policy says otherwise.
        let is_provider = match policy.openid_configuration {
            OpenidConfigurationPolicy::WithRs256 => algorithms.contains(&Algorithm::Rs256),
            OpenidConfigurationPolicy::Always => true,
        };
        let openid_configuration = is_provider.then(|| {
            let mut say = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
            say("subject_types_supported", json!(["public"]));
            say("id_token_signing_alg_values_supported", json!(algorithms));
            Document::json(&metadata)
        });
        let ssf_configuration = match endpoints {
            Endpoints::Off => None,
            Endpoints::On { .. } => {
                let url = policy.url.as_str();
                let configuration = event_stream::configuration(url, policy.url.jwks_url());
                serde_json::to_vec(&configuration).ok().map(Document::new)
            }
        };
        let jwks = Document::new(jwks(set.published(now)));
        let served = ServedKeySet {
            etag: jwks.etag.clone(),
            kids: set.published(now).map(|key| key.kid().clone()).collect(),
        };
        let mut publication = Self {
            jwks,
            served: Arc::new(served),
            oauth_metadata,
            openid_configuration,
            ssf_configuration,
            max_age: policy.jwks_max_age,
            stale_if_error: policy.stale_if_error,
            next_publication,
            default_cache_control: String::new(),
        };
        publication.default_cache_control = publication.cache_control_with(policy.jwks_max_age);
        publication
    }

    /// The key set (RFC 7517).
    pub fn jwks(&self) -> &Document {
        &self.jwks
    }

    /// What remains of the key set in what is known of its verifiers.
    pub fn served(&self) -> &Arc<ServedKeySet> {
        &self.served
    }

    /// The authorization server metadata (RFC 8414).
    pub fn oauth_metadata(&self) -> &Document {
        &self.oauth_metadata
    }

    /// The OpenID provider configuration; `None` without an RS256 key, if the policy does not ask for
    /// it.
    pub fn openid_configuration(&self) -> Option<&Document> {
        self.openid_configuration.as_ref()
    }

    /// What receivers of security events read; `None` while the OAuth endpoints are off, beside which streams
    /// are served.
    pub fn ssf_configuration(&self) -> Option<&Document> {
        self.ssf_configuration.as_ref()
    }

    /// How long a response that is served at `now` is fresh. It shrinks towards the next
    /// publication of a key, down to a tenth of the policy's `max-age`, so that verifiers ask
    /// again soon after it; it is never longer than the policy says.
    pub fn max_age(&self, now: Timestamp) -> Duration {
        let floor = (self.max_age / 10)
            .max(Duration::from_secs(1))
            .min(self.max_age);
        match self.next_publication {
            Some(next) => next.since(now).clamp(floor, self.max_age),
            None => self.max_age,
        }
    }

    /// The `Cache-Control` of a response that is served at `now`.
    pub fn cache_control(&self, now: Timestamp) -> Cow<'_, str> {
        let max_age = self.max_age(now);
        if max_age == self.max_age {
            self.default_cache_control.as_str().into()
        } else {
            self.cache_control_with(max_age).into()
        }
    }

    fn cache_control_with(&self, max_age: Duration) -> String {
        cache_control(max_age, self.stale_if_error)
    }
}
