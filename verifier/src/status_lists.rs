//! Status lists that are read: a token whose issuer says in a list that it is no longer valid is refused.
//!
//! The order of checks is that of the draft (§8.3): a token that is good in every other way names an entry
//! of a list. The list's signature, type, address and time are checked, and then the entry.

mod cache;
mod error;
mod fetch;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use url::Url;

use crate::http::{InvalidAddress, Roots, parse_address};
use crate::json::Members;
use crate::keys::KeySource;
use crate::rules::same_media_type;
use crate::status_list::{
    INVALID, STATUS_LIST_TYP, SUSPENDED, StatusListToken, StatusReference, VALID,
};
use crate::{JwkSet, Jws, RemoteKeysError, Rules, VerifyError, clock};
use cache::{Cache, HeldList};
use fetch::RemoteFetcher;

pub use error::{InvalidStatusLists, StatusError, StatusListError};
pub use fetch::{FetchFuture, StatusListFetcher};

/// The most bytes of an inflated list that are read unless [`StatusLists::max_list_bytes`] says otherwise:
/// 1 MiB, which is eight million tokens of one bit.
pub const DEFAULT_MAX_STATUS_LIST_BYTES: usize = 1 << 20;

/// The most lists that are held unless [`StatusLists::max_lists`] says otherwise.
pub const DEFAULT_MAX_STATUS_LISTS: usize = 64;

/// What `ttl` is taken for at least and at most (§11.5), and without one.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
const LONGEST_TTL: Duration = Duration::from_secs(86_400);
const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// For how long a list without `exp` counts after it was signed.
const LONGEST_WITHOUT_EXPIRY: Duration = Duration::from_secs(86_400);

/// How far clocks may be apart.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How a [`Verifier`](crate::Verifier) reads the status lists of its issuer (Token Status List, draft 21).
///
/// A list is fetched when a token names it, and again after its `ttl`. It is signed with a key of the
/// issuer's set. While a newer one cannot be had, the one at hand counts until its `exp`; after that tokens
/// in it are refused as [`StatusError::Unavailable`], which is the network's fault.
#[derive(Clone)]
#[must_use = "nothing is read before a verifier has it"]
pub struct StatusLists {
    fetcher: Fetcher,
    prefixes: Vec<String>,
    is_required: bool,
    timeout: Duration,
    max_list_bytes: usize,
    max_lists: usize,
}

#[derive(Clone)]
enum Fetcher {
    Own(Arc<dyn StatusListFetcher>),
    Remote(Roots),
}

impl Default for StatusLists {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StatusLists")
            .field("prefixes", &self.prefixes)
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}

impl StatusLists {
    /// Lists are fetched from the issuer's own origin.
    pub fn new() -> Self {
        Self {
            fetcher: Fetcher::Remote(Roots::default()),
            prefixes: Vec::new(),
            is_required: false,
            timeout: Duration::from_secs(5),
            max_list_bytes: DEFAULT_MAX_STATUS_LIST_BYTES,
            max_lists: DEFAULT_MAX_STATUS_LISTS,
        }
    }

