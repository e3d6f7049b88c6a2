//! A revocation as the store has it, and its selector as the interfaces spell it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_api::RevocationSelector;
use keywright_verifier::revocation::{self, Digest, Salt, Selector, SelectorKind, SelectorValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status_list::StatusEntry;
use super::{Ban, ErasedSelector, Revocation, RevokedSelector, State};
use crate::lifecycle::Timestamp;
use crate::stored_document::{Format, InvalidRecord, RecordName};

/// Why members name no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// None, or several that are no pair.
    #[error(
        "name one of jti, session, subject, client, audience and issuer, or subject together with \
         session, client or audience"
    )]
    Members,
    /// `issuer` is not `true`.
    #[error("issuer is true, or left out")]
    Issuer,
    /// A value is empty or too long.
    #[error(transparent)]
    Value(#[from] revocation::InvalidSelector),
}

/// Reads the members that say which tokens are meant.
///
/// # Errors
/// [`InvalidSelector`].
pub fn selector_of(document: &RevocationSelector) -> Result<Selector, InvalidSelector> {
    use SelectorKind as Kind;
    let RevocationSelector {
        jti,
        session,
        subject,
        client,
        audience,
        issuer,
    } = document;
    if *issuer == Some(false) {
        return Err(InvalidSelector::Issuer);
    }
    let texts = [subject, jti, session, client, audience].map(Option::as_deref);
    let values: Vec<&str> = texts.iter().copied().flatten().collect();
    let kind = match (texts, issuer) {
        ([None, Some(_), None, None, None], None) => Kind::Jti,
        ([None, None, Some(_), None, None], None) => Kind::Session,
        ([Some(_), None, None, None, None], None) => Kind::Subject,
        ([None, None, None, Some(_), None], None) => Kind::Client,
        ([None, None, None, None, Some(_)], None) => Kind::Audience,
        ([None, None, None, None, None], Some(_)) => Kind::Issuer,
        ([Some(_), None, Some(_), None, None], None) => Kind::SubjectAndSession,
        ([Some(_), None, None, Some(_), None], None) => Kind::SubjectAndClient,
        ([Some(_), None, None, None, Some(_)], None) => Kind::SubjectAndAudience,
        _ => return Err(InvalidSelector::Members),
    };
    Ok(Selector::new(kind, &values)?)
}

/// The members that name the tokens of a selector.
pub fn selector_document(selector: &Selector) -> RevocationSelector {
    let some = |value: &SelectorValue| Some(value.as_str().to_owned());
    let mut document = RevocationSelector::default();
    match selector {
        Selector::Jti(jti) => document.jti = some(jti),
        Selector::Session(session) => document.session = some(session),
        Selector::Subject(subject) => document.subject = some(subject),
        Selector::Client(client) => document.client = some(client),
        Selector::Audience(audience) => document.audience = some(audience),
        Selector::Issuer => document.issuer = Some(true),
        Selector::SubjectAndClient { subject, client } => {
            (document.subject, document.client) = (some(subject), some(client));
        }
        Selector::SubjectAndAudience { subject, audience } => {
            (document.subject, document.audience) = (some(subject), some(audience));
        }
        Selector::SubjectAndSession { subject, session } => {
            (document.subject, document.session) = (some(subject), some(session));
        }
    }
    document
}

/// Instants in milliseconds, `issued_before` in seconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    /// Without members where it was erased.
    selector: RevocationSelector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erased: Option<ErasedDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<Closed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ban: Option<BanDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    by: Value,
    client: String,
    created_at: u64,
    changed_at: u64,
}

/// The salt and the digest in base64url.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasedDocument {
    kind: String,
    salt: String,
    digest: String,
    event_hash: String,
    /// The list and the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<(u32, u32)>,
    /// Of a pair, where tokens are tracked: the digest of its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

