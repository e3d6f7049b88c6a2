//! A content at a time: the claims of the token that an issuer signs.

use serde_json::{Map, Value};

use super::{
    Content, FILE_TYP, HEAD_TYP, MAX_RECENT_RECORDS, MAX_SEGMENTS, Record, Salt, SegmentReference,
    SelectorKind, SelectorKinds,
};
use crate::base64url;
use crate::json::{FieldError, Object};

/// The longest nonce, in characters.
const MAX_NONCE_CHARACTERS: usize = 64;

/// Claims that would make a head look like an access token.
const REFUSED_CLAIMS: [&str; 3] = ["aud", "scope", "client_id"];

/// What an issuer has revoked, and when that was so: the claims of a signed token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// `iss`.
    pub issuer: String,
    /// `sub`: the address of the feed ([`feed_url`](super::feed_url)).
    pub feed: String,
    /// `iat` in milliseconds since 1970. Every revocation that was committed before is in the content.
    pub issued_at_milliseconds: u64,
    /// `max_age` in seconds: how long a token is accepted by this head ([`HeadKind::max_age_bounds`]).
    /// `exp` follows from it.
    pub max_age_seconds: u64,
    /// The nonce of the request: 1 to 64 characters of base64url.
    pub nonce: Option<String>,
    /// What is revoked.
    pub content: Content,
}

/// Where a head stands. One kind never passes for the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeadKind {
    /// In the answer of a feed.
    Feed,
    /// In a file, beside its segments.
    File,
}

impl HeadKind {
    /// `typ` of the header.
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Feed => HEAD_TYP,
            Self::File => FILE_TYP,
        }
    }

    /// The least and the most [`max_age_seconds`](Head::max_age_seconds): 1 s to a day in a feed, a
    /// minute to 366 days in a file.
    pub const fn max_age_bounds(self) -> (u64, u64) {
        match self {
            Self::Feed => (1, 86_400),
            Self::File => (60, 31_622_400),
        }
    }
}

impl Head {
    /// The claims to be signed.
    pub fn claims(&self) -> Map<String, Value> {
        let segments: Vec<Value> = self
            .content
            .segments
            .iter()
            .map(|segment| {
                Value::Object(Map::from_iter([
                    ("hash".to_owned(), base64url::encode(&segment.hash).into()),
                    ("count".to_owned(), segment.count.into()),
                ]))
            })
            .collect();
        let seconds = self.issued_at_milliseconds / 1000;
        let iat = if self.issued_at_milliseconds.is_multiple_of(1000) {
            Value::from(seconds)
        } else {
            Value::from(self.issued_at_milliseconds as f64 / 1000.0)
        };
        let content = &self.content;
        let recent = Record::write_all(&content.recent);
        let mut claims = Map::from_iter([
            ("iss".to_owned(), self.issuer.clone().into()),
            ("sub".to_owned(), self.feed.clone().into()),
            ("iat".to_owned(), iat),
            (
                "exp".to_owned(),
                seconds.saturating_add(self.max_age_seconds).into(),
            ),
            ("max_age".to_owned(), self.max_age_seconds.into()),
            (
                "salt".to_owned(),
                base64url::encode(content.salt.as_bytes()).into(),
            ),
            ("root".to_owned(), base64url::encode(&content.root()).into()),
            ("recent".to_owned(), base64url::encode(&recent).into()),
            ("segments".to_owned(), segments.into()),
        ]);
        let kinds: Vec<Value> = content
            .kinds
            .iter()
            .map(|kind| kind.byte().into())
            .collect();
        claims.insert("kinds".to_owned(), kinds.into());
        if let Some(nonce) = &self.nonce {
            claims.insert("nonce".to_owned(), nonce.clone().into());
        }
        claims
    }

