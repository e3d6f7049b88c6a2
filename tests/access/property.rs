//! Whatever a client asks for, in whatever order, and however its terms change meanwhile: no token
//! leaves the limits in force, and no more leave than the rate lets out.

use std::time::Instant;

use keywright::authority::audit::Actor;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use proptest::{option, prop_oneof};
use serde_json::{Map, Value, json};

use crate::oracle;
use crate::world::{Api, World, terms};

/// What happens to one client.
#[derive(Debug, Clone)]
enum Step {
    Sign(Value),
    Batch(Vec<Value>),
    /// An admin lays down other limits.
    Limit(Value),
}

const TEXTS: [&str; 12] = [
    "orders",
    "orders/eu",
    "orders ",
    "Orders",
    "billing",
    "user-1",
    "user-",
    "*",
    "",
    "own-id",
    "https://a.example/x",
    "https://a.example.evil/x",
];
const PATTERNS: [&str; 7] = [
    "orders",
    "orders*",
    "billing",
    "user-*",
    "https://a.example/*",
    "https://a.example*",
    "*",
];
const SCOPES: [&str; 10] = [
    "read",
    "write",
    "read write",
    "write  read",
    "read\twrite",
    " read",
    "read ",
    "admin",
    "",
    "read read",
];
const CLAIMS: [&str; 7] = [
    "tenant",
    "roles",
    "scp",
    "client_id",
    "may_act",
    "nbf",
    "iss",
];
const TYPES: [&str; 7] = [
    "JWT",
    "jwt",
    "application/JWT",
    "logout+jwt",
    "application/LOGOUT+JWT",
    "a/logout+jwt",
    "at+jwt",
];

/// The place of the client's own id, which is not known before it exists.
const OWN_ID: &str = "the client's id";

