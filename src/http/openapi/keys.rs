//! Keys: their states, and the changes that people ask for.

use keywright_api as api;
use keywright_verifier::Kid;
use serde_json::{Value, json};

use super::approvals::awaits;
use super::area::Area;
use super::issuer_path;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::{ExposureQuery, HistoryQuery};
use crate::http::response::ResponseStatus;

const ACTIVE: &str = "01dhNlKGJ62dbtc91pKnKcmJnF14qjl_V9SAmExg3LY";
const SUCCESSOR: &str = "kGLbXleNYdWbWwHwtsDWC4Aif5zegaDWTAhaOF7-3Ps";
const NEXT: &str = "YyERwHgpx1C8tFui8BBhRoiwR_hLDMOGJGGrHCOEFw8";

/// `GET /v1/issuers/{issuer}/keys`.
pub(in crate::http) fn list_keys() -> Operation {
    let operation = Operation::new(Area::Keys, "listKeys", "Read all keys")
        .text(
            "Every key that the issuer ever had, removed and revoked ones included, in the order in \
             which they came. There is no paging. No call ever returns private material.",
        )
        .one_of_the_roles(&Role::READERS);
    let keys = json!({"keys": [active(), {
        "kid": SUCCESSOR, "algorithm": "ES256", "state": "pending", "created_at": 1_795_294_639,
        "published_at": 1_795_294_639, "ready_at": 1_795_294_640,
    }]});
    issuer_path(operation).answers(ResponseDescription::json::<api::Keys>(
        ResponseStatus::Ok,
        "The keys.",
        keys,
    ))
}

/// `GET /v1/issuers/{issuer}/keys/{kid}`.
pub(in crate::http) fn show() -> Operation {
    let operation =
        Operation::new(Area::Keys, "readKey", "Read a key").one_of_the_roles(&Role::READERS);
    kid_path(issuer_path(operation)).answers(ResponseDescription::json::<api::Key>(
        ResponseStatus::Ok,
        "The key.",
        active(),
    ))
}

/// `GET /v1/issuers/{issuer}/verifiers`.
pub(in crate::http) fn list_verifiers() -> Operation {
    let operation = Operation::new(Area::Keys, "listVerifiers", "Read who verifies with what")
        .text(
            "Who has fetched the key set from this process in the last 24 hours, and which one each has: a \
             conditional request tells. Processes that share a store count each for itself; only what a \
             rotation waits for is added up. A proxy or a CDN in between is one verifier and hides those \
             behind it.",
        )
        .one_of_the_roles(&Role::READERS);
    let verifier = json!({
        "address": "192.0.2.7", "user_agent": "jose/v6.2.0", "etag": "\"mP7hq2cYHkv1\"", "current": true,
        "confirmed": true, "lacks": [], "first_seen_at": 1_795_208_240, "seen_at": 1_795_294_630, "requests": 288,
    });
    let verifiers = json!({
        "etag": "\"mP7hq2cYHkv1\"",
        "keys": [
            {"kid": ACTIVE, "state": "active", "verifiers": 1},
            {"kid": SUCCESSOR, "state": "pending", "verifiers": 1},
        ],
        "verifiers": [verifier],
        "unrecorded_requests": 0,
        "waiting": [],
    });
    issuer_path(operation).answers(ResponseDescription::json::<api::Verifiers>(
        ResponseStatus::Ok,
        "The verifiers.",
        verifiers,
    ))
}

