//! Status lists: which entry of which list a token has, and how its `jti` says so to the service alone.
//! Pure.
//!
//! A list has the tokens of one issuer that expire within the same hour. A signer takes entries in
//! blocks, and within a list they come in an order that only the service knows, so that neither the time of
//! an entry nor its neighbours say anything. The `jti` of a token is its entry, encrypted: so the entry of
//! a token that is taken back by its `jti` is known without a table of tokens. The address of a list is
//! authenticated, so that one that was never given out costs no look-up.

mod document;
mod jti;
mod keys;
mod order;
mod tracked;

pub use document::{InvalidListRecord, LeasedList};
pub use jti::JtiCipher;
pub use keys::{ListName, MAX_EPOCHS, SECRET_BYTES, StatusKeys, renewed_secrets, split_secrets};
pub use order::EntryOrder;
pub use tracked::{InvalidTrackedRecord, TrackedToken, subject_text};

/// How many entries a list has.
pub const ENTRIES: u32 = 1 << 20;

/// How many entries of a list are leased at a time.
pub const BLOCK: u32 = 1 << 16;

/// How many blocks a list has.
pub const BLOCKS: u32 = ENTRIES / BLOCK;

/// The seconds in which the tokens of one list expire.
const HOUR: u64 = 3600;

/// The entry of a token in a status list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusEntry {
    /// The number of the list, which no other list of the issuer has.
    pub list: u32,
    /// The entry, from 0.
    pub index: u32,
}

/// The hour in which a token expires, counted from 1970.
pub fn hour_of(expires_at: u64) -> u64 {
    expires_at / HOUR
}

/// From which Unix second on every token of that hour has expired.
pub fn hour_ends_at(hour: u64) -> u64 {
    hour.saturating_add(1).saturating_mul(HOUR)
}

#[cfg(test)]
mod tests;
