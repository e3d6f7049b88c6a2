//! The OAuth endpoints of an issuer.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription, example};
use super::tokens;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// `POST …/token`.
pub(in crate::http) fn token() -> Operation {
    let own = json!({"grant_type": "client_credentials", "audience": "https://orders.example"});
    let token = json!({
        "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6IjAxZGhO…", "token_type": "Bearer", "expires_in": 900,
    });
    endpoint(Operation::new(
        Area::Oauth,
        "requestToken",
        "Request a token",
    ))
    .text(
        "RFC 6749 §3.2: a client's own token, the next one of a grant, or one for a token that is traded \
         in (RFC 8693, RFC 7523 §2.1). A refresh token is used once; its response has the next one. A \
         token that is traded in is not used up. With a proof in the header `DPoP` (RFC 9449) the token \
         is bound to the proof's key. With `oauth.dpop_nonce` each response has the nonce of the next \
         proof in `DPoP-Nonce`.",
    )
    .form::<api::TokenForm>([example("own", own)])
    .answers(
        ResponseDescription::json::<api::AccessToken>(ResponseStatus::Ok, "The token.", token)
            .headers(&["RateLimit", "RateLimit-Policy"]),
    )
    .refuses(&tokens::REFUSALS)
    .refuses(&[
        Code::UnknownGrantType,
        Code::InvalidScope,
        Code::InvalidTarget,
        Code::InvalidRefreshToken,
        Code::RefreshTokenReused,
        Code::GrantEnded,
        Code::BindingUnproven,
        Code::InvalidDpopProof,
        Code::DpopProofReplayed,
        Code::DpopNonceRequired,
        Code::DpopMemoryFull,
        Code::ForeignToken,
        Code::InvalidSubjectToken,
        Code::InvalidActorToken,
        Code::InvalidAssertion,
        Code::ExchangeNotAllowed,
        Code::ChainTooLong,
        Code::ProofRequired,
        Code::Banned,
        Code::SigningBusy,
        Code::IssuanceLogUnavailable,
        Code::ClockDoubted,
        Code::Contended,
    ])
}

/// `POST …/revoke`.
pub(in crate::http) fn revoke() -> Operation {
    endpoint(Operation::new(
        Area::Oauth,
        "takeTokenBack",
        "Take a token back",
    ))
    .text(
        "RFC 7009: a client takes back a token that was issued to it; a client with the role `revoker` \
         or `security`, any token. A refresh token ends its grant. A token that is not valid is \
         answered in the same way.",
    )
    .form::<api::OneTokenForm>([example("invalid", json!({"token": "eyJhbGciOi…"}))])
    .answers(ResponseDescription::empty(
        ResponseStatus::Ok,
        "The token is of no use, now or before.",
    ))
    .refuses(&[
        Code::ForeignToken,
        Code::InvalidToken,
        Code::TooManyRevocations,
        Code::RateLimited,
        Code::ClockDoubted,
        Code::Contended,
        Code::IssuerDeleted,
    ])
}

/// `POST …/introspect`.
pub(in crate::http) fn introspect() -> Operation {
    endpoint(Operation::new(
        Area::Oauth,
        "introspectToken",
        "Ask whether a token is valid",
    ))
    .text(
        "RFC 7662, for clients with the role `introspector`: what a valid token for one of their \
         audiences says. With `Accept: application/token-introspection+jwt` the answer is signed \
         (RFC 9701), which takes a signature of the client's rate.",
    )
    .form::<api::OneTokenForm>([example("invalid", json!({"token": "eyJhbGciOi…"}))])
    .answers(ResponseDescription::json::<api::Introspection>(
        ResponseStatus::Ok,
        "Whether it is valid, and what it says.",
        json!({"active": false}),
    ))
    .refuses(&[Code::RateLimited, Code::SigningBusy])
}

