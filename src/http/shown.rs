//! Issuers, keys and outcomes as the documents of the API. Never private material: there is none here.

use keywright_api as api;
use keywright_verifier::Kid;
use serde_json::{Map, Value};

use crate::access::approval::{Approval, Operation};
use crate::authority::clients::ClientState;
use crate::authority::revocations::RevocationInForce;
use crate::authority::signing::SignedToken;
use crate::authority::snapshot::Snapshot;
use crate::authority::webhooks::WebhookWithSecret;
use crate::authority::{Exposure, Rotation};
use crate::issuance_log::LiveTokens;
use crate::lifecycle::{
    AdoptionWait, Key, KeySet, PlannedEvent, Policy, State, Timestamp, rotation_due,
};
use crate::oauth::grant::PUBLIC;
use crate::oauth::{Grant, GrantBinding, GrantHolder, GrantState};
use crate::revocation::{self, Ban, Revocation, selector_document};
use crate::webhook::{DeliveryState, Webhook};

pub(super) fn issuer(snapshot: &Snapshot) -> api::Issuer {
    let set = snapshot.set();
    api::Issuer {
        name: set.issuer().clone(),
        version: set.version(),
        policy: set.policy().into(),
        deleted_at: set.deleted_at().map(Timestamp::in_the_past),
        warnings: None,
    }
}

/// A key with the times that apply to its state.
pub(super) fn key(key: &Key, policy: &Policy) -> api::Key {
    let mut shown = api::Key {
        kid: key.kid().clone(),
        algorithm: key.algorithm(),
        state: key.state().kind(),
        created_at: key.created_at().in_the_past(),
        published_at: key.published_at().in_the_past(),
        ready_at: (key.ready_at(policy))
            .filter(|ready_at| *ready_at < Timestamp::END)
            .map(Timestamp::ahead),
        unconfirmed_since: key.unconfirmed_since().map(Timestamp::in_the_past),
        activated_at: key.activated_at().map(Timestamp::in_the_past),
        retired_at: None,
        published_until: None,
        revoked_at: None,
        reason: None,
    };
    match key.state() {
        State::Pending(_) | State::Canary(_) | State::Active(_) => {}
        State::Retired(retired) => {
            shown.retired_at = Some(retired.retired_at.in_the_past());
            shown.published_until = Some(retired.published_until.ahead());
        }
        State::Removed(removed) => {
            let until = removed.published_until.unwrap_or(removed.removed_at);
            shown.retired_at = Some(removed.retired_at.in_the_past());
            shown.published_until = Some(until.in_the_past());
        }
        State::Revoked(revoked) => {
            shown.retired_at = revoked.retired_at.map(Timestamp::in_the_past);
            shown.revoked_at = Some(revoked.revoked_at.in_the_past());
            shown.reason = Some(revoked.reason.clone());
        }
    }
    shown
}

/// A grant, without its tokens.
pub(super) fn grant(grant: &Grant, now: Timestamp) -> api::Grant {
    let (state, cause) = match grant.state(now) {
        GrantState::Live => (api::GrantState::Live, None),
        GrantState::Expired => (api::GrantState::Expired, None),
        GrantState::Ended(cause) => (api::GrantState::Ended, Some(cause)),
    };
    let ended_at = grant.ended.as_ref();
    let ended_at = ended_at.map(|end| Timestamp::from_millis(end.at).in_the_past());
    api::Grant {
        grant: grant.id.clone(),
        state,
        cause,
        claims: grant.claims.clone(),
        client: match &grant.holder {
            GrantHolder::Public => PUBLIC.to_owned(),
            GrantHolder::Client(id) => id.clone(),
        },
        by: grant.by.clone(),
        bind: grant.binding.map(GrantBinding::by),
        thumbprint: (grant.binding.and_then(GrantBinding::thumbprint))
            .map(|thumbprint| thumbprint.to_string()),
        expires_in: grant.expires_in.into(),
        opened_at: grant.opened_at.in_the_past(),
        changed_at: grant.changed_at.in_the_past(),
        renewed_at: grant.line.rotated_at.in_the_past(),
        expires_at: grant.expires_at().ahead(),
        ends_at: grant.ends_at.ahead(),
        ended_at,
    }
}

fn rotation(rotation: &Rotation) -> api::AlgorithmRotation {
    api::AlgorithmRotation {
        algorithm: rotation.algorithm,
        retired: rotation.retired.clone().into(),
        activated: rotation.activated.clone(),
        successor: rotation.successor.clone().into(),
        forced: rotation.forced,
    }
}

