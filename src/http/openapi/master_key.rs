//! The master key: what it seals, and its rotation.

use serde_json::json;

use super::area::Area;
use super::json::Json;
use super::operation::{Operation, ResponseDescription, example};
use super::reason;
use super::schema::{
    accepted, answered, flag, integer, list, optional, pattern, reference, required,
};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

const BEFORE: &str = "3bf9c2a51d7e0846";
const AFTER: &str = "89d915ec685f564b";

/// `GET /v1/master-key`.
pub(in crate::http) fn show() -> Operation {
    let state = json!({
        "sealing": BEFORE, "rotating": false, "unopenable": 0,
        "keys": [
            {"fingerprint": BEFORE, "here": true, "records": 4},
            {"fingerprint": AFTER, "here": true, "records": 0},
        ],
    });
    Operation::new(
        Area::MasterKey,
        "readMasterKey",
        "Read which master keys are needed",
    )
    .text(
        "The key that seals new private keys, and how many private keys each key has sealed. A \
         fingerprint is derived from its key and reveals nothing of it.",
    )
    .one_of_the_roles(&Role::READERS)
    .answers(ResponseDescription::json(
        ResponseStatus::Ok,
        "The keys.",
        "MasterKeyState",
        state,
    ))
    .refuses(&[
        Code::ClientLimit,
        Code::StoreUnavailable,
        Code::StoreReplaced,
    ])
}

/// `POST /v1/master-key/rotate`.
pub(in crate::http) fn rotate() -> Operation {
    let answer = json!({"sealing": AFTER, "resealed": 4, "left": 0, "unopenable": 0});
    let body = json!({"to": AFTER, "reason": "the yearly rotation"});
    Operation::new(Area::MasterKey, "rotateMasterKey", "Rotate the master key")
        .text(
            "From now on the key `to` seals new private keys, and those that another key has sealed \
             are sealed anew with it, at most 500 in one call: call again until `left` is 0. An \
             interrupted rotation goes on with the next call. Until it has ended both keys must \
             stay configured. Without `to` a rotation that has begun goes on; otherwise the one \
             other key of this process is meant. Signing is not interrupted.",
        )
        .role(Role::Security)
        .optional_body("RotateMasterKeyRequest", [example("yearly", body)])
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "How far it is.",
            "MasterKeyRotation",
            answer,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::InvalidReason,
            Code::InvalidFingerprint,
            Code::MasterKeyUnknown,
            Code::MasterKeyUnclear,
            Code::MasterKeyNotEverywhere,
        ])
        .changes()
}

fn fingerprint(description: &str) -> Json {
    pattern("^[0-9a-f]{16}$", description)
}

fn count(description: &str) -> Json {
    integer(0, u64::MAX, description)
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let key = answered([
        required("fingerprint", fingerprint("Which key.")),
        required("here", flag("Whether this process has it.")),
        required("records", count("How many private keys it has sealed.")),
    ]);
    let state = answered([
        required(
            "sealing",
            fingerprint("The key that seals new private keys."),
        ),
        required("rotating", flag("Whether a rotation to it has not ended.")),
        required(
            "keys",
            list(
                reference("MasterKey"),
                "The keys that this process has or that private keys need.",
            ),
        ),
        required("unopenable", count("How many private keys no key opens.")),
    ]);
    let request = accepted([
        optional("to", fingerprint("The key that seals from now on.")),
        optional("reason", reason("Why, for the audit log.")),
    ]);
    let rotation = answered([
        required(
            "sealing",
            fingerprint("The key that seals new private keys."),
        ),
        required(
            "resealed",
            count("How many private keys this call has sealed anew."),
        ),
        required("left", count("How many are left; 0 when it has ended.")),
        required(
            "unopenable",
            count("How many no key opens; they stay as they are."),
        ),
    ]);
    vec![
        ("MasterKeyState", state),
        ("MasterKey", key),
        ("RotateMasterKeyRequest", request),
        ("MasterKeyRotation", rotation),
    ]
}
