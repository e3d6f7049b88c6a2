//! The pages, each with its mark-up.

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod bans;
pub(super) mod canary;
pub(super) mod chart;
pub(super) mod client;
pub(super) mod clients;
mod in_force;
pub(super) mod inspector;
pub(super) mod issuer;
pub(super) mod issuers;
mod live_tokens;
mod plan_changes;
pub(super) mod policy;
mod policy_fields;
pub(super) mod problem;
pub(super) mod revoke;
pub(super) mod sign_in;
mod taken_back;
mod verifiers;

use axum::response::Response;

/// There is no such page.
pub(super) async fn not_found() -> Response {
    problem::not_found()
}