pub(super) fn rotations(version: u64, rotations: &[Rotation]) -> api::Rotations {
    api::Rotations {
        version,
        forced: rotations.iter().any(|rotation| rotation.forced),
        rotations: rotations.iter().map(rotation).collect(),
    }
}

/// An operation that waits for a second person.
pub(super) fn approval(approval: &Approval) -> api::Approval {
    let mut shown = api::Approval {
        id: approval.id.clone(),
        issuer: approval.issuer.clone(),
        operation: approval.operation.kind(),
        requested_by: approval.requested_by.clone(),
        requested_at: approval.requested_at.in_the_past(),
        expires_at: approval.expires_at.ahead(),
        reason: approval.reason.clone(),
        algorithm: None,
        kid: None,
        discard_successor: None,
        selector: None,
        ban: None,
        policy: None,
    };
    match &approval.operation {
        Operation::ForceRotation { algorithm } => shown.algorithm = Some((*algorithm).into()),
        Operation::Revoke {
            kid,
            discard_successor,
        } => {
            shown.kid = Some(kid.clone());
            shown.discard_successor = Some(*discard_successor);
        }
        Operation::RevokeTokens { selector, ban } => {
            shown.selector = Some(selector_document(selector));
            shown.ban = ban.map(shown_ban);
        }
        Operation::Delete => {}
        Operation::SetPolicy { policy } => shown.policy = Some((&**policy).into()),
    }
    shown
}

pub(super) fn live_tokens(counted: LiveTokens) -> api::LiveTokens {
    let clients = counted.clients.into_iter();
    let audiences = counted.audiences.into_iter();
    api::LiveTokens {
        tokens: counted.tokens,
        clients: clients
            .map(|share| api::LiveTokensOfClient {
                client: share.name,
                tokens: share.tokens,
                expires_at: api::UnixSeconds(share.expires_at),
            })
            .collect(),
        audiences: audiences
            .map(|share| api::LiveTokensOfAudience {
                audience: share.name,
                tokens: share.tokens,
                expires_at: api::UnixSeconds(share.expires_at),
            })
            .collect(),
        read_since: counted.read_since.map(Timestamp::in_the_past).into(),
        complete: counted.complete,
    }
}

pub(super) fn exposure(exposure: &Exposure) -> api::Exposure {
    api::Exposure {
        kid: exposure.kid.clone(),
        algorithm: exposure.algorithm,
        revoked: exposure.revoked.clone(),
        revoked_at: exposure.revoked_at.in_the_past(),
        forced: exposure.forced,
        signs_now: exposure.signs_now.clone().into(),
        cached_until: exposure.cached_until.ahead(),
        copies: (exposure.copies.iter())
            .map(|(target, until)| api::CopyExposure {
                target: target.clone(),
                cached_until: until.map(Timestamp::ahead).into(),
            })
            .collect(),
        tokens_until: exposure.tokens_until.ahead(),
        in_force_everywhere_at: exposure.in_force_everywhere_at.ahead(),
    }
}

fn shown_ban(ban: Ban) -> api::Ban {
    match ban {
        Ban::UntilLifted => api::Ban::UntilLifted(true),
        Ban::Until(end) => api::Ban::Until(api::BanEnd { until: end.ahead() }),
    }
}

/// A revocation.
pub(super) fn revocation(revocation: &Revocation) -> api::Revocation {
    let (state, issued_before, expires_at) = match revocation.state {
        revocation::State::Open => (api::RevocationState::Open, None, None),
        revocation::State::Closed {
            issued_before,
            expires_at,
        } => {
            let until = Some(expires_at.ahead());
            (
                api::RevocationState::Closed,
                Some(issued_before.into()),
                until,
            )
        }
    };
    api::Revocation {
        id: revocation.id.clone(),
        selector: revocation
            .selector
            .known()
            .map_or_else(Default::default, selector_document),
        erased: revocation.selector.known().is_none(),
        state,
        issued_before,
        ban: revocation.ban.map(shown_ban),
        reason: revocation.reason.clone(),
        by: revocation.by.clone(),
        created_at: revocation.created_at.in_the_past(),
        expires_at,
    }
}

