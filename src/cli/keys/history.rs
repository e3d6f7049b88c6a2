//! `keywright keys history`.

use chrono::DateTime;
use serde::Deserialize;

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// When: Unix seconds with up to three decimals, or RFC 3339 such as 2026-01-31T03:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = unix_seconds)]
    at: String,
}

#[derive(Deserialize)]
struct History {
    jwks: Jwks,
    keys: Vec<PastKey>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    kid: String,
}

#[derive(Deserialize)]
struct PastKey {
    kid: String,
    algorithm: String,
    state: String,
}

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let path = format!("/v1/issuers/{issuer}/history?at={}", arguments.at);
    let answer = session.client()?.read(&path)?;
    session.output.show(&answer, |history: History, output| {
        let published = history.jwks.keys;
        let rows = history.keys.into_iter().map(|key| {
            let was_published = published.iter().any(|one| one.kid == key.kid);
            let published = if was_published { "yes" } else { "no" };
            [key.kid, key.algorithm, key.state, published.to_owned()]
        });
        output.line(columns(["kid", "algorithm", "state", "published"], rows))
    })
}

/// The time as the API takes it.
fn unix_seconds(text: &str) -> Result<String, String> {
    let is_number = |text: &str| {
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if is_number(whole) && is_number(decimals) && decimals.len() <= 3 {
        return Ok(text.to_owned());
    }
    let instant = DateTime::parse_from_rfc3339(text).ok();
    let millis = instant.and_then(|instant| u64::try_from(instant.timestamp_millis()).ok());
    match millis {
        Some(millis) => Ok(format!("{}.{:03}", millis / 1000, millis % 1000)),
        None => Err("neither Unix seconds nor RFC 3339".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_seconds_or_as_a_date() {
        for (text, expected) in [
            ("1767225600", "1767225600"),
            ("1767225600.25", "1767225600.25"),
            ("2026-01-01T00:00:00Z", "1767225600.000"),
            ("2026-01-01T01:00:00.007+01:00", "1767225600.007"),
        ] {
            assert_eq!(unix_seconds(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "now",
            "1.",
            ".1",
            "1.2345",
            "2026-01-01",
            "1969-01-01T00:00:00Z",
            "1&at=2",
        ] {
            assert!(unix_seconds(text).is_err(), "{text}");
        }
    }
}
