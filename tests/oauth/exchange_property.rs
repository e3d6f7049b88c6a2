//! Any sequence of logins, exchanges and revocations, against an oracle that knows what came of what by
//! having watched, and not by what tokens say.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::exchange::{Login, exchanger_with, trade};
use crate::support::Server;
use crate::world::{Client, client_with, post, service, verified};

/// The audiences and the scopes of each client. The ids of clients are audiences, too.
const LIMITS: [(&[&str], &[&str]); 3] = [
    (&["shop", "orders"], &["r", "w"]),
    (&["orders", "billing"], &["r", "w", "x"]),
    (&["shop", "billing"], &["r"]),
];
const AUDIENCES: [&str; 4] = ["shop", "orders", "billing", "other"];
const SCOPES: [&str; 3] = ["r", "w", "x"];
const MAX_TTL: u64 = 300;

#[derive(Debug, Clone)]
enum Act {
    Login {
        user: usize,
        audience: usize,
        scope: u8,
        with_session: bool,
    },
    Trade {
        client: usize,
        token: Index,
        audience: usize,
        scope: u8,
    },
    TakeBack {
        selector: &'static str,
        token: Index,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let token = any::<Index>;
    let login = (0..2_usize, 0..3_usize, 1..8_u8, any::<bool>());
    let login = login.prop_map(|(user, audience, scope, with_session)| Act::Login {
        user,
        audience,
        scope,
        with_session,
    });
    let trade = (0..3_usize, token(), 0..4_usize, 0..8_u8);
    let trade = trade.prop_map(|(client, token, audience, scope)| Act::Trade {
        client,
        token,
        audience,
        scope,
    });
    let selector = prop_oneof![4 => Just("jti"), 1 => Just("session"), 1 => Just("subject")];
    let take_back = (selector, token());
    let take_back = take_back.prop_map(|(selector, token)| Act::TakeBack { selector, token });
    prop_oneof![2 => login, 12 => trade, 1 => take_back]
}

/// A token as the oracle knows it.
struct Known {
    token: String,
    claims: Value,
    user: usize,
    audience: usize,
    scope: u8,
    parent: Option<usize>,
    is_alive: bool,
}

struct World<'s> {
    server: &'s Server,
    login: &'s Login,
    clients: &'s [Client],
    introspector: &'s Client,
    case: usize,
    known: Vec<Known>,
}

fn words(bits: u8) -> String {
    let chosen = SCOPES.iter().enumerate();
    let chosen = chosen.filter(|(place, _)| bits >> place & 1 == 1);
    chosen
        .map(|(_, scope)| *scope)
        .collect::<Vec<_>>()
        .join(" ")
}

fn bits(scopes: &[&str]) -> u8 {
    let places = SCOPES.iter().enumerate();
    let places = places.filter(|(_, scope)| scopes.contains(scope));
    places.fold(0, |bits, (place, _)| bits | 1 << place)
}

