//! The operations of the internal API, each named as in the OpenAPI document. Requests may be the
//! documents of [`keywright_api`], or anything that is written as the same JSON.

use keywright_api::{
    Approvals, AuditHead, AuditPage, BatchResults, Clients, ClockCorrection, Confirmed,
    ConsoleLink, CreatedClient, Exposure, Grant, Grants, HealthReport, History, Issuer, IssuerName,
    Issuers, Key, Keys, LiveTokens, MasterKeyRotation, MasterKeyState, OpenedGrant, Plan,
    RegisteredClient, Replicas, RevocationBatch, RevocationInForce, Revocations, Rotations,
    SigningCheck, StoppedCanaries, Token, UnixSeconds, Verifiers, Webhook, WebhookWithSecret,
    Webhooks,
};
use keywright_verifier::{Algorithm, Kid};
use serde::Serialize;

use crate::call::Call;
use crate::client::Client;
use crate::download::Download;
use crate::error::Error;
use crate::events::Events;
use crate::query::{AuditFilter, Query, RevocationFilter, segment};

fn of_issuer(issuer: &IssuerName) -> String {
    format!("/v1/issuers/{issuer}")
}

fn of_key(issuer: &IssuerName, kid: &Kid) -> String {
    format!("/v1/issuers/{issuer}/keys/{}", segment(kid.as_str()))
}

fn of_grant(issuer: &IssuerName, id: &str) -> String {
    format!("/v1/issuers/{issuer}/grants/{}", segment(id))
}

fn of_webhook(id: &str) -> String {
    format!("/v1/webhooks/{}", segment(id))
}

fn of_client(id: &str) -> String {
    format!("/v1/clients/{}", segment(id))
}

/// Tokens.
impl Client {
    /// Signs one token: a [`keywright_api::SignRequest`].
    pub fn sign_token(&self, issuer: &IssuerName, request: &impl Serialize) -> Call<'_, Token> {
        self.post(format!("{}/tokens", of_issuer(issuer)), request)
    }

    /// Signs up to a thousand tokens: a [`keywright_api::BatchRequest`]. Each is refused or signed by itself.
    pub fn sign_tokens(
        &self,
        issuer: &IssuerName,
        requests: &impl Serialize,
    ) -> Call<'_, BatchResults> {
        self.post(format!("{}/tokens/batch", of_issuer(issuer)), requests)
    }

    /// Opens a grant: a [`keywright_api::GrantRequest`].
    pub fn open_grant(
        &self,
        issuer: &IssuerName,
        request: &impl Serialize,
    ) -> Call<'_, OpenedGrant> {
        self.post(format!("{}/grants", of_issuer(issuer)), request)
    }

    /// A page of grants, of one subject or of all: at most `limit` of those after the identifier `after`.
    pub fn list_grants(
        &self,
        issuer: &IssuerName,
        subject: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Call<'_, Grants> {
        let query = Query::default()
            .with("subject", subject)
            .with("after", after);
        let query = query.with("limit", Some(limit.to_string()));
        self.get(query.after(format!("{}/grants", of_issuer(issuer))))
    }

    /// One grant, without its tokens.
    pub fn read_grant(&self, issuer: &IssuerName, id: &str) -> Call<'_, Grant> {
        self.get(of_grant(issuer, id))
    }

    /// Changes what the tokens of a grant say from its next renewal on: a [`keywright_api::GrantChange`].
    pub fn change_grant(
        &self,
        issuer: &IssuerName,
        id: &str,
        request: &impl Serialize,
    ) -> Call<'_, Grant> {
        self.patch(of_grant(issuer, id), request)
    }

    /// Ends a grant, and takes its access tokens back.
    pub fn end_grant(&self, issuer: &IssuerName, id: &str) -> Call<'_, ()> {
        self.delete(of_grant(issuer, id))
    }

    /// Takes tokens back: a [`keywright_api::RevocationRequest`].
    pub fn revoke_tokens(
        &self,
        issuer: &IssuerName,
        request: &impl Serialize,
    ) -> Call<'_, RevocationInForce> {
        self.post(format!("{}/revocations", of_issuer(issuer)), request)
    }

    /// Takes tokens back, in one commit or not at all: a [`keywright_api::RevocationBatchRequest`].
    pub fn revoke_tokens_in_batch(
        &self,
        issuer: &IssuerName,
        requests: &impl Serialize,
    ) -> Call<'_, RevocationBatch> {
        self.post(format!("{}/revocations/batch", of_issuer(issuer)), requests)
    }

    /// A page of revocations: at most `limit` of those after the identifier `after`.
    pub fn list_revocations(
        &self,
        issuer: &IssuerName,
        filter: &RevocationFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Call<'_, Revocations> {
        let query = filter.query().with("after", after);
        let query = query.with("limit", Some(limit.to_string()));
        self.get(query.after(format!("{}/revocations", of_issuer(issuer))))
    }

    /// One revocation, and from when on it is in force where.
    pub fn read_revocation(&self, issuer: &IssuerName, id: &str) -> Call<'_, RevocationInForce> {
        self.get(format!("{}/revocations/{}", of_issuer(issuer), segment(id)))
    }

    /// Lifts a ban. Tokens from before stay refused.
    pub fn lift_ban(&self, issuer: &IssuerName, id: &str) -> Call<'_, ()> {
        self.delete(format!("{}/revocations/{}", of_issuer(issuer), segment(id)))
    }

    /// Erases what a revocation says of people. Its tokens stay refused.
    pub fn erase_revocation(&self, issuer: &IssuerName, id: &str) -> Call<'_, RevocationInForce> {
        let empty = serde_json::Map::new();
        let path = format!("{}/revocations/{}/erase", of_issuer(issuer), segment(id));
        self.post(path, &empty)
    }

    /// The feed as a file, for verifiers without a network. `max_age` is a duration such as `24h`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read_revocation_file(
        &self,
        issuer: &IssuerName,
        max_age: Option<&str>,
        algorithm: Option<Algorithm>,
    ) -> Result<Download, Error> {
        let query = Query::default().with("max_age", max_age);
        let query = query.with("alg", algorithm.map(Algorithm::as_str));
        let path = query.after(format!("{}/revocations/file", of_issuer(issuer)));
        self.get::<()>(path).download().await
    }
}

