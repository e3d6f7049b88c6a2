//! Which tokens a revocation takes back.

use std::fmt;
use std::str::FromStr;

use ring::hmac;

use super::{Digest, Salt};
use crate::excerpt::excerpt;

/// The most bytes of a [`SelectorValue`].
pub const MAX_SELECTOR_BYTES: usize = 512;

/// Names the tokens that a revocation takes back: those whose claims have its values.
///
/// Its `Debug` shows the kind only, because the values are about people.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// The token whose `jti` this is.
    Jti(SelectorValue),
    /// Tokens of a session, by their `sid`.
    Session(SelectorValue),
    /// Tokens of or about a subject: `sub`, or `sub` of `act` at any depth (RFC 8693 §4.1).
    Subject(SelectorValue),
    /// Tokens of a client, by their `client_id`.
    Client(SelectorValue),
    /// Tokens for an audience: `aud`, or any element of it.
    Audience(SelectorValue),
    /// Every token of the issuer.
    Issuer,
    /// Tokens of a subject that a client got.
    SubjectAndClient {
        /// As in [`Selector::Subject`].
        subject: SelectorValue,
        /// As in [`Selector::Client`].
        client: SelectorValue,
    },
    /// Tokens of a subject for an audience.
    SubjectAndAudience {
        /// As in [`Selector::Subject`].
        subject: SelectorValue,
        /// As in [`Selector::Audience`].
        audience: SelectorValue,
    },
    /// Tokens of a subject in a session.
    SubjectAndSession {
        /// As in [`Selector::Subject`].
        subject: SelectorValue,
        /// As in [`Selector::Session`].
        session: SelectorValue,
    },
}

impl Selector {
    /// Makes a selector of `kind` from as many values as the kind has; in a pair the subject is first.
    ///
    /// # Errors
    ///
    /// [`InvalidSelector`].
    pub fn new(kind: SelectorKind, values: &[&str]) -> Result<Self, InvalidSelector> {
        let values: Vec<SelectorValue> = values
            .iter()
            .map(|value| SelectorValue::parse(value))
            .collect::<Result<_, _>>()?;
        let count = values.len();
        let mut values = values.into_iter();
        let selector = match (kind, values.next(), values.next(), values.next()) {
            (SelectorKind::Jti, Some(jti), None, None) => Self::Jti(jti),
            (SelectorKind::Session, Some(session), None, None) => Self::Session(session),
            (SelectorKind::Subject, Some(subject), None, None) => Self::Subject(subject),
            (SelectorKind::Client, Some(client), None, None) => Self::Client(client),
            (SelectorKind::Audience, Some(audience), None, None) => Self::Audience(audience),
            (SelectorKind::Issuer, None, None, None) => Self::Issuer,
            (SelectorKind::SubjectAndClient, Some(subject), Some(client), None) => {
                Self::SubjectAndClient { subject, client }
            }
            (SelectorKind::SubjectAndAudience, Some(subject), Some(audience), None) => {
                Self::SubjectAndAudience { subject, audience }
            }
            (SelectorKind::SubjectAndSession, Some(subject), Some(session), None) => {
                Self::SubjectAndSession { subject, session }
            }
            _ => return Err(InvalidSelector::Values { kind, count }),
        };
        Ok(selector)
    }

    /// The same, without owning its values.
    pub fn as_ref(&self) -> SelectorRef<'_> {
        use SelectorKind as Kind;
        let (kind, first, second) = match self {
            Self::Issuer => return SelectorRef::ISSUER,
            Self::Jti(jti) => (Kind::Jti, jti, None),
            Self::Session(session) => (Kind::Session, session, None),
            Self::Subject(subject) => (Kind::Subject, subject, None),
            Self::Client(client) => (Kind::Client, client, None),
            Self::Audience(audience) => (Kind::Audience, audience, None),
            Self::SubjectAndClient { subject, client } => {
                (Kind::SubjectAndClient, subject, Some(client))
            }
            Self::SubjectAndAudience { subject, audience } => {
                (Kind::SubjectAndAudience, subject, Some(audience))
            }
            Self::SubjectAndSession { subject, session } => {
                (Kind::SubjectAndSession, subject, Some(session))
            }
        };
        SelectorRef {
            kind,
            first: Some(first.as_str()),
            second: second.map(SelectorValue::as_str),
        }
    }

    /// Which claims the selector looks at.
    pub fn kind(&self) -> SelectorKind {
        self.as_ref().kind
    }

    /// Its values, as many as its kind has: none, one, or two of which the subject is the first.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.as_ref().values()
    }

    /// The digest under which the selector is published ([`SelectorRef::digest`]).
    pub fn digest(&self, salt: &Salt) -> Digest {
        self.as_ref().digest(salt)
    }
}

/// A [`Selector`] whose values stand elsewhere, such as in the claims of a token.
///
/// Its `Debug` shows the kind only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SelectorRef<'v> {
    kind: SelectorKind,
    first: Option<&'v str>,
    second: Option<&'v str>,
}

impl<'v> SelectorRef<'v> {
    /// [`Selector::Issuer`], which every token has.
    pub(super) const ISSUER: Self = Self {
        kind: SelectorKind::Issuer,
        first: None,
        second: None,
    };

    /// One of a kind that has one value, of 1 to [`MAX_SELECTOR_BYTES`] bytes.
    pub(super) const fn single(kind: SelectorKind, value: &'v str) -> Self {
        Self {
            kind,
            first: Some(value),
            second: None,
        }
    }

