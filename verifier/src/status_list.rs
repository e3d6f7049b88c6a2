//! Token Status List (draft-ietf-oauth-status-list-21): what an issuer says of each of many tokens, in a
//! signed list of bits. Pure, for the issuer that writes it and for the verifier that reads it.
//!
//! A token names its entry in a list by the claim `status` ([`StatusReference`]). The list is a
//! [`StatusList`], compressed in a signed token of its own, whose claims are a [`StatusListToken`].
//!
//! ```
//! use keywright_verifier::status_list::{INVALID, StatusBits, StatusList, VALID};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut list = StatusList::all_valid(StatusBits::One, 1024);
//! assert!(list.set(77, INVALID));
//! let text = list.encode();
//! let read = StatusList::decode(StatusBits::One, &text, 128)?;
//! assert_eq!((read.status(77), read.status(78)), (Some(INVALID), Some(VALID)));
//! assert_eq!(read.status(1024), None);
//! # Ok(())
//! # }
//! ```

mod list;
mod reference;
mod token;

pub use list::{InvalidStatusList, StatusBits, StatusList};
pub use reference::{InvalidStatusReference, StatusReference};
pub use token::{InvalidStatusListToken, StatusListToken};

/// The type of a token that is a status list (§5.1). The draft's names stand in this file alone.
pub const STATUS_LIST_TYP: &str = "statuslist+jwt";

/// The media type of its answer (§8.1).
pub const STATUS_LIST_MEDIA_TYPE: &str = "application/statuslist+jwt";

/// The claim of a token that has a status, and the member in it that names an entry of a list (§6.2).
pub const STATUS_CLAIM: &str = "status";

/// The member of [`STATUS_CLAIM`], and the claim of a status list.
pub const STATUS_LIST: &str = "status_list";

/// The member of an issuer's metadata that says where all of its lists are named (§9.2).
pub const AGGREGATION_ENDPOINT: &str = "status_list_aggregation_endpoint";

/// The member that names them there (§9.3).
pub const AGGREGATED_LISTS: &str = "status_lists";

/// The status of a token that is as its issuer has signed it (§7.1).
pub const VALID: u8 = 0;

/// The status of a token that was taken back for ever (§7.1).
pub const INVALID: u8 = 1;

/// The status of a token that does not count for now (§7.1).
pub const SUSPENDED: u8 = 2;

#[cfg(test)]
mod tests;