impl ErasedDocument {
    fn of(erased: &ErasedSelector) -> Self {
        Self {
            kind: erased.kind.as_str().to_owned(),
            salt: URL_SAFE_NO_PAD.encode(erased.salt.as_bytes()),
            digest: URL_SAFE_NO_PAD.encode(erased.digest.as_bytes()),
            event_hash: erased.event_hash.clone(),
            status: erased.status.map(|entry| (entry.list, entry.index)),
            subject: (erased.subject).map(|digest| URL_SAFE_NO_PAD.encode(digest.as_bytes())),
        }
    }

    fn read(&self) -> Option<ErasedSelector> {
        Some(ErasedSelector {
            kind: self.kind.parse().ok()?,
            salt: Salt::new(bytes_of(&self.salt)?),
            digest: Digest::new(bytes_of(&self.digest)?),
            event_hash: self.event_hash.clone(),
            status: self.status.map(|(list, index)| StatusEntry { list, index }),
            subject: match &self.subject {
                Some(digest) => Some(Digest::new(bytes_of(digest)?)),
                None => None,
            },
        })
    }
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closed {
    issued_before: u64,
    expires_at: u64,
}

/// For how long matching tokens are not signed, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BanDocument {
    /// Until it is lifted.
    UntilLifted,
    /// Until then, in milliseconds.
    Until(u64),
}

impl From<Ban> for BanDocument {
    fn from(ban: Ban) -> Self {
        match ban {
            Ban::UntilLifted => Self::UntilLifted,
            Ban::Until(end) => Self::Until(end.millis()),
        }
    }
}

impl From<BanDocument> for Ban {
    fn from(document: BanDocument) -> Self {
        match document {
            BanDocument::UntilLifted => Self::UntilLifted,
            BanDocument::Until(end) => Self::Until(Timestamp::from_millis(end)),
        }
    }
}

impl Revocation {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let (selector, erased) = match &self.selector {
            RevokedSelector::Known(selector) => (selector_document(selector), None),
            RevokedSelector::Erased(erased) => (
                RevocationSelector::default(),
                Some(ErasedDocument::of(erased)),
            ),
        };
        let document = Document {
            format: Format,
            selector,
            erased,
            closed: match self.state {
                State::Open => None,
                State::Closed {
                    issued_before,
                    expires_at,
                } => Some(Closed {
                    issued_before,
                    expires_at: expires_at.millis(),
                }),
            },
            ban: self.ban.map(BanDocument::from),
            reason: self.reason.clone(),
            by: self.by.clone(),
            client: self.client.clone(),
            created_at: self.created_at.millis(),
            changed_at: self.changed_at.millis(),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored under this id.
    ///
    /// # Errors
    /// [`InvalidRecord`].
    pub fn from_document(id: &str, document: &str) -> Result<Self, InvalidRecord> {
        let record = RecordName {
            kind: "revocation",
            id,
        };
        let document: Document = record.read(document)?;
        let selector = match &document.erased {
            None => selector_of(&document.selector)
                .map(RevokedSelector::Known)
                .map_err(|error| record.invalid(error.to_string()))?,
            Some(erased) if document.selector == RevocationSelector::default() => erased
                .read()
                .map(|erased| RevokedSelector::Erased(Box::new(erased)))
                .ok_or_else(|| record.invalid("what is left of its selector is malformed"))?,
            Some(_) => return Err(record.invalid("it is erased, and has its selector")),
        };
        Ok(Self {
            id: id.to_owned(),
            selector,
            state: match document.closed {
                None => State::Open,
                Some(Closed {
                    issued_before,
                    expires_at,
                }) => State::Closed {
                    issued_before,
                    expires_at: Timestamp::from_millis(expires_at),
                },
            },
            ban: document.ban.map(Ban::from),
            reason: document.reason,
            by: document.by,
            client: document.client,
            created_at: Timestamp::from_millis(document.created_at),
            changed_at: Timestamp::from_millis(document.changed_at),
        })
    }
}
