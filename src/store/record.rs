//! A record: what every kind of thing is to a store.

use std::fmt;

use ring::digest::{Context, SHA256};

use crate::lifecycle::{IssuerName, Timestamp};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A named value that concerns the store as a whole. It is in `sealed`.
    Setting,
    /// An issuer, and what concerns its key set as a whole. `unique` is the path of its URL.
    Issuer,
    /// A signing key of the issuer that owns it. Keys keep the order in which they came.
    Key,
    /// A client of the internal API.
    Client,
    /// An operation on the issuer that owns it, which waits for a second person.
    Approval,
    /// Tokens of the issuer that owns it, which were taken back.
    Revocation,
    /// A grant of the issuer that owns it, of which there may be a million. Its key is in `sealed`.
    Grant,
    /// A token of the issuer that owns it, which counts once and was used; and since when such tokens of the
    /// issuer count at all. There may be a million.
    UsedToken,
    /// A client's session in the console, or a link that begins one. Its id is the hash of a secret.
    Session,
    /// A status list of the issuer that owns it, and how many of its entries are leased.
    StatusList,
    /// A receiver that is told of events. Its secrets are in `sealed`.
    Webhook,
    /// A token of the issuer that owns it, which has an entry in a status list: the entry is found by whom
    /// the token is about. There may be millions.
    TrackedToken,
    /// A receiver of security events of the issuer that owns it. What it is authenticated with is in `sealed`.
    EventStream,
    /// What is known of the copy of the key set of the issuer that owns it, which a target holds.
    PushedCopy,
}

impl Kind {
    /// Every kind, in the order in which a dump has them.
    pub const ALL: [Self; 14] = [
        Self::Setting,
        Self::Issuer,
        Self::Key,
        Self::Client,
        Self::Approval,
        Self::Revocation,
        Self::Grant,
        Self::UsedToken,
        Self::Session,
        Self::StatusList,
        Self::Webhook,
        Self::TrackedToken,
        Self::EventStream,
        Self::PushedCopy,
    ];

    /// Its word, as databases and backups spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Client => "client",
            Self::Approval => "approval",
            Self::Revocation => "revocation",
            Self::Grant => "grant",
            Self::UsedToken => "used-token",
            Self::Session => "session",
            Self::StatusList => "status-list",
            Self::Webhook => "webhook",
            Self::TrackedToken => "tracked-token",
            Self::EventStream => "event-stream",
            Self::PushedCopy => "pushed-copy",
        }
    }

    /// Whether there are so many that they are never read as a whole.
    pub const fn is_paged(self) -> bool {
        matches!(self, Self::Grant | Self::UsedToken | Self::TrackedToken)
    }

    /// Whether a backup has it. A restore makes every status list of before invalid as a whole, so that
    /// nothing would ask for the entries of single tokens. What a copy holds by then is looked up there.
    pub const fn is_in_backup(self) -> bool {
        !matches!(self, Self::TrackedToken | Self::PushedCopy)
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What tells one record from every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Its kind.
    pub kind: Kind,
    /// The issuer that it belongs to, where it belongs to one.
    pub owner: Option<IssuerName>,
    /// Its name among those of its kind and owner.
    pub id: String,
}

impl RecordKey {
    /// The record of an issuer.
    pub fn issuer(name: &IssuerName) -> Self {
        Self::unowned(Kind::Issuer, name.as_str())
    }

    /// The record of an issuer's signing key.
    pub fn signing_key(issuer: &IssuerName, kid: &str) -> Self {
        Self::owned(Kind::Key, issuer, kid)
    }

    /// A record that belongs to no issuer.
    pub fn unowned(kind: Kind, id: impl Into<String>) -> Self {
        Self {
            kind,
            owner: None,
            id: id.into(),
        }
    }

    /// A record that belongs to an issuer.
    pub fn owned(kind: Kind, owner: &IssuerName, id: impl Into<String>) -> Self {
        Self {
            kind,
            owner: Some(owner.clone()),
            id: id.into(),
        }
    }
}

/// The state that a record is in, for comparing and nothing else: SHA-256 over the token before it
/// and the batch that wrote it, cut to 16 bytes.
///
/// A number that counts writes could be equal by accident, where a database has lost a commit and
/// another one has taken its number. Two tokens are equal only if the same batches were written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// What stands before the first write, and in records of before there were tokens.
    pub const UNWRITTEN: Self = Self([0; 16]);

    /// The token of a record that had this one when `batch` wrote it.
    #[must_use]
    pub fn followed_by(self, batch: BatchId) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(&batch.0);
        let digest = context.finish();
        let mut token = [0; 16];
        let cut = token.iter_mut().zip(digest.as_ref());
        cut.for_each(|(to, from)| *to = *from);
        Self(token)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads stored bytes. What has another length equals no token that was ever written.
    pub fn of_stored(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(Self([0xff; 16]), Self)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// What tells one batch from every other: 16 random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId(pub [u8; 16]);

/// A record as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub key: RecordKey,
    /// How often it was written, from 1: for people. Programs compare the token.
    pub version: u64,
    /// The state that it is in.
    pub token: Token,
    /// What it says, with a format number of its own. The store does not look into it.
    pub document: String,
    /// Bytes that must not stand beside others: a sealed private half, or a setting's value.
    pub sealed: Option<Vec<u8>>,
    /// A text that no other record of the kind has.
    pub unique: Option<String>,
    /// Whether the store refuses every later write to it.
    pub is_final: bool,
    /// What it is found by beside its name.
    pub index: RecordIndex,
}

