//! The master key: what it seals, and its rotation.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription, example};
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
    .answers(ResponseDescription::json::<api::MasterKeyState>(
        ResponseStatus::Ok,
        "The keys.",
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
        .optional_body::<api::RotateMasterKeyRequest>([example("yearly", body)])
        .answers(ResponseDescription::json::<api::MasterKeyRotation>(ResponseStatus::Ok, "How far it is.", answer,
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
