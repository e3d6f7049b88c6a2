//! A verifier that follows the feed through the balancer, while subjects are revoked at every replica.
//!
//! Each revocation is timed from its answer to the last acceptance of a token that it takes back, and
//! that is compared with both promises of the answer. A token from after it must never be refused by it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use keywright_verifier::{
    Algorithm, ClaimError, RemoteKeys, RevocationFeed, Rules, Verifier, VerifyError,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::balancer;
use crate::proxy::{Line, Proxy};
use crate::support::postgres::Postgres;
use crate::support::{eventually, report, since_epoch};
use crate::world::{Address, Fleet, REPLICAS, ask};

/// The issuer whose feed is followed, at the balancer.
const ISSUER: &str = "followed";

/// `revocation_max_age`.
const MAX_AGE: &str = "8s";

/// How often a token that was taken back is shown.
const PACE: Duration = Duration::from_millis(20);

/// For how long a token is shown after the last promise.
const AFTERWARDS: f64 = 1.0;

/// All that goes on.
pub(crate) struct Followers {
    met: Arc<Mutex<Met>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What was met.
#[derive(Default)]
struct Met {
    fault: &'static str,
    revocations: Vec<Revocation>,
    /// Tokens that are good, and were refused because they are said to be revoked.
    refused: Vec<String>,
    accepted: u64,
    /// By fault: it was not known whether a token was revoked.
    unknown: BTreeMap<&'static str, u64>,
    /// By fault: nothing was signed, or taken back.
    unanswered: BTreeMap<&'static str, u64>,
}

/// A revocation that was answered.
struct Revocation {
    /// At the last acceptance, or at the answer.
    fault: &'static str,
    /// In seconds since 1970, as the others.
    answered_at: f64,
    last_acceptance: Option<f64>,
    expected: f64,
    guaranteed: f64,
}

struct Follower {
    verifier: Verifier,
    runtime: Runtime,
}

/// What the verifier says of a token.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    Revoked,
    Expired,
    Unknown,
}

impl Followers {
    pub(crate) fn begin(fleet: &Fleet<'_>) -> Self {
        let port = balancer::start(Arc::clone(&fleet.addresses));
        let follower = Arc::new(Follower::at(fleet, port));
        let met = Arc::new(Mutex::new(Met::default()));
        let over = Arc::new(AtomicBool::new(false));
        let begin = |index| {
            let revoker = Revoker {
                index,
                addresses: Arc::clone(&fleet.addresses),
                admin: fleet.admin.clone(),
                follower: Arc::clone(&follower),
                met: Arc::clone(&met),
                over: Arc::clone(&over),
            };
            spawn(move || revoker.run())
        };
        Self {
            threads: (0..REPLICAS).map(begin).collect(),
            met,
            over,
        }
    }

    /// What is happening now.
    pub(crate) fn names(&self, fault: &'static str) {
        self.met.lock().unwrap().fault = fault;
    }

    /// Ends everything, and says what was met.
    pub(crate) fn ends(self) -> Outcome {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        Outcome(Arc::into_inner(self.met).unwrap().into_inner().unwrap())
    }
}

impl Follower {
    /// One that finds the issuer at this port.
    fn at(fleet: &Fleet<'_>, port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}/{ISSUER}");
        let policy = json!({
            "url": url, "algorithms": ["ES256"], "rotation": { "every": "10s" }, "lead": "3s",
            "jwks_max_age": "1s", "stale_if_error": "0s", "clock_skew": "2s",
            "default_token_ttl": "60s", "max_token_ttl": "60s", "revocation_max_age": MAX_AGE,
        });
        let path = format!("/v1/issuers/{ISSUER}");
        let answer = fleet.call(0, "PUT", &path, Some(&policy)).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.json());
        fleet.recovers();
        Self::of(&url)
    }

    fn of(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let verifier = {
            let _runtime = runtime.enter();
            let keys = RemoteKeys::of_issuer(url)
                .freshness(Duration::from_secs(1)..=Duration::from_secs(60))
                .cool_down(Duration::from_secs(1))
                .start()
                .unwrap();
            let rules = Rules::new(url, "orders", [Algorithm::Es256]);
            let verifier = Verifier::new(rules, keys).unwrap();
            verifier
                .with_revocations(RevocationFeed::of_issuer(url))
                .unwrap()
        };
        Self { verifier, runtime }
    }

    fn judge(&self, token: &str) -> Verdict {
        let verified = self.verifier.verify::<Value>(token);
        match self.runtime.block_on(verified) {
            Ok(_) => Verdict::Accepted,
            Err(VerifyError::Revoked { .. }) => Verdict::Revoked,
            // Keys, too, may be out of reach for as long as a fault lasts.
            Err(VerifyError::RevocationsStale | VerifyError::Keys(_) | VerifyError::Token(_)) => {
                Verdict::Unknown
            }
            Err(VerifyError::Claim(ClaimError::Expired)) => Verdict::Expired,
            Err(error) => panic!("{error}"),
        }
    }
}

