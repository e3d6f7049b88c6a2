use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::access::{Limits, Role, Terms};
use crate::lifecycle::Timestamp;
use crate::oauth::Form;

const ISSUER: &str = "https://id.example";

fn client(id: &str, limits: Value) -> Client {
    let terms = Terms {
        name: "a".to_owned(),
        roles: [Role::Exchanger].into(),
        limits: Limits::from_document(limits).unwrap(),
        certificates: Vec::new(),
        workloads: Vec::new(),
        keys: None,
    };
    Client::new(id.to_owned(), terms, Timestamp::from_seconds(0))
}

fn own(claims: Value) -> ShownToken {
    let mut all = json!({"jti": "j", "sub": "u", "aud": "c", "exp": 100});
    let claims = claims.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(claims);
    ShownToken::Own(all.as_object().unwrap().clone())
}

fn decide(
    client: &Client,
    subject: ShownToken,
    actor: Option<ShownToken>,
    form: &str,
    proof: Option<&RequestProof>,
) -> Result<ExchangedToken, ExchangeRefusal> {
    let form = Form::parse(form.as_bytes()).unwrap();
    let none = RequestProof::default();
    let exchange = Exchange {
        form: ExchangeForm::of(ExchangeGrant::TokenExchange, &form)?,
        subject,
        actor,
        proof: proof.unwrap_or(&none),
        issuer: ISSUER,
        transaction: "t".to_owned(),
    };
    exchange.decide(client)
}

#[test]
fn a_bound_token_is_exchanged_with_its_proof_alone() {
    let client = client("c", json!({}));
    let jkt = |letter: &str| letter.repeat(43);
    let proof = |letter: &str| RequestProof {
        key: jkt(letter).parse().ok(),
        certificate: None,
    };
    let (right, wrong) = (proof("A"), proof("Q"));
    assert!(right.key.is_some() && wrong.key.is_some() && right != wrong);
    let bound = || own(json!({"cnf": {"jkt": jkt("A")}}));
    let ask = |subject, actor, proof| decide(&client, subject, actor, "audience=x", proof);
    let subject = ExchangeRefusal::Unproven(TokenParameter::Subject);
    assert_eq!(ask(bound(), None, None), Err(subject.clone()));
    assert_eq!(ask(bound(), None, Some(&wrong)), Err(subject));
    assert!(ask(bound(), None, Some(&right)).is_ok());
    let actor = ExchangeRefusal::Unproven(TokenParameter::Actor);
    assert_eq!(ask(own(json!({})), Some(bound()), None), Err(actor));
    let unknown = ask(own(json!({"cnf": {"kid": "a"}})), None, Some(&right));
    let unproven = Err(ExchangeRefusal::Unproven(TokenParameter::Subject));
    assert_eq!(unknown, unproven);
    // One that is not bound needs none, also if there is one.
    assert!(ask(own(json!({})), None, Some(&right)).is_ok());
}

#[test]
fn a_client_that_trades_in_a_token_about_itself_is_no_actor_of_itself() {
    let client = client("c", json!({}));
    let act = |claims| {
        let token = decide(&client, own(claims), None, "audience=x", None).unwrap();
        token.own.get("act").cloned()
    };
    assert_eq!(act(json!({"sub": "c"})), None);
    let acting = json!({"sub": "c", "iss": ISSUER});
    assert_eq!(act(json!({})), Some(acting));
    let before = json!({"sub": "c", "iss": ISSUER, "act": {"sub": "b"}});
    assert_eq!(act(json!({"sub": "c", "act": {"sub": "b"}})), Some(before));
}

#[test]
fn a_token_of_a_platform_becomes_one_about_its_client() {
    let limits =
        json!({"audiences": ["x"], "scopes": ["a", "b"], "claims": ["client_id", "tenant"]});
    let client = client("c", limits);
    let platform = |jti: Option<&str>| ShownToken::Workload {
        jti: jti.map(str::to_owned),
        expires_at: 7,
    };
    let token = decide(&client, platform(Some("p")), None, "", None).unwrap();
    assert_eq!(
        token,
        ExchangedToken {
            claims: json!({"sub": "c", "client_id": "c", "aud": "x", "scope": "a b"})
                .as_object()
                .cloned()
                .unwrap(),
            own: Map::from_iter([(ANCESTORS_CLAIM.to_owned(), json!(["p"]))]),
            ends_at: 7,
            parents: Vec::new(),
        }
    );
    let long = "p".repeat(513);
    for jti in [None, Some(""), Some(long.as_str())] {
        let token = decide(&client, platform(jti), None, "scope=a", None).unwrap();
        assert!(token.own.is_empty());
        assert_eq!(token.claims["scope"], "a");
    }
}

