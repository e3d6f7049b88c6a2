//! `keywright webhooks`.

use std::time::Duration;

use keywright_api::{
    DurationText, Nullable, Webhook, WebhookEvent, WebhookRequest, WebhookSecretRequest,
    WebhookWithSecret, Webhooks,
};

use super::failure::Failure;
use super::json_text::printable;
use super::moment::{rfc3339, seen_from};
use super::session::Session;
use super::table::{columns, pairs};
use crate::lifecycle::parse_duration;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List webhooks, and how their deliveries go.
    List,
    /// Create one, and show its secret.
    Create(CreateArguments),
    /// Show one.
    Show(Arguments),
    /// Delete one.
    Delete(Arguments),
    /// Give one a new secret. The one before signs beside it for a while.
    RotateSecret(SecretArguments),
    /// Send to one again that is paused, or at once to one that fails.
    Resume(Arguments),
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The webhook's identifier, as `webhooks list` shows it.
    id: String,
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct CreateArguments {
    /// Where messages are sent: https, or http in a network of webhooks.allowed_networks.
    #[arg(value_name = "URL")]
    endpoint: String,
    /// What it is told of: approval.waiting, rotation.late, key.revoked, ban.created, store.restored. Repeatable
    /// [default: all].
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',')]
    events: Vec<WebhookEvent>,
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct SecretArguments {
    /// The webhook's identifier, as `webhooks list` shows it.
    id: String,
    /// How long messages are signed with the secret before, too [default: 24h].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    overlap: Option<Duration>,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let now = session.now.floor_seconds();
    let output = &mut session.output;
    match command {
        Command::List => {
            let answer = client.wait(client.list_webhooks())?;
            output.show(&answer, |list: Webhooks, output| {
                let rows = list.webhooks.into_iter().map(|webhook| row(webhook, now));
                let headings = ["id", "url", "events", "state", "next attempt"];
                output.line(columns(headings, rows))
            })
        }
        Command::Create(arguments) => {
            let events = match arguments.events.as_slice() {
                [] => WebhookEvent::ALL.to_vec(),
                named => named.to_vec(),
            };
            let request = WebhookRequest {
                url: arguments.endpoint,
                events: events.into_iter().collect(),
            };
            let answer = client.wait(client.create_webhook(&request))?;
            output.show(&answer, |made: WebhookWithSecret, output| {
                output.line(with_secret(&made))
            })
        }
        Command::Show(Arguments { id }) => {
            let answer = client.wait(client.read_webhook(&id))?;
            output.show(&answer, |webhook: Webhook, output| {
                output.line(pairs(described(&webhook)))
            })
        }
        Command::Delete(Arguments { id }) => {
            client.wait(client.delete_webhook(&id))?;
            match output.is_json() {
                true => Ok(()),
                false => output.line(format_args!("webhook {} is deleted", printable(&id))),
            }
        }
        Command::RotateSecret(SecretArguments { id, overlap }) => {
            let overlap = overlap.map(DurationText);
            let request = WebhookSecretRequest { overlap };
            let answer = client.wait(client.rotate_webhook_secret(&id, &request))?;
            output.show(&answer, |rotated: WebhookWithSecret, output| {
                output.line(with_secret(&rotated))
            })
        }
        Command::Resume(Arguments { id }) => {
            let answer = client.wait(client.resume_webhook(&id))?;
            output.show(&answer, |webhook: Webhook, output| {
                output.line(pairs(described(&webhook)))
            })
        }
    }
}

fn events(webhook: &Webhook) -> String {
    let words: Vec<&str> = webhook.events.iter().map(|event| event.as_str()).collect();
    words.join(",")
}

fn row(webhook: Webhook, now: u64) -> [String; 5] {
    let next = webhook.next_attempt_at;
    [
        webhook.id.clone(),
        printable(&webhook.url),
        events(&webhook),
        webhook.state.as_str().to_owned(),
        next.map_or_else(|| "-".to_owned(), |at| seen_from(now, at.0)),
    ]
}

fn described(webhook: &Webhook) -> Vec<[String; 2]> {
    let since = match webhook.failing_since {
        Nullable::Value(since) => Some(rfc3339(since.0)),
        Nullable::Null => None,
    };
    let rows = [
        ("id", Some(webhook.id.clone())),
        ("url", Some(printable(&webhook.url))),
        ("events", Some(events(webhook))),
        ("state", Some(webhook.state.as_str().to_owned())),
        ("failing since", since),
        ("reason", webhook.reason.as_deref().map(printable)),
        (
            "next attempt",
            webhook.next_attempt_at.map(|at| rfc3339(at.0)),
        ),
        (
            "two signatures until",
            webhook.previous_until.map(|at| rfc3339(at.0)),
        ),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .collect()
}

fn with_secret(made: &WebhookWithSecret) -> String {
    let mut rows = described(&made.webhook);
    rows.push(["secret".to_owned(), made.secret.clone()]);
    pairs(rows)
}
