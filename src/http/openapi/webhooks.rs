//! Webhooks: who is told of what.

use keywright_api as api;
use serde_json::{Value, json};

use super::area::Area;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

const ID: &str = "4c1f9a27e0b83d65";

fn webhook() -> Value {
    json!({
        "id": ID, "url": "https://hooks.example/keywright", "events": ["key.revoked", "ban.created"],
        "created_at": 1_795_294_675, "state": "accepting", "failing_since": null, "delivered_through": 42,
    })
}

fn with_secret() -> Value {
    let mut webhook = webhook();
    if let Some(members) = webhook.as_object_mut() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
        members.insert("secret".to_owned(), secret.into());
    }
    webhook
}

/// `GET /v1/webhooks`.
pub(in crate::http) fn list_webhooks() -> Operation {
    operation("listWebhooks", "List webhooks")
        .text("All webhooks, and how their deliveries go. Secrets are not shown.")
        .one_of_the_roles(&Role::READERS)
        .answers(ResponseDescription::json::<api::Webhooks>(
            ResponseStatus::Ok,
            "The webhooks.",
            json!({ "webhooks": [webhook()] }),
        ))
}

/// `POST /v1/webhooks`.
pub(in crate::http) fn create_webhook() -> Operation {
    let request = json!({
        "url": "https://hooks.example/keywright", "events": ["key.revoked", "ban.created"],
    });
    operation("createWebhook", "Create a webhook")
        .text(
            "It is told of what happens from now on, by messages after Standard Webhooks. At most 20 webhooks. The \
             host of `url` must have a public address, or one of `webhooks.allowed_networks`, each time that a \
             message is sent.",
        )
        .role(Role::Admin)
        .body::<api::WebhookRequest>([example("security", request)])
        .answers(
            ResponseDescription::json::<api::WebhookWithSecret>(
                ResponseStatus::Created,
                "The webhook, and its secret, this once.",
                with_secret(),
            )
            .headers(&["Location"]),
        )
        .refuses(&[Code::TooManyWebhooks, Code::InvalidWebhookUrl])
        .refuses(&CHANGES)
}

/// `GET /v1/webhooks/{webhook}`.
pub(in crate::http) fn show_webhook() -> Operation {
    of_webhook(operation("readWebhook", "Read a webhook"))
        .one_of_the_roles(&Role::READERS)
        .answers(ResponseDescription::json::<api::Webhook>(
            ResponseStatus::Ok,
            "The webhook.",
            webhook(),
        ))
}

/// `DELETE /v1/webhooks/{webhook}`.
pub(in crate::http) fn delete_webhook() -> Operation {
    of_webhook(operation("deleteWebhook", "Delete a webhook"))
        .text("What it was not told of yet it is never told of.")
        .role(Role::Admin)
        .answers(ResponseDescription::empty(
            ResponseStatus::NoContent,
            "It is deleted.",
        ))
        .refuses(&CHANGES)
}

/// `POST /v1/webhooks/{webhook}/secrets`.
pub(in crate::http) fn rotate_webhook_secret() -> Operation {
    of_webhook(operation(
        "rotateWebhookSecret",
        "Give a webhook a new secret",
    ))
    .text("Messages have a second signature by the secret before for `overlap`.")
    .role(Role::Admin)
    .optional_body::<api::WebhookSecretRequest>([example("soon", json!({"overlap": "1h"}))])
    .answers(ResponseDescription::json::<api::WebhookWithSecret>(
        ResponseStatus::Ok,
        "The webhook, and its new secret, this once.",
        with_secret(),
    ))
    .refuses(&[Code::InvalidDuration])
    .refuses(&CHANGES)
}

/// `POST /v1/webhooks/{webhook}/resume`.
pub(in crate::http) fn resume_webhook() -> Operation {
    of_webhook(operation("resumeWebhook", "Send to a webhook again"))
        .text(
            "One that is paused, from the message on that was not accepted; or at once to one that fails.",
        )
        .role(Role::Admin)
        .answers(ResponseDescription::json::<api::Webhook>(
            ResponseStatus::Ok,
            "The webhook.",
            webhook(),
        ))
        .refuses(&CHANGES)
}

const CHANGES: [Code; 2] = [Code::SnapshotStale, Code::Contended];

fn operation(id: &'static str, title: &'static str) -> Operation {
    Operation::new(Area::Webhooks, id, title).refuses(&[
        Code::ClientLimit,
        Code::StoreUnavailable,
        Code::StoreReplaced,
        Code::InternalError,
    ])
}

fn of_webhook(operation: Operation) -> Operation {
    operation
        .path::<String>("webhook", "The webhook's identifier.", ID)
        .refuses(&[Code::UnknownWebhook])
}
