//! Which tokens a revocation takes back.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use serde_json::Value;

use super::{Digest, Salt};
use crate::excerpt::excerpt;

/// The most bytes of a [`SelectorValue`].
pub const MAX_SELECTOR_BYTES: usize = 512;

/// What the digest of most selectors is made of fits in so many bytes.
const USUAL_INPUT_BYTES: usize = 128;

/// How many audiences a token may have, and how many subjects, when its selectors are asked for.
pub const MAX_SELECTORS_PER_CLAIM: usize = 16;

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

    /// Which claims the selector looks at.
    pub const fn kind(&self) -> SelectorKind {
        match self {
            Self::Jti(_) => SelectorKind::Jti,
            Self::Session(_) => SelectorKind::Session,
            Self::Subject(_) => SelectorKind::Subject,
            Self::Client(_) => SelectorKind::Client,
            Self::Audience(_) => SelectorKind::Audience,
            Self::Issuer => SelectorKind::Issuer,
            Self::SubjectAndClient { .. } => SelectorKind::SubjectAndClient,
            Self::SubjectAndAudience { .. } => SelectorKind::SubjectAndAudience,
            Self::SubjectAndSession { .. } => SelectorKind::SubjectAndSession,
        }
    }

    /// Its values, as many as its kind has: none, one, or two of which the subject is the first.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Issuer => (None, None),
            Self::Jti(value)
            | Self::Session(value)
            | Self::Subject(value)
            | Self::Client(value)
            | Self::Audience(value) => (Some(value), None),
            Self::SubjectAndClient {
                subject,
                client: other,
            }
            | Self::SubjectAndAudience {
                subject,
                audience: other,
            }
            | Self::SubjectAndSession {
                subject,
                session: other,
            } => (Some(subject), Some(other)),
        };
        first.into_iter().chain(second).map(SelectorValue::as_str)
    }

    /// The digest under which the selector is published: the first 16 bytes of HMAC-SHA-256, with the
    /// salt as the key, over the byte of the kind and each value after its length (32 bits, big
    /// endian). So no two selectors are written alike, whatever stands in their values.
    pub fn digest(&self, salt: &Salt) -> Digest {
        let mut input = Vec::with_capacity(USUAL_INPUT_BYTES);
        input.push(self.kind().byte());
        for value in self.values() {
            // A value has at most 512 bytes.
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            input.extend_from_slice(&length.to_be_bytes());
            input.extend_from_slice(value.as_bytes());
        }
        Digest::of(&hmac::sign(salt.key(), &input))
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

    const fn byte(self) -> u8 {
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
        if text.is_empty() || text.len() > MAX_SELECTOR_BYTES {
            return Err(InvalidSelector::Length { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The value as text.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
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

/// A token has more audiences or subjects than [`MAX_SELECTORS_PER_CLAIM`], so that not all of its
/// selectors can be looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("claim \"{claim}\" names more than {MAX_SELECTORS_PER_CLAIM}")]
pub struct TooManySelectors {
    /// `aud` or `act`.
    pub claim: &'static str,
}

/// Every selector that matches a token: it is taken back if one of them is. Signers, verifiers and
/// everything between them ask this one function.
///
/// `claim` gives the token's claim of a name. A claim of another JSON type than its own, or with a
/// value that is no [`SelectorValue`], names nothing.
///
/// # Errors
///
/// [`TooManySelectors`]: such a token must neither be signed nor accepted, because one of its names
/// could be revoked without an effect.
pub fn selectors_of<'c>(
    claim: impl Fn(&str) -> Option<&'c Value>,
) -> Result<Vec<Selector>, TooManySelectors> {
    let value_of = |name: &str| claim(name).and_then(selector_value);
    let (jti, session, client) = (value_of("jti"), value_of("sid"), value_of("client_id"));
    let subjects = subjects(claim("sub"), claim("act"))?;
    let audiences = audiences(claim("aud"))?;

    let mut selectors = vec![Selector::Issuer];
    for subject in subjects {
        if let Some(client) = client.clone() {
            let subject = subject.clone();
            selectors.push(Selector::SubjectAndClient { subject, client });
        }
        if let Some(session) = session.clone() {
            let subject = subject.clone();
            selectors.push(Selector::SubjectAndSession { subject, session });
        }
        for audience in audiences.iter().cloned() {
            let subject = subject.clone();
            selectors.push(Selector::SubjectAndAudience { subject, audience });
        }
        selectors.push(Selector::Subject(subject));
    }
    selectors.extend(audiences.into_iter().map(Selector::Audience));
    selectors.extend(jti.map(Selector::Jti));
    selectors.extend(session.map(Selector::Session));
    selectors.extend(client.map(Selector::Client));
    Ok(selectors)
}

fn selector_value(value: &Value) -> Option<SelectorValue> {
    SelectorValue::parse(value.as_str()?).ok()
}

/// `sub`, and `sub` of each actor (RFC 8693 §4.1).
fn subjects(
    sub: Option<&Value>,
    act: Option<&Value>,
) -> Result<Vec<SelectorValue>, TooManySelectors> {
    let mut subjects: Vec<_> = sub.and_then(selector_value).into_iter().collect();
    let mut depth = 0;
    let mut actor = act;
    while let Some(Value::Object(members)) = actor {
        depth += 1;
        if depth >= MAX_SELECTORS_PER_CLAIM {
            return Err(TooManySelectors { claim: "act" });
        }
        subjects.extend(members.get("sub").and_then(selector_value));
        actor = members.get("act");
    }
    Ok(subjects)
}

fn audiences(aud: Option<&Value>) -> Result<Vec<SelectorValue>, TooManySelectors> {
    match aud {
        Some(Value::Array(elements)) if elements.len() > MAX_SELECTORS_PER_CLAIM => {
            Err(TooManySelectors { claim: "aud" })
        }
        Some(Value::Array(elements)) => Ok(elements.iter().filter_map(selector_value).collect()),
        Some(value) => Ok(selector_value(value).into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