struct Revoker {
    index: usize,
    addresses: Arc<RwLock<Vec<Address>>>,
    admin: String,
    follower: Arc<Follower>,
    met: Arc<Mutex<Met>>,
    over: Arc<AtomicBool>,
}

impl Revoker {
    fn run(self) {
        let mut number = 0;
        let mut known = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            number += 1;
            let subject = format!("user-{}-{number}", self.index);
            if self.round(&subject, &mut known).is_none() {
                let mut met = self.met.lock().unwrap();
                let fault = met.fault;
                *met.unanswered.entry(fault).or_default() += 1;
                drop(met);
                sleep(PACE * 5);
            }
        }
    }

    /// Signs for a subject, revokes it, watches the token until it is refused, and signs again. `None`
    /// when a replica did not answer.
    fn round(&self, subject: &str, known: &mut Vec<String>) -> Option<()> {
        let before = self.sign(subject)?;
        if self.follower.judge(&before) == Verdict::Revoked {
            self.refused(subject, "before it was revoked");
        }
        let body = json!({ "subject": subject });
        let answer = self.post("revocations", &body)?;
        let answered_at = now();
        let promise = &answer["in_force_at_verifiers"];
        let mut revocation = Revocation {
            fault: self.fault(),
            answered_at,
            last_acceptance: None,
            expected: promise["expected"].as_f64().unwrap(),
            guaranteed: promise["guaranteed"].as_f64().unwrap(),
        };
        // From here on the subject gets tokens that stay good.
        let after = self.sign(subject);
        let mut is_refused = false;
        while now() < revocation.guaranteed + AFTERWARDS && !is_refused {
            let asked_at = now();
            match self.follower.judge(&before) {
                Verdict::Accepted => {
                    revocation.last_acceptance = Some(asked_at);
                    revocation.fault = self.fault();
                }
                // One that has expired is not accepted any more, whatever is known of it.
                Verdict::Revoked | Verdict::Expired => is_refused = true,
                Verdict::Unknown => self.note_unknown(),
            }
            sleep(PACE);
        }
        self.met.lock().unwrap().revocations.push(revocation);
        known.extend(after);
        // Those of the last rounds, which live on.
        let first = known.len().saturating_sub(5);
        known.drain(..first);
        for token in known {
            match self.follower.judge(token) {
                Verdict::Accepted => self.met.lock().unwrap().accepted += 1,
                Verdict::Revoked => self.refused(subject, "after it was revoked"),
                Verdict::Unknown => self.note_unknown(),
                // A fault made the rounds longer than its life.
                Verdict::Expired => {}
            }
        }
        Some(())
    }

    fn fault(&self) -> &'static str {
        self.met.lock().unwrap().fault
    }

    fn note_unknown(&self) {
        let mut met = self.met.lock().unwrap();
        let fault = met.fault;
        *met.unknown.entry(fault).or_default() += 1;
    }

    fn refused(&self, subject: &str, when: &str) {
        let mut met = self.met.lock().unwrap();
        let refused = format!("a token of {subject} from {when}, during {}", met.fault);
        met.refused.push(refused);
    }

    fn sign(&self, subject: &str) -> Option<String> {
        let body = json!({ "claims": { "sub": subject, "aud": "orders" } });
        let signed = self.post("tokens", &body)?;
        Some(signed["token"].as_str()?.to_owned())
    }

    fn post(&self, what: &str, body: &Value) -> Option<Value> {
        let internal = self.addresses.read().unwrap()[self.index].internal.clone();
        let url = format!("{internal}/v1/issuers/{ISSUER}/{what}");
        let answer = ask("POST", &url, Some(&self.admin), Some(body)).ok()?;
        (answer.status == 201).then(|| answer.json())
    }
}

