//! What takes back a token takes back everything that came of it.

use serde_json::{Value, json};

use crate::exchange::{ACCESS_TOKEN, Login, exchanger_with, trade, traded};
use crate::support::Server;
use crate::world::{Client, assert_error, client_with, post, service, verified};

struct Chain {
    clients: Vec<Client>,
    tokens: Vec<String>,
}

/// A user's token, and four that came of it one after the other.
fn chain(server: &Server, login: &Login) -> Chain {
    let audiences = ["https://orders", "a", "b", "c", "d"];
    let limits = json!({ "audiences": audiences });
    let clients: Vec<Client> = (0..4)
        .map(|_| exchanger_with(server, limits.clone()))
        .collect();
    let mut tokens = vec![login.user(server, &json!({"sid": "session-1"}))];
    for (client, next) in clients.iter().zip(["a", "b", "c", "d"]) {
        let target = format!("audience={next}");
        let token = traded(server, client, tokens.last().unwrap(), &target).0;
        tokens.push(token);
    }
    Chain { clients, tokens }
}

fn take_back(server: &Server, selector: &Value) {
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(selector));
    assert_eq!(answer.status, 201, "{}", answer.json());
}

fn is_active(server: &Server, introspector: &Client, token: &str) -> bool {
    let basic = [("authorization", introspector.basic())];
    let answer = post(server, "/introspect", &basic, &format!("token={token}"));
    answer.json()["active"] == true
}

#[test]
fn each_link_takes_back_what_came_of_it_and_nothing_before() {
    let server = service("");
    let login = Login::new(&server);
    let introspector = client_with(&server, json!({"roles": ["introspector"]}));
    for link in 0..5 {
        let Chain { clients, tokens } = chain(&server, &login);
        let alive = |token: &String| is_active(&server, &introspector, token);
        assert!(tokens.iter().all(alive));
        let jti = verified(&server, &tokens[link]).1["jti"].clone();
        take_back(&server, &json!({ "jti": jti }));
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(alive(token), number < link, "link {link}, token {number}");
        }
        // What came of it is not exchanged either.
        if let (Some(client), Some(token)) = (clients.get(link), tokens.get(link + 1)) {
            let answer = trade(&server, client, token, "audience=a");
            assert_error(
                &answer,
                400,
                "invalid_request",
                "invalid-subject-token",
                "a child",
            );
        }
    }
}

#[test]
fn a_session_a_subject_and_an_actor_take_back_the_chain() {
    let server = service("");
    let login = Login::new(&server);
    let introspector = client_with(&server, json!({"roles": ["introspector"]}));
    for selector in ["session", "subject", "actor"] {
        let Chain { clients, tokens } = chain(&server, &login);
        let (selector, first) = match selector {
            "session" => (json!({"session": "session-1"}), 0),
            "subject" => (json!({"subject": "user-1"}), 0),
            _ => (json!({"subject": clients[1].id}), 2),
        };
        take_back(&server, &selector);
        for (number, token) in tokens.iter().enumerate() {
            let active = is_active(&server, &introspector, token);
            assert_eq!(active, number < first, "{selector}, token {number}");
        }
    }
}

#[test]
fn the_token_of_the_actor_takes_back_what_it_was_shown_for() {
    let server = service("");
    let login = Login::new(&server);
    let introspector = client_with(&server, json!({"roles": ["introspector"]}));
    let orders = exchanger_with(&server, json!({"audiences": ["https://orders", "a"]}));
    let actor = login.user(&server, &json!({"sub": "admin-1"}));
    let user = login.user(&server, &json!({}));
    let more = format!("audience=a&actor_token={actor}&actor_token_type={ACCESS_TOKEN}");
    let (token, _) = traded(&server, &orders, &user, &more);
    assert!(is_active(&server, &introspector, &token));
    let jti = verified(&server, &actor).1["jti"].clone();
    take_back(&server, &json!({ "jti": jti }));
    assert!(!is_active(&server, &introspector, &token));
    assert!(is_active(&server, &introspector, &user));
    let answer = trade(&server, &orders, &user, &more);
    assert_error(
        &answer,
        400,
        "invalid_request",
        "invalid-actor-token",
        "taken back",
    );
}