impl World<'_> {
    fn depth(&self, token: usize) -> usize {
        self.known[token]
            .parent
            .map_or(0, |parent| 1 + self.depth(parent))
    }

    fn root(&self, token: usize) -> usize {
        self.known[token]
            .parent
            .map_or(token, |parent| self.root(parent))
    }

    fn comes_of(&self, token: usize, earlier: usize) -> bool {
        let parent = self.known[token].parent;
        token == earlier || parent.is_some_and(|parent| self.comes_of(parent, earlier))
    }

    fn subject(&self, user: usize) -> String {
        format!("user-{user}-of-{}", self.case)
    }

    fn log_in(&mut self, user: usize, audience: usize, scope: u8, with_session: bool) {
        let session = format!("session-{}-of-{}", self.known.len(), self.case);
        let changes = json!({"sub": self.subject(user), "aud": AUDIENCES[audience],
            "scope": words(scope), "sid": with_session.then_some(session)});
        let token = self.login.user(self.server, &changes);
        let claims = verified(self.server, &token).1;
        self.known.push(Known {
            token,
            claims,
            user,
            audience,
            scope,
            parent: None,
            is_alive: true,
        });
    }

    fn trade(&mut self, by: usize, subject: usize, audience: usize, scope: u8) {
        let (audiences, scopes) = LIMITS[by];
        let parent = &self.known[subject];
        let granted = match scope {
            0 => parent.scope & bits(scopes),
            asked => asked,
        };
        let is_within =
            granted & !parent.scope == 0 && granted & !bits(scopes) == 0 && granted != 0;
        let may_trade = parent.is_alive
            && audiences.contains(&AUDIENCES[parent.audience])
            && audiences.contains(&AUDIENCES[audience])
            && is_within
            && self.depth(subject) < 4;
        let asked = words(scope).replace(' ', "+");
        let more = format!("audience={}&scope={asked}", AUDIENCES[audience]);
        let client = &self.clients[by];
        let answer = trade(self.server, client, &parent.token, &more);
        let shown = answer.json()["error_description"].clone();
        assert_eq!(answer.status == 200, may_trade, "{shown}");
        if !may_trade {
            return;
        }
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let claims = verified(self.server, &token).1;
        let number = |claims: &Value, name: &str| claims[name].as_u64().unwrap();
        assert_eq!(claims["aud"], AUDIENCES[audience]);
        assert_eq!(claims["scope"], words(granted));
        assert_eq!(claims["sub"], parent.claims["sub"]);
        assert_eq!(claims["client_id"], client.id.as_str());
        assert_eq!(claims["act"]["sub"], client.id.as_str());
        assert!(number(&claims, "exp") <= number(&claims, "iat") + MAX_TTL);
        let mut earlier = Some(subject);
        while let Some(one) = earlier {
            let one = &self.known[one];
            assert!(number(&claims, "exp") <= number(&one.claims, "exp"));
            assert_eq!(granted & !one.scope, 0);
            earlier = one.parent;
        }
        let user = parent.user;
        self.known.push(Known {
            token,
            claims,
            user,
            audience,
            scope: granted,
            parent: Some(subject),
            is_alive: true,
        });
    }

    fn take_back(&mut self, selector: &str, token: usize) {
        let Known { claims, user, .. } = &self.known[token];
        let user = *user;
        let root = self.root(token);
        let body = match selector {
            "jti" => json!({"jti": claims["jti"]}),
            "session" if claims["sid"].is_string() => json!({"session": claims["sid"]}),
            "session" => return,
            _ => json!({"subject": claims["sub"]}),
        };
        let path = "/v1/issuers/default/revocations";
        let answer = self.server.call("POST", path, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.json());
        for number in 0..self.known.len() {
            let falls = match selector {
                "jti" => self.comes_of(number, token),
                "session" => self.root(number) == root,
                _ => self.known[number].user == user,
            };
            self.known[number].is_alive &= !falls;
        }
    }

    /// Every token is alive that the oracle takes for alive, and no other.
    fn look(&self) {
        let basic = [("authorization", self.introspector.basic())];
        for (number, known) in self.known.iter().enumerate() {
            let form = format!("token={}", known.token);
            let active = post(self.server, "/introspect", &basic, &form).json()["active"] == true;
            assert_eq!(active, known.is_alive, "token {number}: {}", known.claims);
        }
    }
}

#[test]
fn no_sequence_of_exchanges_yields_more_than_its_origin_or_outlives_it() {
    let server = service("");
    let login = Login::new(&server);
    let clients = LIMITS.map(|(audiences, scopes)| {
        let limits = json!({"audiences": audiences, "scopes": scopes, "max_ttl": "300s"});
        exchanger_with(&server, limits)
    });
    let introspector = client_with(&server, json!({"roles": ["introspector"]}));
    let cases = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    });
    let outcome = runner.run(&vec(act(), 10..40), |acts| {
        cases.set(cases.get() + 1);
        let mut world = World {
            server: &server,
            login: &login,
            clients: &clients,
            introspector: &introspector,
            case: cases.get(),
            known: Vec::new(),
        };
        world.log_in(0, 0, 7, true);
        for act in acts {
            let count = world.known.len();
            match act {
                Act::Login {
                    user,
                    audience,
                    scope,
                    with_session,
                } => world.log_in(user, audience, scope, with_session),
                Act::Trade {
                    client,
                    token,
                    audience,
                    scope,
                } => world.trade(client, token.index(count), audience, scope),
                Act::TakeBack { selector, token } => {
                    world.take_back(selector, token.index(count));
                    world.look();
                }
            }
        }
        world.look();
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
