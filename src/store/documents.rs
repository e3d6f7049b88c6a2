//! Key sets as stored documents, and back.
//!
//! Every document carries a format number. What is read is parsed, not trusted: a document that
//! this program could not have written is refused with the name of its issuer and key.

mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use keywright_verifier::{Jwk, Kid, UnknownAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, Record, RecordKey, SealedChange, SetTokens, StoredSet, Write};
use crate::lifecycle::{
    EarlierHeads, IssuerName, IssuerOrigin, Key, KeyOrigin, KeySet, Policy, State, Timestamp,
};
use state::StateDocument;

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
    /// Absent where no head of the revocation feed was signed under a longer `revocation_max_age`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    earlier_heads: Option<EarlierHeadsDocument>,
    /// Absent where the policy does not have tokens tracked, or every token was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untracked_until: Option<u64>,
    /// Absent while the issuer lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
    /// Algorithms that nothing signs for since a revocation or a loss; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vacant: Vec<String>,
    policy: Value,
}

/// Both in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlierHeadsDocument {
    max_age: u64,
    until: u64,
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

/// What writes the difference between two sets: of an issuer that exists with its tokens, or of one
/// that does not yet. A key that no longer needs its private half loses it; `sealed` has those that
/// come. A revoked key is final.
pub fn writes(
    before: Option<(&KeySet, &SetTokens)>,
    after: &KeySet,
    mut sealed: BTreeMap<Kid, Vec<u8>>,
) -> Vec<Write> {
    let issuer = RecordKey::issuer(after.issuer());
    let content = Content {
        document: issuer_document(after),
        unique: Some(after.policy().url.path().to_owned()),
        ..Content::default()
    };
    let mut writes = vec![match before {
        Some((_, tokens)) => Write::Replace(issuer, tokens.issuer, content),
        None => Write::Create(issuer, content),
    }];
    for key in after.keys_changed_since(before.map(|(set, _)| set)) {
        let known = before.and_then(|(set, _)| set.key(key.kid()));
        let content = Content {
            document: key_document(key),
            sealed: match sealed.remove(key.kid()) {
                _ if !key.holds_private_half() => SealedChange::Erase,
                Some(bytes) if known.is_none() => SealedChange::Set(bytes),
                _ => SealedChange::Keep,
            },
            is_final: matches!(key.state(), State::Revoked(_)),
            ..Content::default()
        };
        let record = RecordKey::signing_key(after.issuer(), key.kid().as_str());
        let token = before.and_then(|(_, tokens)| tokens.keys.get(key.kid()));
        writes.push(match (known, token) {
            (Some(_), Some(token)) => Write::Replace(record, *token, content),
            _ => Write::Create(record, content),
        });
    }
    writes
}

/// The records of a set as they would be if it were written now, for a copy elsewhere: with these
/// private halves, and with tokens that nothing has.
pub fn records(set: &KeySet, mut sealed: BTreeMap<Kid, Vec<u8>>) -> StoredSet {
    let keys = set.keys().iter();
    StoredSet {
        issuer: Record {
            unique: Some(set.policy().url.path().to_owned()),
            ..Record::unwritten(
                RecordKey::issuer(set.issuer()),
                set.version(),
                issuer_document(set),
            )
        },
        keys: keys
            .map(|key| Record {
                sealed: sealed.remove(key.kid()),
                is_final: matches!(key.state(), State::Revoked(_)),
                ..Record::unwritten(
                    RecordKey::signing_key(set.issuer(), key.kid().as_str()),
                    1,
                    key_document(key),
                )
            })
            .collect(),
    }
}

fn issuer_document(set: &KeySet) -> String {
    to_text(&SetDocument {
        format: FORMAT,
        founding: match set.origin() {
            IssuerOrigin::Fresh => FoundingDocument::Fresh,
            IssuerOrigin::TakesOver => FoundingDocument::TakesOver,
        },
        created_at: set.created_at().millis(),
        latest: set.latest().millis(),
        served_fresh_until: set.served_fresh_until().millis(),
        earlier_heads: set.earlier_heads().map(|heads| EarlierHeadsDocument {
            max_age: u64::try_from(heads.max_age.as_millis()).unwrap_or(u64::MAX),
            until: heads.until.millis(),
        }),
        untracked_until: set.untracked_until().map(Timestamp::millis),
        deleted_at: set.deleted_at().map(Timestamp::millis),
        vacant: (set.vacant().iter())
            .map(|algorithm| algorithm.as_str().to_owned())
            .collect(),
        policy: set.policy().to_record(),
    })
}

