//! The whole store in a sealed file, and the register.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// The media type of a backup.
pub(in crate::http) const MEDIA_TYPE: &str = "application/octet-stream";

/// `POST /v1/backup`.
pub(in crate::http) fn take() -> Operation {
    Operation::new(Area::Backups, "takeBackup", "Take a backup")
        .text(
            "Everything that the store has, as it was at one moment, sealed under the master key, \
             for `keywright restore`. The event `backup-taken` is the last one in it. A store that \
             fails on the way cuts the answer off.",
        )
        .role(Role::Security)
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "The backup, sent while it is made.",
            MEDIA_TYPE,
            "Two lines that say what it is, and sealed chunks.",
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::Contended,
            Code::StoreUnavailable,
            Code::StoreReplaced,
            Code::InternalError,
        ])
}

/// `GET /v1/register`.
pub(in crate::http) fn register() -> Operation {
    let register = json!({
        "mac": "d9e1f0a8b1d5c1ae0c8cbb1ca0d3c6a4f8b25f32ff8e4ac1d4a6c9f4c2bd0a11",
        "register": {
            "format": 2,
            "created_at": 1_800_000_000,
            "keywright": "0.1.0",
            "head": format!("6:{}", "ab".repeat(32)),
            "master_key": "0123456789abcdef",
            "issuers": [],
            "unusable": [],
            "revocations": "c2FsdCwgc2VhbGVkIHRleHQgYW5kIHRhZw==",
        },
    });
    Operation::new(Area::Backups, "readRegister", "Read the register")
        .text(
            "What has become of every key, and what was taken back of tokens, without a secret: to be written down all the time, \
             apart from the backups, so that a restore brings nothing back that was revoked since. \
             `mac` is HMAC-SHA256 over the exact text of `register`, under a key that is derived \
             from the master key.",
        )
        .role(Role::Auditor)
        .answers(ResponseDescription::json::<api::Register>(
            ResponseStatus::Ok,
            "The register.",
            register,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
            Code::InternalError,
        ])
}
