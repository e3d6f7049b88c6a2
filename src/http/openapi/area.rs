//! The areas of the API: how operations are grouped, and what those of one area have in common.

use serde_json::{Value, json};

use crate::http::code::Code;

/// A group of operations. Its listener decides what every operation of it has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum Area {
    /// Signing.
    Tokens,
    /// Sessions whose tokens are renewed.
    Grants,
    /// Tokens that are taken back.
    Revocations,
    /// Keys and what people do to them.
    Keys,
    /// Issuers and their policies.
    Issuers,
    /// The coming life of keys.
    Plan,
    /// Who may call.
    Clients,
    /// Operations that wait for a second person.
    Approvals,
    /// What happened.
    Audit,
    /// Who is told of it.
    Webhooks,
    /// The whole store, out of the service.
    Backups,
    /// The processes that share the store.
    Replicas,
    /// How this process and its issuers are doing.
    Health,
    /// The clock, when it was wrong.
    Clock,
    /// What seals private keys.
    MasterKey,
    /// Pages for people.
    Console,
    /// What the service says of itself.
    Service,
    /// What verifiers fetch.
    Documents,
    /// The OAuth endpoints.
    Oauth,
    /// What other systems tell, and what they are told, beside the OAuth endpoints.
    Signals,
    /// Where other systems push security event tokens, whose errors are those of RFC 8935.
    SecurityEvents,
    /// What load balancers ask.
    Probes,
}

impl Area {
    /// Every area, in the order of the document.
    pub(super) const ALL: [Self; 22] = [
        Self::Tokens,
        Self::Grants,
        Self::Revocations,
        Self::Keys,
        Self::Issuers,
        Self::Plan,
        Self::Clients,
        Self::Approvals,
        Self::Audit,
        Self::Webhooks,
        Self::Backups,
        Self::Replicas,
        Self::Health,
        Self::Clock,
        Self::MasterKey,
        Self::Console,
        Self::Service,
        Self::Documents,
        Self::Oauth,
        Self::Signals,
        Self::SecurityEvents,
        Self::Probes,
    ];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Grants => "grants",
            Self::Revocations => "revocations",
            Self::Keys => "keys",
            Self::Issuers => "issuers",
            Self::Plan => "plan",
            Self::Clients => "clients",
            Self::Approvals => "approvals",
            Self::Audit => "audit",
            Self::Webhooks => "webhooks",
            Self::Backups => "backups",
            Self::Replicas => "replicas",
            Self::Health => "health",
            Self::Clock => "clock",
            Self::MasterKey => "master-key",
            Self::Console => "console",
            Self::Service => "service",
            Self::Documents => "documents",
            Self::Oauth => "oauth",
            Self::Signals => "signals",
            Self::SecurityEvents => "security-events",
            Self::Probes => "probes",
        }
    }

    /// What it is about.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Tokens => "Signing, one token at a time or up to 1,000.",
            Self::Grants => {
                "Sessions of people who have logged in, whose access tokens are renewed by refresh tokens."
            }
            Self::Revocations => {
                "Tokens that are taken back: logged out, banned, stolen. Every verifier that follows \
                 the feed refuses them within a bound that the answer states."
            }
            Self::Keys => "Signing keys: their states, and the changes that people ask for.",
            Self::Issuers => "Issuers and their policies.",
            Self::Plan => "What will happen to the keys by itself.",
            Self::Clients => "Who may call, and what they may have signed.",
            Self::Approvals => "Two people for what hurts.",
            Self::Audit => "Who changed what.",
            Self::Webhooks => "Who is told of it.",
            Self::Backups => "The whole store in a sealed file, and the register of every key.",
            Self::Replicas => "The processes that share the store, and how far each has come.",
            Self::Health => "How this process, its issuers and its tasks are doing.",
            Self::Clock => "What to do when the clock was wrong.",
            Self::MasterKey => "What seals private keys at rest, and its rotation.",
            Self::Console => "Pages for people at `/console`: the way in.",
            Self::Service => "What the service says of itself. No credential is needed.",
            Self::Documents => {
                "Public listener: key sets and metadata, for verifying services. They take `GET`, \
                 `HEAD` and `OPTIONS` from every origin."
            }
            Self::Oauth => {
                "Public listener, if `oauth.enabled`: tokens for clients that speak OAuth. A parameter \
                 without a value counts as absent, one that is repeated is refused, and one that is not \
                 known is ignored. A refusal is an OAuth error whose `error_description` begins with the \
                 code. Pages of `oauth.allowed_origins` may call, and are told so by `OPTIONS`."
            }
            Self::Signals => {
                "Public listener, if `oauth.enabled`: what other systems tell, and what they are told."
            }
            Self::SecurityEvents => {
                "Public listener, if `oauth.enabled`: security event tokens of other systems (RFC 8935). What is wrong \
                 with a token or its transmitter is answered with 400, `err` and `description`."
            }
            Self::Probes => "Public listener: whether the process lives and can serve.",
        }
    }

    /// Whether the public listener has it.
    pub(super) const fn is_public(self) -> bool {
        matches!(
            self,
            Self::Documents | Self::Oauth | Self::Signals | Self::SecurityEvents | Self::Probes
        )
    }

    /// The listener that problems are named by: the same code is answered differently there.
    pub(super) const fn problem_prefix(self) -> &'static str {
        match self {
            Self::Oauth => "oauth.",
            Self::Signals => "signals.",
            Self::SecurityEvents => "security-events.",
            area if area.is_public() => "public.",
            _ => "",
        }
    }

    /// Headers of every answer.
    pub(super) const fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Documents => &["Access-Control-Allow-Origin"],
            Self::Oauth | Self::Signals | Self::SecurityEvents => {
                &["X-Request-Id", "Cache-Control"]
            }
            Self::Probes => &[],
            _ => &["X-Request-Id"],
        }
    }

    /// What any call can be answered with.
    pub(super) const fn problems(self) -> &'static [Code] {
        if matches!(self, Self::Documents | Self::Probes) {
            &[]
        } else {
            &[
                Code::RequestTimeout,
                Code::Overloaded,
                Code::TooManyRequests,
                Code::CredentialInUrl,
            ]
        }
    }
}

/// The areas as tags of the document.
pub(super) fn tags() -> Value {
    let tags = Area::ALL.map(|area| json!({"name": area.name(), "description": area.text()}));
    tags.into_iter().collect()
}
