//! Who acts for whom (RFC 8693 §4.1, §4.4).

use serde_json::{Map, Value, json};

use super::{ExchangeRefusal, ShownToken, TokenParameter};
use crate::access::Client;

/// The most actors in one another.
const MOST_ACTORS: usize = 4;

/// Too many have acted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("act would have more than {MOST_ACTORS} actors in one another")]
pub struct ActTooDeep;

/// Who acts in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor<'a> {
    /// Its `sub`.
    pub subject: &'a str,
    /// The issuer that says so.
    pub issuer: &'a str,
}

impl<'a> Actor<'a> {
    /// The subject of the actor token, or the client where there is none. The token must not come of
    /// another actor, which would be lost.
    pub(super) fn of(
        token: Option<&'a ShownToken>,
        client: &'a Client,
        issuer: &'a str,
    ) -> Result<Self, ExchangeRefusal> {
        if token.is_some_and(|token| token.claim("act").is_some()) {
            return Err(ExchangeRefusal::Token {
                parameter: TokenParameter::Actor,
                why: "has an act of its own",
            });
        }
        Ok(Self {
            subject: token.map_or(&client.id, |token| token.subject(client)),
            issuer,
        })
    }
}

/// The `act` of the new token: the actor, and in it those that acted before. `None` if the client trades in a
/// token about itself.
pub(super) fn act(
    subject: &ShownToken,
    actor: &Actor<'_>,
    client: &Client,
    issuer: &str,
) -> Result<Option<Value>, ExchangeRefusal> {
    if let Some(may_act) = subject.claim("may_act")
        && !is_named(may_act, actor.subject, issuer)
    {
        return Err(ExchangeRefusal::OtherActor);
    }
    let before = subject.claim("act");
    if before.is_none() && subject.subject(client) == actor.subject {
        return Ok(None);
    }
    let mut act = json!({"sub": actor.subject, "iss": actor.issuer});
    if let (Some(before), Some(act)) = (before, act.as_object_mut()) {
        // A chain that is no chain is as bad as one that is too long.
        if depth(before).is_none_or(|depth| depth >= MOST_ACTORS) {
            return Err(ActTooDeep.into());
        }
        act.insert("act".to_owned(), before.clone());
    }
    Ok(Some(act))
}

/// How many actors stand in one another; `None` if one of them is no object.
fn depth(act: &Value) -> Option<usize> {
    let mut depth = 0;
    let mut next = Some(act);
    while let Some(actor) = next {
        next = actor.as_object()?.get("act");
        depth += 1;
    }
    Some(depth)
}

/// Whether `may_act` names the client with this id, whatever issuer it names.
pub(super) fn names(may_act: Option<&Value>, client: &str) -> bool {
    let subject = may_act.and_then(|may_act| may_act.get("sub"));
    subject.is_some_and(|subject| subject == client)
}

/// Whether `may_act` names an actor. One that says more than `sub` and `iss` names none: what it says
/// cannot be compared.
fn is_named(may_act: &Value, subject: &str, issuer: &str) -> bool {
    let Some(members) = may_act.as_object() else {
        return false;
    };
    let is = |members: &Map<String, Value>, name: &str, text: &str| {
        members.get(name).is_some_and(|value| value == text)
    };
    is(members, "sub", subject)
        && members.iter().all(|(name, _)| match name.as_str() {
            "sub" => true,
            "iss" => is(members, "iss", issuer),
            _ => false,
        })
}
