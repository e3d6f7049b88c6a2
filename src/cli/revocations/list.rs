//! `keywright revocations`: which tokens were taken back, page by page.

use keywright_api::{
    Ban, BanEnd, LARGEST_PAGE, Nullable, Revocation, RevocationSelector, UnixSeconds,
};
use keywright_client::RevocationFilter;
use serde_json::json;

use super::told::who;
use super::{OfIssuer, SelectorArguments};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::moment::{rfc3339, seen_from};
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Only those of this subject.
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    #[command(flatten)]
    selector: SelectorArguments,
    /// Only those of this token.
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// Only those of the whole issuer.
    #[arg(long, conflicts_with_all = ["subject", "session", "client", "audience", "jti"])]
    whole_issuer: bool,
    /// Also those from which nothing follows any more and that are not deleted yet.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: OfIssuer,
}

/// Every revocation that passes the filter, page by page.
pub(super) fn all(
    client: &Client,
    issuer: &IssuerName,
    filter: &RevocationFilter,
) -> Result<Vec<Revocation>, Failure> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = client.list_revocations(issuer, filter, after.as_deref(), LARGEST_PAGE);
        let page = client.wait(page)?.read()?;
        found.extend(page.revocations);
        match page.next {
            Nullable::Value(next) => after = Some(next),
            Nullable::Null => return Ok(found),
        }
    }
}

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let Arguments {
        subject,
        selector,
        jti,
        whole_issuer,
        all: is_all,
        of,
    } = arguments;
    let filter = RevocationFilter {
        selector: RevocationSelector {
            jti,
            issuer: whole_issuer.then_some(true),
            ..selector.with_subject(subject)
        },
        is_live: Some(!is_all),
    };
    let found = all(&session.client()?, &of.issuer, &filter)?;
    let now = session.now.floor_seconds();
    if session.output.is_json() {
        return session
            .output
            .show_found(json!({ "revocations": found }), |_, _| Ok(()));
    }
    let rows = found.into_iter().map(|revocation| {
        let ban = match revocation.ban {
            None | Some(Ban::UntilLifted(false)) => String::new(),
            ban if !holds(ban, now) => "ended".to_owned(),
            Some(Ban::UntilLifted(true)) => "until lifted".to_owned(),
            Some(Ban::Until(BanEnd { until })) => seen_from(now, until.0),
        };
        let refuses = match revocation.issued_before {
            Some(UnixSeconds(before)) => rfc3339(before),
            None => "open".to_owned(),
        };
        [
            who(&revocation),
            refuses,
            ban,
            revocation.id,
            revocation.reason.unwrap_or_default(),
        ]
    });
    let headings = ["tokens of", "issued before", "ban", "id", "reason"];
    session.output.line(columns(headings, rows))
}

/// Whether a ban keeps tokens from being signed.
pub(super) fn holds(ban: Option<Ban>, now: u64) -> bool {
    match ban {
        None => false,
        Some(Ban::UntilLifted(is_banned)) => is_banned,
        Some(Ban::Until(BanEnd { until })) => now < until.0,
    }
}
