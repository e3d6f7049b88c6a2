//! What goes with a copy: which set it is, in words that every target keeps beside the bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::lifecycle::{IssuerName, Timestamp};

/// A key set as it is pushed.
#[derive(Debug, Clone)]
pub struct KeySetCopy {
    /// The set's bytes, as they are served.
    pub body: Bytes,
    /// The `Cache-Control` that it is to be given out with.
    pub cache_control: String,
    /// Which set it is.
    pub mark: CopyMark,
}

/// Which set a copy is. It is in JSON, in printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    /// The issuer.
    pub issuer: IssuerName,
    /// The version of the key set.
    pub version: u64,
    /// When the set changed last, in milliseconds.
    pub changed_at: u64,
    /// A hash of the bytes.
    pub body: String,
    /// A hash of the bytes and of what goes with them.
    pub digest: String,
}

impl KeySetCopy {
    /// A copy with these bytes.
    pub fn new(
        issuer: &IssuerName,
        version: u64,
        changed_at: Timestamp,
        body: Vec<u8>,
        cache_control: String,
    ) -> Self {
        let hash = hash_of(&body);
        let mut context = Context::new(&SHA256);
        context.update(hash.as_bytes());
        context.update(cache_control.as_bytes());
        let mark = CopyMark {
            issuer: issuer.clone(),
            version,
            changed_at: changed_at.millis(),
            body: hash,
            digest: URL_SAFE_NO_PAD.encode(context.finish()),
        };
        Self {
            body: body.into(),
            cache_control,
            mark,
        }
    }
}

/// The hash of a copy's bytes.
pub fn hash_of(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, body))
}

impl CopyMark {
    /// As it is kept.
    pub fn to_text(&self) -> String {
        // Text and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what was kept. What this program has not written is none.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Why a copy with the mark `other` must not take the place of one with this mark.
    ///
    /// A newer set has a larger version or a later change: a store that was restored counts on from an
    /// earlier version at a later time, and one whose clock was corrected at an earlier time from a later
    /// version.
    pub fn refuses(&self, other: &Self) -> Option<String> {
        if self.issuer != other.issuer {
            return Some(format!("it holds the key set of issuer {}", self.issuer));
        }
        let is_older = other.version < self.version && other.changed_at <= self.changed_at;
        is_older.then(|| {
            format!(
                "it holds version {} of the key set, which is newer than {}",
                self.version, other.version
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(version: u64, changed_at: u64) -> CopyMark {
        let issuer = IssuerName::parse("orders").unwrap();
        let at = Timestamp::from_millis(changed_at);
        KeySetCopy::new(&issuer, version, at, b"{}".to_vec(), String::new()).mark
    }

    #[test]
    fn an_older_set_takes_no_newer_ones_place() {
        let held = mark(7, 1000);
        for (version, changed_at, is_refused) in [
            (6, 900, true),
            (6, 1000, true),
            (7, 1000, false),
            (8, 1000, false),
            (3, 2000, false),
            (8, 500, false),
        ] {
            let refusal = held.refuses(&mark(version, changed_at));
            assert_eq!(refusal.is_some(), is_refused, "{version} at {changed_at}");
        }
        let other = CopyMark {
            issuer: IssuerName::parse("payments").unwrap(),
            ..held.clone()
        };
        assert!(held.refuses(&other).is_some());
        assert_eq!(CopyMark::parse(&held.to_text()), Some(held));
        assert_eq!(CopyMark::parse("{}"), None);
    }

    #[test]
    fn what_goes_with_the_bytes_is_part_of_what_is_pushed() {
        let issuer = IssuerName::parse("orders").unwrap();
        let of = |cache: &str| {
            let at = Timestamp::default();
            KeySetCopy::new(&issuer, 1, at, b"{}".to_vec(), cache.to_owned()).mark
        };
        assert_eq!(of("max-age=1").body, of("max-age=2").body);
        assert_ne!(of("max-age=1").digest, of("max-age=2").digest);
    }
}
