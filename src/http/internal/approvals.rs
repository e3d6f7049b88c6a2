//! Operations that wait for a second person.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::{Named, Service, path_text};
use crate::access::approval::{Approval, Operation};
use crate::authority::approvals::{ApprovalOutcome, Outcome, StoredApproval};
use crate::authority::request::Request;
use crate::authority::{Authority, ChangeError};
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::response::{accepted, no_content, ok};
use crate::http::shown;

path_text! {
    /// The operation that the path names, which need not wait any more.
    ApprovalId, "approval"
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Security>,
) -> Result<Response, Problem> {
    let waiting = authority.approvals().await?;
    let own = waiting
        .iter()
        .filter(|approval| caller.may_call(Some(approval.issuer.as_str())).is_ok());
    Ok(ok(api::Approvals {
        approvals: own.map(shown::approval).collect(),
    }))
}

pub(super) async fn confirm(
    State(authority): Service,
    caller: HasRole<role::Security>,
    ApprovalId(id): ApprovalId,
) -> Result<Response, Problem> {
    let approval = waiting(&authority, &caller, &id).await?;
    let shown = shown::approval(&approval.approval);
    let outcome = authority.confirm(approval, &caller.caller).await?;
    Ok(ok(api::Confirmed {
        approval: shown,
        result: result(&outcome),
    }))
}

pub(super) async fn reject(
    State(authority): Service,
    caller: HasRole<role::Security>,
    ApprovalId(id): ApprovalId,
) -> Result<Response, Problem> {
    let approval = waiting(&authority, &caller, &id).await?;
    authority.reject(&approval, &caller.caller).await?;
    Ok(no_content())
}

/// What waits under this id. What has become of it is told to those alone who may call its issuer.
async fn waiting(
    authority: &Authority,
    caller: &HasRole<role::Security>,
    id: &str,
) -> Result<StoredApproval, Problem> {
    let found = authority.approval(id).await;
    match &found {
        Ok(stored) => caller.may_call(Some(stored.approval.issuer.as_str()))?,
        Err(ChangeError::ApprovalEnded(ended)) => caller.may_call(Some(ended.issuer.as_str()))?,
        Err(_) => {}
    }
    Ok(found?)
}

pub(super) async fn delete_issuer(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    Body(body): Body<api::DeleteRequest>,
) -> Result<Response, Problem> {
    let request = Request::with_reason(caller.actor(), Some(body.reason.into()));
    let asked = authority.ask(&issuer, Operation::Delete, request);
    Ok(answer(&asked.await?))
}

/// 200 with what was done, or 202 with what waits.
pub(super) fn answer(answer: &ApprovalOutcome) -> Response {
    match answer {
        ApprovalOutcome::Done(outcome) => ok(result(outcome)),
        ApprovalOutcome::Awaits(approval) => awaits(approval),
    }
}

/// 202 with what waits.
pub(super) fn awaits(approval: &Approval) -> Response {
    accepted(api::Awaits {
        approval: shown::approval(approval),
    })
}

fn result(outcome: &Outcome) -> api::OperationResult {
    match outcome {
        Outcome::Rotated(version, rotations) => {
            api::OperationResult::Rotations(shown::rotations(*version, rotations))
        }
        Outcome::Revoked(exposure) => api::OperationResult::Exposure(shown::exposure(exposure)),
        Outcome::TokensRevoked(revoked) => {
            api::OperationResult::Revocation(Box::new(shown::revocation_in_force(revoked)))
        }
        Outcome::Deleted(issuer) | Outcome::PolicySet(issuer) => {
            api::OperationResult::Issuer(Box::new(shown::issuer(&issuer.snapshot())))
        }
    }
}