/// Keys.
impl Client {
    /// Every key of an issuer, removed and revoked ones included.
    pub fn list_keys(&self, issuer: &IssuerName) -> Call<'_, Keys> {
        self.get(format!("{}/keys", of_issuer(issuer)))
    }

    /// Who has fetched an issuer's key set, and which one each of them has.
    pub fn list_verifiers(&self, issuer: &IssuerName) -> Call<'_, Verifiers> {
        self.get(format!("{}/verifiers", of_issuer(issuer)))
    }

    /// One key.
    pub fn read_key(&self, issuer: &IssuerName, kid: &Kid) -> Call<'_, Key> {
        self.get(of_key(issuer, kid))
    }

    /// Lets the ready successors take over: a [`keywright_api::RotateRequest`].
    pub fn rotate(&self, issuer: &IssuerName, request: &impl Serialize) -> Call<'_, Rotations> {
        self.post(format!("{}/rotate", of_issuer(issuer)), request)
    }

    /// Takes canaries back: a [`keywright_api::StopCanaryRequest`].
    pub fn stop_canary(
        &self,
        issuer: &IssuerName,
        request: &impl Serialize,
    ) -> Call<'_, StoppedCanaries> {
        self.post(format!("{}/canary/stop", of_issuer(issuer)), request)
    }

    /// Revokes a key: a [`keywright_api::RevokeRequest`].
    pub fn revoke_key(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        request: &impl Serialize,
    ) -> Call<'_, Exposure> {
        self.post(format!("{}/revoke", of_key(issuer, kid)), request)
    }

    /// What a revocation would answer now. Nothing is done.
    pub fn read_exposure(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        discards_successor: bool,
    ) -> Call<'_, Exposure> {
        let query = Query::default();
        let query = query.with("discard_successor", Some(discards_successor.to_string()));
        self.get(query.after(format!("{}/exposure", of_key(issuer, kid))))
    }

    /// Whose tokens the key has signed that are still alive, from the issuance log of the process that
    /// answers.
    pub fn read_live_tokens(&self, issuer: &IssuerName, kid: &Kid) -> Call<'_, LiveTokens> {
        self.get(format!("{}/live-tokens", of_key(issuer, kid)))
    }

    /// Brings in a key of another system: an [`keywright_api::ImportRequest`].
    pub fn import_key(&self, issuer: &IssuerName, request: &impl Serialize) -> Call<'_, Key> {
        self.post(format!("{}/keys", of_issuer(issuer)), request)
    }

    /// What was published at a time, in milliseconds since 1970.
    pub fn read_history(&self, issuer: &IssuerName, at_millis: u64) -> Call<'_, History> {
        let (seconds, millis) = (at_millis / 1000, at_millis % 1000);
        self.get(format!(
            "{}/history?at={seconds}.{millis:03}",
            of_issuer(issuer)
        ))
    }

    /// What will happen to the keys.
    pub fn read_plan(&self, issuer: &IssuerName, until: UnixSeconds) -> Call<'_, Plan> {
        self.get(format!("{}/plan?until={}", of_issuer(issuer), until.0))
    }

    /// What would happen to the keys under another [`keywright_api::Policy`].
    pub fn preview_plan(
        &self,
        issuer: &IssuerName,
        until: UnixSeconds,
        policy: &impl Serialize,
    ) -> Call<'_, Plan> {
        let path = format!("{}/plan?until={}", of_issuer(issuer), until.0);
        self.post(path, policy)
    }
}