    /// Lists may also be at addresses that begin with this one, such as `https://status.example/lists/`.
    /// Default: at the issuer's origin alone.
    ///
    /// A token says where its list is. Who is asked is decided here, so that no token makes this process
    /// ask a server of its own choice.
    pub fn at(mut self, prefix: &str) -> Self {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// Fetches lists with this, in place of the HTTP client of this crate.
    pub fn fetched_by(mut self, fetcher: impl StatusListFetcher) -> Self {
        self.fetcher = Fetcher::Own(Arc::new(fetcher));
        self
    }

    /// Refuses tokens without a status ([`StatusError::Missing`]). Default: they are accepted.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// How long a fetch may take, from the first name to the last byte. Default: 5 s. A token whose list is
    /// not at hand waits no longer.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of a list, inflated. Default: [`DEFAULT_MAX_STATUS_LIST_BYTES`]. A longer one is
    /// refused before it is inflated further.
    pub const fn max_list_bytes(mut self, bytes: usize) -> Self {
        self.max_list_bytes = bytes;
        self
    }

    /// The most lists that are held at a time. Default: [`DEFAULT_MAX_STATUS_LISTS`]. The one that was not
    /// asked for longest makes room.
    pub const fn max_lists(mut self, lists: usize) -> Self {
        self.max_lists = lists;
        self
    }

    /// Trusts these certificate authorities, and not those of the system. `pem` holds one or more. Not for
    /// [`StatusLists::fetched_by`].
    ///
    /// # Errors
    ///
    /// [`RemoteKeysError::Certificates`] when it holds none, or what it holds is garbled.
    pub fn trust_only_certificates(mut self, pem: &[u8]) -> Result<Self, RemoteKeysError> {
        let roots = Roots::only(pem).ok_or(RemoteKeysError::Certificates)?;
        self.fetcher = Fetcher::Remote(roots);
        Ok(self)
    }

    /// Reads them for the issuer of `rules`.
    pub(crate) fn start(
        self,
        rules: &Rules,
        keys: &KeySource,
    ) -> Result<CheckedStatus, InvalidStatusLists> {
        if self.timeout.is_zero() || self.max_lists == 0 || self.max_list_bytes == 0 {
            return Err(InvalidStatusLists::Zero);
        }
        let mut places = Vec::new();
        for prefix in &self.prefixes {
            places.push(Place::Prefix(prefix_of(prefix)?));
        }
        if let Ok(issuer) = parse_address(rules.issuer()) {
            places.push(Place::Origin(issuer.origin()));
        }
        if places.is_empty() {
            return Err(InvalidStatusLists::NoPlace);
        }
        let fetcher: Arc<dyn StatusListFetcher> = match self.fetcher {
            Fetcher::Own(fetcher) => fetcher,
            Fetcher::Remote(roots) => {
                let max_bytes = longest_token(self.max_list_bytes);
                Arc::new(RemoteFetcher::new(rules.issuer(), roots, max_bytes)?)
            }
        };
        Ok(CheckedStatus {
            fetcher,
            places: places.into(),
            is_required: self.is_required,
            timeout: self.timeout,
            max_list_bytes: self.max_list_bytes,
            algorithms: rules.algorithms().into(),
            keys: keys.clone(),
            cache: Arc::new(Cache::new(self.max_lists)),
        })
    }
}

/// An address with a path that ends with a slash, so that no longer host or name begins with it.
fn prefix_of(prefix: &str) -> Result<Url, InvalidStatusLists> {
    let url = parse_address(prefix).map_err(InvalidStatusLists::Prefix)?;
    let is_folder = url.path().ends_with('/') && url.query().is_none() && url.fragment().is_none();
    match is_folder {
        true => Ok(url),
        false => Err(InvalidStatusLists::Prefix(InvalidAddress)),
    }
}

/// The most bytes of a token whose list, inflated, has so many: what does not compress grows by a little,
/// and by a third in base64url, twice.
const fn longest_token(max_list_bytes: usize) -> usize {
    max_list_bytes.saturating_mul(2).saturating_add(16_384)
}

/// Where lists may be.
#[derive(Debug)]
enum Place {
    Origin(url::Origin),
    Prefix(Url),
}

impl Place {
    fn has(&self, url: &Url) -> bool {
        match self {
            Self::Origin(origin) => url.origin() == *origin,
            Self::Prefix(prefix) => {
                url.origin() == prefix.origin() && url.path().starts_with(prefix.path())
            }
        }
    }
}

/// The lists of an issuer, as a verifier reads them. Clones share what is held.
#[derive(Clone)]
pub(crate) struct CheckedStatus {
    fetcher: Arc<dyn StatusListFetcher>,
    places: Arc<[Place]>,
    is_required: bool,
    timeout: Duration,
    max_list_bytes: usize,
    algorithms: Arc<[crate::Algorithm]>,
    keys: KeySource,
    cache: Arc<Cache>,
}

impl fmt::Debug for CheckedStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CheckedStatus")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl CheckedStatus {
    /// Judges a token that is good in every other way. It waits for a list that is not at hand, or is older
    /// than its `ttl`.
    pub(crate) async fn judge(
        &self,
        claims: &Members<'_>,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let Some(reference) = self.reference(claims)? else {
            return Ok(());
        };
        let held = match self.cache.fresh(reference.uri) {
            Some(held) => held,
            None => self.fetched(reference.uri, now).await?,
        };
        Ok(self.judge_by(&held, reference.index, now)?)
    }

    /// The same without waiting: by the lists at hand.
    pub(crate) fn judge_by_held_lists(
        &self,
        claims: &Members<'_>,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let Some(reference) = self.reference(claims)? else {
            return Ok(());
        };
        let held = self.cache.any(reference.uri);
        let held = held.ok_or(StatusError::Unavailable)?;
        Ok(self.judge_by(&held, reference.index, now)?)
    }

    fn reference<'t>(
        &self,
        claims: &'t Members<'_>,
    ) -> Result<Option<StatusReference<'t>>, StatusError> {
        let Some(reference) = StatusReference::of(claims)? else {
            return match self.is_required {
                true => Err(StatusError::Missing),
                false => Ok(None),
            };
        };
        let url = parse_address(reference.uri).map_err(|_| StatusError::Elsewhere)?;
        match self.places.iter().any(|place| place.has(&url)) {
            true => Ok(Some(reference)),
            false => Err(StatusError::Elsewhere),
        }
    }

    fn judge_by(&self, held: &HeldList, index: u64, now: SystemTime) -> Result<(), StatusError> {
        if !held.counts_at(now) {
            return Err(StatusError::Unavailable);
        }
        // What a key has signed that has left the set is worth nothing.
        let keys = self.keys.cached().map_err(|_| StatusError::Unavailable)?;
        if !held.is_signed_by_one_of(&keys) {
            return Err(StatusError::Unavailable);
        }
        match held.list.status(index) {
            None => Err(StatusError::OutOfBounds),
            Some(VALID) => Ok(()),
            Some(INVALID) => Err(StatusError::Invalid),
            Some(SUSPENDED) => Err(StatusError::Suspended),
            Some(_) => Err(StatusError::Unknown),
        }
    }

    /// A list that is newly fetched; the one at hand where none can be had. All who ask for it at the same
    /// time wait for one fetch.
    async fn fetched(&self, uri: &str, now: SystemTime) -> Result<Arc<HeldList>, StatusError> {
        let slot = self.cache.slot(uri);
        let _fetching = slot.fetching.lock().await;
        if let Some(held) = slot.fresh() {
            return Ok(held);
        }
        if let Some(error) = slot.failure() {
            return Err(StatusError::List(error));
        }
        let fetched = tokio::time::timeout(self.timeout, self.fetch(uri, now)).await;
        let error = match fetched {
            Ok(Ok(held)) => return Ok(slot.put(held)),
            Ok(Err(error)) => error,
            Err(_) => StatusListError::Unreachable,
        };
        slot.failed(error.clone());
        match slot.any() {
            // It is still true, as far as its issuer has said.
            Some(held) if held.counts_at(now) => {
                tracing::warn!(%error, "a status list could not be refreshed");
                Ok(held)
            }
            _ => Err(StatusError::List(error)),
        }
    }

    async fn fetch(&self, uri: &str, now: SystemTime) -> Result<HeldList, StatusListError> {
        let bytes = self.fetcher.fetch(uri).await.map_err(|error| {
            tracing::warn!(%error, "a status list could not be fetched");
            StatusListError::Unreachable
        })?;
        // What is not text has no character that a token has.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        let jws = Jws::parse(text, longest_token(self.max_list_bytes))?;
        let keys = self.keys.cached()?;
        let kid = match jws.verify(&keys, &self.algorithms) {
            Ok(verified) => verified.key().kid().clone(),
            Err(error) => self.verify_again(&jws, error).await?,
        };
        if !jws
            .typ()
            .is_some_and(|typ| same_media_type(typ, STATUS_LIST_TYP))
        {
            return Err(StatusListError::OtherType);
        }
        let token = StatusListToken::read(jws.unverified_claims()?, self.max_list_bytes)?;
        if token.uri != uri {
            return Err(StatusListError::OtherAddress);
        }
        let held = HeldList::new(token, kid, clock::monotonic());
        if !held.is_signed_by(now) {
            return Err(StatusListError::FromTheFuture);
        }
        match held.counts_at(now) {
            true => Ok(held),
            false => Err(StatusListError::Expired),
        }
    }

    /// A list may be signed with a key that has come since the set was fetched.
    async fn verify_again(
        &self,
        jws: &Jws<'_>,
        error: crate::JwsError,
    ) -> Result<crate::Kid, StatusListError> {
        let keys: Arc<JwkSet> = match self.keys.refetched().await {
            Some(keys) if error == crate::JwsError::UnknownKey => keys?,
            _ => return Err(error.into()),
        };
        Ok(jws.verify(&keys, &self.algorithms)?.key().kid().clone())
    }
}
