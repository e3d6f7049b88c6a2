//! The whole store in a sealed file, and the register.

use serde_json::json;

use super::area::Area;
use super::json::{Json, object};
use super::operation::{Operation, ResponseDescription};
use super::schema::{answered, integer, list, pattern, required, text};
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
            text("Two lines that say what it is, and sealed chunks."),
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
            "format": 1,
            "created_at": 1_800_000_000,
            "keywright": "0.1.0",
            "head": format!("6:{}", "ab".repeat(32)),
            "master_key": "0123456789abcdef",
            "issuers": [],
            "unusable": [],
        },
    });
    Operation::new(Area::Backups, "readRegister", "Read the register")
        .text(
            "What has become of every key, without a secret: to be written down all the time, \
             apart from the backups, so that a restore brings nothing back that was revoked since. \
             `mac` is HMAC-SHA256 over the exact text of `register`, under a key that is derived \
             from the master key.",
        )
        .role(Role::Auditor)
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The register.",
            "Register",
            register,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
            Code::InternalError,
        ])
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let issuer = object([
        ("type", "object".into()),
        (
            "description",
            "An issuer and all its keys, as the store keeps them; public halves only, instants in \
             milliseconds since the Unix epoch."
                .into(),
        ),
    ]);
    let contents = answered([
        required("format", integer(1, 1, "The form of this document.")),
        required(
            "created_at",
            integer(0, u64::MAX, "When it was written, in Unix seconds."),
        ),
        required("keywright", text("The version that wrote it.")),
        required("head", text("Where the audit log ended: `SEQUENCE:HASH`.")),
        required(
            "master_key",
            pattern("^[0-9a-f]{16}$", "The fingerprint of the master key."),
        ),
        required("issuers", list(issuer, "In the order of their names.")),
        required(
            "unusable",
            list(
                text("A name."),
                "Issuers whose records cannot be read, and of which nothing is said.",
            ),
        ),
    ]);
    vec![(
        "Register",
        answered([
            required(
                "mac",
                pattern("^[0-9a-f]{64}$", "What proves where the register is from."),
            ),
            required("register", contents),
        ]),
    )]
}
