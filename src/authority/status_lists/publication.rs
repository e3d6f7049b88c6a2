//! The lists that verifiers of others read: signed while they are asked for, with the key that signs tokens
//! now. When that key is revoked, the next answer is signed by its successor.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use keywright_api::StatusLists as Aggregation;
use keywright_verifier::Kid;
use keywright_verifier::status_list::{
    INVALID, STATUS_LIST_TYP, StatusBits, StatusList, StatusListToken,
};

use super::StatusLists;
use super::leasing::read;
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::authority::revocations::FeedRefusal;
use crate::authority::signing::{SignRefusal, sign_document};
use crate::lifecycle::{Policy, Timestamp};
use crate::revocation::status_list::{ENTRIES, ListName, hour_ends_at};
use crate::store::{Kind, Query, StoreError};

/// After how long a verifier fetches a list again: `ttl`, and `max-age` of the answer.
pub const TTL: Duration = Duration::from_secs(5);

/// For how long a signed list counts, also where no newer one can be had.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// How often a list is signed at most: a verifier that asks in between gets the one that is there.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// How long after a process knows of a revocation no verifier that obeys [`TTL`] has an older list: a cache on
/// the way may have had one for as long, too.
pub(in crate::authority) const IN_FORCE_WITHIN: Duration =
    Duration::from_secs(SHARED_FOR.as_secs() + 2 * TTL.as_secs());

/// For how long one that says nothing else is shared. It leaves a verifier 45 s to fetch a newer one.
const UNCHANGED_FOR: Duration = Duration::from_secs(15);

/// The most signed lists of an issuer that are in memory; each has 700 bytes while no entry is invalid.
const MOST_SIGNED: usize = 4096;

/// The most lists that the aggregation names.
const MOST_LISTS_NAMED: usize = 10_000;

/// How long after its tokens have expired a list is still served, beside the policy's clock skew.
pub(super) const SERVED_AFTER: Duration = Duration::from_secs(60);

/// The path of the aggregation under an issuer's path, and of its lists with a slash and an address.
pub const AGGREGATION_PATH: &str = "/status";

/// The address of a list under the URL of an issuer, or of the aggregation.
pub fn list_url(issuer: &str, address: Option<&str>) -> String {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    match address {
        Some(address) => format!("{issuer}{AGGREGATION_PATH}/{address}"),
        None => format!("{issuer}{AGGREGATION_PATH}"),
    }
}

/// A signed list.
pub(super) struct Signed {
    jws: Bytes,
    kid: Kid,
    content: Arc<Content>,
    /// How often what was taken back had changed when it was asked.
    change: u64,
    /// The moment that it says is known: its `iat`.
    issued_at: Timestamp,
    signed_at: Timestamp,
}

/// What a list says.
struct Content {
    /// The invalid entries of a list whose others are valid; `None` where all are invalid.
    invalid: Option<BTreeSet<u32>>,
    lst: String,
}

/// What the aggregation says.
pub(super) struct Named {
    document: Aggregation,
    at: Timestamp,
}

/// What an address names.
#[derive(Clone, Copy)]
enum Found {
    /// A list whose entries follow from what was taken back.
    Current(u32),
    /// A list from before a restore.
    Earlier,
}

impl StatusLists {
    /// The list with this address, while a token of it may be valid.
    fn find(&self, address: &str, policy: &Policy, now: Timestamp) -> Option<Found> {
        let own = self.keys.read_address(address);
        let own = own.map(|name| (name, Found::Current(name.list)));
        let (name, found) = own.or_else(|| {
            let mut earlier = self.earlier.iter();
            let name = earlier.find_map(|keys| keys.read_address(address))?;
            Some((name, Found::Earlier))
        })?;
        (now < served_until(name, policy)).then_some(found)
    }
}

fn served_until(ListName { hour, .. }: ListName, policy: &Policy) -> Timestamp {
    let ends_at = Timestamp::from_seconds(hour_ends_at(hour));
    ends_at.after(policy.clock_skew + SERVED_AFTER)
}

/// The list of which all entries are invalid.
fn all_invalid() -> Arc<Content> {
    static CONTENT: OnceLock<Arc<Content>> = OnceLock::new();
    let content = CONTENT.get_or_init(|| {
        let lst = StatusList::all_invalid(ENTRIES as usize).encode();
        Arc::new(Content { invalid: None, lst })
    });
    Arc::clone(content)
}

/// The list with these invalid entries. Most have none, and are compressed once for all.
fn content_with(invalid: BTreeSet<u32>) -> Arc<Content> {
    static NONE: OnceLock<Arc<Content>> = OnceLock::new();
    match invalid.is_empty() {
        true => Arc::clone(NONE.get_or_init(|| Arc::new(content_of(BTreeSet::new())))),
        false => Arc::new(content_of(invalid)),
    }
}