fn members(parts: Vec<(&'static str, Option<Value>)>) -> Value {
    let present = parts.into_iter();
    let present = present.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn some_of(all: &'static [&'static str], least: usize) -> impl Strategy<Value = Value> {
    subsequence(all, least..=all.len().min(least + 3)).prop_map(Value::from)
}

fn limits() -> impl Strategy<Value = Value> {
    let rate = (1u32..=40, 1u32..=12)
        .prop_map(|(rate, burst)| json!({"signatures_per_second": rate, "burst": burst}));
    (
        option::weighted(0.4, some_of(&PATTERNS, 1)),
        option::weighted(
            0.4,
            prop_oneof![some_of(&PATTERNS, 1), Just(json!("own-id"))],
        ),
        option::weighted(0.4, some_of(&["read", "write", "orders:read"], 0)),
        option::weighted(0.4, some_of(&["tenant", "roles", "client_id"], 0)),
        option::weighted(
            0.4,
            select(vec!["1s", "30s", "5m", "2h"]).prop_map(Value::from),
        ),
        option::weighted(0.3, some_of(&["ES256", "RS256"], 1)),
        option::weighted(
            0.3,
            some_of(&["JWT", "logout+jwt", "application/logout+jwt"], 1),
        ),
        option::weighted(0.5, rate),
    )
        .prop_map(
            |(audiences, subjects, scopes, claims, ttl, algorithms, types, rate)| {
                members(vec![
                    ("audiences", audiences),
                    ("subjects", subjects),
                    ("scopes", scopes),
                    ("claims", claims),
                    ("max_ttl", ttl),
                    ("algorithms", algorithms),
                    ("types", types),
                    ("rate", rate),
                ])
            },
        )
}

fn text(all: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(all).prop_map(Value::from)
}

fn request() -> impl Strategy<Value = Value> {
    let audience = prop_oneof![
        text(&TEXTS),
        text(&["orders", "billing"]),
        vec(select(&TEXTS[..]), 0..4).prop_map(Value::from),
    ];
    let subject = prop_oneof![text(&TEXTS), text(&["user-1", OWN_ID])];
    let more = vec(
        (select(&CLAIMS[..]), any::<u16>().prop_map(Value::from)),
        0..2,
    );
    let claims = (
        option::weighted(0.8, audience),
        option::weighted(0.8, subject),
        option::weighted(0.5, text(&SCOPES)),
        more,
    )
        .prop_map(|(audience, subject, scope, more)| {
            let mut claims = members(vec![("aud", audience), ("sub", subject), ("scope", scope)]);
            let more = more.into_iter().map(|(name, value)| match name {
                "client_id" => (name.to_owned(), json!("web")),
                _ => (name.to_owned(), value),
            });
            claims.as_object_mut().unwrap().extend(more);
            claims
        });
    let lifetime = select(vec![0u64, 1, 2, 30, 31, 300, 301, 3600]).prop_map(Value::from);
    (
        claims,
        option::weighted(0.4, lifetime),
        option::weighted(0.3, text(&TYPES)),
        option::weighted(0.3, text(&["ES256"])),
    )
        .prop_map(|(claims, lifetime, typ, algorithm)| {
            members(vec![
                ("claims", Some(claims)),
                ("expires_in", lifetime),
                ("typ", typ),
                ("alg", algorithm),
            ])
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => request().prop_map(Step::Sign),
        2 => vec(request(), 1..15).prop_map(Step::Batch),
        2 => limits().prop_map(Step::Limit),
    ]
}

/// One life of one client: its limits at first, and what happens.
fn life() -> impl Strategy<Value = (Value, Vec<Step>)> {
    (limits(), vec(step(), 1..25))
}

/// The tokens that a bucket has let out since it was made.
struct Outflow {
    rate: Option<Value>,
    since: Instant,
    signed: u64,
}

impl Outflow {
    fn new(limits: &Value) -> Self {
        Self {
            rate: limits.get("rate").cloned(),
            since: Instant::now(),
            signed: 0,
        }
    }

    fn add(&mut self, tokens: usize) -> Result<(), String> {
        self.signed += u64::try_from(tokens).unwrap();
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        let number = |member: &str| rate[member].as_f64().unwrap();
        let refilled = self.since.elapsed().as_secs_f64() * number("signatures_per_second");
        #[expect(clippy::cast_precision_loss, reason = "there are a few hundred")]
        let signed = self.signed as f64;
        if signed > number("burst") + refilled {
            return Err(format!("{signed} signatures, {refilled} refilled, {rate}"));
        }
        Ok(())
    }
}

struct Caller<'w> {
    world: &'w World,
    api: Api,
    id: String,
    credential: String,
}

impl Caller<'_> {
    async fn call(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string().replace(OWN_ID, &self.id);
        let body = serde_json::from_str(&body).unwrap();
        let call = format!("POST /issuers/a/{path}");
        self.api.call(&self.credential, &call, &body).await.1
    }

    async fn lives(&self, mut limits: Value, steps: &[Step]) -> Result<usize, String> {
        let mut outflow = Outflow::new(&limits);
        let mut total = 0;
        for step in steps {
            let answers = match step {
                Step::Sign(request) => vec![self.call("tokens", request).await],
                Step::Batch(requests) => {
                    let answer = self
                        .call("tokens/batch", &json!({"requests": requests}))
                        .await;
                    answer["results"].as_array().cloned().unwrap_or_default()
                }
                Step::Limit(other) => {
                    let terms = terms(json!({"limits": other}));
                    let set = self
                        .world
                        .authority
                        .set_terms(&self.id, terms, Actor::Bootstrap);
                    set.await.map_err(|error| error.to_string())?;
                    if other.get("rate") != limits.get("rate") {
                        outflow = Outflow::new(other);
                    }
                    limits = other.clone();
                    continue;
                }
            };
            let tokens: Vec<&str> = answers
                .iter()
                .filter_map(|one| one["token"].as_str())
                .collect();
            for token in &tokens {
                oracle::within(&self.id, &limits, token)
                    .map_err(|why| format!("outside {limits}: {why}"))?;
            }
            outflow.add(tokens.len())?;
            total += tokens.len();
        }
        Ok(total)
    }
}

#[test]
fn no_sequence_of_calls_gets_a_token_outside_the_limits_in_force() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let policy = json!({"default_token_ttl": "5m", "max_token_ttl": "1h"});
    runtime.block_on(world.issuer("a", policy));
    let api = Api::of(&world);
    let config = Config {
        cases: 300,
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let signed = std::sync::atomic::AtomicUsize::new(0);
    let outcome = TestRunner::new(config).run(&life(), |(limits, steps)| {
        runtime.block_on(async {
            let (id, credential) = world.client(json!({"limits": limits})).await;
            let caller = Caller {
                world: &world,
                api: api.clone(),
                id,
                credential,
            };
            let outcome = caller.lives(limits, &steps).await;
            let end = world.authority.delete_client(&caller.id, Actor::Bootstrap);
            end.await.unwrap();
            let total = outcome.map_err(TestCaseError::fail)?;
            signed.fetch_add(total, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, life)) => panic!("{reason}\n{life:#?}"),
        Err(error) => panic!("{error}"),
    }
    // A test that refuses everything proves nothing.
    let signed = signed.into_inner();
    assert!(signed > 500, "{signed} tokens were signed");
}
