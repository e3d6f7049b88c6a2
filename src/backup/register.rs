//! The register: what has become of every key, without a secret.
//!
//! A register is one line, `{"mac":MAC,"register":TEXT}` and a line feed. `TEXT` has every issuer
//! with all its keys as the store keeps them, public halves only and without the reasons that
//! people have written; instants are in milliseconds since the Unix epoch. What was taken back of
//! tokens names people, and is sealed under the master key. `MAC` is HMAC-SHA256 over the exact bytes
//! of `TEXT`, under a key that is derived from the master key: a register may be put where everyone
//! can read it; an attacker who can write there can take it away, or put an older one in its place,
//! and cannot bring a revoked key back with it.

mod sealed;

use std::collections::BTreeMap;

use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::Entropy;
use crate::lifecycle::{IssuerName, Key, KeySet, Revoked, State, Timestamp};
use crate::store::chain::LogHead;
use crate::store::documents::{CorruptRecord, read_public_set, records};
use crate::store::seal::{Fingerprint, MasterKey};
use crate::store::{Kind, Record, RecordKey, StoredSet};

use sealed::Sealed;

const FORMAT: u32 = 2;

/// The format before there were revocations.
const WITHOUT_REVOCATIONS: u32 = 1;

/// The text under which the key of the MAC is derived.
const PURPOSE: &[u8] = b"keywright register\0";

/// What has become of every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// When it was written.
    pub created_at: Timestamp,
    /// Where the audit log ended.
    pub head: LogHead,
    /// Every set, without its private halves.
    pub sets: BTreeMap<IssuerName, KeySet>,
    /// The record of every revocation; `None` in a register of a version that did not write them.
    pub revocations: Option<Vec<Record>>,
    /// The issuers whose records cannot be read: nothing is said of those.
    pub unusable: Vec<IssuerName>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    created_at: u64,
    keywright: String,
    head: String,
    master_key: String,
    issuers: Vec<IssuerDocument>,
    unusable: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocations: Option<Sealed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationDocument {
    issuer: String,
    id: String,
    record: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerDocument {
    name: String,
    path: String,
    version: u64,
    set: Box<RawValue>,
    keys: Vec<KeyDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    kid: String,
    record: Box<RawValue>,
}

/// Why a file is no register that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Something else, or part of one.
    #[error("this is no register of keywright, or not all of one")]
    Foreign,
    /// A later keywright wrote it.
    #[error("the register has format {0}, which this version of keywright does not know")]
    UnknownFormat(u32),
    /// Its key is elsewhere.
    #[error(
        "the register was written under the master key {0}, which is not the one that is configured \
         here"
    )]
    OtherMasterKey(Fingerprint),
    /// It is not what was written.
    #[error("the register was altered: it does not have the MAC that follows from its text")]
    Altered,
    /// What it says of an issuer does not read.
    #[error(transparent)]
    Corrupt(#[from] CorruptRecord),
    /// Its key cannot be derived.
    #[error("the register cannot be signed")]
    Unsignable,
}

const BEFORE_MAC: &str = "{\"mac\":\"";
const AFTER_MAC: &str = "\",\"register\":";

impl Register {
    /// The register as it is written.
    ///
    /// # Errors
    /// [`RegisterError::Unsignable`], which no system is known to answer with.
    pub fn write(
        &self,
        master_key: &MasterKey,
        entropy: &Entropy,
    ) -> Result<String, RegisterError> {
        let revocations = match &self.revocations {
            Some(records) => {
                let text = revocation_documents(records).ok_or(RegisterError::Unsignable)?;
                let salt = entropy.bytes().map_err(|_| RegisterError::Unsignable)?;
                Some(Sealed::seal(text, master_key, salt).ok_or(RegisterError::Unsignable)?)
            }
            None => None,
        };
        let document = Document {
            format: FORMAT,
            created_at: self.created_at.floor_seconds(),
            keywright: env!("CARGO_PKG_VERSION").to_owned(),
            head: self.head.to_string(),
            master_key: master_key.fingerprint().to_string(),
            issuers: self
                .sets
                .values()
                .map(issuer_document)
                .collect::<Option<_>>()
                .ok_or(RegisterError::Unsignable)?,
            unusable: self.unusable.iter().map(ToString::to_string).collect(),
            revocations,
        };
        let text = serde_json::to_string(&document).map_err(|_| RegisterError::Unsignable)?;
        let tag = hmac::sign(&key(master_key)?, text.as_bytes());
        let mac: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(format!("{BEFORE_MAC}{mac}{AFTER_MAC}{text}}}\n"))
    }

