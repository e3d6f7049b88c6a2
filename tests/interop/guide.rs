//! docs/verifiers.md tells how to verify our tokens in other languages. Here its programs do it: each
//! lives through rotations with the cache that its library comes with, must accept every token that
//! is alive, and must refuse whatever is not for it.
//!
//! The lead is 32 s, which is 2 s more than the longest cool-down on the page. A verifier that never asks
//! for an unknown kid (Envoy) has a cache of 10 s here. The page's caches of 5 and 10 minutes stay
//! as they are, so that a rotation reaches them by an unknown kid alone. Tokens by strangers arrive
//! all the while: the fetches that those cause must not keep anyone from learning a new key.

mod fetches;
mod following;
mod programs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Server, start};
use crate::verifiers::AUDIENCE;
use crate::{create_issuer, kid, now_millis, report};
use programs::{Program, Workshop};

const ISSUER: &str = "guide";
const ALGORITHMS: [&str; 2] = ["ES256", "RS256"];
const TYPES: [&str; 2] = ["JWT", "at+jwt"];
const SUBJECT: &str = "user-1";

/// What each algorithm has to live through: 2 leads, since the first successor is ready at once.
const ROTATIONS: usize = 3;

/// Nothing hangs for longer than that, on however slow a machine; 90 s are enough on a good one.
const DEADLINE: Duration = Duration::from_secs(240);

/// The pause between two rounds of tokens, and how many rounds pass between two of bad ones.
const PACE: Duration = Duration::from_millis(500);
const ROUNDS_BETWEEN_BAD_ONES: usize = 8;

/// What Envoy keeps the set for on the page and here, because it learns of no key before.
const ENVOY_CACHE: (&str, &str) = ("cache_duration: 300s", "cache_duration: 10s");

/// How long before its expiry a token is verified again.
const BEFORE_EXPIRY_MILLIS: u64 = 1500;

/// The leeway of the page's programs, and a second for the rounding of `exp`.
const LEEWAY_MILLIS: u64 = 11_000;

/// The page says of these that they cannot look at the type of a token.
const BLIND_TO_THE_TYPE: [&str; 2] = ["verify-go-oidc.go", "envoy.yaml"];

const FOR_ANOTHER_AUDIENCE: &str = "a token for another audience";
const BY_ANOTHER_ISSUER: &str = "a token by another issuer";
const WITH_ANOTHER_PAYLOAD: &str = "a token with another payload";
const WITH_ANOTHER_SIGNATURE: &str = "a token with another signature";
const WITHOUT_SIGNATURE: &str = "a token without a signature";
const WITHOUT_HEADER: &str = "a token whose header is null";
const EXPIRED: &str = "an expired token";
const OF_ANOTHER_TYPE: &str = "a token of another type";

/// What every program has to refuse, the last one if it can.
const BAD: [&str; 8] = [
    FOR_ANOTHER_AUDIENCE,
    BY_ANOTHER_ISSUER,
    WITH_ANOTHER_PAYLOAD,
    WITH_ANOTHER_SIGNATURE,
    WITHOUT_SIGNATURE,
    WITHOUT_HEADER,
    EXPIRED,
    OF_ANOTHER_TYPE,
];

fn policy() -> Value {
    json!({
        "algorithms": ALGORITHMS, "rotation": { "every": "1h" }, "lead": "32s",
        "jwks_max_age": "10s", "stale_if_error": "5s", "clock_skew": "10s",
        "default_token_ttl": "8s", "max_token_ttl": "5m",
    })
}

/// A token that must be accepted as long as it lives.
#[derive(Clone)]
struct Live {
    text: String,
    algorithm: &'static str,
    kid: String,
    expires_at_millis: u64,
}

