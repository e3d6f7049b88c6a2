//! A revocation in words.

use keywright_api::{
    Ban, BanEnd, InForceAtVerifiers, Nullable, Revocation, RevocationInForce, RevocationSelector,
    RevocationState, UnixSeconds,
};

use crate::cli::json_text::printable;
use crate::cli::moment::described;

/// What was taken back, and both bounds in words.
pub(super) fn told(shown: &RevocationInForce, now: u64) -> String {
    let RevocationInForce {
        revocation,
        in_force_at_signers: UnixSeconds(signers),
        in_force_at_verifiers,
        tokens_until: UnixSeconds(tokens_until),
    } = shown;
    let what = who(revocation);
    let first = match revocation.ban {
        None | Some(Ban::UntilLifted(false)) => format!("{what}: taken back"),
        Some(Ban::UntilLifted(true)) => format!("{what}: banned until the ban is lifted"),
        Some(Ban::Until(BanEnd { until })) => {
            format!("{what}: banned until {}", described(now, until.0))
        }
    };
    let verifiers = match in_force_at_verifiers {
        Nullable::Null => "  no verifier is told: the policy's revocation_feed is off".to_owned(),
        Nullable::Value(InForceAtVerifiers {
            expected: UnixSeconds(expected),
            guaranteed: UnixSeconds(guaranteed),
            status_list,
        }) => {
            let feed = format!(
                "  verifiers that follow the feed refuse it, as expected from {}\n  \
                 whatever fails from {}",
                described(now, *expected),
                described(now, *guaranteed)
            );
            match status_list {
                Nullable::Null => feed,
                Nullable::Value(UnixSeconds(at)) => format!(
                    "{feed}\n  verifiers that read status lists refuse it from {}",
                    described(now, *at)
                ),
            }
        }
    };
    let mut lines = vec![
        format!("{first} (revocation {})", revocation.id),
        format!(
            "  in force where tokens are signed from {}",
            described(now, *signers)
        ),
        verifiers,
        format!(
            "  {} may accept its tokens until {}",
            match in_force_at_verifiers {
                Nullable::Null => "every verifier",
                Nullable::Value(_) => "who does not follow the feed",
            },
            described(now, *tokens_until)
        ),
    ];
    if revocation.state == RevocationState::Open {
        lines.push("  it is still open: a process has not said yet that it knows of it".to_owned());
    }
    lines.join("\n")
}

/// Which tokens a revocation is about, in words.
pub(super) fn who(revocation: &Revocation) -> String {
    match revocation.erased {
        true => "(erased)".to_owned(),
        false => named(&revocation.selector),
    }
}

/// Which tokens, in words.
pub(super) fn named(selector: &RevocationSelector) -> String {
    let parts = [
        ("token", &selector.jti),
        ("subject", &selector.subject),
        ("session", &selector.session),
        ("client", &selector.client),
        ("audience", &selector.audience),
    ];
    let given = parts
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value.as_ref()?)));
    let named: Vec<String> = given
        .map(|(kind, value)| format!("{kind} {}", printable(value)))
        .collect();
    match named.is_empty() {
        true => "every token of the issuer".to_owned(),
        false => named.join(" with "),
    }
}
