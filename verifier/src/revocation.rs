//! Tokens that were taken back: the format of what an issuer publishes about them. Pure, for the
//! issuer that writes it and for the verifier that reads it.
//!
//! A revocation names its tokens by a [`Selector`], such as the subject `user-1`. An issuer publishes
//! it as a [`Record`]: a keyed digest of the selector, and the time before which a token must have been
//! issued to be refused. All records of an issuer are a [`Content`]: the newest stand in it, the others
//! in segments that it names by their hash. A [`Head`] is a content at a time, and a signed token has
//! it as its claims; so one small signature covers everything that is revoked.
//!
//! ```
//! use keywright_verifier::revocation::{
//!     Content, Record, RevocationTable, Salt, Selector, SelectorKinds, selectors_of,
//! };
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let salt = Salt::new([7; 32]);
//! let user = Selector::new("subject".parse()?, &["user-1"])?;
//! let record = Record {
//!     digest: user.digest(&salt),
//!     issued_before: Some(1_767_225_600),
//! };
//! let content = Content {
//!     salt,
//!     kinds: SelectorKinds::from_iter([user.kind()]),
//!     recent: vec![record],
//!     segments: Vec::new(),
//! };
//! let table = RevocationTable::new(&content, &[])?;
//!
//! let claims = json!({"sub": "user-1", "aud": "orders", "iat": 1_767_225_599});
//! let selectors = selectors_of(|claim| claims.get(claim))?;
//! assert!(table.find(selectors.iter(), Some(1_767_225_599), 1_767_225_700).is_some());
//! assert!(table.find(selectors.iter(), Some(1_767_225_600), 1_767_225_700).is_none());
//! # Ok(())
//! # }
//! ```

mod content;
mod document;
mod head;
mod record;
mod selector;
mod selector_kinds;
mod table;
mod token_selectors;

pub use content::{Content, MAX_RECENT_RECORDS, MAX_SEGMENTS, SegmentReference};
pub use document::{InvalidRevocationDocument, RevocationDocument};
pub use head::{Head, HeadKind, InvalidHead, is_nonce};
pub use record::{Digest, Record, Salt, segment_bytes, segment_hash};
pub use selector::{
    InvalidSelector, MAX_SELECTOR_BYTES, Selector, SelectorKind, SelectorRef, SelectorValue,
    UnknownSelectorKind,
};
pub use selector_kinds::SelectorKinds;
pub use table::{RevocationTable, SegmentMismatch};
pub use token_selectors::{
    ANCESTORS_CLAIM, MAX_ANCESTORS, MAX_SELECTORS_PER_CLAIM, TokenSelectors, TooManySelectors,
    selectors_of,
};

/// `typ` of a [`Head`] that a feed answers.
pub const HEAD_TYP: &str = "keywright-revocations+jwt";

/// `typ` of a [`Head`] in a file.
pub const FILE_TYP: &str = "keywright-revocations-file+jwt";

/// The path of a feed, after the issuer's own. A segment stands under it by its hash.
pub const FEED_PATH: &str = "/.well-known/revocations";

/// The address of an issuer's feed, which a [`Head`] has as its `sub`.
pub fn feed_url(issuer: &str) -> String {
    format!("{}{FEED_PATH}", issuer.trim_end_matches('/'))
}