/// What a program is asked, and what it has to answer.
enum Question {
    Accept(Live),
    Refuse(&'static str, String),
}

/// The way to a program.
struct Queue {
    file: String,
    typ: String,
    questions: Sender<Question>,
}

/// What a program said.
#[derive(Default)]
struct Tally {
    file: String,
    accepted: usize,
    accepted_before_expiry: usize,
    kids: BTreeMap<&'static str, BTreeSet<String>>,
    refused: BTreeMap<&'static str, usize>,
    /// The answer came when the token had expired: the machine was too slow, no verifier was wrong.
    late: usize,
    wrongs: Vec<String>,
}

#[test]
fn the_programs_of_the_guide_accept_live_tokens_through_rotations_and_refuse_all_others() {
    let server = start("");
    let url = create_issuer(&server, ISSUER, policy());
    create_issuer(&server, "stranger", policy());
    let mut workshop = Workshop::open(|_| url.clone());
    workshop.replace("envoy.yaml", ENVOY_CACHE.0, ENVOY_CACHE.1);
    let (mut programs, _folder) = workshop.start_all();
    let count = programs.len();
    if count == 0 {
        return report("SKIPPED: the programs of docs/verifiers.md: none of them can run here");
    }
    let mut short_lived = Vec::new();
    for typ in TYPES {
        short_lived.push(sign(&server, ISSUER, "ES256", typ, AUDIENCE, Some(1)));
        let first = sign(&server, ISSUER, "ES256", typ, AUDIENCE, Some(300));
        for program in programs.iter_mut().filter(|program| program.typ == typ) {
            // Also waits until the program is up, so that it holds the set of before all rotations.
            let answer = program.verify(&first.text);
            assert_eq!(answer.as_deref(), Ok(SUBJECT), "{}", program.file);
        }
    }

    let began = Instant::now();
    let rotations = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let mut tokens = 0;
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let mut queues = Vec::new();
        let mut verifying = Vec::new();
        for program in programs {
            let (questions, to_answer) = channel();
            queues.push(Queue {
                file: program.file.clone(),
                typ: program.typ.clone(),
                questions,
            });
            verifying.push(scope.spawn(move || answer_all(program, &to_answer)));
        }
        let mut rounds = 0;
        let mut rounds_after = 0;
        // After the last rotation there is one more round of bad tokens.
        while rounds_after <= ROUNDS_BETWEEN_BAD_ONES
            && began.elapsed() < DEADLINE
            && !verifying.iter().any(ScopedJoinHandle::is_finished)
        {
            let tick = Instant::now();
            for algorithm in ALGORITHMS {
                let with_bad_ones = rounds % ROUNDS_BETWEEN_BAD_ONES == 0;
                tokens += ask(&server, algorithm, &queues, &short_lived, with_bad_ones);
            }
            // The keys of before all rotations have signed something by now.
            if rounds == 0 {
                for (algorithm, count) in ALGORITHMS.iter().zip(&rotations) {
                    let server = &server;
                    scope.spawn(move || rotate_when_ready(server, algorithm, count, began));
                }
            }
            let turns = rotations.iter().map(|count| count.load(Ordering::Relaxed));
            rounds_after += usize::from(turns.min() == Some(ROTATIONS));
            rounds += 1;
            std::thread::sleep(PACE.saturating_sub(tick.elapsed()));
        }
        drop(queues);
        let tallies = verifying.into_iter().map(|thread| thread.join().unwrap());
        tallies.collect()
    });

    let turns = rotations.map(AtomicUsize::into_inner);
    report(&format!(
        "guide: {count} programs, {tokens} tokens, {turns:?} rotations in {:?}",
        began.elapsed()
    ));
    assert_eq!(turns, [ROTATIONS; 2], "too few rotations");
    // What refused the expired token was its age: its key is still there.
    let published = server
        .fetch(&format!("/{ISSUER}/.well-known/jwks.json"))
        .json();
    let expired = &short_lived[0].kid;
    let keys = published["keys"].as_array().expect("a list");
    assert!(
        keys.iter().any(|key| key["kid"] == expired.as_str()),
        "{published}"
    );
    let broken: Vec<String> = tallies.iter().flat_map(broken_promises).collect();
    assert_eq!(broken, Vec::<String>::new());
}

