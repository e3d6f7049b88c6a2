//! One question to a feed, and what is believed of the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::timeout;
use url::Url;

use super::{bound_in_force, wait};
use crate::clock::ClockReading;
use crate::http::{FetchError, HttpClient, Location, Locator, body};
use crate::keys::KeySource;
use crate::revocation::{
    Content, Head, HeadKind, RevocationTable, SegmentMismatch, SegmentReference,
};
use crate::revocations::error::RevocationsError;
use crate::revocations::heads::{AcceptedHead, Bound, CLOCK_TOLERANCE, Heads, IssuerClock, Moment};
use crate::revocations::identity::{Identity, MAX_HEAD_BYTES, check_time};
use crate::{Jwk, JwkSet, Jws, JwsError, Kid, base64url};

/// How often it is looked whether the key of the head at hand is still in the issuer's set.
pub(super) const KEY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a comparison of the clocks counts at least, however wrong they look.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How many bytes of a segment must come in a second.
const SLOWEST_BYTES_PER_SECOND: u64 = 262_144;

/// Asks a feed. One question at a time, because it is exclusive.
pub(super) struct Poller {
    client: HttpClient,
    locator: Locator,
    /// Where the metadata must lead to, when it is asked.
    origin: Option<url::Origin>,
    timeout: Duration,
    /// What the feed is asked with, if not everyone may.
    credential: Option<HeaderValue>,
    identity: Identity,
    keys: KeySource,
    bound: Bound,
    since: Instant,
    /// Those of the newest head, and those that have come for the next one.
    segments: HashMap<[u8; 32], Arc<[u8]>>,
    clock_check: ClockCheck,
    /// The key that was last fetched outside the cool-down.
    fetched_for: Option<Kid>,
}

/// Whether the clocks were compared.
#[derive(Clone, Copy)]
enum ClockCheck {
    Never,
    At(ClockReading),
    /// Something has looked wrong since, so that it is due again after a while.
    DoubtfulAt(ClockReading),
}

impl Poller {
    pub(super) fn new(
        client: HttpClient,
        location: Location,
        timeout: Duration,
        identity: Identity,
        keys: KeySource,
        bound: Bound,
        since: Instant,
    ) -> Self {
        let origin = match &location {
            Location::Issuer { url, .. } => Some(url.origin()),
            Location::Address(_) => None,
        };
        Self {
            client,
            locator: Locator::new(location, "revocations_uri"),
            origin,
            timeout,
            credential: None,
            identity,
            keys,
            bound,
            since,
            segments: HashMap::new(),
            clock_check: ClockCheck::Never,
            fetched_for: None,
        }
    }

    pub(super) fn with_credential(self, credential: Option<HeaderValue>) -> Self {
        Self { credential, ..self }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.identity.issuer
    }

    /// After a failure: another server may answer.
    pub(super) fn start_over(&mut self) {
        self.client.drop_connections();
        self.locator.forget();
    }