/// `GET /v1/issuers/{issuer}/history`.
pub(in crate::http) fn history() -> Operation {
    let operation = Operation::new(
        Area::Keys,
        "readHistory",
        "Read what was published at a time",
    )
    .text(
        "The key set as it was served then, so that an old signature can still be judged, and \
             every key's state at that time. A deleted issuer is answered, too.",
    )
    .one_of_the_roles(&Role::READERS);
    let jwk = json!({
        "kty": "EC", "kid": ACTIVE, "use": "sig", "alg": "ES256", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let past = json!({
        "at": 1_795_294_640, "jwks": {"keys": [jwk]},
        "keys": [{"kid": ACTIVE, "algorithm": "ES256", "state": "active"}],
    });
    issuer_path(operation)
        .query::<HistoryQuery>()
        .answers(ResponseDescription::json::<api::History>(
            ResponseStatus::Ok,
            "The set of that time.",
            past,
        ))
        .refuses(&[Code::BeforeIssuer])
}

/// `POST /v1/issuers/{issuer}/rotate`.
pub(in crate::http) fn rotate() -> Operation {
    let operation = Operation::new(Area::Keys, "rotate", "Rotate")
        .text(
            "The ready successor starts to sign, the active key retires. Without `algorithm` every \
             algorithm rotates in one commit, or none does. The keys of a new issuer's first set are \
             ready at once. The body may be left out.",
        )
        .role(Role::Security);
    let answer = json!({"version": 2, "forced": false, "rotations": [{
        "algorithm": "ES256", "retired": ACTIVE, "activated": SUCCESSOR, "successor": NEXT,
        "forced": false,
    }]});
    issuer_path(operation)
        .optional_body::<api::RotateRequest>([
            example("drill", json!({"reason": "drill"})),
            example(
                "forced",
                json!({"algorithm": "ES256", "force": true, "reason": "the host is lost"}),
            ),
        ])
        .answers(ResponseDescription::json::<api::Rotations>(
            ResponseStatus::Ok,
            "Who signs now.",
            answer,
        ))
        .answers(awaits())
        .refuses(&[
            Code::IssuerDeleted,
            Code::TooManyApprovals,
            Code::InvalidReason,
            Code::UnknownAlgorithm,
            Code::AlgorithmNotInPolicy,
            Code::SuccessorNotReady,
            Code::SuccessorNotAdopted,
            Code::NoSuccessor,
            Code::KeySetFull,
        ])
        .changes()
}

/// `POST /v1/issuers/{issuer}/canary/stop`.
pub(in crate::http) fn stop_canary() -> Operation {
    let operation = Operation::new(Area::Keys, "stopCanary", "Take a canary back")
        .text(
            "The canary signs no more, and the active key signs all tokens again. The tokens that the canary \
             has signed stay valid: it is published until the last of them has expired. The rotation is tried \
             again with the next successor, a lead later. Where no canary signs, nothing changes. The body may \
             be left out.",
        )
        .role(Role::Security);
    let answer = json!({"version": 8, "stopped": [{
        "algorithm": "ES256", "kid": SUCCESSOR, "published_until": 1_795_298_540, "active": ACTIVE,
        "next_rotation_at": 1_795_381_040,
    }]});
    issuer_path(operation)
        .optional_body::<api::StopCanaryRequest>([example(
            "taken back",
            json!({"algorithm": "ES256", "reason": "orders refuses its tokens"}),
        )])
        .answers(ResponseDescription::json::<api::StoppedCanaries>(
            ResponseStatus::Ok,
            "What was taken back.",
            answer,
        ))
        .refuses(&[
            Code::IssuerDeleted,
            Code::InvalidReason,
            Code::UnknownAlgorithm,
            Code::AlgorithmNotInPolicy,
        ])
        .changes()
}

/// `POST /v1/issuers/{issuer}/keys/{kid}/revoke`.
pub(in crate::http) fn revoke() -> Operation {
    let operation = Operation::new(Area::Keys, "revokeKey", "Revoke a key")
        .text(
            "Final: the key leaves the published set at once, never signs again, and its private \
             half is erased in the same commit. When it was active, its successor signs from then \
             on; with `discard_successor` a freshly made key does, which verifiers do not know yet.",
        )
        .role(Role::Security);
    let exposure = json!({
        "kid": ACTIVE, "algorithm": "ES256", "revoked": [ACTIVE], "revoked_at": 1_795_294_674,
        "forced": false, "signs_now": SUCCESSOR, "cached_until": 1_795_298_575,
        "tokens_until": 1_795_298_280, "in_force_everywhere_at": 1_795_294_675,
    });
    let body = json!({"reason": "found in a public repository"});
    kid_path(issuer_path(operation))
        .body::<api::RevokeRequest>([example("leak", body)])
        .answers(ResponseDescription::json::<api::Exposure>(
            ResponseStatus::Ok,
            "Who is exposed until when.",
            exposure,
        ))
        .answers(awaits())
        .refuses(&[
            Code::InvalidReason,
            Code::IllegalTransition,
            Code::IssuerDeleted,
            Code::TooManyApprovals,
        ])
        .changes()
}

/// `GET /v1/issuers/{issuer}/keys/{kid}/exposure`.
pub(in crate::http) fn exposure() -> Operation {
    let operation = Operation::new(
        Area::Keys,
        "readExposure",
        "Read what a revocation would mean",
    )
    .text(
        "The answer that revoking the key now would have. Nothing is changed, and nothing is \
             promised: the key set may change before the revocation comes.",
    )
    .one_of_the_roles(&Role::READERS);
    let exposure = json!({
        "kid": ACTIVE, "algorithm": "ES256", "revoked": [ACTIVE], "revoked_at": 1_795_294_674,
        "forced": true, "signs_now": SUCCESSOR, "cached_until": 1_795_298_575,
        "tokens_until": 1_795_298_280, "in_force_everywhere_at": 1_795_294_674,
    });
    kid_path(issuer_path(operation))
        .query::<ExposureQuery>()
        .answers(ResponseDescription::json::<api::Exposure>(
            ResponseStatus::Ok,
            "Who would be exposed until when.",
            exposure,
        ))
        .refuses(&[Code::IllegalTransition, Code::IssuerDeleted])
}

/// `GET /v1/issuers/{issuer}/keys/{kid}/live-tokens`.
pub(in crate::http) fn live_tokens() -> Operation {
    let operation = Operation::new(
        Area::Keys,
        "readLiveTokens",
        "Count the live tokens of a key",
    )
    .text(
        "Whose tokens stop working when the key is revoked: counted by client and by audience in the \
         issuance log of the process that answers. Each replica has a log of its own, and the tokens \
         of all of them add up.",
    )
    .one_of_the_roles(&Role::READERS);
    let counted = json!({
        "tokens": 1841,
        "clients": [{"client": "9f3a61c08d24be57", "tokens": 1841, "expires_at": 1_795_298_274}],
        "audiences": [{"audience": "orders", "tokens": 1841, "expires_at": 1_795_298_274}],
        "read_since": 1_795_290_000, "complete": true,
    });
    kid_path(issuer_path(operation))
        .answers(ResponseDescription::json::<api::LiveTokens>(
            ResponseStatus::Ok,
            "The live tokens.",
            counted,
        ))
        .refuses(&[Code::NoIssuanceLog, Code::IssuanceLogUnavailable])
}

/// `POST /v1/issuers/{issuer}/keys`.
pub(in crate::http) fn import() -> Operation {
    let operation = Operation::new(Area::Keys, "importKey", "Import a key")
        .text(
            "Exactly one of `private_key` and `public_key`. As `pending` it is a successor that \
             waits out its lead; as `active` it signs at once under its kid, which only an issuer \
             that takes over allows, before anything of the algorithm has signed there; as `retired` \
             it verifies for one retention, and a private half is thrown away. A kid or a key that \
             was here before is refused.",
        )
        .role(Role::Security);
    let old = json!({"algorithm": "ES256", "state": "retired", "public_key": {
        "kty": "EC", "kid": "old-2024", "use": "sig", "alg": "ES256", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }});
    let answer = json!({
        "kid": "old-2024", "algorithm": "ES256", "state": "retired", "created_at": 1_795_294_640,
        "published_at": 1_795_294_640, "retired_at": 1_795_294_640,
        "published_until": 1_795_298_545,
    });
    issuer_path(operation)
        .body::<api::ImportRequest>([example("verify-only", old)])
        .answers(ResponseDescription::json::<api::Key>(
            ResponseStatus::Created,
            "The key as it is now.",
            answer,
        ))
        .refuses(&[
            Code::UnknownAlgorithm,
            Code::InvalidState,
            Code::InvalidKid,
            Code::KeyMaterial,
            Code::InvalidPrivateKey,
            Code::InvalidPublicKey,
            Code::AlgorithmNotInPolicy,
            Code::KeyKnown,
            Code::KeySetFull,
            Code::NotTakingOver,
            Code::AlreadySigning,
            Code::IssuerDeleted,
        ])
        .changes()
}

fn active() -> Value {
    json!({
        "kid": ACTIVE, "algorithm": "ES256", "state": "active", "created_at": 1_795_294_639,
        "published_at": 1_795_294_639, "activated_at": 1_795_294_639,
    })
}

fn kid_path(operation: Operation) -> Operation {
    operation
        .path::<Kid>("kid", "The key.", ACTIVE)
        .refuses(&[Code::UnknownKey])
}
