//! What the page says of revoked tokens, done by its programs: each follows the feed of a live issuer
//! beside the library of its language.
//!
//! A gateway stands between them and the service. It passes everything on, until it is told to spoil
//! what the feed says, or to take it away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::programs::{Program, Workshop, serve_answers};
use super::{ALGORITHMS, AUDIENCE};
use crate::support::{Answer, Server, request, start, try_request};
use crate::verifiers::{self, CoolDown};
use crate::{create_issuer, report};

const ISSUER: &str = "following";

/// `revocation_max_age`: for how long a head vouches.
const MAX_AGE: Duration = Duration::from_secs(8);

/// What the answer of a revocation adds to that.
const CLOCKS: Duration = Duration::from_secs(2);

/// A fetch for an unknown kid has to wait for the longest cool-down of the libraries, 30 s.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const BANS: usize = 5;

/// What a gateway does with the feed.
#[derive(Clone)]
enum Feed {
    PassedOn,
    /// Heads are answered with these, in turns.
    Heads(Vec<String>),
    /// A segment has another first byte.
    SpoiltSegments,
    Away,
}

struct Gateway {
    port: u16,
    feed: Arc<Mutex<Feed>>,
    /// How many requests for a head have come, by `User-Agent`.
    heads_asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Gateway {
    fn before(service: String) -> Self {
        let feed = Arc::new(Mutex::new(Feed::PassedOn));
        let heads_asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let (state, asked) = (Arc::clone(&feed), Arc::clone(&heads_asked));
        let port = serve_answers(move |head| {
            let path = head.split_whitespace().nth(1)?;
            let (_, of_feed) = path
                .split_once("/.well-known/revocations")
                .unwrap_or_default();
            let is_segment = of_feed.starts_with('/');
            let is_head = path.contains("/.well-known/revocations") && !is_segment;
            let state = || state.lock().unwrap().clone();
            if is_head {
                let agent = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("user-agent")
                        .then(|| value.trim())
                });
                let agent = agent.unwrap_or_default().to_owned();
                let mut asked = asked.lock().unwrap();
                let turn = asked.entry(agent).or_default();
                *turn += 1;
                let turn = *turn;
                if let Feed::Heads(heads) = state() {
                    return Some(Answer {
                        status: 200,
                        headers: Vec::new(),
                        body: heads[turn % heads.len()].clone().into_bytes(),
                    });
                }
            }
            let mut answer = try_request("GET", &format!("{service}{path}"), &[], None).ok()?;
            match state() {
                Feed::Away => return None,
                Feed::SpoiltSegments if is_segment => answer.body[0] ^= 1,
                // One that was asked for before.
                Feed::Heads(_) if is_head => return None,
                _ => {}
            }
            Some(answer)
        });
        Self {
            port,
            feed,
            heads_asked,
        }
    }

    fn url(&self, issuer: &str) -> String {
        format!("http://127.0.0.1:{}/{issuer}", self.port)
    }

    /// Whether each of so many programs has asked for so many heads.
    fn has_answered(&self, programs: usize, heads: usize) -> bool {
        let asked = self.heads_asked.lock().unwrap();
        let has_asked = |count: &&usize| **count > heads;
        asked.values().filter(has_asked).count() >= programs
    }

    fn set(&self, feed: Feed) {
        *self.feed.lock().unwrap() = feed;
    }
}

/// Programs under test, the service behind them, and who signs for it.
struct Scene {
    server: Server,
    gateway: Gateway,
    programs: Vec<Program>,
    /// A client that may say who acts for whom.
    signer: String,
}

