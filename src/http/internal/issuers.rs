//! Issuers and their policies.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_api as api;

use super::if_match::IfMatch;
use super::{Named, Service, approvals, path_parameter};
use crate::authority::snapshot::Snapshot;
use crate::authority::{Authority, IssuerSet};
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created_at, ok, tagged};
use crate::http::shown;
use crate::lifecycle::{IssuerName, IssuerOrigin, Policy};

/// The name in the path, of an issuer that need not exist.
pub(super) struct NewName(IssuerName);

impl FromRequestParts<Arc<Authority>> for NewName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        let name = path_parameter(parts, "issuer").await?;
        let invalid = |error| Problem::new(Code::InvalidIssuerName, error);
        IssuerName::parse(&name).map(Self).map_err(invalid)
    }
}

pub(super) async fn show(
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
) -> Result<Response, Problem> {
    let snapshot = issuer.snapshot();
    Ok(tagged(
        ok(shown::issuer(&snapshot)),
        snapshot.tokens().issuer,
    ))
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    let mut issuers = authority.issuers();
    issuers.retain(|issuer| caller.may_call(Some(issuer.name().as_str())).is_ok());
    let list = move || {
        let shown = issuers
            .iter()
            .map(|issuer| shown::issuer(&issuer.snapshot()));
        ok(api::Issuers {
            issuers: shown.collect(),
        })
    };
    caller.compute(list).await
}

pub(super) async fn set(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    NewName(name): NewName,
    IfMatch(precondition): IfMatch,
    Body(body): Body<api::IssuerRequest>,
) -> Result<Response, Problem> {
    caller.may_call(Some(name.as_str()))?;
    let (policy, takes_over) = body.into_parts();
    let origin = takes_over.map(|takes_over| match takes_over {
        true => IssuerOrigin::TakesOver,
        false => IssuerOrigin::Fresh,
    });
    let timing = authority.timing();
    let judge = move || {
        let policy = Policy::new(policy, &timing)?;
        let warnings = policy.warnings();
        Ok::<_, Problem>((policy, warnings))
    };
    let (policy, mut warnings) = caller.compute(judge).await??;
    warnings.extend(authority.warn_of_new_copies(&name, &policy));
    let set = authority
        .set_issuer_if(precondition, &name, policy, origin, caller.actor())
        .await?;
    let now = authority.now();
    let shown = |snapshot: &Snapshot| {
        let earlier_heads = snapshot.set().earlier_heads();
        let warning = earlier_heads.and_then(|heads| heads.warning(now));
        let warnings: Vec<String> = warnings.into_iter().chain(warning).collect();
        api::Issuer {
            warnings: (!warnings.is_empty()).then_some(warnings),
            ..shown::issuer(snapshot)
        }
    };
    // The tag is that of the very document that is answered.
    Ok(match set {
        IssuerSet::Created(issuer) => {
            let snapshot = issuer.snapshot();
            let created = created_at(&format!("/v1/issuers/{name}"), shown(&snapshot));
            tagged(created, snapshot.tokens().issuer)
        }
        IssuerSet::Replaced(issuer) => {
            let snapshot = issuer.snapshot();
            tagged(ok(shown(&snapshot)), snapshot.tokens().issuer)
        }
        IssuerSet::Awaits(approval) => approvals::awaits(&approval),
    })
}
