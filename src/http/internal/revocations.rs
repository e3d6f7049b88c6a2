//! Tokens that are taken back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use keywright_verifier::Algorithm;
use keywright_verifier::revocation::{HeadKind, Selector, SelectorKind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::PageLength;
use super::{Named, Parameters, Service, approvals, path_text};
use crate::access::Role;
use crate::access::approval::Operation;
use crate::authority::Authority;
use crate::authority::approvals::{ApprovalOutcome, Outcome};
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::request::Request;
use crate::authority::revocations::{RevocationDraft, RevocationFilter};
use crate::http::authentication::{HasRole, role};
use crate::http::body::{Body, LargeBody};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created, created_at, no_content, ok, written};
use crate::http::shown;
use crate::lifecycle::{Timestamp, format_duration};
use crate::revocation::{Ban, selector_of};

path_text! {
    /// The revocation that the path names, which need not exist.
    RevocationId, "revocation"
}

/// Which revocations to read: all, or those of exactly these members.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RevocationQuery {
    /// Only those of this `jti`.
    jti: Option<String>,
    /// Only those of this session.
    session: Option<String>,
    /// Only those of this subject.
    subject: Option<String>,
    /// Only those of this OAuth client.
    client: Option<String>,
    /// Only those of this audience.
    audience: Option<String>,
    /// Only those of the whole issuer.
    issuer: Option<bool>,
    /// Only those from which something still follows. Default: all that are kept.
    live: Option<bool>,
    /// Only those with a larger identifier.
    after: Option<String>,
    /// At most so many. Default: 100.
    #[schemars(range(min = 1, max = api::LARGEST_PAGE))]
    limit: Option<usize>,
}

pub(super) async fn revoke(
    State(authority): Service,
    caller: HasRole<role::Revoker>,
    Named(issuer): Named,
    Body(body): Body<api::RevocationRequest>,
) -> Result<Response, Problem> {
    let draft = draft(&authority, &issuer, &caller.caller, body)?;
    let request = Request::with_reason(caller.actor(), draft.reason);
    let operation = Operation::RevokeTokens {
        selector: draft.selector,
        ban: draft.ban,
    };
    match authority.ask(&issuer, operation, request).await? {
        ApprovalOutcome::Done(Outcome::TokensRevoked(revoked)) => {
            let id = &revoked.revocation.id;
            let location = format!("/v1/issuers/{}/revocations/{id}", issuer.name());
            Ok(created_at(&location, shown::revocation_in_force(&revoked)))
        }
        outcome => Ok(approvals::answer(&outcome)),
    }
}

pub(super) async fn revoke_batch(
    State(authority): Service,
    caller: HasRole<role::Revoker>,
    Named(issuer): Named,
    LargeBody(body): LargeBody<api::RevocationBatchRequest>,
) -> Result<Response, Problem> {
    let mut drafts = Vec::new();
    for (index, request) in body.revocations.into_vec().into_iter().enumerate() {
        let drafted = draft(&authority, &issuer, &caller.caller, request);
        let place = format!("/revocations/{index}");
        drafts.push(drafted.map_err(|problem| problem.at(&place))?);
        // A token's signature is checked in each: others have their turn in between.
        tokio::task::yield_now().await;
    }
    let request = Request::by(caller.actor());
    let revoked = authority.take_tokens_back(&issuer, drafts, request).await?;
    Ok(created(api::RevocationBatch {
        revocations: revoked.iter().map(shown::revocation_in_force).collect(),
    }))
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::RevocationReader>,
    Named(issuer): Named,
    Parameters(query): Parameters<RevocationQuery>,
) -> Result<Response, Problem> {
    let length = PageLength::of(query.limit)?;
    let members = api::RevocationSelector {
        jti: query.jti,
        session: query.session,
        subject: query.subject,
        client: query.client,
        audience: query.audience,
        issuer: query.issuer,
    };
    let selector = match members == api::RevocationSelector::default() {
        true => None,
        false => {
            Some(selector_of(&members).map_err(|error| Problem::new(Code::InvalidQuery, error))?)
        }
    };
    let filter = RevocationFilter {
        selector,
        live: query.live.unwrap_or(false),
        after: query.after.unwrap_or_default(),
        limit: length.and_one(),
    };
    // A selector is looked for in all that there are.
    let (book, now) = (Arc::clone(issuer.revocations()), authority.now());
    let mut found = caller.compute(move || book.list(&filter, now)).await?;
    let last = length.cut(&mut found);
    let next = last.map(|revocation| revocation.id.clone()).into();
    Ok(ok(api::Revocations {
        revocations: found.iter().map(|one| shown::revocation(one)).collect(),
        next,
    }))
}

