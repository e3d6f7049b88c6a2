//! Problems (RFC 9457) in the document: the codes, and what each operation can answer with.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::json;

use super::area::Area;
use super::json::{Json, array, object};
use super::operation::headers;
use super::schema::{answered, instant, integer, list, optional, reference, required, text};
use crate::http::code::Code;
use crate::http::response::{headers_of, status_of};

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
    let mut by_status: BTreeMap<StatusCode, BTreeSet<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(status_of(code)).or_default().insert(code);
    }
    let by_status = by_status.into_iter();
    by_status
        .map(|(status, codes)| ProblemResponse {
            area,
            status,
            codes,
        })
        .collect()
}

impl ProblemResponse {
    /// The response object with its status: a reference where the components have it.
    pub(super) fn response(&self) -> (String, Json) {
        let response = match self.shared() {
            Some((name, _)) => object([("$ref", format!("#/components/responses/{name}").into())]),
            None => response(self.area, self.status, &self.codes),
        };
        (self.status.as_str().to_owned(), response)
    }

    /// The name and the response object for the components, if it has a place there.
    pub(super) fn shared(&self) -> Option<(String, Json)> {
        if self.codes.len() > MOST_SHARED {
            return None;
        }
        let words: Vec<&str> = self.codes.iter().map(|code| code.as_str()).collect();
        let listener = match self.area.is_public() {
            true => "public.",
            false => "",
        };
        let name = format!("{listener}{}", words.join("."));
        Some((name, response(self.area, self.status, &self.codes)))
    }
}

fn response(area: Area, status: StatusCode, codes: &BTreeSet<Code>) -> Json {
    // `ProblemCode` says of each one when it is answered and what to do; only a lone one is
    // explained here, too.
    let named: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`", code.as_str()))
        .collect();
    let description = match codes.first() {
        Some(code) if codes.len() == 1 => format!("{}: {}.", named.concat(), code.when()),
        _ => format!("One of {}.", named.join(", ")),
    };
    let words = codes.iter().map(|code| code.as_str());
    let narrowed = object([
        ("status", object([("const", status.as_u16().into())])),
        ("code", object([("enum", array(words))])),
    ]);
    let schema = array([reference("Problem"), object([("properties", narrowed)])]);
    object([
        ("description", description.into()),
        (
            "headers",
            headers(area.headers().iter().chain(headers_of(status)).copied()),
        ),
        (
            "content",
            object([(
                "application/problem+json",
                object([("schema", object([("allOf", schema)]))]),
            )]),
        ),
    ])
}

/// The components: the problem, and every code with its status, its reason and its remedy.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let codes = Code::ALL.iter().map(|code| {
        object([
            ("const", code.as_str().into()),
            ("description", code.when().into()),
            ("x-remedy", code.remedy().into()),
            ("x-status", status_of(*code).as_u16().into()),
        ])
    });
    let claims = list(text("A claim."), "The claims that are reserved or missing.");
    let problem = answered([
        required("type", text("`urn:keywright:problem:` and the code.")),
        required("title", text("The status in words.")),
        required("status", integer(400, 599, "The HTTP status.")),
        required("code", reference("ProblemCode")),
        required(
            "detail",
            text("For people; it may change. It reveals nothing of a failure of the service."),
        ),
        optional(
            "field",
            text("The member that is missing, unknown or of the wrong type."),
        ),
        optional(
            "nearest",
            text("The known name that an unknown one is nearest to."),
        ),
        optional(
            "claim",
            text(
                "The claim, or the member of the request, that is of the wrong type or breaks a limit.",
            ),
        ),
        optional("rule", text("The limit of the client that is broken.")),
        optional("claims", claims),
        optional("maximum", integer(0, u64::MAX, "The policy's limit.")),
        optional("limit", integer(0, u64::MAX, "The largest body, in bytes.")),
        optional("role", text("The role that the client lacks.")),
        optional(
            "algorithm",
            text("The algorithm whose successor is not ready."),
        ),
        optional(
            "ready_at",
            instant("From when on to try again, in Unix seconds."),
        ),
        optional("state", text("The state that the key is in.")),
    ]);
    let problem = problem
        .with(
            "description",
            "A problem (RFC 9457). Decide on `code`: it is stable.",
        )
        .with(
            "examples",
            array([json!({
                "type": "urn:keywright:problem:ttl-over-maximum", "title": "Bad Request",
                "status": 400, "code": "ttl-over-maximum",
                "detail": "expires_in 4000 is over max_token_ttl of 3600 seconds", "maximum": 3600,
            })]),
        );
    let code = object([
        ("type", "string".into()),
        ("description", "A stable word for what is wrong.".into()),
        ("oneOf", array(codes)),
    ]);
    vec![("Problem", problem), ("ProblemCode", code)]
}