fn content_of(invalid: BTreeSet<u32>) -> Content {
    let mut list = StatusList::all_valid(StatusBits::One, ENTRIES as usize);
    for index in &invalid {
        list.set((*index).into(), INVALID);
    }
    Content {
        lst: list.encode(),
        invalid: Some(invalid),
    }
}

impl Authority {
    /// The signed list with this address; `None` if there is none, or its tokens have all expired.
    ///
    /// # Errors
    /// [`FeedRefusal`].
    pub async fn status_list(
        &self,
        issuer: &Issuer,
        address: &str,
    ) -> Result<Option<Bytes>, FeedRefusal> {
        let services = &self.services;
        let (lists, revocations) = (issuer.status_lists(), issuer.revocations());
        let view = issuer.leased_snapshot();
        let policy = view.set().policy();
        let Some(found) = lists.find(address, policy, services.lease.time()) else {
            return Ok(None);
        };
        let algorithm = policy.default_algorithm;
        let entry = view
            .signer(algorithm)
            .ok_or(FeedRefusal::AlgorithmNotActive(algorithm))?;
        let mut signed = lists.signed.lock().await;
        let now = services.lease.time();
        // Before it is asked what was taken back: what becomes known later is true of this moment, too.
        let vouched_at = services.vouched_at(&view, COUNTS_FOR / 2)?;
        let change = revocations.change();
        let known = signed.get(address);
        let is_recent = |one: &&Signed| {
            let is_unchanged = one.change == change && now.since(one.issued_at) < UNCHANGED_FOR;
            one.kid == entry.kid && (is_unchanged || now.since(one.signed_at) < SHARED_FOR)
        };
        if let Some(known) = known.filter(is_recent) {
            return Ok(Some(known.jws.clone()));
        }
        let content = match found {
            Found::Earlier => all_invalid(),
            Found::Current(list) => {
                lists.find_tracked(revocations).await.map_err(|error| {
                    tracing::warn!(%error, "which tracked tokens are taken back is not known");
                    FeedRefusal::Stale
                })?;
                let invalid = revocations.invalid_entries(list);
                let invalid = invalid.ok_or(FeedRefusal::Stale)?;
                match known.filter(|one| one.content.invalid.as_ref() == Some(&invalid)) {
                    Some(known) => Arc::clone(&known.content),
                    None => content_with(invalid),
                }
            }
        };
        let issued_at = vouched_at.floor_seconds();
        let claims = StatusListToken::claims_of(
            policy.url.as_str(),
            &list_url(policy.url.as_str(), Some(address)),
            issued_at,
            issued_at.saturating_add(COUNTS_FOR.as_secs()),
            TTL.as_secs(),
            (StatusBits::One, &content.lst),
        );
        let jws = sign_document(&view, entry, STATUS_LIST_TYP, &claims).await;
        let jws = jws.map_err(|refusal| match refusal {
            SignRefusal::SnapshotStale => FeedRefusal::Stale,
            _ => FeedRefusal::Unsigned,
        })?;
        let one = Signed {
            jws: jws.into(),
            kid: entry.kid.clone(),
            content,
            change,
            issued_at: Timestamp::from_seconds(issued_at),
            signed_at: now,
        };
        let jws = one.jws.clone();
        if signed.len() >= MOST_SIGNED {
            signed.retain(|_, one| now.since(one.issued_at) < UNCHANGED_FOR);
        }
        if signed.len() < MOST_SIGNED {
            signed.insert(address.to_owned(), one);
        }
        Ok(Some(jws))
    }

    /// The addresses of all lists of an issuer of which a token may be valid (§9.3): those that end first,
    /// and at most 10,000. They are read from the store once in [`TTL`].
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn status_list_aggregation(
        &self,
        issuer: &Issuer,
    ) -> Result<Aggregation, StoreError> {
        let services = &self.services;
        let lists = issuer.status_lists();
        let mut named = lists.named.lock().await;
        let now = services.lease.time();
        if let Some(known) = named.as_ref().filter(|known| now.since(known.at) < TTL) {
            return Ok(known.document.clone());
        }
        let query = Query::owned(Kind::StatusList, issuer.name());
        let records = services.store.list(query).await?;
        let snapshot = issuer.snapshot();
        let policy = snapshot.set().policy();
        let names = records.iter().filter_map(read).map(|list| list.name);
        let mut names: Vec<ListName> = names
            .filter(|name| now < served_until(*name, policy))
            .collect();
        names.sort_unstable_by_key(|name| (name.hour, name.list));
        names.truncate(MOST_LISTS_NAMED);
        let urls = names.into_iter().map(|name| {
            let address = lists.keys.address_of(name);
            list_url(policy.url.as_str(), Some(&address))
        });
        let document = Aggregation {
            status_lists: urls.collect(),
        };
        *named = Some(Named {
            document: document.clone(),
            at: now,
        });
        Ok(document)
    }
}