/// Signs one token of each type, and asks every program about them and, if wanted, about bad ones.
/// Answers how many tokens it has signed that are good.
fn ask(
    server: &Server,
    algorithm: &'static str,
    queues: &[Queue],
    short_lived: &[Live],
    with_bad_ones: bool,
) -> usize {
    let made = TYPES.map(|typ| sign(server, ISSUER, algorithm, typ, AUDIENCE, None));
    for (index, typ) in TYPES.iter().enumerate() {
        let mut bad = Vec::new();
        if with_bad_ones {
            bad = bad_tokens(server, algorithm, typ, &made[index].text);
            let expired = &short_lived[index];
            if expired.expires_at_millis + LEEWAY_MILLIS < now_millis() {
                bad.push((EXPIRED, expired.text.clone()));
            }
        }
        for queue in queues.iter().filter(|queue| queue.typ == *typ) {
            let other = made[1 - index].clone();
            let mut questions = vec![
                Question::Accept(made[index].clone()),
                if BLIND_TO_THE_TYPE.contains(&queue.file.as_str()) {
                    Question::Accept(other)
                } else {
                    Question::Refuse(OF_ANOTHER_TYPE, other.text)
                },
            ];
            questions.extend(
                bad.iter()
                    .map(|(what, token)| Question::Refuse(what, token.clone())),
            );
            for question in questions {
                let _ = queue.questions.send(question);
            }
        }
    }
    made.len()
}

/// What a program did against the page's promises.
fn broken_promises(tally: &Tally) -> Vec<String> {
    let Tally {
        file,
        accepted,
        accepted_before_expiry,
        late,
        refused,
        ..
    } = tally;
    report(&format!(
        "guide: {file}: accepted {accepted} at once and {accepted_before_expiry} before expiry, \
         {late} too late to tell; refused {refused:?}"
    ));
    let mut broken = tally.wrongs.clone();
    for algorithm in ALGORITHMS {
        let kids = tally.kids.get(algorithm).map_or(0, BTreeSet::len);
        if kids != ROTATIONS + 1 {
            broken.push(format!("it accepted {kids} {algorithm} keys"));
        }
    }
    let told = accepted + accepted_before_expiry;
    if told < 100 || late * 10 > told {
        broken.push("it was too slow for a judgement".to_owned());
    }
    for what in BAD {
        let is_shown = what != OF_ANOTHER_TYPE || !BLIND_TO_THE_TYPE.contains(&file.as_str());
        if is_shown && !refused.contains_key(what) {
            broken.push(format!("it never refused {what}"));
        }
    }
    broken
        .iter()
        .map(|what| format!("{file}: {what}"))
        .collect()
}

/// Answers questions as they come, and those about live tokens again before these expire.
fn answer_all(mut program: Program, questions: &Receiver<Question>) -> Tally {
    let mut tally = Tally {
        file: program.file.clone(),
        ..Tally::default()
    };
    let mut again: VecDeque<Live> = VecDeque::new();
    let mut more = true;
    while more || !again.is_empty() {
        let until_next = again.front().map_or(Duration::from_secs(1), |live| {
            let at = live.expires_at_millis - BEFORE_EXPIRY_MILLIS;
            Duration::from_millis(at.saturating_sub(now_millis()))
        });
        if until_next.is_zero() {
            let live = again.pop_front().expect("it was just looked at");
            if accepts(&mut program, &live, &mut tally) {
                tally.accepted_before_expiry += 1;
            }
            continue;
        }
        match questions.recv_timeout(until_next) {
            Ok(Question::Accept(live)) => {
                if accepts(&mut program, &live, &mut tally) {
                    tally.accepted += 1;
                    let kids = tally.kids.entry(live.algorithm).or_default();
                    kids.insert(live.kid.clone());
                }
                again.push_back(live);
            }
            Ok(Question::Refuse(what, token)) => match program.verify(&token) {
                Err(_) => *tally.refused.entry(what).or_default() += 1,
                Ok(_) => tally.wrongs.push(format!("it accepts {what}: {token}")),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                more = false;
                std::thread::sleep(until_next.min(Duration::from_millis(100)));
            }
        }
    }
    tally
}