/// What records are found by beside their names, where there are too many to read all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordIndex {
    /// Whom it is about.
    pub subject: Option<String>,
    /// The client against which it counts.
    pub client: Option<String>,
    /// From when on it may be deleted.
    pub kept_until: Option<Timestamp>,
}

impl Record {
    /// A record of which nothing else is known, and that has not been written yet.
    pub fn unwritten(key: RecordKey, version: u64, document: String) -> Self {
        Self {
            key,
            version,
            token: Token::UNWRITTEN,
            document,
            sealed: None,
            unique: None,
            is_final: false,
            index: RecordIndex::default(),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A key set's records, its keys in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSet {
    /// The issuer's record.
    pub issuer: Record,
    /// Its keys' records.
    pub keys: Vec<Record>,
}

/// Which records are read. They come in the order of their ids; keys, issuer after issuer, in the
/// order in which they came.
#[derive(Debug, Clone)]
pub struct Query {
    /// Of this kind.
    pub kind: Kind,
    /// Of these owners, where `None` is that of records that belong to no issuer; `None` for all.
    pub owners: Option<Vec<Option<IssuerName>>>,
    /// With these ids; `None` for all.
    pub ids: Option<Vec<String>>,
    /// About one of these subjects; `None` for all.
    pub subjects: Option<Vec<String>>,
    /// That may be deleted by then; `None` for all.
    pub kept_until: Option<Timestamp>,
    /// Whose sealed bytes begin otherwise; `None` for all.
    pub not_sealed_with: Option<Vec<u8>>,
    /// With larger ids; `None` for all.
    pub after: Option<String>,
    /// At most so many; `None` for all.
    pub limit: Option<u32>,
}

impl Query {
    /// Every record of a kind.
    pub fn all(kind: Kind) -> Self {
        Self {
            kind,
            owners: None,
            ids: None,
            subjects: None,
            kept_until: None,
            not_sealed_with: None,
            after: None,
            limit: None,
        }
    }

    /// One record, or none.
    pub fn one(key: &RecordKey) -> Self {
        Self {
            owners: Some(vec![key.owner.clone()]),
            ids: Some(vec![key.id.clone()]),
            ..Self::all(key.kind)
        }
    }

    /// The records of a kind that an issuer owns.
    pub fn owned(kind: Kind, issuer: &IssuerName) -> Self {
        Self {
            owners: Some(vec![Some(issuer.clone())]),
            ..Self::all(kind)
        }
    }

    /// The records of some issuers, and those of their keys.
    pub fn key_sets(issuers: &[IssuerName]) -> [Self; 2] {
        let ids = issuers.iter().map(|name| name.as_str().to_owned());
        [
            Self {
                ids: Some(ids.collect()),
                ..Self::all(Kind::Issuer)
            },
            Self {
                owners: Some(issuers.iter().cloned().map(Some).collect()),
                ..Self::all(Kind::Key)
            },
        ]
    }

    /// A page of the records of a kind that an issuer owns: at most so many, after an id.
    pub fn page(kind: Kind, issuer: &IssuerName, after: Option<String>, limit: u32) -> Self {
        Self {
            after,
            limit: Some(limit),
            ..Self::owned(kind, issuer)
        }
    }

    /// Whether a record is one of those that are read, unless there are more than the limit.
    pub(super) fn takes(&self, record: &Record) -> bool {
        let Record { key, index, .. } = record;
        let is_owner = |owners: &Vec<_>| owners.contains(&key.owner);
        let is_subject = |subjects: &Vec<_>| {
            let subject = index.subject.as_ref();
            subject.is_some_and(|subject| subjects.contains(subject))
        };
        let may_be_deleted = |by: Timestamp| index.kept_until.is_some_and(|until| until <= by);
        let is_sealed_otherwise = |head: &Vec<u8>| {
            let sealed = record.sealed.as_ref();
            sealed.is_some_and(|sealed| !sealed.starts_with(head))
        };
        self.kind == key.kind
            && self.owners.as_ref().is_none_or(is_owner)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&key.id))
            && self.subjects.as_ref().is_none_or(is_subject)
            && self.kept_until.is_none_or(may_be_deleted)
            && self
                .not_sealed_with
                .as_ref()
                .is_none_or(is_sealed_otherwise)
            && self.after.as_ref().is_none_or(|after| key.id > *after)
    }
}

/// Puts the records of issuers and of keys together. A record whose id is no issuer's name, or a
/// key without its issuer, is left out.
pub fn key_sets(issuers: Vec<Record>, keys: Vec<Record>) -> Vec<StoredSet> {
    let mut sets: Vec<StoredSet> = issuers
        .into_iter()
        .map(|issuer| StoredSet {
            issuer,
            keys: Vec::new(),
        })
        .collect();
    sets.sort_by(|one, other| one.issuer.key.id.cmp(&other.issuer.key.id));
    for key in keys {
        let Some(owner) = &key.key.owner else {
            continue;
        };
        let place = sets.binary_search_by(|set| set.issuer.key.id.as_str().cmp(owner.as_str()));
        if let Some(set) = place.ok().and_then(|place| sets.get_mut(place)) {
            set.keys.push(key);
        }
    }
    sets
}
