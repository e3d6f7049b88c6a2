//! What an issuer served at an earlier time.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

use super::{Named, Parameters, Service};
use crate::authority::publication::jwks;
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::lifecycle::{PastKey, Timestamp};

/// Which time to show.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HistoryQuery {
    /// Unix seconds, with at most three decimals; not ahead.
    #[schemars(with = "f64", range(min = 0), extend("example" = 1_795_294_640))]
    at: String,
}

pub(super) async fn show(
    State(authority): Service,
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
    Parameters(query): Parameters<HistoryQuery>,
) -> Result<Response, Problem> {
    let at = instant(&query.at).ok_or_else(|| {
        let detail = "at must be a time in Unix seconds, with at most three decimals";
        Problem::new(Code::InvalidQuery, detail)
    })?;
    let now = authority.now();
    if at > now {
        let detail = format!("at must not lie ahead: it is {now}");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let view = issuer.snapshot();
    let set = view.set();
    let keys = set
        .keys_at(at)
        .ok_or_else(|| Problem::before_issuer(set.created_at()))?;
    let published = keys.iter().filter(|past| past.was_published);
    let history = api::History {
        at: seconds(at),
        jwks: verbatim(jwks(published.map(|past| past.key))),
        keys: keys.iter().map(shown).collect(),
    };
    Ok(ok(history))
}

fn shown(past: &PastKey<'_>) -> api::PastKey {
    api::PastKey {
        kid: past.key.kid().clone(),
        algorithm: past.key.algorithm(),
        state: past.state,
    }
}

/// JSON that was made here, as it is.
fn verbatim(json: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(json).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_default()
}

/// Reads Unix seconds with up to three decimals, without the rounding of a floating-point number.
fn instant(text: &str) -> Option<Timestamp> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(decimals) || !(1..=3).contains(&decimals.len()) {
        return None;
    }
    let millis: u64 = format!("{decimals:0<3}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    let millis = seconds.checked_mul(1000)?.checked_add(millis)?;
    Some(Timestamp::from_millis(millis))
}

/// A time in Unix seconds: a whole number if it is one.
fn seconds(at: Timestamp) -> Number {
    let whole = at.floor_seconds();
    if Timestamp::from_seconds(whole) == at {
        return whole.into();
    }
    // Its digits are those of the text that it is read from.
    let text = format!("{whole}.{:03}", at.millis() % 1000);
    serde_json::from_str(&text).unwrap_or_else(|_| whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_reads_and_shows_to_the_millisecond() {
        for (text, millis, shown) in [
            ("1795294675", 1_795_294_675_000, "1795294675"),
            ("1795294675.1", 1_795_294_675_100, "1795294675.1"),
            ("1795294675.001", 1_795_294_675_001, "1795294675.001"),
            ("1795294675.000", 1_795_294_675_000, "1795294675"),
            ("0", 0, "0"),
        ] {
            let at = instant(text).unwrap();
            assert_eq!(
                (at.millis(), seconds(at).to_string().as_str()),
                (millis, shown)
            );
        }
        for millis in 1_795_294_675_000..1_795_294_676_000_u64 {
            let at = Timestamp::from_millis(millis);
            assert_eq!(instant(&seconds(at).to_string()), Some(at));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "1.2345",
            "-1",
            "+1",
            "1e3",
            "soon",
            "99999999999999999999",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