/// Reads the records of a set that come without its private halves.
///
/// # Errors
/// [`CorruptRecord`], as [`key_set`].
pub fn read_public_set(stored: &StoredSet) -> Result<KeySet, CorruptRecord> {
    read_set(stored, read_named)
}

/// Reads a set's records.
///
/// # Errors
/// [`CorruptRecord`] names the issuer, and the key if it is one key's record that is corrupt.
pub fn key_set(stored: &StoredSet) -> Result<KeySet, CorruptRecord> {
    read_set(stored, read_record)
}

fn read_set(
    stored: &StoredSet,
    read_key: impl Fn(&Record) -> Result<Key, String>,
) -> Result<KeySet, CorruptRecord> {
    let Record {
        key: RecordKey { id: name, .. },
        version,
        document,
        unique,
        ..
    } = &stored.issuer;
    let corrupt = |reason: String| CorruptRecord {
        subject: format!("issuer {}", name.escape_debug()),
        reason,
    };
    let issuer = IssuerName::parse(name).map_err(|error| corrupt(error.to_string()))?;
    let document: SetDocument =
        serde_json::from_str(document).map_err(|error| corrupt(error.to_string()))?;
    if document.format != FORMAT {
        return Err(corrupt(unknown_format(document.format)));
    }
    let policy =
        Policy::from_record(document.policy).map_err(|error| corrupt(error.to_string()))?;
    if unique.as_deref() != Some(policy.url.path()) {
        return Err(corrupt(
            "the path column is not the path of the url".to_owned(),
        ));
    }
    let keys = stored
        .keys
        .iter()
        .map(|record| {
            read_key(record).map_err(|reason| CorruptRecord {
                subject: format!("issuer {name}, key {}", record.key.id.escape_debug()),
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
        issuer,
        *version,
        founding,
        Timestamp::from_millis(document.created_at),
        policy,
        Timestamp::from_millis(document.latest),
        Timestamp::from_millis(document.served_fresh_until),
        document.earlier_heads.map(|heads| EarlierHeads {
            max_age: Duration::from_millis(heads.max_age),
            until: Timestamp::from_millis(heads.until),
        }),
        document.untracked_until.map(Timestamp::from_millis),
        document.deleted_at.map(Timestamp::from_millis),
        vacant,
        keys,
    )
    .map_err(|error| corrupt(error.to_string()))
}

fn key_document(key: &Key) -> String {
    to_text(&KeyDocument {
        format: FORMAT,
        jwk: serde_json::from_str(&key.jwk().to_json()).unwrap_or_default(),
        origin: match key.origin() {
            KeyOrigin::Generated => OriginDocument::Generated,
            KeyOrigin::Imported => OriginDocument::Imported,
        },
        created_at: key.created_at().millis(),
        published_at: key.published_at().millis(),
        state: key.state().into(),
    })
}

fn read_named(record: &Record) -> Result<Key, String> {
    let key = read_key(&record.document)?;
    if key.kid().as_str() != record.key.id {
        return Err("its row holds another key".to_owned());
    }
    Ok(key)
}

fn read_record(record: &Record) -> Result<Key, String> {
    let key = read_named(record)?;
    match (key.holds_private_half(), record.sealed.is_some()) {
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

/// Formats are numbered as they come, so a larger number is newer.
fn unknown_format(format: u32) -> String {
    let advice = if format > FORMAT {
        ", that of a later version of keywright: run that version"
    } else {
        ""
    };
    format!("unknown format {format}{advice}")
}

fn read_key(document: &str) -> Result<Key, String> {
    let document: KeyDocument =
        serde_json::from_str(document).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(unknown_format(document.format));
    }
    let jwk = Jwk::from_value(document.jwk).map_err(|error| error.to_string())?;
    let origin = match document.origin {
        OriginDocument::Generated => KeyOrigin::Generated,
        OriginDocument::Imported => KeyOrigin::Imported,
    };
    let instant = Timestamp::from_millis;
    let state = document.state.into();
    let (created_at, published_at) = (instant(document.created_at), instant(document.published_at));
    Ok(Key::restore(jwk, origin, created_at, published_at, state))
}

/// Documents are made of numbers, text and JSON values, which always serialise.
fn to_text(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