#[test]
fn nothing_is_read_that_could_be_read_in_two_ways() {
    let client = client("c", json!({}));
    let refusal = |claims| decide(&client, own(claims), None, "audience=x", None).unwrap_err();
    for claims in [
        json!({"jti": null}),
        json!({"sub": 1}),
        json!({"scope": ["a"]}),
        json!({"scope": "a  b"}),
        json!({ANCESTORS_CLAIM: "p"}),
        json!({ANCESTORS_CLAIM: ["p", 1]}),
        json!({"single_use": false}),
    ] {
        let shown = claims.to_string();
        let refusal = refusal(claims);
        assert!(
            matches!(refusal, ExchangeRefusal::Token { .. }),
            "{shown}: {refusal}"
        );
    }
    for may_act in [
        json!("c"),
        json!({}),
        json!({"sub": "c", "iss": "x"}),
        json!({"sub": ["c"]}),
    ] {
        let refused = refusal(json!({ "may_act": may_act }));
        assert_eq!(refused, ExchangeRefusal::OtherActor, "{may_act}");
    }
}

#[test]
fn a_transaction_token_says_who_asked_for_what() {
    let client = client("c", json!({"claims": ["client_id", "txn", "act"]}));
    let subject = || own(json!({"scope": "a b", "txn": "other", "act": {"sub": "x"}}));
    let form =
        "audience=domain&scope=a&requested_token_type=urn:ietf:params:oauth:token-type:txn_token";
    let full = format!("{form}&request_details={{\"order\":1}}&request_context={{\"ip\":\"::1\"}}");
    let token = decide(&client, subject(), None, &full, None).unwrap();
    assert_eq!(
        Value::Object(token.own),
        json!({"act": {"sub": "c", "iss": ISSUER, "act": {"sub": "x"}}, ANCESTORS_CLAIM: ["j"],
            "txn": "t", "req_wl": "c", "tctx": {"order": 1}, "rctx": {"ip": "::1"}})
    );
    let claims = json!({"sub": "u", "client_id": "c", "aud": "domain", "scope": "a"});
    assert_eq!(Value::Object(token.claims), claims);
    let token = decide(&client, subject(), None, form, None).unwrap();
    assert!(!token.own.contains_key("tctx") && !token.own.contains_key("rctx"));
}

/// A token that was issued, as the oracle knows it.
#[derive(Debug, Clone)]
struct Known {
    claims: Map<String, Value>,
    /// The tokens that were shown for it.
    parents: Vec<usize>,
    expires_at: u64,
}

/// Every token that one comes of, found by walking back, and not by what it says.
fn everything_before(known: &[Known], token: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut next = known[token].parents.clone();
    while let Some(one) = next.pop() {
        if !found.contains(&one) {
            found.push(one);
            next.extend(&known[one].parents);
        }
    }
    found
}

fn words(claims: &Map<String, Value>) -> Option<Vec<&str>> {
    claims
        .get("scope")
        .map(|scope| scope.as_str().unwrap().split(' ').collect())
}

const NAMES: [&str; 3] = ["c0", "c1", "c2"];
const AUDIENCES: [&str; 4] = ["c0", "c1", "c2", "other"];
const SCOPES: [&str; 3] = ["r", "w", "x"];
const LIMITS: [(&[&str], &[&str]); 3] = [
    (&["c1", "c2"], &["r", "w"]),
    (&["c0", "c1", "c2", "other"], &["r", "w", "x"]),
    (&["c0", "c2"], &["r"]),
];

/// Which client asks, with which token and actor token, for which audience and which scopes.
type Ask = (
    usize,
    prop::sample::Index,
    Option<prop::sample::Index>,
    usize,
    u8,
);

