//! What a token says of its status (§6.2).

use super::{STATUS_CLAIM, STATUS_LIST};
use crate::json::{AnyValue as _, BorrowedValue, Members};

/// The longest address of a list, in bytes.
const MAX_URI_BYTES: usize = 2048;

/// Which entry of which list a token has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusReference<'t> {
    /// Where the list is.
    pub uri: &'t str,
    /// The entry.
    pub index: u64,
}

/// Why the claims of a token do not say where its status is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStatusReference {
    /// `status` is not an object with an object `status_list`: another mechanism, which nothing here knows.
    #[error("claim \"status\" has no status_list that this verifier reads")]
    Mechanism,
    /// `idx` is not a whole number that is not negative, or `uri` not a string of 1 to 2,048 bytes.
    #[error("idx or uri of the token's status_list is malformed")]
    Entry,
    /// `status_list` stands beside `status` and not in it. An issuer that writes that means a status which a
    /// verifier that passes it over would miss.
    #[error("status_list stands at the top of the claims and not in claim \"status\"")]
    Misplaced,
}

impl<'t> StatusReference<'t> {
    /// Reads it from the claims of a token; `None` if the token has no status.
    ///
    /// # Errors
    ///
    /// [`InvalidStatusReference`].
    pub fn of(claims: &'t Members<'_>) -> Result<Option<Self>, InvalidStatusReference> {
        if claims.contains(STATUS_LIST) {
            return Err(InvalidStatusReference::Misplaced);
        }
        let Some(status) = claims.get(STATUS_CLAIM) else {
            return Ok(None);
        };
        let entry = match status {
            BorrowedValue::Object(status) => status.get(STATUS_LIST),
            _ => None,
        };
        let Some(BorrowedValue::Object(entry)) = entry else {
            return Err(InvalidStatusReference::Mechanism);
        };
        let index = entry.get("idx").and_then(BorrowedValue::as_u64);
        let uri = entry.get("uri").and_then(BorrowedValue::as_str);
        let uri = uri.filter(|uri| (1..=MAX_URI_BYTES).contains(&uri.len()));
        match (uri, index) {
            (Some(uri), Some(index)) => Ok(Some(Self { uri, index })),
            _ => Err(InvalidStatusReference::Entry),
        }
    }
}