    /// Reads claims whose signature has been verified. What it does not know it passes over.
    ///
    /// Whose head it is, and whether its time has come, is for the caller to check.
    ///
    /// # Errors
    ///
    /// [`InvalidHead`].
    pub fn read(claims: Map<String, Value>, kind: HeadKind) -> Result<Self, InvalidHead> {
        if let Some(claim) = REFUSED_CLAIMS
            .into_iter()
            .find(|claim| claims.contains_key(*claim))
        {
            return Err(InvalidHead::RefusedClaim(claim));
        }
        let mut claims = Object::from(claims);
        let issued_at_milliseconds = claims
            .required("iat")?
            .as_f64()
            .filter(|seconds| (0.0..1e12).contains(seconds))
            // The fraction is one of milliseconds, which a double holds as long as that.
            .map(|seconds| (seconds * 1000.0).round() as u64)
            .ok_or(InvalidHead::Malformed("iat"))?;
        let max_age_seconds = claims.u64("max_age")?;
        let (least, most) = kind.max_age_bounds();
        if !(least..=most).contains(&max_age_seconds) {
            return Err(InvalidHead::MaxAge {
                seconds: max_age_seconds,
                least,
                most,
            });
        }
        if claims.u64("exp")? != (issued_at_milliseconds / 1000).saturating_add(max_age_seconds) {
            return Err(InvalidHead::Malformed("exp"));
        }
        let nonce = claims.optional_string("nonce")?;
        if nonce.as_deref().is_some_and(|nonce| !is_nonce(nonce)) {
            return Err(InvalidHead::Malformed("nonce"));
        }
        let head = Self {
            issuer: claims.string("iss")?,
            feed: claims.string("sub")?,
            issued_at_milliseconds,
            max_age_seconds,
            nonce,
            content: read_content(&mut claims)?,
        };
        if bytes_32(&claims.string("root")?, "root")? != head.content.root() {
            return Err(InvalidHead::Root);
        }
        Ok(head)
    }
}

/// Whether a text may be the nonce of a request and its head: 1 to 64 characters of base64url.
pub fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE_CHARACTERS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn read_content(claims: &mut Object) -> Result<Content, InvalidHead> {
    let salt = Salt::new(bytes_32(&claims.string("salt")?, "salt")?);
    let recent = base64url::decode(&claims.string("recent")?)
        .filter(|bytes| bytes.len() <= MAX_RECENT_RECORDS.saturating_mul(Record::BYTES))
        .ok_or(InvalidHead::Malformed("recent"))?;
    let recent = Record::read_all(&recent)
        .ok_or(InvalidHead::Malformed("recent"))?
        .collect();
    let kinds = match claims.optional_array("kinds")? {
        None => SelectorKinds::ALL,
        Some(numbers) => read_kinds(&numbers)?,
    };
    let entries = claims.array("segments")?;
    if entries.len() > MAX_SEGMENTS {
        return Err(InvalidHead::Malformed("segments"));
    }
    let mut segments: Vec<SegmentReference> = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = Object::new(entry, "a segment")?;
        let hash = bytes_32(&entry.string("hash")?, "segments")?;
        let count = u32::try_from(entry.u64("count")?).unwrap_or(0);
        if count == 0 || segments.iter().any(|known| known.hash == hash) {
            return Err(InvalidHead::Malformed("segments"));
        }
        segments.push(SegmentReference { hash, count });
    }
    Ok(Content {
        salt,
        kinds,
        recent,
        segments,
    })
}

/// The kinds of these numbers. One that is not known here is of selectors that nothing here has.
fn read_kinds(numbers: &[Value]) -> Result<SelectorKinds, InvalidHead> {
    if !numbers.iter().all(Value::is_u64) {
        return Err(InvalidHead::Malformed("kinds"));
    }
    let is_named = |kind: &SelectorKind| numbers.contains(&kind.byte().into());
    Ok(SelectorKind::ALL.into_iter().filter(is_named).collect())
}

fn bytes_32(text: &str, claim: &'static str) -> Result<[u8; 32], InvalidHead> {
    base64url::decode(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(InvalidHead::Malformed(claim))
}

/// Why claims are no [`Head`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHead {
    /// A claim is missing or has the wrong JSON type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A claim has a value that it cannot have.
    #[error("claim \"{0}\" of the head is malformed")]
    Malformed(&'static str),
    /// `max_age` is out of bounds.
    #[error("max_age of {seconds} s is not within {least} s and {most} s")]
    MaxAge {
        /// What the head says, in seconds.
        seconds: u64,
        /// The least that it may say, in seconds.
        least: u64,
        /// The most that it may say, in seconds.
        most: u64,
    },
    /// `root` is not that of the content.
    #[error("root of the head is not that of its content")]
    Root,
    /// The head has a claim of access tokens.
    #[error("claim \"{0}\" does not belong in a head")]
    RefusedClaim(&'static str),
}

#[cfg(test)]
mod tests;
