//! Every selector of a token, without copying a claim.

use std::iter;

use super::selector::is_selector_value;
use super::{SelectorKind, SelectorRef};
use crate::json::AnyValue;

/// How many audiences a token may have, and how many subjects, when its selectors are asked for.
pub const MAX_SELECTORS_PER_CLAIM: usize = 16;

/// The claim of a token that was exchanged for others: an array of their `jti`, the nearest first. The
/// issuer alone sets it. Taking back one of them takes back the token.
pub const ANCESTORS_CLAIM: &str = "ancestor_jtis";

/// How many ancestors a token may have.
pub const MAX_ANCESTORS: usize = 4;

/// The values of a token that selectors are about.
#[derive(Clone, Debug)]
pub struct TokenSelectors<'c> {
    jti: Option<&'c str>,
    ancestors: Ancestors<'c>,
    session: Option<&'c str>,
    client: Option<&'c str>,
    subjects: Names<'c>,
    audiences: Names<'c>,
}

/// Every selector that matches a token: it is taken back if one of them is. Signers, verifiers and
/// everything between them ask this one function.
///
/// `claim` gives the token's claim of a name. A claim of another JSON type than its own, or with a
/// value that is no [`SelectorValue`](super::SelectorValue), names nothing.
///
/// # Errors
///
/// [`TooManySelectors`]: such a token must neither be signed nor accepted, because one of its names
/// could be revoked without an effect.
pub fn selectors_of<'c, V: AnyValue + 'c>(
    claim: impl Fn(&str) -> Option<&'c V>,
) -> Result<TokenSelectors<'c>, TooManySelectors> {
    let value_of = |name: &str| claim(name).and_then(selector_value);
    Ok(TokenSelectors {
        jti: value_of("jti"),
        ancestors: ancestors(claim(ANCESTORS_CLAIM))?,
        session: value_of("sid"),
        client: value_of("client_id"),
        subjects: subjects(claim("sub"), claim("act"))?,
        audiences: audiences(claim("aud"))?,
    })
}

impl<'c> TokenSelectors<'c> {
    /// The selectors.
    pub fn iter(&self) -> impl Iterator<Item = SelectorRef<'c>> {
        use SelectorKind as Kind;
        let pairs = [
            (Kind::SubjectAndClient, self.client),
            (Kind::SubjectAndSession, self.session),
        ];
        let of_subject = move |subject| {
            let pairs = pairs.into_iter().filter_map(move |(kind, other)| {
                other.map(|other| SelectorRef::pair(kind, subject, other))
            });
            let audiences = self.audiences.iter();
            let audiences = audiences
                .map(move |other| SelectorRef::pair(Kind::SubjectAndAudience, subject, other));
            let alone = SelectorRef::single(Kind::Subject, subject);
            pairs.chain(audiences).chain(iter::once(alone))
        };
        let others = [
            (Kind::Jti, self.jti),
            (Kind::Session, self.session),
            (Kind::Client, self.client),
        ];
        let others = others
            .into_iter()
            .filter_map(|(kind, value)| value.map(|value| SelectorRef::single(kind, value)));
        let ancestors = self.ancestors.into_iter().flatten();
        let ancestors = ancestors.map(|jti| SelectorRef::single(Kind::Jti, jti));
        let audiences = self.audiences.iter();
        let audiences = audiences.map(|audience| SelectorRef::single(Kind::Audience, audience));
        iter::once(SelectorRef::ISSUER)
            .chain(self.subjects.iter().flat_map(of_subject))
            .chain(audiences)
            .chain(others)
            .chain(ancestors)
    }
}

#[cfg(test)]
impl<'c> TokenSelectors<'c> {
    /// Those of a token that has a subject and nothing else.
    pub(crate) fn of_subject(name: &'c str) -> Self {
        let mut subjects = Names::default();
        subjects.names[0] = name;
        subjects.count = 1;
        Self {
            jti: None,
            ancestors: Ancestors::default(),
            session: None,
            client: None,
            subjects,
            audiences: Names::default(),
        }
    }
}

/// Those that the token has come first.
type Ancestors<'c> = [Option<&'c str>; MAX_ANCESTORS];

/// At most [`MAX_SELECTORS_PER_CLAIM`] of them.
#[derive(Clone, Default, Debug)]
struct Names<'c> {
    names: [&'c str; MAX_SELECTORS_PER_CLAIM],
    count: usize,
}

impl<'c> Names<'c> {
    fn iter(&self) -> impl Iterator<Item = &'c str> + Clone {
        self.names.iter().take(self.count).copied()
    }

    /// Adds a claim, if it names anything. Those that hold no more are not asked to.
    fn add(&mut self, value: &'c impl AnyValue) {
        if let Some(name) = selector_value(value)
            && let Some(place) = self.names.get_mut(self.count)
        {
            *place = name;
            self.count += 1;
        }
    }
}

fn selector_value(value: &impl AnyValue) -> Option<&str> {
    value.as_str().filter(|text| is_selector_value(text))
}

/// `sub`, and `sub` of each actor (RFC 8693 §4.1).
fn subjects<'c, V: AnyValue>(
    sub: Option<&'c V>,
    act: Option<&'c V>,
) -> Result<Names<'c>, TooManySelectors> {
    let mut subjects = Names::default();
    sub.into_iter().for_each(|sub| subjects.add(sub));
    let mut depth = 0;
    let mut actor = act;
    while let Some(members) = actor.filter(|actor| actor.is_object()) {
        depth += 1;
        if depth >= MAX_SELECTORS_PER_CLAIM {
            return Err(too_many("act"));
        }
        members
            .member("sub")
            .into_iter()
            .for_each(|sub| subjects.add(sub));
        actor = members.member("act");
    }
    Ok(subjects)
}

fn ancestors(claim: Option<&impl AnyValue>) -> Result<Ancestors<'_>, TooManySelectors> {
    let mut ancestors = Ancestors::default();
    let elements = claim.and_then(AnyValue::as_elements).unwrap_or_default();
    if elements.len() > MAX_ANCESTORS {
        return Err(TooManySelectors {
            claim: ANCESTORS_CLAIM,
            most: MAX_ANCESTORS,
        });
    }
    for (place, jti) in ancestors.iter_mut().zip(elements) {
        *place = selector_value(jti);
    }
    Ok(ancestors)
}

fn audiences(aud: Option<&impl AnyValue>) -> Result<Names<'_>, TooManySelectors> {
    let mut audiences = Names::default();
    let Some(aud) = aud else {
        return Ok(audiences);
    };
    match aud.as_elements() {
        Some(elements) if elements.len() > MAX_SELECTORS_PER_CLAIM => {
            return Err(too_many("aud"));
        }
        Some(elements) => elements.iter().for_each(|one| audiences.add(one)),
        None => audiences.add(aud),
    }
    Ok(audiences)
}

const fn too_many(claim: &'static str) -> TooManySelectors {
    TooManySelectors {
        claim,
        most: MAX_SELECTORS_PER_CLAIM,
    }
}

/// A token has more audiences or subjects than [`MAX_SELECTORS_PER_CLAIM`], or more ancestors than
/// [`MAX_ANCESTORS`], so that not all of its selectors can be looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("claim \"{claim}\" names more than {most}")]
pub struct TooManySelectors {
    /// `aud`, `act` or [`ANCESTORS_CLAIM`].
    pub claim: &'static str,
    /// How many it may name.
    pub most: usize,
}

#[cfg(test)]
mod tests;
