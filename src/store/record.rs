//! Key sets as stored documents, and back.
//!
//! Every document carries a format number. What is read is parsed, not trusted: a document that
//! this program could not have written is refused with the name of its issuer and key.

use std::time::Duration;

use keywright_verifier::{Jwk, Kid, UnknownAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{IssuerRow, KeyChange, KeyRow, SealedChange, StoredSet};
use crate::lifecycle::{
    Active, IssuerName, IssuerOrigin, Key, KeyOrigin, KeySet, Pending, Policy, Removed, Retired,
    Revoked, State, Timestamp, Visibility,
};

const FORMAT: u32 = 1;

/// A stored document that this program could not have written.
#[derive(Debug, thiserror::Error)]
#[error("the stored record of {subject} is corrupt: {reason}")]
pub struct CorruptRecord {
    /// The issuer, or the issuer and the key.
    pub subject: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDocument {
    format: u32,
    founding: FoundingDocument,
    created_at: u64,
    latest: u64,
    served_fresh_until: u64,
    /// Absent while the issuer lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
    /// Algorithms that nothing signs for since a revocation or a loss; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vacant: Vec<String>,
    policy: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FoundingDocument {
    Fresh,
    TakesOver,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    format: u32,
    jwk: Value,
    origin: OriginDocument,
    created_at: u64,
    published_at: u64,
    state: StateDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OriginDocument {
    Generated,
    Imported,
}

/// Instants and lengths in milliseconds. Each member is always written, `null` where there is no
/// such instant: a pending key whose record had lost `missing_until` would sign at once.
#[derive(Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
enum StateDocument {
    Pending {
        /// `null` when the key was in the first set.
        #[serde(deserialize_with = "present")]
        missing_until: Option<u64>,
    },
    Active {
        activated_at: u64,
        /// `activated_at` in records of before it was kept.
        #[serde(default)]
        scheduled_from: Option<u64>,
        longest_ttl: u64,
        widest_skew: u64,
    },
    Retired {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        retired_at: u64,
        tokens_until: u64,
        published_until: u64,
    },
    Removed {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        retired_at: u64,
        removed_at: u64,
        /// Absent in records of before it was kept.
        #[serde(default)]
        published_until: Option<u64>,
    },
    Revoked {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        #[serde(deserialize_with = "present")]
        retired_at: Option<u64>,
        revoked_at: u64,
        /// Absent in records of before it was kept.
        #[serde(default)]
        published_until: Option<u64>,
        reason: String,
    },
}

/// Reads what may be `null` but not absent, as serde otherwise lets an `Option` be.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(deserializer)
}

/// The row of a set as a whole.
pub fn issuer_row(set: &KeySet) -> IssuerRow {
    let document = SetDocument {
        format: FORMAT,
        founding: match set.origin() {
            IssuerOrigin::Fresh => FoundingDocument::Fresh,
            IssuerOrigin::TakesOver => FoundingDocument::TakesOver,
        },
        created_at: set.created_at().millis(),
        latest: set.latest().millis(),
        served_fresh_until: set.served_fresh_until().millis(),
        deleted_at: set.deleted_at().map(Timestamp::millis),
        vacant: (set.vacant().iter())
            .map(|algorithm| algorithm.as_str().to_owned())
            .collect(),
        policy: set.policy().to_document(),
    };
    IssuerRow {
        name: set.issuer().clone(),
        path: set.policy().url.path().to_owned(),
        version: set.version(),
        document: to_text(&document),
    }
}

/// The rows of the keys that are new or other in `after`. A key that no longer needs its private
/// half loses it here, whatever led to it; `sealed` gives the private halves of new keys.
pub fn key_changes(
    before: Option<&KeySet>,
    after: &KeySet,
    sealed: &dyn Fn(&Kid) -> Option<Vec<u8>>,
) -> Vec<KeyChange> {
    after
        .keys_changed_since(before)
        .map(|key| KeyChange {
            kid: key.kid().as_str().to_owned(),
            document: to_text(&key_document(key)),
            sealed: if !key.holds_private_half() {
                SealedChange::Erase
            } else {
                sealed(key.kid()).map_or(SealedChange::Keep, SealedChange::Set)
            },
        })
        .collect()
}

/// The rows of a set without its private halves.
pub fn public_set(set: &KeySet) -> StoredSet {
    let keys = set.keys().iter();
    StoredSet {
        issuer: issuer_row(set),
        keys: keys
            .map(|key| KeyRow {
                kid: key.kid().as_str().to_owned(),
                document: to_text(&key_document(key)),
                sealed: None,
            })
            .collect(),
    }
}

/// Reads the rows of a set that come without its private halves.
///
/// # Errors
/// [`CorruptRecord`], as [`key_set`].
pub fn read_public_set(stored: &StoredSet) -> Result<KeySet, CorruptRecord> {
    read_set(stored, read_named)
}

/// Reads a set's rows.
///
/// # Errors
/// [`CorruptRecord`] names the issuer, and the key if it is one key's record that is corrupt.
pub fn key_set(stored: &StoredSet) -> Result<KeySet, CorruptRecord> {
    read_set(stored, read_row)
}

fn read_set(
    stored: &StoredSet,
    read_row: impl Fn(&KeyRow) -> Result<Key, String>,
) -> Result<KeySet, CorruptRecord> {
    let IssuerRow {
        name,
        path,
        version,
        document,
    } = &stored.issuer;
    let corrupt = |reason: String| CorruptRecord {
        subject: format!("issuer {name}"),
        reason,
    };
    let document: SetDocument =
        serde_json::from_str(document).map_err(|error| corrupt(error.to_string()))?;
    if document.format != FORMAT {
        return Err(corrupt(format!("unknown format {}", document.format)));
    }
    let policy =
        Policy::from_record(document.policy).map_err(|error| corrupt(error.to_string()))?;
    if policy.url.path() != path {
        return Err(corrupt(
            "the path column is not the path of the url".to_owned(),
        ));
    }
    let keys = stored
        .keys
        .iter()
        .map(|row| {
            read_row(row).map_err(|reason| CorruptRecord {
                subject: format!("issuer {name}, key {}", row.kid.escape_debug()),
                reason,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let vacant = (document.vacant.iter())
        .map(|name| name.parse())
        .collect::<Result<_, UnknownAlgorithm>>()
        .map_err(|error| corrupt(error.to_string()))?;
    let founding = match document.founding {
        FoundingDocument::Fresh => IssuerOrigin::Fresh,
        FoundingDocument::TakesOver => IssuerOrigin::TakesOver,
    };
    KeySet::restore(
        IssuerName::clone(name),
        *version,
        founding,
        Timestamp::from_millis(document.created_at),
        policy,
        Timestamp::from_millis(document.latest),
        Timestamp::from_millis(document.served_fresh_until),
        document.deleted_at.map(Timestamp::from_millis),
        vacant,
        keys,
    )
    .map_err(|error| corrupt(error.to_string()))
}

fn key_document(key: &Key) -> KeyDocument {
    KeyDocument {
        format: FORMAT,
        jwk: serde_json::from_str(&key.jwk().to_json()).unwrap_or_default(),
        origin: match key.origin() {
            KeyOrigin::Generated => OriginDocument::Generated,
            KeyOrigin::Imported => OriginDocument::Imported,
        },
        created_at: key.created_at().millis(),
        published_at: key.published_at().millis(),
        state: state_document(key.state()),
    }
}

fn state_document(state: &State) -> StateDocument {
    let millis = |instant: Option<Timestamp>| instant.map(Timestamp::millis);
    match state {
        State::Pending(Pending { visibility }) => StateDocument::Pending {
            missing_until: match visibility {
                Visibility::SinceFirstSet => None,
                Visibility::MissingUntil(until) => Some(until.millis()),
            },
        },
        State::Active(Active {
            activated_at,
            scheduled_from,
            longest_ttl,
            widest_skew,
        }) => StateDocument::Active {
            activated_at: activated_at.millis(),
            scheduled_from: Some(scheduled_from.millis()),
            longest_ttl: u64::try_from(longest_ttl.as_millis()).unwrap_or(u64::MAX),
            widest_skew: u64::try_from(widest_skew.as_millis()).unwrap_or(u64::MAX),
        },
        State::Retired(Retired {
            activated_at,
            retired_at,
            tokens_until,
            published_until,
        }) => StateDocument::Retired {
            activated_at: millis(*activated_at),
            retired_at: retired_at.millis(),
            tokens_until: tokens_until.millis(),
            published_until: published_until.millis(),
        },
        State::Removed(Removed {
            activated_at,
            retired_at,
            removed_at,
            published_until,
        }) => StateDocument::Removed {
            activated_at: millis(*activated_at),
            retired_at: retired_at.millis(),
            removed_at: removed_at.millis(),
            published_until: millis(*published_until),
        },
        State::Revoked(Revoked {
            activated_at,
            retired_at,
            revoked_at,
            published_until,
            reason,
        }) => StateDocument::Revoked {
            activated_at: millis(*activated_at),
            retired_at: millis(*retired_at),
            revoked_at: revoked_at.millis(),
            published_until: millis(*published_until),
            reason: reason.clone(),
        },
    }
}

fn read_named(row: &KeyRow) -> Result<Key, String> {
    let key = read_key(&row.document)?;
    if key.kid().as_str() != row.kid {
        return Err("its row holds another key".to_owned());
    }
    Ok(key)
}

fn read_row(row: &KeyRow) -> Result<Key, String> {
    let key = read_named(row)?;
    match (key.holds_private_half(), row.sealed.is_some()) {
        (true, false) => Err(format!(
            "a private half is missing: it is {}",
            key.state().name()
        )),
        (false, true) => Err(format!(
            "a private half is left: it is {}",
            key.state().name()
        )),
        _ => Ok(key),
    }
}

fn read_key(document: &str) -> Result<Key, String> {
    let document: KeyDocument =
        serde_json::from_str(document).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(format!("unknown format {}", document.format));
    }
    let jwk = Jwk::from_value(document.jwk).map_err(|error| error.to_string())?;
    let origin = match document.origin {
        OriginDocument::Generated => KeyOrigin::Generated,
        OriginDocument::Imported => KeyOrigin::Imported,
    };
    let instant = Timestamp::from_millis;
    let state = match document.state {
        StateDocument::Pending { missing_until } => State::Pending(Pending {
            visibility: missing_until.map_or(Visibility::SinceFirstSet, |until| {
                Visibility::MissingUntil(instant(until))
            }),
        }),
        StateDocument::Active {
            activated_at,
            scheduled_from,
            longest_ttl,
            widest_skew,
        } => State::Active(Active {
            activated_at: instant(activated_at),
            scheduled_from: instant(scheduled_from.unwrap_or(activated_at)),
            longest_ttl: Duration::from_millis(longest_ttl),
            widest_skew: Duration::from_millis(widest_skew),
        }),
        StateDocument::Retired {
            activated_at,
            retired_at,
            tokens_until,
            published_until,
        } => State::Retired(Retired {
            activated_at: activated_at.map(instant),
            retired_at: instant(retired_at),
            tokens_until: instant(tokens_until),
            published_until: instant(published_until),
        }),
        StateDocument::Removed {
            activated_at,
            retired_at,
            removed_at,
            published_until,
        } => State::Removed(Removed {
            activated_at: activated_at.map(instant),
            retired_at: instant(retired_at),
            removed_at: instant(removed_at),
            published_until: published_until.map(instant),
        }),
        StateDocument::Revoked {
            activated_at,
            retired_at,
            revoked_at,
            published_until,
            reason,
        } => State::Revoked(Revoked {
            activated_at: activated_at.map(instant),
            retired_at: retired_at.map(instant),
            revoked_at: instant(revoked_at),
            published_until: published_until.map(instant),
            reason,
        }),
    };
    let (created_at, published_at) = (instant(document.created_at), instant(document.published_at));
    Ok(Key::restore(jwk, origin, created_at, published_at, state))
}

/// Documents are made of numbers, text and JSON values, which always serialise.
fn to_text(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
