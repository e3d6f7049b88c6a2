//! Whom a token with an entry in a status list is about, as it is written down before the token is handed out.
//!
//! Nothing of it names a person: it has the digests of the selectors that a revocation would have to match.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::revocation::{Digest, Salt, SelectorKind, TokenSelectors};
use serde::{Deserialize, Serialize};

use super::StatusEntry;
use crate::stored_document::Format;

/// A token under one of the names by which its entry is found. It has one record for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedToken {
    /// Its entry.
    pub entry: StatusEntry,
    /// Counts the names of the token, from 0.
    pub number: usize,
    /// The digest of its subject, of one of its actors, or of its session.
    pub found_by: Digest,
    /// Those of the pairs that this subject is in.
    pub pairs: Vec<Digest>,
    /// Its `iat`.
    pub issued_at: u64,
}

/// A record that this program could not have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of tracked token {0} cannot be read")]
pub struct InvalidTrackedRecord(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    iat: u64,
    /// In base64url, one behind the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pairs: String,
}

impl TrackedToken {
    /// A token under each of its names: its subjects and its session.
    pub fn of(
        selectors: &TokenSelectors<'_>,
        salt: &Salt,
        entry: StatusEntry,
        issued_at: u64,
    ) -> Vec<Self> {
        use SelectorKind as Kind;
        let (mut names, mut pairs): (Vec<Self>, Vec<Digest>) = Default::default();
        // The pairs of a subject come before the subject.
        for selector in selectors.iter() {
            let found_by = selector.digest(salt);
            match selector.kind() {
                Kind::SubjectAndClient | Kind::SubjectAndAudience | Kind::SubjectAndSession => {
                    pairs.push(found_by);
                }
                Kind::Subject | Kind::Session => {
                    let pairs = std::mem::take(&mut pairs);
                    if names.iter().all(|name| name.found_by != found_by) {
                        names.push(Self {
                            entry,
                            number: names.len(),
                            found_by,
                            pairs,
                            issued_at,
                        });
                    }
                }
                Kind::Jti | Kind::Client | Kind::Audience | Kind::Issuer => {}
            }
        }
        names
    }

    /// Whether a selector with this digest matches it.
    pub fn has(&self, digest: &Digest) -> bool {
        self.found_by == *digest || self.pairs.contains(digest)
    }

    /// The name of its record: list and entry in hexadecimal digits, in their order, and a number from the
    /// second name on.
    pub fn id(&self) -> String {
        let StatusEntry { list, index } = self.entry;
        match self.number {
            0 => format!("{list:08x}{index:05x}"),
            number => format!("{list:08x}{index:05x}-{number}"),
        }
    }

    /// What it is found by, as it is stored.
    pub fn subject(&self) -> String {
        subject_text(&self.found_by)
    }

    /// As it is stored.
    pub fn to_document(&self) -> String {
        let pairs = self.pairs.iter().flat_map(Digest::as_bytes).copied();
        let document = Document {
            format: Format,
            iat: self.issued_at,
            pairs: URL_SAFE_NO_PAD.encode(pairs.collect::<Vec<u8>>()),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored under this name, and is found by this subject.
    ///
    /// # Errors
    /// [`InvalidTrackedRecord`].
    pub fn from_document(
        id: &str,
        subject: &str,
        document: &str,
    ) -> Result<Self, InvalidTrackedRecord> {
        read(id, subject, document).ok_or_else(|| InvalidTrackedRecord(id.to_owned()))
    }
}

/// What tokens with this digest are found by, as it is stored.
pub fn subject_text(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest.as_bytes())
}

fn read(id: &str, subject: &str, document: &str) -> Option<TrackedToken> {
    let (entry, number) = match id.split_once('-') {
        Some((entry, number)) => (entry, number.parse().ok()?),
        None => (id, 0),
    };
    let (list, index) = entry.split_at_checked(8)?;
    let document: Document = serde_json::from_str(document).ok()?;
    let pairs = URL_SAFE_NO_PAD.decode(document.pairs).ok()?;
    let (pairs, rest) = pairs.as_chunks::<{ Digest::BYTES }>();
    let token = TrackedToken {
        entry: StatusEntry {
            list: u32::from_str_radix(list, 16).ok()?,
            index: u32::from_str_radix(index, 16).ok()?,
        },
        number,
        found_by: Digest::new(URL_SAFE_NO_PAD.decode(subject).ok()?.try_into().ok()?),
        pairs: pairs.iter().copied().map(Digest::new).collect(),
        issued_at: document.iat,
    };
    let is_whole = rest.is_empty() && token.id() == id;
    is_whole.then_some(token)
}