impl Scene {
    fn sign(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        let members = claims.as_object_mut().expect("claims");
        members.entry("aud").or_insert(AUDIENCE.into());
        let body = json!({"claims": claims, "expires_in": 1800});
        let path = format!("/v1/issuers/{ISSUER}/tokens");
        let body = ("application/json", body.to_string().into_bytes());
        let answer = self
            .server
            .call_as(Some(&self.signer), "POST", &path, Some(body));
        assert_eq!(answer.status, 201, "{claims}: {}", answer.json());
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// A token that comes of this one.
    fn exchange(&self, token: &str) -> String {
        let limits = json!({"audiences": [AUDIENCE]});
        let client = json!({"name": "trader", "roles": ["exchanger"], "limits": limits});
        let client = self.server.call("POST", "/v1/clients", Some(&client));
        let text = |name: &str| client.json()[name].as_str().expect("a client").to_owned();
        let kind = "urn:ietf:params:oauth:token-type";
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
             &subject_token_type={kind}:access_token&requested_token_type={kind}:jwt&client_id={}\
             &client_secret={}",
            text("id"),
            text("credential")
        );
        let url = format!("{}/{ISSUER}/token", self.server.public);
        let body = ("application/x-www-form-urlencoded", form.into_bytes());
        let answer = request("POST", &url, &[], Some(body));
        assert_eq!(answer.status, 200, "{}", answer.json());
        let token = answer.json()["access_token"].as_str().map(str::to_owned);
        token.expect("a token")
    }

    fn take_back(&self, revocation: &Value) {
        let path = format!("/v1/issuers/{ISSUER}/revocations");
        let answer = self.server.call("POST", &path, Some(revocation));
        assert_eq!(answer.status, 201, "{revocation}: {}", answer.json());
    }

    fn take_many_back(&self, revocations: Vec<Value>) {
        let path = format!("/v1/issuers/{ISSUER}/revocations/batch");
        let body = json!({ "revocations": revocations });
        let answer = self.server.call("POST", &path, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.json());
    }

    /// So many that some of them stand in a segment.
    fn fill_a_segment(&self, name: &str) {
        let many = (0..80).map(|number| json!({"jti": format!("{name}-{number}")}));
        self.take_many_back(many.collect());
    }