/// Whether the program accepts a token and knows whose it is; everything else is noted.
fn accepts(program: &mut Program, live: &Live, tally: &mut Tally) -> bool {
    let outcome = program.verify(&live.text);
    let left_millis = live.expires_at_millis.saturating_sub(now_millis());
    match outcome {
        Ok(subject) if subject == SUBJECT => return true,
        Err(_) if left_millis == 0 => tally.late += 1,
        outcome => {
            let wrong = format!(
                "{outcome:?} for a token of {} that lives for {left_millis} ms",
                live.kid
            );
            report(&format!("guide: {}: {wrong}", program.file));
            tally.wrongs.push(wrong);
        }
    }
    false
}

fn sign(
    server: &Server,
    issuer: &str,
    algorithm: &'static str,
    typ: &str,
    audience: &str,
    expires_in: Option<u64>,
) -> Live {
    // Access tokens of RFC 9068 have a client_id; others may.
    let claims = json!({ "sub": SUBJECT, "aud": audience, "client_id": "web" });
    let mut body = json!({ "claims": claims, "alg": algorithm, "typ": typ });
    if let Some(seconds) = expires_in {
        body["expires_in"] = seconds.into();
    }
    let answer = server.call("POST", &format!("/v1/issuers/{issuer}/tokens"), Some(&body));
    let answered = answer.json();
    assert_eq!(answer.status, 201, "{answered}");
    let text = answered["token"].as_str().expect("a token").to_owned();
    let expires_at_millis = answered["expires_at"].as_u64().expect("a time") * 1000;
    Live {
        kid: kid(&text),
        text,
        algorithm,
        expires_at_millis,
    }
}

/// Tokens that are wrong in one thing each.
fn bad_tokens(
    server: &Server,
    algorithm: &'static str,
    typ: &str,
    good: &str,
) -> Vec<(&'static str, String)> {
    let elsewhere = sign(server, ISSUER, algorithm, typ, "invoices", None);
    let stranger = sign(server, "stranger", algorithm, typ, AUDIENCE, None);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{good} has not three parts");
    };
    let mut claims: Value = decode(payload);
    claims["sub"] = "admin".into();
    let mut unsigned: Value = decode(header);
    unsigned["alg"] = "none".into();
    let (first, rest) = signature.split_at(1);
    let flipped = if first == "A" { "B" } else { "A" };
    vec![
        (FOR_ANOTHER_AUDIENCE, elsewhere.text),
        (BY_ANOTHER_ISSUER, stranger.text),
        (
            WITH_ANOTHER_PAYLOAD,
            format!("{header}.{}.{signature}", encode(&claims)),
        ),
        (
            WITH_ANOTHER_SIGNATURE,
            format!("{header}.{payload}.{flipped}{rest}"),
        ),
        (
            WITHOUT_SIGNATURE,
            format!("{}.{payload}.", encode(&unsigned)),
        ),
        (
            WITHOUT_HEADER,
            format!("{}.{payload}.{signature}", encode(&Value::Null)),
        ),
    ]
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Rotates one algorithm as soon as that is allowed, again and again.
fn rotate_when_ready(server: &Server, algorithm: &str, count: &AtomicUsize, began: Instant) {
    let path = format!("/v1/issuers/{ISSUER}/rotate");
    let body = json!({ "algorithm": algorithm });
    while count.load(Ordering::Relaxed) < ROTATIONS && began.elapsed() < DEADLINE {
        // Some tokens of each key come between two rotations.
        std::thread::sleep(PACE);
        let answer = server.call("POST", &path, Some(&body));
        let answered = answer.json();
        match answer.status {
            200 if answered["forced"] == false => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            409 if answered["code"] == "successor-not-ready" => {}
            _ => panic!("{ISSUER} did not rotate: {answered}"),
        }
    }
}