    /// Asks once. The heads with the one that came, once all of its segments are there.
    pub(super) async fn poll(&mut self, heads: &Heads) -> Result<Heads, RevocationsError> {
        let keys = match self.keys.cached() {
            Ok(keys) => keys,
            Err(error) => self.keys.refetched().await.unwrap_or(Err(error))?,
        };
        let newest = heads.newest(&keys);
        let feed = self.feed().await?;
        let nonce = self.nonce();
        let known = newest.filter(|_| nonce.is_none()).map(AsRef::as_ref);
        let text = self.fetch_head(&feed, known, nonce.as_deref()).await?;
        let received_at = ClockReading::now(self.since);
        let (head, key, keys) = self.verify(&text, &feed, keys).await?;

        let clock = match &nonce {
            None => *heads.clock(),
            Some(_) if head.nonce == nonce => {
                let issued_at = Duration::from_millis(head.issued_at_milliseconds);
                IssuerClock::measured(received_at, issued_at)
            }
            Some(_) => return Err(RevocationsError::OtherNonce),
        };
        check_time(&head, &clock, received_at).inspect_err(|_| self.doubt_clock())?;
        // The set may be another one by now.
        let newest = heads.newest(&keys);
        let issued_at = Duration::from_millis(head.issued_at_milliseconds);
        if newest.is_some_and(|newest| newest.issued_at() > issued_at) {
            return Err(RevocationsError::Older);
        }
        let table = match newest {
            Some(newest) if newest.root() == head.content.root() => newest.table().clone(),
            Some(newest) => match newest.table().with_content(&head.content) {
                Some(table) => table,
                None => self.load(&feed, &head.content).await?,
            },
            None => self.load(&feed, &head.content).await?,
        };
        let accepted = AcceptedHead::new(&head, key, table, received_at, &clock);
        if nonce.is_some() {
            self.note_comparison(issued_at, received_at);
        }
        if accepted.age_at_receipt() > CLOCK_TOLERANCE {
            self.doubt_clock();
        }
        Ok(heads.with(accepted, clock, &keys))
    }

    /// The address of the feed.
    async fn feed(&mut self) -> Result<Url, RevocationsError> {
        let now = ClockReading::now(self.since);
        let url = timeout(self.timeout, self.locator.url(&self.client, now))
            .await
            .unwrap_or(Err(FetchError::Timeout))?;
        if self
            .origin
            .as_ref()
            .is_some_and(|origin| *origin != url.origin())
        {
            return Err(RevocationsError::OtherOrigin);
        }
        Ok(url)
    }

    /// A nonce, when the clocks have to be compared.
    fn nonce(&self) -> Option<String> {
        let now = ClockReading::now(self.since);
        let is_due = match self.clock_check {
            ClockCheck::Never => true,
            ClockCheck::At(_) => false,
            ClockCheck::DoubtfulAt(at) => now.since(at) >= CLOCK_CHECK_INTERVAL,
        };
        let mut bytes = [0; 16];
        (is_due && SystemRandom::new().fill(&mut bytes).is_ok()).then(|| base64url::encode(&bytes))
    }

    fn doubt_clock(&mut self) {
        if let ClockCheck::At(at) = self.clock_check {
            self.clock_check = ClockCheck::DoubtfulAt(at);
        }
    }

    /// The clocks were compared by a head that was signed for the request.
    fn note_comparison(&mut self, issued_at: Duration, received_at: ClockReading) {
        let here = IssuerClock::starting(received_at).now(Moment::Now(received_at));
        let is_first = matches!(self.clock_check, ClockCheck::Never);
        if is_first && here.abs_diff(issued_at) > CLOCK_TOLERANCE {
            tracing::warn!(
                issuer = self.identity.issuer,
                here_seconds = here.as_secs(),
                issuer_seconds = issued_at.as_secs(),
                "the clock of this machine and that of the issuer differ"
            );
        }
        self.clock_check = ClockCheck::At(received_at);
    }

    async fn fetch_head(
        &self,
        feed: &Url,
        known: Option<&AcceptedHead>,
        nonce: Option<&str>,
    ) -> Result<String, RevocationsError> {
        let mut url = feed.clone();
        // Where several are allowed, the issuer's choice is.
        if let [algorithm] = self.identity.algorithms.as_slice() {
            url.query_pairs_mut().append_pair("alg", algorithm.as_str());
        }
        let mut limit = self.timeout;
        if let Some(known) = known {
            let wait = wait(bound_in_force(self.bound, Some(known)));
            url.query_pairs_mut()
                .append_pair("known", &base64url::encode(&known.root()))
                .append_pair("wait", &wait.as_secs().to_string());
            limit = limit.saturating_add(wait);
        }
        if let Some(nonce) = nonce {
            url.query_pairs_mut().append_pair("nonce", nonce);
        }
        let accept = "application/keywright-revocations+jwt";
        let bytes = self.fetch(&url, accept, MAX_HEAD_BYTES, limit).await?;
        // What is no text is no token either.
        Ok(String::from_utf8(bytes).map_err(|_| JwsError::Character)?)
    }