/// Issuers.
impl Client {
    /// The issuers that the client may call, deleted ones included.
    pub fn list_issuers(&self) -> Call<'_, Issuers> {
        self.get("/v1/issuers".to_owned())
    }

    /// One issuer and its policy.
    pub fn read_issuer(&self, issuer: &IssuerName) -> Call<'_, Issuer> {
        self.get(of_issuer(issuer))
    }

    /// Creates an issuer or replaces its policy: an [`keywright_api::IssuerRequest`]. With an entity tag only the policy
    /// that was read with it.
    pub fn set_issuer(
        &self,
        issuer: &IssuerName,
        request: &impl Serialize,
        entity_tag: Option<&str>,
    ) -> Call<'_, Issuer> {
        self.put(of_issuer(issuer), request, entity_tag)
    }

    /// Deletes an issuer for good: a [`keywright_api::DeleteRequest`].
    pub fn delete_issuer(&self, issuer: &IssuerName, request: &impl Serialize) -> Call<'_, Issuer> {
        self.post(format!("{}/delete", of_issuer(issuer)), request)
    }
}

/// Clients, and operations that wait for a second person.
impl Client {
    /// Every client.
    pub fn list_clients(&self) -> Call<'_, Clients> {
        self.get("/v1/clients".to_owned())
    }

    /// One client.
    pub fn read_client(&self, id: &str) -> Call<'_, RegisteredClient> {
        self.get(of_client(id))
    }

    /// Creates a client: a [`keywright_api::ClientRequest`]. The answer has its credential, this once.
    pub fn create_client(&self, request: &impl Serialize) -> Call<'_, CreatedClient> {
        self.post("/v1/clients".to_owned(), request)
    }

    /// Replaces what a client may do: its [`keywright_api::Terms`]. With an entity tag only those that were read with it.
    pub fn set_client(
        &self,
        id: &str,
        terms: &impl Serialize,
        entity_tag: Option<&str>,
    ) -> Call<'_, RegisteredClient> {
        self.put(of_client(id), terms, entity_tag)
    }

    /// Deletes a client.
    pub fn delete_client(&self, id: &str) -> Call<'_, ()> {
        self.delete(of_client(id))
    }

    /// Whether a client would get a token of this issuer for a [`keywright_api::SignRequest`]. Nothing is signed.
    pub fn check_signing(
        &self,
        id: &str,
        issuer: &IssuerName,
        request: &impl Serialize,
    ) -> Call<'_, SigningCheck> {
        let path = format!("{}/check?issuer={issuer}", of_client(id));
        self.post(path, request)
    }

    /// Makes a client a new credential: a [`keywright_api::CredentialRequest`].
    pub fn rotate_credential(&self, id: &str, request: &impl Serialize) -> Call<'_, CreatedClient> {
        self.post(format!("{}/credentials", of_client(id)), request)
    }

    /// Revokes one credential of a client.
    pub fn revoke_credential(&self, id: &str, credential: &str) -> Call<'_, ()> {
        let credential = segment(credential);
        self.delete(format!("{}/credentials/{credential}", of_client(id)))
    }

    /// All webhooks, without their secrets.
    pub fn list_webhooks(&self) -> Call<'_, Webhooks> {
        self.get("/v1/webhooks".to_owned())
    }

    /// Creates a webhook: a [`keywright_api::WebhookRequest`].
    pub fn create_webhook(&self, request: &impl Serialize) -> Call<'_, WebhookWithSecret> {
        self.post("/v1/webhooks".to_owned(), request)
    }

    /// A webhook.
    pub fn read_webhook(&self, id: &str) -> Call<'_, Webhook> {
        self.get(of_webhook(id))
    }

    /// Deletes a webhook.
    pub fn delete_webhook(&self, id: &str) -> Call<'_, ()> {
        self.delete(of_webhook(id))
    }

    /// Gives a webhook a new secret: a [`keywright_api::WebhookSecretRequest`].
    pub fn rotate_webhook_secret(
        &self,
        id: &str,
        request: &impl Serialize,
    ) -> Call<'_, WebhookWithSecret> {
        self.post(format!("{}/secrets", of_webhook(id)), request)
    }

    /// Sends to a webhook again that is paused, or at once to one that fails.
    pub fn resume_webhook(&self, id: &str) -> Call<'_, Webhook> {
        let empty = serde_json::Map::new();
        self.post(format!("{}/resume", of_webhook(id)), &empty)
    }

    /// The operations that wait for a second person.
    pub fn list_approvals(&self) -> Call<'_, Approvals> {
        self.get("/v1/approvals".to_owned())
    }

    /// Confirms an operation, which then happens.
    pub fn confirm(&self, approval: &str) -> Call<'_, Confirmed> {
        let empty = serde_json::Map::new();
        self.post(
            format!("/v1/approvals/{}/confirm", segment(approval)),
            &empty,
        )
    }

    /// Rejects an operation.
    pub fn reject(&self, approval: &str) -> Call<'_, ()> {
        self.delete(format!("/v1/approvals/{}", segment(approval)))
    }
}