fn now() -> f64 {
    since_epoch().as_secs_f64()
}

/// What is left when everything has ended.
pub(crate) struct Outcome(Met);

impl Outcome {
    /// How long after its answer each revocation was still without effect, from the shortest on.
    fn delays(&self) -> Vec<(f64, &'static str)> {
        let delay = |one: &Revocation| {
            let last = one
                .last_acceptance
                .map_or(0.0, |last| last - one.answered_at);
            (last, one.fault)
        };
        let mut delays: Vec<_> = self.0.revocations.iter().map(delay).collect();
        delays.sort_by(|one, other| one.0.total_cmp(&other.0));
        delays
    }

    fn accepted_after(&self, promise: fn(&Revocation) -> f64) -> Vec<String> {
        let late = |one: &Revocation| {
            let by = one.last_acceptance? - promise(one);
            (by > 0.0).then(|| format!("{by:.2} s after it during {}", one.fault))
        };
        self.0.revocations.iter().filter_map(late).collect()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let delays = self.delays();
        let (longest, fault) = delays.last().copied().unwrap_or_default();
        let (median, _) = delays.get(delays.len() / 2).copied().unwrap_or_default();
        vec![
            format!(
                "followers: {} revocations, last acceptance {median:.2} s after the answer in the median, \
                 {longest:.2} s at most (during {fault}); {} accepted after expected, {} after guaranteed",
                delays.len(),
                self.accepted_after(|one| one.expected).len(),
                self.accepted_after(|one| one.guaranteed).len(),
            ),
            format!(
                "followers: good tokens accepted {}, refused because of a revocation {}; not known {:?}, \
                 unanswered {:?}",
                self.0.accepted,
                self.0.refused.len(),
                self.0.unknown,
                self.0.unanswered,
            ),
        ]
    }

    /// Both promises hold, and enough has happened to say so.
    pub(crate) fn hold(&self) {
        let no_one = Vec::<String>::new();
        assert_eq!(self.accepted_after(|one| one.guaranteed), no_one);
        assert_eq!(self.0.refused, no_one);
        assert!(self.0.revocations.len() > 20 && self.0.accepted > 50);
    }
}

#[test]
fn a_replica_that_is_cut_off_vouches_for_no_token_longer_than_is_guaranteed() {
    let _turn = crate::turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    // Its verifiers have no balancer that would send them elsewhere.
    let public = fleet.addresses.read().unwrap()[1].public.clone();
    let port = public.rsplit(':').next().unwrap().parse().unwrap();
    let follower = Follower::at(&fleet, Proxy::to(port).port);
    let post = |what: &str, body: Value| {
        let path = format!("/v1/issuers/{ISSUER}/{what}");
        let answer = fleet.call(0, "POST", &path, Some(&body)).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    };
    let signed = post(
        "tokens",
        json!({"claims": {"sub": "user-1", "aud": "orders"}}),
    );
    let token = signed["token"].as_str().unwrap();
    eventually("the token is accepted", || {
        (follower.judge(token) == Verdict::Accepted).then_some(())
    });
    fleet.proxies[1].set(Line::Silent);
    let answer = post("revocations", json!({"subject": "user-1"}));
    let answered_at = now();
    let guaranteed = answer["in_force_at_verifiers"]["guaranteed"].as_f64();
    let guaranteed = guaranteed.unwrap();
    let mut last = answered_at;
    while now() < guaranteed + 5.0 * AFTERWARDS {
        let asked_at = now();
        if follower.judge(token) == Verdict::Accepted {
            last = asked_at;
        }
        sleep(PACE);
    }
    report(&format!(
        "followers of a replica that is cut off: last acceptance {:.2} s after the answer, guaranteed \
         {:.2} s",
        last - answered_at,
        guaranteed - answered_at
    ));
    assert!(last <= guaranteed, "{:.2} s too late", last - guaranteed);
    assert!(last > answered_at, "the replica was not cut off");
    fleet.proxies[1].set(Line::Whole);
    eventually("the token is revoked", || {
        (follower.judge(token) == Verdict::Revoked).then_some(())
    });
}