    /// A pair, of such values.
    pub(super) const fn pair(kind: SelectorKind, subject: &'v str, other: &'v str) -> Self {
        Self {
            kind,
            first: Some(subject),
            second: Some(other),
        }
    }

    /// Which claims the selector looks at.
    pub const fn kind(self) -> SelectorKind {
        self.kind
    }

    /// Its values, as [`Selector::values`].
    pub fn values(self) -> impl Iterator<Item = &'v str> {
        self.first.into_iter().chain(self.second)
    }

    /// The digest under which the selector is published: the first 16 bytes of HMAC-SHA-256, with the
    /// salt as the key, over the byte of the kind and each value after its length (32 bits, big
    /// endian). So no two selectors are written alike, whatever stands in their values.
    pub fn digest(self, salt: &Salt) -> Digest {
        let mut context = hmac::Context::with_key(salt.key());
        context.update(&[self.kind.byte()]);
        for value in self.values() {
            // A value has at most 512 bytes.
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            context.update(&length.to_be_bytes());
            context.update(value.as_bytes());
        }
        Digest::of(&context.sign())
    }
}

impl fmt::Debug for SelectorRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("SelectorRef")
            .field(&self.kind)
            .finish()
    }
}

impl From<SelectorRef<'_>> for Selector {
    fn from(selector: SelectorRef<'_>) -> Self {
        let own = |value: Option<&str>| SelectorValue(value.unwrap_or_default().into());
        let (first, second) = (own(selector.first), || own(selector.second));
        match selector.kind {
            SelectorKind::Issuer => Self::Issuer,
            SelectorKind::Jti => Self::Jti(first),
            SelectorKind::Session => Self::Session(first),
            SelectorKind::Subject => Self::Subject(first),
            SelectorKind::Client => Self::Client(first),
            SelectorKind::Audience => Self::Audience(first),
            SelectorKind::SubjectAndClient => Self::SubjectAndClient {
                subject: first,
                client: second(),
            },
            SelectorKind::SubjectAndAudience => Self::SubjectAndAudience {
                subject: first,
                audience: second(),
            },
            SelectorKind::SubjectAndSession => Self::SubjectAndSession {
                subject: first,
                session: second(),
            },
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Selector")
            .field(&self.kind())
            .finish()
    }
}

/// Which claims a [`Selector`] looks at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SelectorKind {
    /// [`Selector::Jti`].
    Jti,
    /// [`Selector::Session`].
    Session,
    /// [`Selector::Subject`].
    Subject,
    /// [`Selector::Client`].
    Client,
    /// [`Selector::Audience`].
    Audience,
    /// [`Selector::Issuer`].
    Issuer,
    /// [`Selector::SubjectAndClient`].
    SubjectAndClient,
    /// [`Selector::SubjectAndAudience`].
    SubjectAndAudience,
    /// [`Selector::SubjectAndSession`].
    SubjectAndSession,
}

impl SelectorKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Jti,
        Self::Session,
        Self::Subject,
        Self::Client,
        Self::Audience,
        Self::Issuer,
        Self::SubjectAndClient,
        Self::SubjectAndAudience,
        Self::SubjectAndSession,
    ];

    /// Its word: `jti`, `session`, `subject`, `client`, `audience`, `issuer`, `subject+client`,
    /// `subject+audience` or `subject+session`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::SubjectAndClient => "subject+client",
            Self::SubjectAndAudience => "subject+audience",
            Self::SubjectAndSession => "subject+session",
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Jti => 1,
            Self::Session => 2,
            Self::Subject => 3,
            Self::Client => 4,
            Self::Audience => 5,
            Self::Issuer => 6,
            Self::SubjectAndClient => 7,
            Self::SubjectAndAudience => 8,
            Self::SubjectAndSession => 9,
        }
    }
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for SelectorKind {
    type Err = UnknownSelectorKind;

    /// Parses the word of a kind, byte for byte.
    fn from_str(text: &str) -> Result<Self, UnknownSelectorKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownSelectorKind(excerpt(text, 32)))
    }
}

/// A word that is not one of [`SelectorKind::ALL`]. Holds at most 32 characters of it, escaped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not a kind of selector")]
pub struct UnknownSelectorKind(String);

/// A value of a claim in a [`Selector`]: 1 to [`MAX_SELECTOR_BYTES`] bytes, compared byte for byte.
///
/// Its `Debug` shows nothing of it, because it may name a person.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectorValue(Box<str>);

impl SelectorValue {
    /// Checks the length. Nothing is trimmed or folded.
    ///
    /// # Errors
    ///
    /// [`InvalidSelector::Length`].
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        if !is_selector_value(text) {
            return Err(InvalidSelector::Length { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The value as text.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may be a [`SelectorValue`].
pub(super) const fn is_selector_value(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SELECTOR_BYTES
}

impl fmt::Debug for SelectorValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SelectorValue")
            .finish_non_exhaustive()
    }
}

/// Why something is no [`Selector`]. Never holds a value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSelector {
    /// A value is empty or too long.
    #[error("a selector's value of {bytes} bytes does not have 1 to {MAX_SELECTOR_BYTES}")]
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// The kind has another number of values.
    #[error("a selector of the kind {kind} does not have {count} values")]
    Values {
        /// The kind.
        kind: SelectorKind,
        /// How many values there were.
        count: usize,
    },
}

#[cfg(test)]
mod tests;