/// For how long a file counts unless its caller says otherwise.
const DEFAULT_FILE_AGE: Duration = Duration::from_secs(86_400);

/// What the file is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RevocationFileQuery {
    /// For how long verifiers accept tokens by it. Default: a day.
    max_age: Option<api::DurationText>,
    /// The algorithm of the signature. Default: the policy's `default_algorithm`.
    #[schemars(with = "Option<Algorithm>")]
    alg: Option<String>,
}

pub(super) async fn file(
    State(authority): Service,
    caller: HasRole<role::RevocationReader>,
    Named(issuer): Named,
    Parameters(query): Parameters<RevocationFileQuery>,
) -> Result<Response, Problem> {
    let max_age = query.max_age.map_or(DEFAULT_FILE_AGE, |given| given.0);
    let (least, most) = HeadKind::File.max_age_bounds();
    if !(least..=most).contains(&max_age.as_secs()) {
        let detail = format!(
            "max_age is {} and must lie between {} and {}",
            format_duration(max_age),
            format_duration(Duration::from_secs(least)),
            format_duration(Duration::from_secs(most)),
        );
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let algorithm = query.alg.map(|name| name.parse::<Algorithm>()).transpose();
    let algorithm = algorithm.map_err(|error| Problem::new(Code::UnknownAlgorithm, error))?;
    let file = authority
        .revocation_file(&issuer, algorithm, max_age)
        .await?;
    Ok(written(caller.compute(move || file.to_json()).await?))
}

pub(super) async fn show(
    State(authority): Service,
    _caller: HasRole<role::RevocationReader>,
    Named(issuer): Named,
    RevocationId(id): RevocationId,
) -> Result<Response, Problem> {
    let found = issuer.revocations().find(&id);
    let revocation = found.ok_or_else(|| Problem::unknown_revocation(&id))?;
    let in_force = authority.in_force(&issuer, revocation);
    Ok(ok(shown::revocation_in_force(&in_force)))
}

pub(super) async fn lift(
    State(authority): Service,
    caller: HasRole<role::Revoker>,
    Named(issuer): Named,
    RevocationId(id): RevocationId,
) -> Result<Response, Problem> {
    if let Some(revocation) = issuer.revocations().find(&id)
        && !caller.caller.has(Role::Security)
        && revocation.client != caller.caller.id()
    {
        return Err(Problem::beyond_revoker(
            "a revoker lifts the bans that it has made itself",
        ));
    }
    authority.lift_ban(&issuer, &id, caller.actor()).await?;
    Ok(no_content())
}

pub(super) async fn erase(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    RevocationId(id): RevocationId,
) -> Result<Response, Problem> {
    let erased = authority
        .erase_revocation(&issuer, &id, caller.actor())
        .await?;
    Ok(ok(shown::revocation_in_force(&erased)))
}

/// What a request asks for, if its caller may.
fn draft(
    authority: &Authority,
    issuer: &Issuer,
    caller: &Caller,
    request: api::RevocationRequest,
) -> Result<RevocationDraft, Problem> {
    let (members, token, ban, reason) = request.into_parts();
    let invalid = |detail: &dyn std::fmt::Display| Problem::new(Code::InvalidSelector, detail);
    let selector = match &token {
        Some(_) if members != api::RevocationSelector::default() => {
            return Err(invalid(
                &"a token names itself: leave the other members out",
            ));
        }
        Some(token) => {
            let token = authority.issued_token(issuer, token)?;
            Selector::new(SelectorKind::Jti, &[token.jti()?]).map_err(|error| invalid(&error))?
        }
        None => {
            let selector = selector_of(&members).map_err(|error| invalid(&error))?;
            if !caller.has(Role::Security) {
                let client = &caller.live.client;
                client
                    .terms
                    .limits
                    .check_revocation(&client.id, &selector)?;
            }
            selector
        }
    };
    let ban = match ban {
        None | Some(api::Ban::UntilLifted(false)) => None,
        Some(api::Ban::UntilLifted(true)) => Some(Ban::UntilLifted),
        Some(api::Ban::Until(api::BanEnd { until })) => {
            let end = Timestamp::from_seconds(until.0);
            if end <= authority.now() {
                let detail = "the ban would have ended already";
                return Err(Problem::new(Code::InvalidBan, detail));
            }
            Some(Ban::Until(end))
        }
    };
    Ok(RevocationDraft {
        selector,
        ban,
        reason: reason.map(String::from),
    })
}