    fn rotate(&self, force: bool) {
        let path = format!("/v1/issuers/{ISSUER}/rotate");
        let body = json!({"algorithm": "ES256", "force": force, "reason": "a test"});
        let answer = self.server.call("POST", &path, Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn head(&self) -> String {
        head_of(&self.gateway.url(ISSUER), "")
    }

    fn all_accept(&mut self, token: &str, what: &str) {
        for program in &mut self.programs {
            let answer = program.verify(token);
            assert!(answer.is_ok(), "{}: {what}: {answer:?}", program.file);
        }
    }

    /// Waits until every program makes this of a token.
    fn all_come_to(&mut self, wanted: Verdict, token: &str, what: &str) {
        self.all_come_to_without_accepting(None, wanted, token, what);
    }

    /// The same, while another token is never accepted.
    fn all_come_to_without_accepting(
        &mut self,
        refused: Option<&str>,
        wanted: Verdict,
        token: &str,
        what: &str,
    ) {
        let begin = Instant::now();
        let mut waiting: Vec<&mut Program> = self.programs.iter_mut().collect();
        while !waiting.is_empty() {
            let is_waiting = |program: &mut &mut Program| {
                if let Some(refused) = refused {
                    let answer = verdict(program, refused);
                    assert_ne!(answer, Ok(Verdict::Accepted), "{}: {what}", program.file);
                }
                let answer = verdict(program, token);
                if answer == Ok(wanted) {
                    return false;
                }
                assert!(
                    begin.elapsed() < LONGEST_WAIT,
                    "{}: {what} is {answer:?} and not {wanted:?}",
                    program.file
                );
                true
            };
            waiting.retain_mut(is_waiting);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    Revoked,
    /// It is not known whether it is.
    Unavailable,
}

/// What a program makes of a token; `Err` is a refusal for another reason.
fn verdict(program: &mut Program, token: &str) -> Result<Verdict, String> {
    match program.verify(token) {
        Ok(_) => Ok(Verdict::Accepted),
        Err(why) if why.to_lowercase().contains("unavailable") => Ok(Verdict::Unavailable),
        Err(why) if why.to_lowercase().contains("revoked") => Ok(Verdict::Revoked),
        Err(why) => Err(why),
    }
}

fn file_path() -> String {
    format!("/v1/issuers/{ISSUER}/revocations/file")
}

fn head_of(issuer: &str, query: &str) -> String {
    let url = format!("{issuer}/.well-known/revocations{query}");
    let answer = request("GET", &url, &[], None);
    let text = String::from_utf8(answer.body).expect("text");
    assert_eq!(answer.status, 200, "{text}");
    text
}

#[test]
fn the_programs_that_follow_the_feed_refuse_what_is_taken_back_within_its_bounds() {
    let server = start("oauth.enabled = true\n");
    let gateway = Gateway::before(server.public.clone());
    let policy = json!({
        "url": gateway.url(ISSUER), "algorithms": ALGORITHMS, "clock_skew": "10s",
        "revocation_max_age": format!("{}s", MAX_AGE.as_secs()),
    });
    let answer = server.call("PUT", &format!("/v1/issuers/{ISSUER}"), Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let limits = json!({"claims": ["act", "client_id", "sid"]});
    let client = json!({"name": "exchange", "roles": ["issuer"], "limits": limits});
    let client = server.call("POST", "/v1/clients", Some(&client)).json();
    let signer = client["credential"]
        .as_str()
        .expect("a credential")
        .to_owned();
    let (programs, _folder) = Workshop::open(|_| gateway.url(ISSUER)).start_following();
    if programs.is_empty() {
        return report("SKIPPED: the programs that follow revocations: none of them can run here");
    }
    let mut scene = Scene {
        server,
        gateway,
        programs,
        signer,
    };
    let good = scene.sign(&json!({"sub": "user-1"}));
    scene.all_come_to(Verdict::Accepted, &good, "a good token");
    let first_head = scene.head();

    bans_are_in_force_in_seconds(&mut scene, &good);
    every_selector_is_looked_up(&mut scene, &good);

    scene.rotate(false);
    bans_follow_another_key(&mut scene, "rotated", &good);

    let banned = heads_of_others_are_worth_nothing(&mut scene, &good, first_head);
    a_segment_must_be_the_one_that_is_named(&mut scene, &good, &banned);
    an_outage_is_borne_as_long_as_heads_vouch(&mut scene, &good, &banned);

    // No verifier holds the successor of a successor.
    scene.rotate(true);
    bans_follow_another_key(&mut scene, "unknown", &good);

    scene.take_back(&json!({"issuer": true}));
    scene.all_come_to(Verdict::Revoked, &good, "a token of before");
    let new = scene.sign(&json!({"sub": "user-1"}));
    scene.all_accept(&new, "a token from after");
}

fn bans_are_in_force_in_seconds(scene: &mut Scene, good: &str) {
    let mut seconds: Vec<Vec<f64>> = scene.programs.iter().map(|_| Vec::new()).collect();
    for number in 0..BANS {
        let subject = format!("banned-{number}");
        let token = scene.sign(&json!({ "sub": subject }));
        scene.all_accept(&token, "a token of a user who is not banned");
        scene.take_back(&json!({"subject": subject, "ban": true}));
        let answered = Instant::now();
        let last_acceptances: Vec<f64> = std::thread::scope(|scope| {
            let programs = scene.programs.iter_mut();
            let token = &token;
            let watching = programs.map(|program| {
                scope.spawn(move || last_acceptance(program, token, good, answered))
            });
            let watching: Vec<_> = watching.collect();
            let ended = watching.into_iter().map(|thread| thread.join().unwrap());
            ended.collect()
        });
        for (seconds, last) in seconds.iter_mut().zip(last_acceptances) {
            seconds.push(last);
        }
    }
    for (program, mut seconds) in scene.programs.iter().zip(seconds) {
        seconds.sort_by(f64::total_cmp);
        report(&format!(
            "following: {}: a ban is in force {:.2} s after its answer in the median of {BANS}, \
             {:.2} s at most; guaranteed are {} s",
            program.file,
            seconds[BANS / 2],
            seconds[BANS - 1],
            (MAX_AGE + CLOCKS).as_secs(),
        ));
    }
}

/// How many seconds after the answer a banned token was accepted for the last time. A good one is
/// accepted all the while.
fn last_acceptance(program: &mut Program, token: &str, good: &str, answered: Instant) -> f64 {
    let mut last = Duration::ZERO;
    loop {
        let asked = answered.elapsed();
        match verdict(program, token) {
            Ok(Verdict::Accepted) => last = asked,
            Ok(Verdict::Revoked) => return last.as_secs_f64(),
            other => panic!("{}: {other:?}", program.file),
        }
        assert!(asked < MAX_AGE + CLOCKS, "{}: still accepted", program.file);
        let answer = program.verify(good);
        assert!(answer.is_ok(), "{}: {answer:?}", program.file);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn every_selector_is_looked_up(scene: &mut Scene, good: &str) {
    let deep = json!({"sub": "s-2", "act": {"sub": "s-3", "act": {"sub": "acting"}}});
    let meant = [
        (
            json!({"sub": "s-1", "sid": "sid-1"}),
            json!({"session": "sid-1"}),
        ),
        (json!({"sub": "\u{fc}ber"}), json!({"subject": "\u{fc}ber"})),
        (deep, json!({"subject": "acting"})),
        (
            json!({"sub": "c-1", "client_id": "web"}),
            json!({"client": "web"}),
        ),
        (
            json!({"sub": "a-1", "aud": [AUDIENCE, "billing"]}),
            json!({"audience": "billing"}),
        ),
        (
            json!({"sub": "p-1", "client_id": "app"}),
            json!({"subject": "p-1", "client": "app"}),
        ),
        (
            json!({"sub": "p-2", "aud": [AUDIENCE, "stock"]}),
            json!({"subject": "p-2", "audience": "stock"}),
        ),
        (
            json!({"sub": "ab", "sid": "c"}),
            json!({"subject": "ab", "session": "c"}),
        ),
    ];
    let others = [
        json!({"sub": "j-1"}),
        json!({"sub": "s-1", "sid": "sid-2"}),
        json!({"sub": "s-2", "act": {"sub": "s-3"}}),
        json!({"sub": "web", "client_id": "acting"}),
        json!({"sub": "p-1", "client_id": "app-2"}),
        json!({"sub": "p-3", "client_id": "app", "aud": [AUDIENCE, "stock"]}),
        json!({"sub": "a", "sid": "bc"}),
        json!({"sub": "c", "sid": "ab"}),
    ];
    let tokens = meant.each_ref().map(|(claims, _)| scene.sign(claims));
    let others = others.map(|claims| (scene.sign(&claims), claims));
    for token in &tokens {
        scene.all_accept(token, "a token that will be taken back");
    }
    let one = scene.sign(&json!({"sub": "j-1"}));
    scene.all_accept(&one, "a token that will be taken back");
    let child = scene.exchange(&one);
    scene.all_accept(&child, "a token that comes of one that will be taken back");
    let mut revocations = vec![json!({ "token": one })];
    revocations.extend(meant.iter().map(|(_, revocation)| revocation.clone()));
    scene.take_many_back(revocations);
    let refused = |scene: &mut Scene| {
        for (token, (_, revocation)) in tokens.iter().zip(&meant) {
            scene.all_come_to(Verdict::Revoked, token, &revocation.to_string());
        }
        scene.all_come_to(Verdict::Revoked, &one, "one token");
        scene.all_come_to(Verdict::Revoked, &child, "what came of it");
    };
    refused(scene);
    // Where they were found once more, they are in a segment.
    scene.fill_a_segment("many");
    let last = scene.sign(&json!({"sub": "last"}));
    scene.take_back(&json!({"subject": "last"}));
    scene.all_come_to(
        Verdict::Revoked,
        &last,
        "one that was taken back after many",
    );
    refused(scene);
    for (token, claims) in &others {
        scene.all_accept(token, &claims.to_string());
    }
    scene.all_accept(good, "a good token");
}

fn bans_follow_another_key(scene: &mut Scene, name: &str, good: &str) {
    let token = scene.sign(&json!({ "sub": name }));
    scene.all_come_to(Verdict::Accepted, &token, "a token by another key");
    scene.take_back(&json!({"subject": name, "ban": true}));
    scene.all_come_to(Verdict::Revoked, &token, "a banned token by another key");
    scene.all_come_to(Verdict::Accepted, good, "a good token");
}

/// While nothing that is worth anything comes, tokens are accepted as long as the last head vouches for
/// them, and then those that are young. Answers how long that took.
fn is_cut_off(scene: &mut Scene, by: &str, good: &str, refused: &str) -> Duration {
    let begin = Instant::now();
    let banned = scene.sign(&json!({ "sub": by }));
    scene.take_back(&json!({"subject": by, "ban": true}));
    scene.all_come_to_without_accepting(
        Some(refused),
        Verdict::Unavailable,
        good,
        "a token of before the outage",
    );
    let took = begin.elapsed();
    assert!(took < MAX_AGE + CLOCKS + CLOCKS, "only after {took:?}");
    // It was young once, and no head has said that it is banned.
    scene.all_come_to(
        Verdict::Unavailable,
        &banned,
        "a token that was banned meanwhile",
    );
    let young = scene.sign(&json!({"sub": "user-2"}));
    scene.all_accept(&young, "a young token");
    scene.gateway.set(Feed::PassedOn);
    scene.all_come_to(Verdict::Accepted, good, "a good token after the outage");
    scene.all_come_to(Verdict::Revoked, &banned, "a banned token after the outage");
    took
}

/// Answers a token that was taken back.
fn heads_of_others_are_worth_nothing(scene: &mut Scene, good: &str, first_head: String) -> String {
    let banned = scene.sign(&json!({"sub": "of-the-past"}));
    let stranger = create_issuer(&scene.server, "stranger", json!({}));
    let newest = scene.head();
    scene.take_back(&json!({"subject": "of-the-past"}));
    scene.all_come_to(Verdict::Revoked, &banned, "a banned token");
    let file = scene.server.call("GET", &file_path(), None).json();
    let parts: Vec<&str> = newest.split('.').collect();
    let other: Vec<&str> = first_head.split('.').collect();
    let heads = vec![
        newest.clone(),
        first_head.clone(),
        head_of(&stranger, ""),
        file["head"].as_str().expect("a head").to_owned(),
        scene.sign(&json!({"sub": "user-1"})),
        format!("{}.{}.{}", parts[0], other[1], parts[2]),
        "no head".to_owned(),
    ];
    let count = heads.len();
    scene.gateway.heads_asked.lock().unwrap().clear();
    scene.gateway.set(Feed::Heads(heads));
    let begin = Instant::now();
    while !scene.gateway.has_answered(scene.programs.len(), count) {
        for program in &mut scene.programs {
            let answer = verdict(program, &banned);
            assert_ne!(answer, Ok(Verdict::Accepted), "{}", program.file);
        }
        assert!(
            begin.elapsed() < LONGEST_WAIT,
            "too few heads are asked for"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    is_cut_off(scene, "heads of others", good, &banned);
    scene.all_come_to(Verdict::Revoked, &banned, "a banned token");
    banned
}

fn a_segment_must_be_the_one_that_is_named(scene: &mut Scene, good: &str, refused: &str) {
    scene.gateway.set(Feed::SpoiltSegments);
    scene.fill_a_segment("spoilt");
    is_cut_off(scene, "spoilt segments", good, refused);
}

fn an_outage_is_borne_as_long_as_heads_vouch(scene: &mut Scene, good: &str, refused: &str) {
    scene.gateway.set(Feed::Away);
    let took = is_cut_off(scene, "no feed", good, refused);
    report(&format!(
        "following: without the feed, old tokens are refused after {:.1} s",
        took.as_secs_f64()
    ));
}

#[test]
fn a_head_is_no_access_token_to_any_library() {
    let server = start("");
    let url = create_issuer(&server, ISSUER, json!({ "algorithms": ALGORITHMS }));
    let mut heads = ALGORITHMS
        .map(|algorithm| head_of(&url, &format!("?alg={algorithm}")))
        .to_vec();
    let file = server.call("GET", &file_path(), None).json();
    heads.push(file["head"].as_str().expect("a head").to_owned());
    let (mut programs, _folder) = Workshop::open(|_| url.clone()).start_all();
    for program in &mut programs {
        let request = json!({
            "claims": {"sub": "user-1", "aud": AUDIENCE, "client_id": "web"}, "typ": program.typ,
        });
        let token = server.sign(ISSUER, &request);
        assert!(program.verify(&token).is_ok(), "{}", program.file);
        for head in &heads {
            let answer = program.verify(head);
            assert!(answer.is_err(), "{} takes a head for a token", program.file);
        }
    }
    for mut verifier in verifiers::all(CoolDown::Tenth) {
        let request = json!({"claims": {"sub": "user-1", "aud": AUDIENCE}});
        let token = server.sign(ISSUER, &request);
        assert_eq!(verifier.verify(&token, &url), Ok(()), "{}", verifier.name);
        for head in &heads {
            let answer = verifier.verify(head, &url);
            assert!(
                answer.is_err(),
                "{} takes a head for a token",
                verifier.name
            );
        }
    }
}
