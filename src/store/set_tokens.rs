//! The tokens of a key set: what a change of it is decided on.

use std::collections::BTreeMap;

use keywright_verifier::Kid;

use super::Write;
use super::record::{BatchId, Kind, StoredSet, Token};

/// The token of every record of a key set, as it was read or written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTokens {
    /// The issuer's.
    pub issuer: Token,
    /// Its keys', by kid.
    pub keys: BTreeMap<Kid, Token>,
}

impl SetTokens {
    /// Those of a set that is not stored yet.
    pub const UNWRITTEN: Self = Self {
        issuer: Token::UNWRITTEN,
        keys: BTreeMap::new(),
    };

    /// Those of records that were read. A record that is no key of the set has none.
    pub fn of(stored: &StoredSet) -> Self {
        let keys = stored.keys.iter();
        Self {
            issuer: stored.issuer.token,
            keys: keys
                .filter_map(|record| Some((record.key.id.parse().ok()?, record.token)))
                .collect(),
        }
    }

    /// Those of the records after `batch` has made these writes.
    #[must_use]
    pub fn followed_by(&self, batch: BatchId, writes: &[Write]) -> Self {
        let mut after = self.clone();
        for write in writes {
            let (key, before) = match write {
                Write::Create(key, _) => (key, Token::UNWRITTEN),
                Write::Replace(key, before, _) => (key, *before),
                Write::Delete(..) => continue,
            };
            let token = before.followed_by(batch);
            match key.kind {
                Kind::Issuer => after.issuer = token,
                _ => drop(key.id.parse().map(|kid| after.keys.insert(kid, token))),
            }
        }
        after
    }
}
