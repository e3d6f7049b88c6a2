//! What is signed.

use keywright_verifier::Confirmation;
use keywright_verifier::SINGLE_USE_CLAIM;
use keywright_verifier::json::Members;
use keywright_verifier::status_list::{STATUS_CLAIM, STATUS_LIST};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::Uses;
use crate::authority::status_lists::{TakenEntry, list_url};

/// The claims of a token: the caller's, and the service's own after them.
pub(super) struct Payload<'c> {
    pub(super) claims: &'c Members<'c>,
    pub(super) own: OwnClaims<'c>,
}

pub(super) struct OwnClaims<'c> {
    pub(super) iss: &'c str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: &'c str,
    /// Of a token that comes of something. They stand for those of the same name.
    pub(super) of_origin: Option<&'c Members<'static>>,
    /// Of a bound token.
    pub(super) cnf: Option<Confirmation>,
    /// How often the token counts.
    pub(super) uses: Uses,
    /// Of a token with an entry in a status list.
    pub(super) status: Option<StatusClaim>,
}

/// `{"status_list": {"idx", "uri"}}`.
pub(super) struct StatusClaim {
    index: u32,
    uri: String,
}

#[derive(Serialize)]
struct ListEntry<'c> {
    idx: u32,
    uri: &'c str,
}

impl StatusClaim {
    pub(super) fn new(issuer: &str, taken: &TakenEntry) -> Self {
        Self {
            index: taken.entry.index,
            uri: list_url(issuer, Some(&taken.address)),
        }
    }
}

impl Serialize for StatusClaim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = ListEntry {
            idx: self.index,
            uri: &self.uri,
        };
        let mut members = serializer.serialize_map(Some(1))?;
        members.serialize_entry(STATUS_LIST, &entry)?;
        members.end()
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { claims, own } = self;
        let mut members = serializer.serialize_map(None)?;
        for (name, value) in claims.iter() {
            if own
                .of_origin
                .is_none_or(|of_origin| !of_origin.contains(name))
            {
                members.serialize_entry(name, value)?;
            }
        }
        members.serialize_entry("iss", own.iss)?;
        members.serialize_entry("iat", &own.iat)?;
        members.serialize_entry("exp", &own.exp)?;
        members.serialize_entry("jti", own.jti)?;
        for (name, value) in own.of_origin.into_iter().flat_map(Members::iter) {
            members.serialize_entry(name, value)?;
        }
        if let Some(cnf) = &own.cnf {
            members.serialize_entry("cnf", cnf)?;
        }
        if own.uses == Uses::Once {
            members.serialize_entry(SINGLE_USE_CLAIM, &true)?;
        }
        if let Some(status) = &own.status {
            members.serialize_entry(STATUS_CLAIM, status)?;
        }
        members.end()
    }
}
