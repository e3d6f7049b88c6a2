//! Which tokens a revocation is about, also when no operator shall know it any more.

use keywright_verifier::revocation::{Digest, Salt, Selector, SelectorKind};

use super::status_list::StatusEntry;

/// Which tokens a revocation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedSelector {
    /// The tokens of a selector.
    Known(Selector),
    /// Those of one whose values were erased.
    Erased(Box<ErasedSelector>),
}

/// What is left of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedSelector {
    /// Which claims it looks at.
    pub kind: SelectorKind,
    /// The key of the digest.
    pub salt: Salt,
    /// Its digest, by which signers and verifiers go on.
    pub digest: Digest,
    /// The keyed hash by which the audit log names it.
    pub event_hash: String,
    /// The entry of the status list that its token has, which only the `jti` said.
    pub status: Option<StatusEntry>,
    /// The digest of the subject that was in a pair, by which tracked tokens are found. Left out where none
    /// are tracked.
    pub subject: Option<Digest>,
}

impl RevokedSelector {
    /// Which claims it looks at.
    pub fn kind(&self) -> SelectorKind {
        match self {
            Self::Known(selector) => selector.kind(),
            Self::Erased(erased) => erased.kind,
        }
    }

    /// The selector, unless it was erased.
    pub fn known(&self) -> Option<&Selector> {
        match self {
            Self::Known(selector) => Some(selector),
            Self::Erased(_) => None,
        }
    }

    /// The digest by which the tracked tokens are found that it may be about; `None` where none are.
    pub fn tracked_by(&self, salt: &Salt) -> Option<Digest> {
        match self {
            Self::Known(selector) => tracked_by(selector, salt),
            Self::Erased(erased) if erased.salt != *salt => None,
            Self::Erased(erased) => match erased.kind {
                SelectorKind::Subject | SelectorKind::Session => Some(erased.digest),
                _ => erased.subject,
            },
        }
    }

    /// Its kind and its digest with this salt. `None` for one that was erased under another salt, as
    /// after a restore without the store's secret: no process knows which tokens it is about.
    pub fn digest(&self, salt: &Salt) -> Option<(SelectorKind, Digest)> {
        match self {
            Self::Known(selector) => Some((selector.kind(), selector.digest(salt))),
            Self::Erased(erased) => (erased.salt == *salt).then_some((erased.kind, erased.digest)),
        }
    }
}

/// The digest of the subject or of the session that a selector names, by which tracked tokens are found.
pub fn tracked_by(selector: &Selector, salt: &Salt) -> Option<Digest> {
    match selector {
        Selector::Subject(_) | Selector::Session(_) => Some(selector.digest(salt)),
        Selector::SubjectAndClient { subject, .. }
        | Selector::SubjectAndAudience { subject, .. }
        | Selector::SubjectAndSession { subject, .. } => {
            Some(Selector::Subject(subject.clone()).digest(salt))
        }
        Selector::Jti(_) | Selector::Client(_) | Selector::Audience(_) | Selector::Issuer => None,
    }
}

impl From<Selector> for RevokedSelector {
    fn from(selector: Selector) -> Self {
        Self::Known(selector)
    }
}

impl ErasedSelector {
    /// What is left of this selector under this salt, without the entry of a status list.
    pub fn of(selector: &Selector, salt: &Salt, event_hash: String) -> Self {
        Self {
            kind: selector.kind(),
            salt: salt.clone(),
            digest: selector.digest(salt),
            event_hash,
            status: None,
            subject: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_selector_has_its_digest_under_its_own_salt_alone() {
        let user = Selector::new(SelectorKind::Subject, &["user-1"]).unwrap();
        let (salt, other) = (Salt::new([1; 32]), Salt::new([2; 32]));
        let known = RevokedSelector::from(user.clone());
        let erased =
            RevokedSelector::Erased(Box::new(ErasedSelector::of(&user, &salt, String::new())));
        assert_eq!((known.known(), erased.known()), (Some(&user), None));
        assert_eq!(erased.kind(), SelectorKind::Subject);
        assert_eq!(erased.digest(&salt), known.digest(&salt));
        assert_eq!(erased.digest(&other), None);
        assert!(!format!("{erased:?}").contains("user-1"));
    }
}