/// `POST …/consume`.
pub(in crate::http) fn consume() -> Operation {
    endpoint(Operation::new(
        Area::Oauth,
        "consumeToken",
        "Use up a token that counts once",
    ))
    .text(
        "For clients with the role `consumer`: uses up a token with the claim `single_use`, for one of their \
         audiences. One request of all gets 200, over all replicas. The same client gets it again with the \
         same `Idempotency-Key` for 60 seconds, because an answer may be lost. A token that was used \
         up is inactive at `/introspect`.",
    )
    .required_header(
        "Idempotency-Key",
        "A new random text for each token, of 1 to 128 letters, digits and `-._~`, and the same one when an \
         answer was lost.",
    )
    .form::<api::OneTokenForm>([example("invalid", json!({"token": "eyJhbGciOi…"}))])
    .answers(ResponseDescription::json::<api::ConsumedToken>(
        ResponseStatus::Ok,
        "The token counts for this request.",
        json!({"jti": "Pr58rXTvn3xbUyvSfSg1dw", "consumed_at": 1_795_294_640}),
    ))
    .refuses(&[
        Code::InvalidToken,
        Code::InvalidIdempotencyKey,
        Code::NotSingleUse,
        Code::TokenNotActive,
        Code::AlreadyConsumed,
        Code::ClockDoubted,
        Code::Contended,
    ])
}

/// `POST …/global-token-revocation`.
pub(in crate::http) fn revoke_globally() -> Operation {
    let user = json!({"sub_id": {"format": "opaque", "id": "user-1"}});
    endpoint(Operation::new(
        Area::Signals,
        "revokeGlobally",
        "Take back everything of a user",
    ))
    .text(
        "Global Token Revocation (draft 5): an identity provider says that a user has to log in again \
         everywhere. All tokens and grants of the subject are taken back that were issued until now. For clients \
         with the role `revoker`, for subjects within their limits, or `security`. It takes the \
         authentication of the OAuth endpoints, and `Authorization: Bearer`.",
    )
    .body::<api::GlobalTokenRevocation>([example("user", user)])
    .answers(ResponseDescription::empty(
        ResponseStatus::NoContent,
        "The tokens and grants are taken back.",
    ))
    .refuses(&[
        Code::UnsupportedSubject,
        Code::InvalidSelector,
        Code::TooManyRevocations,
        Code::ClockDoubted,
        Code::Contended,
        Code::IssuerDeleted,
    ])
}

/// `POST …/security-events`.
pub(in crate::http) fn push_security_event() -> Operation {
    endpoint(Operation::new(
        Area::SecurityEvents,
        "pushSecurityEvent",
        "Tell that an account was disabled",
    ))
    .text(
        "RFC 8935: another system pushes a security event token (RFC 8417) that an issuer of `trusted_issuers` has \
         signed for its `audience`. The RISC event `account-disabled` bans the subject until `account-enabled` comes from \
         the same client; other events are taken and have no effect. `sub_id` has the format `iss_sub`, with this issuer's \
         URL or the token's `iss`, or `opaque`. For clients with the role `revoker`, for subjects within their limits, \
         or `security`. A token that comes again has no effect. It takes the authentication of the OAuth endpoints, \
         and `Authorization: Bearer`.",
    )
    .event_token([example("disabled", json!("eyJ0eXAiOiJzZWNldmVudCtqd3Qi…"))])
    .answers(ResponseDescription::empty(
        ResponseStatus::Accepted,
        "The token is taken.",
    ))
    .refuses(&[
        Code::InvalidEventKey,
        Code::InvalidEventIssuer,
        Code::InvalidEventAudience,
        Code::UnsupportedSubject,
        Code::InvalidSelector,
        Code::TooManyRevocations,
        Code::ClockDoubted,
        Code::Contended,
        Code::IssuerDeleted,
    ])
}

/// What every endpoint has in common.
pub(super) fn endpoint(operation: Operation) -> Operation {
    operation.refuses(&[
        Code::NotFound,
        Code::CredentialMissing,
        Code::CredentialInvalid,
        Code::SeveralCredentials,
        Code::RoleMissing,
        Code::ClientLimit,
        Code::TooManyFailures,
        Code::CallerUndecidable,
        Code::SnapshotStale,
        Code::IssuerUnusable,
        Code::StoreUnavailable,
        Code::StoreReplaced,
        Code::InternalError,
    ])
}