fn ask() -> impl Strategy<Value = Ask> {
    let index = any::<prop::sample::Index>;
    (
        0..3_usize,
        index(),
        prop::option::weighted(0.2, index()),
        0..4_usize,
        0..8_u8,
    )
}

proptest! {
    /// No sequence of exchanges yields a token outside the limits of its client, wider or longer than
    /// anything that it comes of, or one that does not fall when something falls that it comes of.
    #[test]
    fn no_sequence_of_exchanges_yields_more_than_there_was(
        roots in prop::collection::vec((0..4_usize, 1..8_u8, 1..500_u64), 1..4),
        asks in prop::collection::vec(ask(), 1..30),
    ) {
        let clients: Vec<Client> = NAMES.iter().zip(LIMITS).map(|(id, (audiences, scopes))| {
            client(id, json!({"audiences": audiences, "scopes": scopes}))
        }).collect();
        let chosen = |bits: u8| {
            let chosen = SCOPES.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
            chosen.map(|(_, scope)| *scope).collect::<Vec<_>>().join(" ")
        };
        let mut known: Vec<Known> = roots.iter().enumerate().map(|(number, (aud, scope, exp))| {
            let claims = json!({"jti": format!("j{number}"), "sub": format!("u{number}"),
                "aud": AUDIENCES[*aud], "scope": chosen(*scope), "exp": exp,
                "sid": format!("s{number}")});
            Known {
                claims: claims.as_object().unwrap().clone(),
                parents: Vec::new(),
                expires_at: *exp,
            }
        }).collect();
        for (by, subject, actor, audience, scope) in asks {
            let (subject, actor) = (subject.index(known.len()), actor.map(|actor| actor.index(known.len())));
            let mut form = format!("audience={}", AUDIENCES[audience]);
            if scope > 0 {
                form = format!("{form}&scope={}", chosen(scope).replace(' ', "+"));
            }
            let shown = |token: usize| ShownToken::Own(known[token].claims.clone());
            let decided = decide(&clients[by], shown(subject), actor.map(shown), &form, None);
            let Ok(token) = decided else { continue };
            let number = known.len();
            let mut claims = token.claims;
            claims.extend(token.own);
            claims.insert("jti".to_owned(), format!("j{number}").into());
            claims.insert("exp".to_owned(), token.ends_at.into());
            known.push(Known {
                claims,
                parents: [Some(subject), actor].into_iter().flatten().collect(),
                expires_at: token.ends_at,
            });
            let before = everything_before(&known, number);
            let Known { claims, expires_at, .. } = &known[number];
            let (audiences, scopes) = LIMITS[by];
            // The client was in the audience. (That the new one is within its limits is the signer's check.)
            let aud = known[subject].claims["aud"].as_str().unwrap();
            prop_assert!(aud == NAMES[by] || audiences.contains(&aud));
            prop_assert_eq!(&claims["client_id"], NAMES[by]);
            prop_assert_eq!(&claims["sub"], &known[subject].claims["sub"]);
            prop_assert_eq!(&claims["sid"], &known[subject].claims["sid"]);
            let asked = words(claims).unwrap();
            if scope == 0 {
                prop_assert!(asked.iter().all(|word| scopes.contains(word)));
            }
            let mut origin = subject;
            loop {
                let held = words(&known[origin].claims).unwrap();
                prop_assert!(asked.iter().all(|word| held.contains(word)));
                match known[origin].parents.first() {
                    Some(parent) => origin = *parent,
                    None => break,
                }
            }
            prop_assert!(before.iter().all(|one| *expires_at <= known[*one].expires_at));
            let named: Vec<&str> = claims[ANCESTORS_CLAIM].as_array().unwrap().iter()
                .map(|jti| jti.as_str().unwrap()).collect();
            prop_assert_eq!(named.len(), before.len());
            prop_assert!(named.len() <= 4);
            for one in before {
                prop_assert!(named.contains(&known[one].claims["jti"].as_str().unwrap()));
            }
            // The client or the one whose token it showed is the outermost actor.
            let acting = actor.map_or(NAMES[by], |actor| known[actor].claims["sub"].as_str().unwrap());
            prop_assert!(claims.get("act").is_none_or(|act| act["sub"] == acting));
            prop_assert!(claims.contains_key("act") || claims["sub"] == acting);
        }
    }
}
