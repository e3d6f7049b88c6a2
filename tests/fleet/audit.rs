//! The audit log, read to its end: what every replica did, in the order in which it was committed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::eventually;
use crate::world::Fleet;

/// Every event.
pub(crate) struct Audit(Vec<Value>);

pub(crate) fn read(fleet: &Fleet) -> Audit {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(0, |event| event["sequence"].as_u64().unwrap());
        let path = format!("/v1/audit?after={after}&limit=1000");
        let page = eventually("a page of the log", || {
            let answer = fleet.call_within(0, "GET", &path, None, Duration::from_secs(20));
            answer.ok().filter(|answer| answer.status == 200)
        });
        let page = page.json()["events"].as_array().unwrap().clone();
        if page.is_empty() {
            return Audit(events);
        }
        events.extend(page);
    }
}

impl Audit {
    /// Every activation of a key while another of its issuer and algorithm was active.
    pub(crate) fn double_activations(&self) -> Vec<String> {
        let mut active = BTreeMap::<(String, String), String>::new();
        let mut double = Vec::new();
        for event in &self.0 {
            let member = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let place = (member("issuer"), member("algorithm"));
            let kid = member("kid");
            match event["event"].as_str().unwrap() {
                "key-activated" => {
                    if let Some(other) = active.insert(place, kid) {
                        double.push(format!("{event} while {other} was active"));
                    }
                }
                "key-retired" | "key-revoked" if active.get(&place) == Some(&kid) => {
                    active.remove(&place);
                }
                _ => {}
            }
        }
        double
    }

    /// The keys that signed without being ready, and since when, in seconds.
    pub(crate) fn forced(&self) -> BTreeMap<String, f64> {
        let is_forced = |event: &&Value| event["forced"] == true;
        let forced = self.0.iter().filter(is_forced);
        let since = |event: &Value| {
            let kid = event["kid"].as_str().unwrap().to_owned();
            (kid, event["at"].as_f64().unwrap())
        };
        forced.map(since).collect()
    }

    /// The reasons among these that no event has.
    pub(crate) fn lost(&self, reasons: &[String]) -> Vec<String> {
        let has = |reason: &&String| {
            let same = |event: &Value| event["reason"].as_str() == Some(reason.as_str());
            !self.0.iter().any(same)
        };
        reasons.iter().filter(has).cloned().collect()
    }
}
