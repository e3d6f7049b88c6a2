//! A list as it is signed (§5.1).

use serde_json::{Map, Value};

use super::{InvalidStatusList, STATUS_LIST, StatusBits, StatusList};
use crate::json::{FieldError, Object};

/// A list, and for how long it counts: the claims of a signed token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusListToken {
    /// `sub`: the address of the list, which the tokens name that have an entry in it.
    pub uri: String,
    /// `iat`, in Unix seconds.
    pub issued_at: u64,
    /// `exp`, in Unix seconds.
    pub expires_at: Option<u64>,
    /// `ttl`: after how many seconds it is to be fetched again.
    pub ttl_seconds: Option<u64>,
    /// `status_list`.
    pub list: StatusList,
}

/// Why claims are no status list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStatusListToken {
    /// A claim is missing or has the wrong JSON type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A claim has a value that it cannot have.
    #[error("claim \"{0}\" of the status list is malformed")]
    Malformed(&'static str),
    /// The list itself does not read.
    #[error(transparent)]
    List(#[from] InvalidStatusList),
}

impl StatusListToken {
    /// The claims to be signed, with those of `lst` encoded already: a list that has not changed need not
    /// be compressed again.
    pub fn claims_of(
        issuer: &str,
        uri: &str,
        issued_at: u64,
        expires_at: u64,
        ttl_seconds: u64,
        (bits, lst): (StatusBits, &str),
    ) -> Map<String, Value> {
        let list = Map::from_iter([
            ("bits".to_owned(), bits.number().into()),
            ("lst".to_owned(), lst.into()),
        ]);
        Map::from_iter([
            ("iss".to_owned(), issuer.into()),
            ("sub".to_owned(), uri.into()),
            ("iat".to_owned(), issued_at.into()),
            ("exp".to_owned(), expires_at.into()),
            ("ttl".to_owned(), ttl_seconds.into()),
            (STATUS_LIST.to_owned(), list.into()),
        ])
    }

    /// Reads claims whose signature has been verified. What it does not know it passes over. Whose list it
    /// is, and whether its time has come, is for the caller to check.
    ///
    /// # Errors
    ///
    /// [`InvalidStatusListToken`]. Of an inflated list, no more than `max_bytes` are read.
    pub fn read(
        claims: Map<String, Value>,
        max_bytes: usize,
    ) -> Result<Self, InvalidStatusListToken> {
        let mut claims = Object::from(claims);
        let issued_at = whole_seconds(&mut claims, "iat")?;
        let issued_at = issued_at.ok_or(FieldError::Missing { field: "iat" })?;
        let mut list = claims.object(STATUS_LIST)?;
        let bits = StatusBits::of(list.u64("bits")?);
        let bits = bits.ok_or(InvalidStatusListToken::Malformed("status_list"))?;
        Ok(Self {
            uri: claims.string("sub")?,
            issued_at,
            expires_at: whole_seconds(&mut claims, "exp")?,
            ttl_seconds: whole_seconds(&mut claims, "ttl")?,
            list: StatusList::decode(bits, &list.string("lst")?, max_bytes)?,
        })
    }
}

/// A number of seconds, which may have a fraction (RFC 7519 §2): rounded down.
fn whole_seconds(
    claims: &mut Object<'_>,
    claim: &'static str,
) -> Result<Option<u64>, InvalidStatusListToken> {
    let Some(value) = claims.take(claim) else {
        return Ok(None);
    };
    match value.as_f64() {
        // The conversion saturates, so that a time beyond all clocks stays one.
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds as u64)),
        _ => Err(InvalidStatusListToken::Malformed(claim)),
    }
}
