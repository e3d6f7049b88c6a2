//! What a service says of itself, and what must hold of it whenever it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::Server;

/// How often a service is looked at until it has come to rest, and the time between two looks.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(20);

/// Everything that the API shows of every issuer, and the audit log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) issuers: BTreeMap<String, IssuerState>,
    pub(crate) events: Vec<Value>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IssuerState {
    pub(crate) version: u64,
    pub(crate) policy: Value,
    /// Algorithm and state of each key, by kid.
    pub(crate) keys: BTreeMap<String, (String, String)>,
}

impl IssuerState {
    /// The keys of an algorithm that are in a state.
    pub(crate) fn kids(&self, algorithm: &str, state: &str) -> Vec<&str> {
        let is_wanted = |of: &(String, String)| of.0 == algorithm && of.1 == state;
        self.keys
            .iter()
            .filter(|(_, of)| is_wanted(of))
            .map(|(kid, _)| kid.as_str())
            .collect()
    }

    pub(crate) fn state_of(&self, kid: &str) -> Option<&str> {
        self.keys.get(kid).map(|(_, state)| state.as_str())
    }

    pub(crate) fn algorithms(&self) -> Vec<&str> {
        let listed = self.policy["algorithms"].as_array().expect("a list");
        listed
            .iter()
            .map(|name| name.as_str().expect("a name"))
            .collect()
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

impl State {
    /// Asks a service that is not about to change.
    pub(crate) fn of(server: &Server) -> Self {
        // What the schedule does in between makes the answers disagree, and so does a commit of
        // which a replica has not been told how it ended, until it has loaded it. A key that a
        // change wanted comes after it. Then they are asked again.
        let mut last = None;
        for _ in 0..LOOKS {
            let events = events(server);
            let issuers = issuers(server);
            if events == self::events(server) && issuers == self::issuers(server) {
                let state = Self { issuers, events };
                if state.lacks_successor().is_none() && state.is_as_the_log_says() {
                    return state;
                }
                last = Some(state);
            }
            std::thread::sleep(PAUSE);
        }
        last.unwrap_or_else(|| panic!("the service does not come to rest"))
    }

    /// An issuer and an algorithm of it without a successor.
    fn lacks_successor(&self) -> Option<(&str, &str)> {
        self.issuers.iter().find_map(|(name, issuer)| {
            let mut algorithms = issuer.algorithms().into_iter();
            let lacking = algorithms.find(|algorithm| issuer.kids(algorithm, "pending").is_empty());
            Some((name.as_str(), lacking?))
        })
    }

    fn is_as_the_log_says(&self) -> bool {
        let is_known = |event: &Value| {
            let name = event["issuer"].as_str();
            name.is_none_or(|name| self.issuers.contains_key(name))
        };
        self.events.iter().all(is_known)
            && self.issuers.iter().all(|(name, issuer)| {
                let (keys, policy) = self.replay(name);
                keys == issuer.keys && policy == issuer.policy
            })
    }

    /// The events of one issuer.
    pub(crate) fn events_of(&self, issuer: &str) -> Vec<&Value> {
        self.events
            .iter()
            .filter(|event| event["issuer"] == issuer)
            .collect()
    }

    /// Checks what must hold at any time.
    pub(crate) fn check(&self) {
        for (index, event) in self.events.iter().enumerate() {
            assert_eq!(
                event["sequence"],
                json!(index + 1),
                "the log has a gap: {event}"
            );
        }
        for (name, issuer) in &self.issuers {
            let (keys, policy) = self.replay(name);
            assert_eq!(
                keys, issuer.keys,
                "the log tells another story of the keys of {name}"
            );
            assert_eq!(
                policy, issuer.policy,
                "the log tells another story of {name}'s policy"
            );
            for algorithm in issuer.algorithms() {
                let active = issuer.kids(algorithm, "active");
                assert_eq!(
                    active.len(),
                    1,
                    "{name} has these active {algorithm} keys: {active:?}"
                );
            }
        }
        assert_eq!(self.lacks_successor(), None, "a successor");
        for event in &self.events {
            if let Some(name) = event["issuer"].as_str() {
                assert!(
                    self.issuers.contains_key(name),
                    "an event of no issuer: {event}"
                );
            }
        }
    }

    /// Keys and policy as the events make them.
    fn replay(&self, issuer: &str) -> (BTreeMap<String, (String, String)>, Value) {
        let mut keys = BTreeMap::new();
        let mut policy = Value::Null;
        for event in self.events_of(issuer) {
            let state = match event["event"].as_str().expect("a kind") {
                "issuer-created" => {
                    assert_eq!(policy, Value::Null, "{issuer} was created twice");
                    policy = event["policy"].clone();
                    continue;
                }
                "policy-changed" => {
                    assert_eq!(event["before"], policy, "a change of {issuer} is missing");
                    policy = event["after"].clone();
                    continue;
                }
                "key-published" => "pending",
                "key-activated" => "active",
                "key-retired" => "retired",
                "key-removed" => "removed",
                "key-revoked" => "revoked",
                kind => panic!("nothing is known of {kind}"),
            };
            keys.insert(
                text(&event["kid"]),
                (text(&event["algorithm"]), state.to_owned()),
            );
        }
        (keys, policy)
    }
}

fn issuers(server: &Server) -> BTreeMap<String, IssuerState> {
    let listed = server.call("GET", "/v1/issuers", None).json();
    let issuers = listed["issuers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|issuer| {
            let name = text(&issuer["name"]);
            let keys = server
                .call("GET", &format!("/v1/issuers/{name}/keys"), None)
                .json();
            let keys = keys["keys"].as_array().expect("a list").iter().map(|key| {
                (
                    text(&key["kid"]),
                    (text(&key["algorithm"]), text(&key["state"])),
                )
            });
            let version = issuer["version"].as_u64().expect("a number");
            let state = IssuerState {
                version,
                policy: issuer["policy"].clone(),
                keys: keys.collect(),
            };
            (name, state)
        });
    issuers.collect()
}

fn events(server: &Server) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let path = format!("/v1/audit?after={}&limit=1000", events.len());
        let answer = server.call("GET", &path, None).json();
        let page = answer["events"].as_array();
        events.extend(page.unwrap_or_else(|| panic!("{answer}")).iter().cloned());
        if answer["next"].is_null() {
            return events;
        }
    }
}

/// A token that was handed out.
pub(crate) struct Token {
    pub(crate) issuer: String,
    pub(crate) kid: String,
    pub(crate) expires_at: u64,
    pub(crate) text: String,
}

/// The set that an issuer publishes.
pub(crate) fn published(server: &Server, state: &State, issuer: &str) -> JwkSet {
    let url = state.issuers[issuer].policy["url"].as_str().expect("a URL");
    // The port is another one after each restart; the issuer URL keeps the first.
    let path: String = url
        .splitn(4, '/')
        .skip(3)
        .map(|path| format!("/{path}"))
        .collect();
    let answer = server.fetch(&format!("{path}/.well-known/jwks.json"));
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.body).expect("a JWKS")
}

/// Whether a set has the key of a token and the signature is right.
pub(crate) fn verifies(token: &Token, set: &JwkSet) -> Result<(), String> {
    let jwk = set
        .find(&token.kid)
        .ok_or_else(|| format!("{} is not published", token.kid))?;
    let header = jsonwebtoken::decode_header(&token.text).map_err(|error| error.to_string())?;
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Value>(&token.text, &key, &validation);
    decoded.map(drop).map_err(|error| error.to_string())
}
