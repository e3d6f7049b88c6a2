//! What is done already: repeating it is no failure, and says who did it and when.

use serde_json::{Map, Value};

use super::client::Client;
use super::failure::Failure;
use super::moment::rfc3339;

/// An earlier act, as the audit log has it.
#[derive(Default)]
pub(super) struct EarlierAct {
    pub(super) at: Option<u64>,
    /// The client that did it; `None` where the caller may not read the audit log.
    pub(super) by: Option<String>,
}

impl EarlierAct {
    /// ` at … by …`, as far as it is known.
    pub(super) fn told(&self) -> String {
        let at = self.at.map(|at| format!(" at {}", rfc3339(at)));
        let by = self.by.as_ref().map(|by| format!(" by {by}"));
        [at, by].into_iter().flatten().collect()
    }
}

/// The last event of a kind that `is_meant`; `None` when there is none, or when the caller may not
/// read the audit log. `query` narrows the search, such as `&kid=…`.
pub(super) fn find(
    client: &Client,
    event: &str,
    query: &str,
    is_meant: impl Fn(&Map<String, Value>) -> bool,
) -> Result<Option<EarlierAct>, Failure> {
    let mut found = None;
    let mut after = 0;
    loop {
        let path = format!("/v1/audit?event={event}&after={after}&limit=1000{query}");
        let page: Map<String, Value> = match client.read(&path) {
            Ok(answer) => answer.parse()?,
            Err(Failure::Refused(problem)) if problem.status == 403 => return Ok(found),
            Err(failure) => return Err(failure),
        };
        let events = page.get("events").and_then(Value::as_array);
        let members = events.into_iter().flatten().filter_map(Value::as_object);
        if let Some(event) = members.filter(|event| is_meant(event)).last() {
            let actor = event.get("actor").and_then(Value::as_object);
            let name = actor.and_then(|actor| actor.get("name").or(actor.get("kind")));
            found = Some(EarlierAct {
                at: event.get("at").and_then(Value::as_u64),
                by: name.and_then(Value::as_str).map(str::to_owned),
            });
        }
        match page.get("next").and_then(Value::as_u64) {
            Some(next) => after = next,
            None => return Ok(found),
        }
    }
}

/// Whether the service refused something with this code.
pub(super) fn is_refused_with(failure: &Failure, code: &str) -> bool {
    matches!(failure, Failure::Refused(problem) if problem.code == code)
}