    async fn fetch(
        &self,
        url: &Url,
        accept: &'static str,
        max_bytes: usize,
        limit: Duration,
    ) -> Result<Vec<u8>, FetchError> {
        let header = self.credential.as_ref().map(|value| (AUTHORIZATION, value));
        let exchange = async {
            let response = self.client.get(url, accept, header).await?;
            body(response, max_bytes).await
        };
        timeout(limit, exchange)
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    /// Verifies a head. A key that the set does not have may be a new one, for which the issuer is asked
    /// once, however short ago it was asked before.
    async fn verify(
        &mut self,
        text: &str,
        feed: &Url,
        keys: Arc<JwkSet>,
    ) -> Result<(Head, Jwk, Arc<JwkSet>), RevocationsError> {
        let is_feed = |sub: &str| Url::parse(sub).is_ok_and(|sub| sub == *feed);
        let outcome = self.identity.verify(text, HeadKind::Feed, &keys, is_feed);
        let error = match outcome {
            Ok((head, key)) => return Ok((head, key, keys)),
            Err(error) => error,
        };
        if !matches!(error, RevocationsError::Token(JwsError::UnknownKey)) {
            return Err(error);
        }
        let kid = Jws::parse(text, MAX_HEAD_BYTES)?.kid().cloned();
        let refetched = if self.fetched_for == kid {
            self.keys.refetched().await
        } else {
            self.keys.refetched_outside_cool_down().await
        };
        self.fetched_for = kid;
        let Some(keys) = refetched else {
            return Err(error);
        };
        let keys = keys?;
        let (head, key) = self.identity.verify(text, HeadKind::Feed, &keys, is_feed)?;
        Ok((head, key, keys))
    }

    /// Fetches the segments that are not there yet, and makes the table of them.
    async fn load(
        &mut self,
        feed: &Url,
        content: &Content,
    ) -> Result<RevocationTable, RevocationsError> {
        for reference in &content.segments {
            if !self.segments.contains_key(&reference.hash) {
                let bytes = self.fetch_segment(feed, reference).await?;
                self.segments.insert(reference.hash, bytes.into());
            }
        }
        self.segments.retain(|hash, _| {
            content
                .segments
                .iter()
                .any(|reference| reference.hash == *hash)
        });
        let segments: Vec<Arc<[u8]>> = content
            .segments
            .iter()
            .filter_map(|reference| self.segments.get(&reference.hash).cloned())
            .collect();
        let content = content.clone();
        // Millions of records take a while, in which others are served.
        let table = tokio::task::spawn_blocking(move || {
            let segments: Vec<&[u8]> = segments.iter().map(AsRef::as_ref).collect();
            RevocationTable::new(&content, &segments)
        });
        Ok(table.await.unwrap_or(Err(SegmentMismatch))?)
    }

    async fn fetch_segment(
        &self,
        feed: &Url,
        reference: &SegmentReference,
    ) -> Result<Vec<u8>, RevocationsError> {
        let mut url = feed.clone();
        let hash = base64url::encode(&reference.hash);
        url.set_path(&format!("{}/{hash}", feed.path()));
        let length = reference.bytes();
        let limit = Duration::from_secs(length / SLOWEST_BYTES_PER_SECOND);
        let max_bytes = usize::try_from(length).map_err(|_| SegmentMismatch)?;
        let accept = "application/octet-stream";
        let limit = self.timeout.saturating_add(limit);
        let bytes = self.fetch(&url, accept, max_bytes, limit).await?;
        if reference.names(&bytes) {
            Ok(bytes)
        } else {
            Err(SegmentMismatch.into())
        }
    }
}
