//! `member=value`: one change of a policy document.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// One member of a policy and its new value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    member: Member,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Policy(String),
    Rotation(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write member=value, such as lead=24h or rotation.every=30d")]
pub(super) struct InvalidAssignment;

impl Assignment {
    /// Reads an assignment. `algorithms` and `push` are lists, separated by commas; a value of digits alone
    /// is a number, `true` and `false` are what they say; every other value is text. Which members exist is for the service to say.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidAssignment> {
        let (name, value) = text.split_once('=').ok_or(InvalidAssignment)?;
        let member = match name.split_once('.') {
            Some(("rotation", name)) if !name.is_empty() => Member::Rotation(name.to_owned()),
            None if !name.is_empty() => Member::Policy(name.to_owned()),
            _ => return Err(InvalidAssignment),
        };
        let value = match (value.parse::<u64>(), value.parse::<bool>()) {
            _ if name == "push" && value.is_empty() => Value::Array(Vec::new()),
            _ if ["algorithms", "push"].contains(&name) => {
                value.split(',').map(str::trim).collect()
            }
            (Ok(number), _) => number.into(),
            (_, Ok(is_so)) => is_so.into(),
            _ => value.into(),
        };
        Ok(Self { member, value })
    }
}

/// The member that is assigned to twice, if one is.
pub(super) fn repeated(assignments: &[Assignment]) -> Option<String> {
    let mut members = BTreeSet::new();
    let mut assigned = assignments.iter().map(|assignment| &assignment.member);
    let member = assigned.find(|member| !members.insert(*member))?;
    Some(match member {
        Member::Policy(name) => name.clone(),
        Member::Rotation(name) => format!("rotation.{name}"),
    })
}

/// Replaces members of a policy. An interval and a crontab line exclude each other, so that
/// setting one takes the other away.
pub(super) fn apply(assignments: &[Assignment], policy: &mut Map<String, Value>) {
    for Assignment { member, value } in assignments {
        match member {
            Member::Policy(name) => {
                policy.insert(name.clone(), value.clone());
            }
            Member::Rotation(name) => {
                let rotation = policy
                    .entry("rotation")
                    .or_insert_with(|| Map::new().into());
                if !rotation.is_object() {
                    *rotation = Map::new().into();
                }
                if let Value::Object(rotation) = rotation {
                    rotation.retain(|other, _| (name == "every") == (other == "every"));
                    rotation.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(assignments: &[&str], mut policy: Value) -> Value {
        let assignments: Vec<_> = assignments
            .iter()
            .map(|text| Assignment::parse(text).unwrap())
            .collect();
        apply(&assignments, policy.as_object_mut().unwrap());
        policy
    }

    #[test]
    fn values_have_the_type_of_their_member() {
        assert_eq!(
            applied(
                &[
                    "algorithms=ES256,RS256",
                    "rsa_bits=3072",
                    "status=true",
                    "url=https://a.example/?b=c"
                ],
                json!({"lead": "24h"})
            ),
            json!({
                "lead": "24h", "algorithms": ["ES256", "RS256"], "rsa_bits": 3072, "status": true,
                "url": "https://a.example/?b=c"
            })
        );
    }

    #[test]
    fn an_interval_and_a_crontab_line_replace_each_other() {
        let crontab = json!({"rotation": {"cron": "0 3 1 * *", "timezone": "UTC"}});
        let every = json!({"rotation": {"every": "30d"}});
        assert_eq!(applied(&["rotation.every=30d"], crontab.clone()), every);
        let line = ["rotation.cron=0 3 1 * *", "rotation.timezone=UTC"];
        assert_eq!(applied(&line, every), crontab);
        assert_eq!(
            applied(&["rotation.timezone=Asia/Tokyo"], crontab),
            json!({"rotation": {"cron": "0 3 1 * *", "timezone": "Asia/Tokyo"}})
        );
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for text in ["lead", "=24h", "lead.x=1", "rotation.=1", ".every=1"] {
            assert_eq!(Assignment::parse(text), Err(InvalidAssignment), "{text}");
        }
    }
}