/// The service itself.
impl Client {
    /// A page of the audit log: at most `limit` of the events after the number `after`. An event is a
    /// [`keywright_api::AuditEvent`], or the members of one as they are.
    pub fn read_audit<E>(
        &self,
        filter: &AuditFilter,
        after: u64,
        limit: usize,
    ) -> Call<'_, AuditPage<E>> {
        let query = filter.query().with("after", Some(after.to_string()));
        let query = query.with("limit", Some(limit.to_string()));
        self.get(query.after("/v1/audit".to_owned()))
    }

    /// The end of the audit log.
    pub fn read_audit_head(&self) -> Call<'_, AuditHead> {
        self.get("/v1/audit/head".to_owned())
    }

    /// The audit log as it grows: the events after the number `after`, or those that happen from now on. The
    /// times of the filter do not count.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn follow_events(
        &self,
        filter: &AuditFilter,
        after: Option<u64>,
    ) -> Result<Events, Error> {
        let timeless = AuditFilter {
            since: None,
            until: None,
            ..filter.clone()
        };
        let query = timeless.query();
        let query = query.with("after", after.map(|after| after.to_string()));
        let call = self.get::<()>(query.after("/v1/events".to_owned()));
        Ok(Events::new(call.download().await?, after))
    }

    /// The audit log after an event, as the lines over which its hashes are.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn export_audit(&self, after: u64) -> Result<Download, Error> {
        let path = format!("/v1/audit/export?after={after}");
        self.get::<()>(path).download().await
    }

    /// The state of every key, for a later restore.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read_register(&self) -> Result<Download, Error> {
        self.get::<()>("/v1/register".to_owned()).download().await
    }

    /// Everything that the service has, sealed under its master key.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn take_backup(&self) -> Result<Download, Error> {
        let call = Call::<()>::new(self, hyper::Method::POST, "/v1/backup".to_owned());
        call.download().await
    }

    /// A link that opens a session of this client in the console.
    pub fn create_console_link(&self) -> Call<'_, ConsoleLink> {
        let empty = serde_json::Map::new();
        self.post("/v1/console/links".to_owned(), &empty)
    }

    /// The processes that share the store.
    pub fn list_replicas(&self) -> Call<'_, Replicas> {
        self.get("/v1/replicas".to_owned())
    }

    /// How this process, its issuers and its tasks are doing.
    pub fn read_health_report(&self) -> Call<'_, HealthReport> {
        self.get("/v1/health".to_owned())
    }

    /// Which master keys are needed.
    pub fn read_master_key(&self) -> Call<'_, MasterKeyState> {
        self.get("/v1/master-key".to_owned())
    }

    /// Seals a part of what is left with another master key: a [`keywright_api::RotateMasterKeyRequest`]. To be called until
    /// nothing is left.
    pub fn rotate_master_key(&self, request: &impl Serialize) -> Call<'_, MasterKeyRotation> {
        self.post("/v1/master-key/rotate".to_owned(), request)
    }

    /// Says that the clock was ahead and is right now: a [`keywright_api::CorrectClockRequest`].
    pub fn correct_clock(&self, request: &impl Serialize) -> Call<'_, ClockCorrection> {
        self.post("/v1/clock/correct".to_owned(), request)
    }
}
