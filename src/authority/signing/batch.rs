//! Many tokens of one caller, signed together.

use super::{Prepared, SignRefusal, SignRequest, SignedToken, Workspace, check_again, prepare};
use crate::access::Client;
use crate::authority::snapshot::{LeasedSnapshot, SigningEntry};
use crate::engine::{random_identifier, random_identifiers};
use crate::store::Write;
use crate::telemetry::traces::child_span;

/// Many tokens, signed with one snapshot. What is held of a request until then is the text that is
/// signed.
pub struct Batch<'v> {
    snapshot: &'v LeasedSnapshot,
    client: &'v Client,
    workspace: Workspace,
    /// For the tokens that are still to come.
    identifiers: std::vec::IntoIter<[u8; 16]>,
    prepared: Vec<Result<Prepared<'v>, SignRefusal>>,
}

impl<'v> Batch<'v> {
    /// A batch of no tokens yet, and of so many at most.
    pub fn new(snapshot: &'v LeasedSnapshot, client: &'v Client, most: usize) -> Self {
        Self {
            snapshot,
            client,
            workspace: Workspace::new(),
            identifiers: random_identifiers(most).into_iter(),
            prepared: Vec::with_capacity(most),
        }
    }

    /// Adds a request. If it is refused, its place has the refusal.
    pub async fn add(&mut self, request: SignRequest<'_>) {
        let identifier = self.identifiers.next().unwrap_or_else(random_identifier);
        let workspace = &mut self.workspace;
        let prepared = prepare(self.snapshot, self.client, request, identifier, workspace);
        self.prepared.push(prepared.await);
    }

    /// Writes down in one commit what is tracked, or refuses all of that.
    async fn track_all(&mut self) {
        let prepared = self.prepared.iter_mut().flatten();
        let writes = prepared.flat_map(|prepared| std::mem::take(&mut prepared.tracking));
        // A policy has every token tracked, or none.
        let writes: Vec<Write> = writes.collect();
        let Err(error) = self.snapshot.status_lists().track(writes).await else {
            return;
        };
        let refusal = SignRefusal::from(error);
        for prepared in &mut self.prepared {
            if prepared.is_ok() {
                *prepared = Err(refusal.clone());
            }
        }
    }

    /// Signs all: a token or a refusal for each request, in order.
    pub async fn sign(mut self) -> Vec<Result<SignedToken, SignRefusal>> {
        self.track_all().await;
        let _step = child_span("sign");
        for entry in self.snapshot.signers() {
            complete_all(entry, &mut self.prepared).await;
        }
        let (snapshot, may_sign) = (self.snapshot, self.snapshot.may_sign());
        let handed_out = |prepared: Prepared<'_>| {
            if !may_sign {
                return Err(SignRefusal::SnapshotStale);
            }
            let (token, parents) = (&prepared.signing_input, &prepared.parents);
            check_again(snapshot, token, parents, prepared.judged_at_change)?;
            Ok(SignedToken {
                token: prepared.signing_input,
                kid: prepared.entry.kid.clone(),
                jti: prepared.jti,
                expires_at: prepared.expires_at,
            })
        };
        self.prepared
            .into_iter()
            .map(|prepared| prepared.and_then(handed_out))
            .collect()
    }
}

/// Completes the prepared tokens of one key in one go.
async fn complete_all(entry: &SigningEntry, prepared: &mut [Result<Prepared<'_>, SignRefusal>]) {
    let of_key = |prepared: &&mut Result<Prepared<'_>, SignRefusal>| matches!(prepared, Ok(prepared) if std::ptr::eq(prepared.entry, entry));
    let inputs: Vec<String> = prepared
        .iter_mut()
        .filter(of_key)
        .flatten()
        .map(|prepared| std::mem::take(&mut prepared.signing_input))
        .collect();
    if inputs.is_empty() {
        return;
    }
    let outcome = entry
        .signer
        .complete(inputs)
        .await
        .map_err(SignRefusal::from);
    match outcome {
        Ok(tokens) => {
            for (prepared, token) in prepared.iter_mut().filter(of_key).zip(tokens) {
                if let Ok(prepared) = prepared {
                    prepared.signing_input = token;
                }
            }
        }
        Err(refusal) => {
            for prepared in prepared.iter_mut().filter(of_key) {
                *prepared = Err(refusal.clone());
            }
        }
    }
}