/// A revocation, and from when on it is in force where.
pub(super) fn revocation_in_force(in_force: &RevocationInForce) -> api::RevocationInForce {
    let verifiers = in_force
        .at_verifiers
        .map(|(expected, guaranteed)| api::InForceAtVerifiers {
            expected: expected.ahead(),
            guaranteed: guaranteed.ahead(),
            status_list: in_force.at_status_lists.map(Timestamp::ahead).into(),
        });
    api::RevocationInForce {
        revocation: revocation(&in_force.revocation),
        in_force_at_signers: in_force.at_signers.ahead(),
        in_force_at_verifiers: verifiers.into(),
        tokens_until: in_force.tokens_until.ahead(),
    }
}

pub(super) fn token(token: SignedToken) -> api::Token {
    api::Token {
        token: token.token,
        kid: token.kid,
        jti: token.jti,
        expires_at: token.expires_at.into(),
    }
}

/// Canaries that were taken back.
pub(super) fn stopped_canaries(set: &KeySet, stopped: &[Kid]) -> api::StoppedCanaries {
    let shown = stopped.iter().filter_map(|kid| {
        let key = set.key(kid)?;
        let published_until = match key.state() {
            State::Retired(retired) => retired.published_until.ahead(),
            _ => set.latest().ahead(),
        };
        Some(api::StoppedCanary {
            algorithm: key.algorithm(),
            kid: kid.clone(),
            published_until,
            active: set
                .active(key.algorithm())
                .map(|key| key.kid().clone())
                .into(),
            next_rotation_at: rotation_due(set, key.algorithm())
                .map(Timestamp::ahead)
                .into(),
        })
    });
    api::StoppedCanaries {
        version: set.version(),
        stopped: shown.collect(),
    }
}

/// The rotations that wait for verifiers.
pub(super) fn waiting_rotations(waits: &[AdoptionWait]) -> Vec<api::WaitingRotation> {
    let shown = waits.iter().map(|wait| api::WaitingRotation {
        algorithm: wait.algorithm,
        kid: wait.kid.clone(),
        share: wait.gate.share,
        holders: wait.holders.holders,
        verifiers: wait.holders.verifiers,
        uncounted_replicas: wait.holders.uncounted_replicas,
        until: wait.until.ahead(),
    });
    shown.collect()
}

/// As an [`api::Occurrence`]: the event's own members, and when.
pub(super) fn occurrence(occurrence: &PlannedEvent) -> Map<String, Value> {
    let event = serde_json::to_value(&occurrence.event);
    let mut shown = match event {
        Ok(Value::Object(event)) => event,
        _ => Map::new(),
    };
    shown.insert("at".to_owned(), occurrence.at.ceil_seconds().into());
    shown
}

/// A client with its credentials, which have no secret in them.
pub(super) fn client(live: &ClientState) -> api::RegisteredClient {
    let client = &live.client;
    let credentials = client.credentials.iter().map(|record| api::Credential {
        id: record.id.clone(),
        created_at: record.created_at.in_the_past(),
        expires_at: record.expires_at.map(Timestamp::ahead).into(),
        last_used_at: live
            .last_used(&record.id)
            .map(Timestamp::in_the_past)
            .into(),
    });
    api::RegisteredClient {
        id: client.id.clone(),
        terms: (&client.terms).into(),
        version: client.version,
        created_at: client.created_at.in_the_past(),
        credentials: credentials.collect(),
    }
}

/// A webhook, without its secret.
pub(super) fn webhook(webhook: &Webhook) -> api::Webhook {
    let (state, since, reason, next_at) = match &webhook.delivery.state {
        DeliveryState::Accepting => (api::WebhookState::Accepting, None, None, None),
        DeliveryState::Failing(failing) => (
            api::WebhookState::Failing,
            Some(failing.since),
            Some(failing.reason.clone()),
            Some(failing.next_at),
        ),
        DeliveryState::Paused { since, reason } => (
            api::WebhookState::Paused,
            Some(*since),
            Some(reason.clone()),
            None,
        ),
    };
    let in_the_future = |at: Timestamp| api::UnixSeconds::from(at.ceil_seconds());
    api::Webhook {
        id: webhook.id.clone(),
        url: webhook.url.clone(),
        events: webhook.events.clone(),
        created_at: webhook.created_at.in_the_past(),
        state,
        failing_since: since.map(Timestamp::in_the_past).into(),
        reason,
        next_attempt_at: next_at.map(in_the_future),
        delivered_through: webhook.delivery.through,
        previous_until: webhook.previous_until.map(in_the_future),
    }
}

/// A webhook with its secret, which is shown once.
pub(super) fn webhook_with_secret(made: &WebhookWithSecret) -> api::WebhookWithSecret {
    api::WebhookWithSecret {
        webhook: webhook(&made.webhook),
        secret: made.secret.to_string(),
    }
}
