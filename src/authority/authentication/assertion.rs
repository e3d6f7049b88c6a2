//! Proofs that are signed: assertions of clients that have keys, and tokens of trusted issuers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::{Fault, Jws, JwsError, Verified, Verifier, VerifyError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AuthenticationMethod, Authenticator, KnownIssuer, Unauthenticated};
use crate::authority::clients::{ClientMatch, ClientState, Clients, LARGEST_ASSERTION};
use crate::authority::replay::Consumption;
use crate::lifecycle::Timestamp;
use crate::printable::{is_hidden, push_escape};

/// The longest life of an assertion that a client signs itself.
const LONGEST_ASSERTION: Duration = Duration::from_secs(300);

/// How far the `iat` of an assertion may lie ahead, for clocks that are not quite the same.
const MOST_AHEAD: Duration = Duration::from_secs(5);

/// The longest `jti`, in bytes.
const LONGEST_JTI: usize = 128;

#[derive(Deserialize)]
struct Assertion {
    sub: String,
    aud: Value,
    jti: String,
    iat: u64,
    exp: u64,
}

/// For whom an assertion must be that a client signs itself.
#[derive(Clone, Copy)]
pub(super) enum ExpectedAudience<'a> {
    /// `aud` is this or contains it; without it, no assertion is accepted.
    Contains(Option<&'a str>),
    /// `aud` has no other values than these, so that no other server can use the assertion.
    Only([&'a str; 2]),
}

impl ExpectedAudience<'_> {
    fn admits(self, audience: &Value) -> bool {
        let values = match audience {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        match self {
            Self::Contains(expected) => expected.is_some_and(|expected| {
                let mut values = values.iter();
                values.any(|value| value.as_str() == Some(expected))
            }),
            Self::Only(expected) => {
                let is_expected = |value: &Value| {
                    let text = value.as_str();
                    text.is_some_and(|text| expected.contains(&text))
                };
                !values.is_empty() && values.iter().all(is_expected)
            }
        }
    }
}

/// A token of a trusted issuer that is not verified.
pub(super) enum Unverified {
    /// It is not good.
    Refused(VerifyError),
    /// It may be good: the keys that would tell cannot be waited for.
    Undecided(VerifyError),
}

impl KnownIssuer {
    /// Verifies a token by the keys at hand, or by those that the issuer is asked for.
    pub(super) async fn verify<C: DeserializeOwned>(
        &self,
        verifier: &Verifier,
        text: &str,
        now: Timestamp,
    ) -> Result<Verified<C>, Unverified> {
        let at = UNIX_EPOCH + Duration::from_millis(now.millis());
        let verified = match verifier.verify_with_held_keys(text, at) {
            Err(error @ (VerifyError::Keys(_) | VerifyError::Token(JwsError::UnknownKey))) => {
                let fetched = self.wait.wait_for(verifier.verify_at(text, at), now);
                fetched.await.ok_or(Unverified::Undecided(error))?
            }
            decided => decided,
        };
        verified.map_err(Unverified::Refused)
    }
}

impl Authenticator {
    /// The client of a signed token, which is the one that is `named`, if one is. The issuer that the
    /// token names without proof decides whose keys are tried, and nothing else.
    pub(super) async fn with_assertion(
        &self,
        clients: &Clients,
        named: Option<&str>,
        text: &str,
        expected: ExpectedAudience<'_>,
        now: Timestamp,
    ) -> Result<(Arc<ClientState>, AuthenticationMethod), RefusedToken> {
        let claims = Jws::parse(text, LARGEST_ASSERTION).and_then(|jws| jws.unverified_claims());
        let claims = claims.map_err(|error| RefusedToken::verification(None, &error.into()))?;
        let Some(issuer) = claims.get("iss").and_then(Value::as_str) else {
            return Err(RefusedToken::invalid(None, "no-issuer", "it has no iss"));
        };
        let is_other = |live: &ClientState| named.is_some_and(|named| named != live.client.id);
        let other = |issuer: &str| {
            let detail = "its client is not the one that client_id names";
            RefusedToken::invalid(Some(issuer), "wrong-client", detail)
        };
        if let Some(live) = clients.find(issuer) {
            if is_other(&live) {
                return Err(other(issuer));
            }
            return self.with_own_assertion(live, text, expected, now).await;
        }
        let (live, via, _) = self.with_workload(clients, issuer, text, now).await?;
        match is_other(&live) {
            true => Err(other(issuer)),
            false => Ok((live, via)),
        }
    }

    /// The client whose workload a token of a trusted issuer names, and what the token says.
    pub(super) async fn with_workload(
        &self,
        clients: &Clients,
        issuer: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<(Arc<ClientState>, AuthenticationMethod, Value), RefusedToken> {
        let trusted = &self.trusted;
        let (Some(known), Some(verifier)) = (trusted.by_url.get(issuer), &trusted.verifier) else {
            let detail = format!(
                "no client and no trusted issuer has its iss {}",
                shown(issuer)
            );
            return Err(RefusedToken::invalid(None, "wrong-issuer", detail));
        };
        let name = &known.name;
        let verified = known.verify::<Value>(verifier, text, now).await;
        let verified = verified.map_err(|unverified| match unverified {
            Unverified::Refused(error) => RefusedToken::verification(Some(name), &error),
            Unverified::Undecided(error) => RefusedToken {
                outcome: Unauthenticated::Undecidable,
                ..RefusedToken::verification(Some(name), &error)
            },
        });
        let claims = verified?.claims;
        let subject = claims.get("sub").and_then(Value::as_str);
        match clients.with_workload(name, &claims) {
            ClientMatch::One(live) => {
                let subject = subject.map(|subject| subject.chars().take(256).collect());
                let via = AuthenticationMethod::Workload {
                    issuer: name.clone(),
                    subject,
                };
                Ok((live, via, claims))
            }
            ClientMatch::None => {
                let subject = shown(subject.unwrap_or_default());
                let detail = format!("no client's workloads match its claims (sub {subject})");
                Err(RefusedToken::invalid(Some(name), "no-client", detail))
            }
            ClientMatch::Several => {
                let detail = "the workloads of several clients match its claims";
                Err(RefusedToken::invalid(Some(name), "several-clients", detail))
            }
        }
    }

    /// `private_key_jwt`: RFC 7523 §3 with `sub` = `iss` = the client, short-lived, and used once.
    ///
    /// The memory of what was used is this process's, so an assertion must count as one from before
    /// the next start once it has been used. One that was issued a little ahead waits until then.
    async fn with_own_assertion(
        &self,
        live: Arc<ClientState>,
        text: &str,
        expected: ExpectedAudience<'_>,
        now: Timestamp,
    ) -> Result<(Arc<ClientState>, AuthenticationMethod), RefusedToken> {
        let id = live.client.id.clone();
        let refuse = |code, detail: &str| RefusedToken::invalid(Some(&id), code, detail);
        let Some(verifier) = live.assertions.as_ref() else {
            return Err(refuse("no-keys", "the client has no jwks"));
        };
        let at = UNIX_EPOCH + Duration::from_millis(now.millis());
        let verified = verifier.verify_with_held_keys(text, at);
        let verified = verified.map_err(|error| RefusedToken::verification(Some(&id), &error));
        let Assertion {
            sub,
            aud,
            jti,
            iat,
            exp,
        } = verified?.claims;
        if !expected.admits(&aud) {
            return Err(refuse("wrong-audience", "its aud is not this service"));
        }
        let begin = iat.min(now.floor_seconds());
        let ahead = Timestamp::from_seconds(iat).since(now);
        if sub != id {
            return Err(refuse("wrong-subject", "its sub is not its iss"));
        }
        if exp.saturating_sub(begin) > LONGEST_ASSERTION.as_secs() {
            return Err(refuse(
                "lives-too-long",
                "it is valid for more than 5 minutes",
            ));
        }
        // A second has two halves: what was issued in the second of the start may be from before.
        if iat <= self.started_at.floor_seconds() {
            return Err(refuse(
                "before-start",
                "it was issued before this process started",
            ));
        }
        if ahead > MOST_AHEAD {
            return Err(refuse(
                "token-not-yet-valid",
                "its iat is more than 5 s ahead",
            ));
        }
        if !(1..=LONGEST_JTI).contains(&jti.len()) {
            return Err(refuse(
                "invalid-jti",
                "its jti does not have 1 to 128 bytes",
            ));
        }
        match live.used.consume(&jti, Timestamp::from_seconds(exp), now) {
            Consumption::Accepted => {
                self.clock.wait_for(ahead).await;
                Ok((live, AuthenticationMethod::Assertion { jti }))
            }
            Consumption::Replayed => Err(refuse("replayed", "its jti was used before")),
            Consumption::Full => Err(RefusedToken {
                outcome: Unauthenticated::Undecidable,
                ..refuse("too-many-assertions", "no more jti can be remembered")
            }),
        }
    }
}

/// A token that proves nothing, and why: for the log alone, so that an attacker learns nothing.
pub(super) struct RefusedToken {
    pub(super) outcome: Unauthenticated,
    /// The name of the trusted issuer or the id of the client, where one is known.
    issuer: Option<String>,
    code: &'static str,
    detail: String,
}

impl RefusedToken {
    fn invalid(issuer: Option<&str>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            outcome: Unauthenticated::Invalid,
            issuer: issuer.map(str::to_owned),
            code,
            detail: detail.into(),
        }
    }

    fn verification(issuer: Option<&str>, error: &VerifyError) -> Self {
        let outcome = match error.fault() {
            Fault::Keys => Unauthenticated::Undecidable,
            _ => Unauthenticated::Invalid,
        };
        Self {
            outcome,
            ..Self::invalid(issuer, error.code(), error.to_string())
        }
    }

    /// One that cannot be decided costs its author nothing, so that it is logged for debugging alone;
    /// the fetch that failed has been logged.
    pub(super) fn log(self, address: Option<IpAddr>) {
        if self.outcome == Unauthenticated::Undecidable {
            tracing::debug!(code = self.code, "a caller's token cannot be decided on");
            return;
        }
        tracing::info!(
            issuer = self.issuer,
            code = self.code,
            detail = self.detail,
            address = address.map(tracing::field::display),
            "a caller's token is refused"
        );
    }
}

/// A text of a token for the log: at most 200 characters, in quotes, none of them hidden.
fn shown(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars().take(200) {
        if is_hidden(character) {
            push_escape(&mut shown, character);
        } else {
            shown.push(character);
        }
    }
    shown.push('"');
    shown
}
