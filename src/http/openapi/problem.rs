//! Problems (RFC 9457) in the document: the codes, and what each operation can answer with.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::area::Area;
use super::operation::headers;
use crate::http::code::Code;
use crate::http::response::{
    event_status_of, headers_of, is_event_error, oauth_status_of, status_of,
};

/// The member of a problem response that lists its codes. Every problem has the one schema, so that
/// generated clients have one type for all of them.
pub(super) const CODES: &str = "x-codes";

/// More codes than that make an answer that hardly another operation has.
const MOST_SHARED: usize = 3;

/// A response of one status that is a problem, and the codes that it can have.
pub(super) struct ProblemResponse {
    area: Area,
    status: StatusCode,
    codes: BTreeSet<Code>,
}

/// The problem responses of an operation that can meet these codes, one for each status.
pub(super) fn problem_responses(
    area: Area,
    codes: impl IntoIterator<Item = Code>,
) -> Vec<ProblemResponse> {
    let codes: BTreeSet<Code> = codes.into_iter().collect();
    let has_streams = codes.contains(&Code::UnknownEventStream);
    let mut by_status: BTreeMap<(StatusCode, Area), BTreeSet<Code>> = BTreeMap::new();
    for code in codes {
        let answered = match (area, code) {
            // One status of the endpoint and of any other path: no header is in both.
            (Area::Signals, Code::NotFound | Code::UnknownEventStream) if has_streams => {
                (status_of(code), Area::Probes)
            }
            // Where no endpoint is, the listener answers as for any other path.
            (Area::Oauth | Area::Signals | Area::SecurityEvents, Code::NotFound) => {
                (status_of(code), Area::Documents)
            }
            (Area::Oauth, code) => (oauth_status_of(code), area),
            (Area::SecurityEvents, code) => (event_status_of(code), area),
            (area, code) => (status_of(code), area),
        };
        by_status.entry(answered).or_default().insert(code);
    }
    let by_status = by_status.into_iter();
    by_status
        .map(|((status, area), codes)| ProblemResponse {
            area,
            status,
            codes,
        })
        .collect()
}

impl ProblemResponse {
    /// The response object with its status: a reference where the components have it.
    pub(super) fn response(&self) -> (String, Value) {
        let response = match self.shared() {
            Some((name, _)) => json!({"$ref": format!("#/components/responses/{name}")}),
            None => response(self.area, self.status, &self.codes),
        };
        (self.status.as_str().to_owned(), response)
    }

    /// The name and the response object for the components, if it has a place there.
    pub(super) fn shared(&self) -> Option<(String, Value)> {
        if self.codes.len() > MOST_SHARED {
            return None;
        }
        let words: Vec<&str> = self.codes.iter().map(|code| code.as_str()).collect();
        let name = format!("{}{}", self.area.problem_prefix(), words.join("."));
        Some((name, response(self.area, self.status, &self.codes)))
    }
}

fn response(area: Area, status: StatusCode, codes: &BTreeSet<Code>) -> Value {
    // `ProblemCode` says of each one when it is answered and what to do; only a lone one is
    // explained here, too.
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let named: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let description = match codes.first() {
        Some(code) if codes.len() == 1 => format!("{}: {}.", named.concat(), code.when()),
        _ => format!("One of {}.", named.join(", ")),
    };
    let is_event_error = area == Area::SecurityEvents && is_event_error(status);
    let (media_type, schema) = match area {
        Area::Oauth => ("application/json", "OauthError"),
        _ if is_event_error => ("application/json", "SecurityEventError"),
        _ => ("application/problem+json", "Problem"),
    };
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    // A client that sends no `Authorization` is not challenged by the OAuth endpoints (RFC 6749 §5.2).
    let of_error: &[&str] = match is_event_error {
        true => &["Content-Language"],
        false => &[],
    };
    let of_status = headers_of(status).iter().chain(of_error);
    let of_status = of_status.filter(|name| area != Area::Oauth || **name != "WWW-Authenticate");
    json!({
        "description": description,
        "headers": headers(area.headers().iter().chain(of_status).copied()),
        "content": {media_type: {"schema": schema}},
        CODES: words,
    })
}

/// An example of a problem.
pub(super) fn example() -> Value {
    json!({
        "type": "urn:keywright:problem:ttl-over-maximum", "title": "Bad Request",
        "status": 400, "code": "ttl-over-maximum",
        "detail": "expires_in 4000 is over max_token_ttl of 3600 seconds", "maximum": 3600,
    })
}

/// Every code with its status, its reason and its remedy.
pub(super) fn codes() -> Value {
    let codes = Code::ALL.iter().map(|code| {
        json!({
            "code": code.as_str(),
            "description": code.when(),
            "remedy": code.remedy(),
            "status": status_of(*code).as_u16(),
        })
    });
    codes.collect()
}
