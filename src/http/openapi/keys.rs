//! Keys: their states, and the changes that people ask for.

use serde_json::{Value, json};

use super::approvals::awaits;
use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Operation, ResponseDescription, example};
use super::schema::{
    accepted, answered, flag, instant, integer, list, one_of, optional, or_null, pattern,
    reference, required, text,
};
use super::{algorithm, issuer_path, kid, reason};
use crate::access::Role;
use crate::http::code::Code;
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
    issuer_path(operation).answers(ResponseDescription::json(
        ResponseStatus::Ok,
        "The keys.",
        "Keys",
        keys,
    ))
}

/// `GET /v1/issuers/{issuer}/keys/{kid}`.
pub(in crate::http) fn show() -> Operation {
    let operation =
        Operation::new(Area::Keys, "readKey", "Read a key").one_of_the_roles(&Role::READERS);
    kid_path(issuer_path(operation)).answers(ResponseDescription::json(
        ResponseStatus::Ok,
        "The key.",
        "Key",
        active(),
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
    let time = object([("type", "number".into()), ("minimum", 0.into())]);
    issuer_path(operation)
        .required_query(
            "at",
            time,
            "Unix seconds, with at most three decimals; not ahead.",
            json!(1_795_294_640),
        )
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The set of that time.",
            "History",
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
        .optional_body(
            "RotateRequest",
            [
                example("drill", json!({"reason": "drill"})),
                example(
                    "forced",
                    json!({"algorithm": "ES256", "force": true, "reason": "the host is lost"}),
                ),
            ],
        )
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "Who signs now.",
            "Rotations",
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
            Code::NoSuccessor,
            Code::KeySetFull,
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
        .body("RevokeRequest", [example("leak", body)])
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "Who is exposed until when.",
            "Exposure",
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
        .query(
            "discard_successor",
            flag("true or false."),
            "Whether the pending keys of the same algorithm would be revoked, too. Default: false.",
        )
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "Who would be exposed until when.",
            "Exposure",
            exposure,
        ))
        .refuses(&[Code::IllegalTransition, Code::IssuerDeleted])
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
        .body("ImportRequest", [example("verify-only", old)])
        .answers(ResponseDescription::json(
            ResponseStatus::Created,
            "The key as it is now.",
            "Key",
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
        .path("kid", kid("A kid."), "The key.", ACTIVE)
        .refuses(&[Code::UnknownKey])
}

fn past() -> Json {
    let states = ["pending", "active", "retired", "removed", "revoked"];
    let key = answered([
        required("kid", kid("Its identifier.")),
        required("algorithm", algorithm("Its one algorithm.")),
        required("state", one_of(states, "Its state at that time.")),
    ]);
    let time = object([
        ("type", "number".into()),
        ("description", "The time that was asked for.".into()),
    ]);
    answered([
        required("at", time),
        required("jwks", reference("JwkSet")),
        required("keys", list(key, "Every key that there was.")),
    ])
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let key = answered([
        required("kid", kid("Its identifier.")),
        required("algorithm", algorithm("Its one algorithm.")),
        required(
            "state",
            one_of(
                ["pending", "active", "retired", "removed", "revoked"],
                "What it may do.",
            ),
        ),
        required("created_at", instant("When it was made or came in.")),
        required(
            "published_at",
            instant("When it entered the published set."),
        ),
        optional("ready_at", instant("Pending: when it may sign.")),
        optional("activated_at", instant("When it began to sign here.")),
        optional(
            "retired_at",
            instant("When it stopped to sign, or came in to verify only."),
        ),
        optional(
            "published_until",
            instant("Retired: when it leaves the set. Removed: when it left."),
        ),
        optional("revoked_at", instant("When it was revoked.")),
        optional("reason", text("Why it was revoked.")),
    ])
    .with(
        "description",
        "A key with the times that apply to its state, in Unix seconds.",
    );
    let rotation = answered([
        required("algorithm", algorithm("The algorithm that rotated.")),
        required(
            "retired",
            kid_or_null("What signed before; `null` if nothing did."),
        ),
        required("activated", kid("What signs now.")),
        required("successor", kid_or_null("What will sign next.")),
        required("forced", forced()),
    ]);
    let rotations = answered([
        required(
            "version",
            integer(0, u64::MAX, "The version of the key set."),
        ),
        required("forced", forced()),
        required(
            "rotations",
            list(rotation, "One for each algorithm that rotated."),
        ),
    ]);
    let exposure = answered([
        required("kid", kid("The key that was asked for.")),
        required("algorithm", algorithm("Its algorithm.")),
        required(
            "revoked",
            list(
                kid("A kid."),
                "Every key that this call revoked, that one first.",
            ),
        ),
        required("revoked_at", instant("When, in Unix seconds.")),
        required("forced", forced()),
        required(
            "signs_now",
            kid_or_null("The key that signs for this algorithm now; `null` if none does."),
        ),
        required(
            "cached_until",
            instant("Until when an HTTP cache may hand out a set with the revoked key."),
        ),
        required(
            "tokens_until",
            instant("When the last token that it may have signed would have expired."),
        ),
        required(
            "in_force_everywhere_at",
            instant(
                "From when on no process signs with the key, also one that has lost touch with \
                 the store.",
            ),
        ),
    ]);
    vec![
        ("History", past()),
        (
            "Keys",
            answered([required("keys", list(reference("Key"), "The keys."))]),
        ),
        ("Key", key),
        ("RotateRequest", rotate_request()),
        ("Rotations", rotations),
        ("RevokeRequest", revoke_request()),
        ("Exposure", exposure),
        ("ImportRequest", import_request()),
        ("PublicJwk", public_jwk()),
    ]
}

fn rotate_request() -> Json {
    accepted([
        optional(
            "algorithm",
            algorithm("Rotate only the keys of this algorithm. Default: all of the policy."),
        ),
        optional(
            "force",
            flag("Do not wait until verifiers can know the successor. Default: `false`."),
        ),
        optional("reason", reason("For the audit log.")),
    ])
}

fn revoke_request() -> Json {
    accepted([
        required(
            "reason",
            reason("It stays with the key and in the audit log."),
        ),
        optional(
            "discard_successor",
            flag("Revoke the pending keys of the same algorithm, too. Default: `false`."),
        ),
    ])
}

fn import_request() -> Json {
    let private = object([
        ("required", array(["private_key"])),
        ("properties", object([("public_key", false.into())])),
    ]);
    let retired = object([("const", "retired".into())]);
    let public = object([
        ("required", array(["public_key"])),
        (
            "properties",
            object([("private_key", false.into()), ("state", retired)]),
        ),
    ]);
    accepted([
        required("algorithm", algorithm("The key's algorithm.")),
        required(
            "state",
            one_of(["pending", "active", "retired"], "What the key becomes."),
        ),
        optional(
            "private_key",
            text("One unencrypted PKCS#8 PEM block (`BEGIN PRIVATE KEY`).").with("writeOnly", true),
        ),
        optional("public_key", reference("PublicJwk")),
        optional(
            "kid",
            kid("The kid that verifiers know. Default: the JWK's, else the RFC 7638 thumbprint."),
        ),
    ])
    .with("oneOf", array([private, public]))
}

fn public_jwk() -> Json {
    let number = |description| pattern("^[A-Za-z0-9_-]+$", description);
    answered([
        required("kty", one_of(["EC", "RSA"], "The kind of key.")),
        optional("kid", kid("Its identifier.")),
        optional("use", one_of(["sig"], "What it is for.")),
        optional("alg", algorithm("Its algorithm.")),
        optional("crv", one_of(["P-256"], "EC: the curve.")),
        optional("x", number("EC: a coordinate, base64url.")),
        optional("y", number("EC: a coordinate, base64url.")),
        optional("n", number("RSA: the modulus, base64url.")),
        optional("e", number("RSA: the exponent, base64url.")),
    ])
    .with(
        "description",
        "A public JWK (RFC 7517): P-256 for ES256, RSA for RS256. One with private members is \
         refused.",
    )
}

fn forced() -> Json {
    flag("Whether a key signs that some verifiers may not know.")
}

fn kid_or_null(description: &str) -> Json {
    or_null(kid("A kid."), description)
}