    /// Reads a register, and holds it against the master key that it names.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn read<'k>(
        line: &str,
        find: impl Fn(Fingerprint) -> Option<&'k MasterKey>,
    ) -> Result<Self, RegisterError> {
        let (mac, text) = parts(line).ok_or(RegisterError::Foreign)?;
        let document: Document = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(_) => return Err(unreadable(text)),
        };
        if !is_known(document.format) {
            return Err(RegisterError::UnknownFormat(document.format));
        }
        let fingerprint = document.master_key.parse();
        let fingerprint = fingerprint.map_err(|_| RegisterError::Foreign)?;
        let master_key = find(fingerprint).ok_or(RegisterError::OtherMasterKey(fingerprint))?;
        hmac::verify(&key(master_key)?, text.as_bytes(), &mac)
            .map_err(|_| RegisterError::Altered)?;
        let sets = document.issuers.into_iter().map(|issuer| {
            let set = read_issuer(issuer)?;
            Ok((set.issuer().clone(), set))
        });
        let unusable = document.unusable.iter().map(|name| IssuerName::parse(name));
        let revocations = match &document.revocations {
            Some(sealed) => {
                let text = sealed.open(master_key).ok_or(RegisterError::Altered)?;
                Some(read_revocations(&text).ok_or(RegisterError::Foreign)?)
            }
            None => None,
        };
        Ok(Self {
            created_at: Timestamp::from_seconds(document.created_at),
            head: document.head.parse().map_err(|_| RegisterError::Foreign)?,
            sets: sets.collect::<Result<_, RegisterError>>()?,
            revocations,
            unusable: unusable
                .collect::<Result<_, _>>()
                .map_err(|_| RegisterError::Foreign)?,
        })
    }
}

fn is_known(format: u32) -> bool {
    matches!(format, WITHOUT_REVOCATIONS | FORMAT)
}

/// A text that may be of a later format.
fn unreadable(text: &str) -> RegisterError {
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    match serde_json::from_str::<Any>(text) {
        Ok(Any { format }) if !is_known(format) => RegisterError::UnknownFormat(format),
        _ => RegisterError::Foreign,
    }
}

fn key(master_key: &MasterKey) -> Result<hmac::Key, RegisterError> {
    let output = master_key
        .derivation()
        .expand(&[PURPOSE], hmac::HMAC_SHA256);
    output
        .map(hmac::Key::from)
        .map_err(|_| RegisterError::Unsignable)
}

/// The MAC that a line has, and the text that it is over.
fn parts(line: &str) -> Option<(Vec<u8>, &str)> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let (mac, rest) = line.strip_prefix(BEFORE_MAC)?.split_at_checked(64)?;
    let text = rest.strip_prefix(AFTER_MAC)?.strip_suffix('}')?;
    let (pairs, _) = mac.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let digits = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let mac = pairs.iter().map(byte).collect::<Option<_>>()?;
    Some((mac, text))
}

fn issuer_document(set: &KeySet) -> Option<IssuerDocument> {
    let StoredSet { issuer, keys } = records(&without_reasons(set)?, BTreeMap::new());
    let keys = keys.into_iter().map(|key| {
        Some(KeyDocument {
            kid: key.key.id,
            record: RawValue::from_string(key.document).ok()?,
        })
    });
    Some(IssuerDocument {
        name: issuer.key.id,
        path: issuer.unique?,
        version: issuer.version,
        set: RawValue::from_string(issuer.document).ok()?,
        keys: keys.collect::<Option<_>>()?,
    })
}

fn revocation_documents(records: &[Record]) -> Option<Vec<u8>> {
    let documents = records.iter().map(|record| {
        Some(RevocationDocument {
            issuer: record.key.owner.as_ref()?.to_string(),
            id: record.key.id.clone(),
            record: RawValue::from_string(record.document.clone()).ok()?,
        })
    });
    serde_json::to_vec(&documents.collect::<Option<Vec<_>>>()?).ok()
}

fn read_revocations(text: &[u8]) -> Option<Vec<Record>> {
    let documents: Vec<RevocationDocument> = serde_json::from_slice(text).ok()?;
    let records = documents.into_iter().map(|document| {
        let issuer = IssuerName::parse(&document.issuer).ok()?;
        let key = RecordKey::owned(Kind::Revocation, &issuer, &document.id);
        Some(Record::unwritten(key, 1, document.record.get().to_owned()))
    });
    records.collect()
}

/// Reasons are for those who may read the audit log.
fn without_reasons(set: &KeySet) -> Option<KeySet> {
    let keys = set.keys().iter().map(|key| {
        let state = match key.state() {
            State::Revoked(revoked) => State::Revoked(Revoked {
                reason: String::new(),
                ..revoked.clone()
            }),
            state => state.clone(),
        };
        Key::restore(
            key.jwk().clone(),
            key.origin(),
            key.created_at(),
            key.published_at(),
            state,
        )
    });
    set.with_keys(keys.collect()).ok()
}

fn read_issuer(document: IssuerDocument) -> Result<KeySet, RegisterError> {
    let name = IssuerName::parse(&document.name).map_err(|_| RegisterError::Foreign)?;
    let record = |key, version, document: &RawValue| {
        Record::unwritten(key, version, document.get().to_owned())
    };
    let keys = document.keys.into_iter().map(|key| {
        let record_key = RecordKey::signing_key(&name, &key.kid);
        record(record_key, 1, &key.record)
    });
    Ok(read_public_set(&StoredSet {
        keys: keys.collect(),
        issuer: Record {
            unique: Some(document.path),
            ..record(RecordKey::issuer(&name), document.version, &document.set)
        },
    })?)
}
