//! Who signs and who verifies while things fail, and what they have met.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, UNIX_EPOCH};

use keywright_verifier::{Algorithm, JwkSet, Rules, Verifier};
use serde_json::{Value, json};

use crate::balancer;
use crate::support::{report, since_epoch};
use crate::world::{Address, Fleet, ISSUER, REPLICAS, ask};

/// How long before its end a token is verified again.
const BEFORE_ITS_END: Duration = Duration::from_millis(700);

/// Everything that goes on beside the faults.
pub(crate) struct Traffic {
    met: Arc<Mutex<Met>>,
    over: Arc<AtomicBool>,
    reasons: AtomicU32,
    threads: Vec<JoinHandle<()>>,
}

/// What was met, as it comes in.
#[derive(Default)]
struct Met {
    fault: &'static str,
    signed: Vec<Signed>,
    judged: BTreeMap<&'static str, u64>,
    refused_tokens: Vec<Refused>,
    refused_requests: BTreeMap<(&'static str, String), u64>,
    revoked: Vec<Revoked>,
    acknowledged: Vec<String>,
    last_signature: Option<Instant>,
    longest_gap: (Duration, &'static str),
}

/// A token that was handed out.
#[derive(Clone)]
struct Signed {
    token: String,
    kid: String,
    asked_at: f64,
    expires_at: f64,
}

/// A token that a verifier refused.
struct Refused {
    kid: String,
    at: f64,
    why: String,
}

/// A revocation that was answered.
struct Revoked {
    kid: String,
    asked_at: f64,
    in_force_at: f64,
}

/// For how long verifiers may not know a key that signs by force: the overlap of 8 s, the freshness
/// and, because the log tells whole seconds, one more.
const UNKNOWN_FOR: f64 = 10.0;

/// What is left when everything has ended.
pub(crate) struct Counts {
    pub(crate) acknowledged: Vec<String>,
    tokens: usize,
    unforced: usize,
    keys: usize,
    judged: BTreeMap<&'static str, u64>,
    refused_tokens: Vec<String>,
    excused: usize,
    after_revocation: Vec<String>,
    revocations: usize,
    refused_requests: BTreeMap<(&'static str, String), u64>,
    longest_gap: (Duration, &'static str),
}

impl Traffic {
    pub(crate) fn begin(fleet: &Fleet<'_>) -> Self {
        let met = Arc::new(Mutex::new(Met::default()));
        let over = Arc::new(AtomicBool::new(false));
        let balanced = balancer::start(Arc::clone(&fleet.addresses));
        let balanced = format!("http://127.0.0.1:{balanced}");
        let (handed_out, late) = channel();
        let (shown, foreign) = channel();
        let mut threads = Vec::new();
        for index in 0..REPLICAS {
            let signer = Signer {
                index,
                addresses: Arc::clone(&fleet.addresses),
                admin: fleet.admin.clone(),
                met: Arc::clone(&met),
                over: Arc::clone(&over),
                handed_out: handed_out.clone(),
                shown: shown.clone(),
            };
            threads.push(spawn(move || signer.run()));
        }
        let (theirs, url) = (Arc::clone(&met), balanced.clone());
        threads.push(spawn(move || verify_late(&late, &url, &theirs)));
        let theirs = Arc::clone(&met);
        threads.push(spawn(move || {
            verify_with_pyjwt(&foreign, &balanced, &theirs)
        }));
        Self {
            met,
            over,
            reasons: AtomicU32::new(0),
            threads,
        }
    }

    /// What is happening now.
    pub(crate) fn names(&self, fault: &'static str) {
        self.met.lock().unwrap().fault = fault;
    }

    /// A reason that no other change has.
    pub(crate) fn reason(&self) -> String {
        format!("reason-{}", self.reasons.fetch_add(1, Ordering::SeqCst))
    }

    /// A change with this reason was answered with success.
    pub(crate) fn acknowledge(&self, reason: String) {
        self.met.lock().unwrap().acknowledged.push(reason);
    }

    /// Revokes the key that signs, by one replica.
    pub(crate) fn revoke_active(&self, fleet: &Fleet<'_>, index: usize) {
        let Ok(keys) = fleet.call(index, "GET", "/v1/issuers/default/keys", None) else {
            return;
        };
        // A replica that has just been cut off answers that it cannot say.
        let keys = keys.json();
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        let Some(key) = keys.find(|key| key["state"] == "active") else {
            return;
        };
        let kid = key["kid"].as_str().unwrap().to_owned();
        let reason = self.reason();
        let asked_at = since_epoch().as_secs_f64();
        let path = format!("/v1/issuers/default/keys/{kid}/revoke");
        let Ok(answer) = fleet.call(index, "POST", &path, Some(&json!({ "reason": reason })))
        else {
            return;
        };
        if answer.status == 200 {
            let in_force_at = answer.json()["in_force_everywhere_at"].as_f64().unwrap();
            self.met.lock().unwrap().revoked.push(Revoked {
                kid,
                asked_at,
                in_force_at,
            });
            self.acknowledge(reason);
        }
    }

    /// Ends everything, and says what was met. Tokens by a key that was revoked are refused by
    /// right, and tokens by one that signs by force, since then, for as long as it may be unknown.
    pub(crate) fn ends(self, forced: &BTreeMap<String, f64>) -> Counts {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let met = Arc::into_inner(self.met).unwrap().into_inner().unwrap();
        met.counted(forced)
    }
}

impl Met {
    fn judges(&mut self, who: &'static str, signed: &Signed, verdict: Result<(), String>) {
        *self.judged.entry(who).or_default() += 1;
        if let Err(why) = verdict {
            let kid = signed.kid.clone();
            let at = since_epoch().as_secs_f64();
            let why = format!("{who} during {}: {why}", self.fault);
            self.refused_tokens.push(Refused { kid, at, why });
        }
    }

    fn counted(self, forced: &BTreeMap<String, f64>) -> Counts {
        let is_revoked = |kid: &str, at: f64| {
            let mut revoked = self.revoked.iter();
            revoked.any(|one| one.kid == kid && one.asked_at <= at)
        };
        let is_unknown = |kid: &str, at: f64| {
            let since = forced.get(kid);
            since.is_some_and(|since| (*since..*since + UNKNOWN_FOR).contains(&at))
        };
        let mut refused_tokens = Vec::new();
        let mut excused = 0;
        for refused in &self.refused_tokens {
            if is_revoked(&refused.kid, refused.at) || is_unknown(&refused.kid, refused.at) {
                excused += 1;
            } else {
                refused_tokens.push(format!("{}: {}", refused.kid, refused.why));
            }
        }
        let mut after_revocation = Vec::new();
        for Revoked {
            kid, in_force_at, ..
        } in &self.revoked
        {
            let late = |one: &&Signed| one.kid == *kid && one.asked_at > *in_force_at;
            for one in self.signed.iter().filter(late) {
                let by = one.asked_at - in_force_at;
                after_revocation.push(format!("{kid} signed {by:.3} s after it"));
            }
        }
        let unforced = |one: &&Signed| !is_unknown(&one.kid, one.asked_at);
        let kids: BTreeSet<&String> = self.signed.iter().map(|one| &one.kid).collect();
        Counts {
            tokens: self.signed.len(),
            unforced: self.signed.iter().filter(unforced).count(),
            keys: kids.len(),
            judged: self.judged,
            refused_tokens,
            excused,
            after_revocation,
            revocations: self.revoked.len(),
            refused_requests: self.refused_requests,
            longest_gap: self.longest_gap,
            acknowledged: self.acknowledged,
        }
    }
}

impl Counts {
    pub(crate) fn lines(&self) -> Vec<String> {
        let (gap, when) = self.longest_gap;
        let mut lines = vec![
            format!(
                "tokens {} by {} keys, {} of them when verifiers had to know the key",
                self.tokens, self.keys, self.unforced
            ),
            format!("verified: {:?}", self.judged),
            format!(
                "live tokens refused {}; by revoked keys and by forced ones that are new {}",
                self.refused_tokens.len(),
                self.excused
            ),
            format!(
                "revocations {}, tokens by a revoked key after it was in force {}",
                self.revocations,
                self.after_revocation.len()
            ),
            format!("longest time without a signature {gap:.1?} ({when})"),
        ];
        for ((fault, code), count) in &self.refused_requests {
            lines.push(format!("refused during {fault}: {code} {count}"));
        }
        lines
    }

    /// What must be zero is, and enough has happened to say so.
    pub(crate) fn hold(&self) {
        assert_eq!(self.refused_tokens, [""; 0]);
        assert_eq!(self.after_revocation, [""; 0]);
        // What the hostile client takes, the others have.
        let crowded_out = |code: &&String| code.starts_with("429") || code.contains("overloaded");
        let codes = self.refused_requests.keys().map(|(_, code)| code);
        assert_eq!(codes.filter(crowded_out).collect::<Vec<_>>(), [""; 0]);
        assert!(self.unforced > 100 && self.keys > 2 && self.revocations > 0);
        assert!(self.judged.get("at once").is_some_and(|count| *count > 100));
        assert!(
            self.judged
                .get("at the end")
                .is_some_and(|count| *count > 100)
        );
    }
}

struct Signer {
    index: usize,
    addresses: Arc<RwLock<Vec<Address>>>,
    admin: String,
    met: Arc<Mutex<Met>>,
    over: Arc<AtomicBool>,
    handed_out: Sender<Signed>,
    shown: Sender<Signed>,
}

impl Signer {
    fn run(self) {
        let mut cache = Cache::default();
        let mut turn = self.index;
        while !self.over.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(25));
            turn += 1;
            let Some(signed) = self.sign() else { continue };
            let public = self.addresses.read().unwrap()[turn % REPLICAS]
                .public
                .clone();
            if let Some(verdict) = cache.judge(&public, &signed.token) {
                self.met.lock().unwrap().judges("at once", &signed, verdict);
            }
            let _ = self.shown.send(signed.clone());
            let _ = self.handed_out.send(signed);
        }
    }

    fn sign(&self) -> Option<Signed> {
        let body = json!({ "claims": { "sub": "user-1", "aud": "orders" } });
        let internal = self.addresses.read().unwrap()[self.index].internal.clone();
        let url = format!("{internal}/v1/issuers/default/tokens");
        let asked_at = since_epoch().as_secs_f64();
        let answer = ask("POST", &url, Some(&self.admin), Some(&body));
        let mut met = self.met.lock().unwrap();
        let fault = met.fault;
        let mut refuse =
            |code: String| *met.refused_requests.entry((fault, code)).or_default() += 1;
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => {
                refuse("no answer".to_owned());
                return None;
            }
        };
        let document = answer.json();
        if answer.status != 201 {
            let code = document["code"].as_str().unwrap_or("no code").to_owned();
            refuse(format!("{} {code}", answer.status));
            return None;
        }
        let now = Instant::now();
        if let Some(last) = met.last_signature.replace(now)
            && now - last > met.longest_gap.0
        {
            met.longest_gap = (now - last, fault);
        }
        let signed = Signed {
            token: document["token"].as_str().unwrap().to_owned(),
            kid: document["kid"].as_str().unwrap().to_owned(),
            asked_at,
            expires_at: document["expires_at"].as_f64().unwrap(),
        };
        met.signed.push(signed.clone());
        Some(signed)
    }
}

/// A set, for as long as it may be kept. That is counted from the request (RFC 9111 §4.2.3).
#[derive(Default)]
struct Cache(Option<(Vec<u8>, Instant)>);

impl Cache {
    /// What a verifier says that has a fresh set; `None` when none can be had.
    fn judge(&mut self, public: &str, token: &str) -> Option<Result<(), String>> {
        if self
            .0
            .as_ref()
            .is_none_or(|(_, until)| *until <= Instant::now())
        {
            self.0 = None;
            let asked = Instant::now();
            let url = format!("{public}/.well-known/jwks.json");
            let answer = ask("GET", &url, None, None).ok()?;
            let control = answer.header("cache-control")?;
            let age = control.split("max-age=").nth(1)?.split(',').next()?;
            let until = asked + Duration::from_secs(age.trim().parse().ok()?);
            if until <= Instant::now() {
                return None;
            }
            self.0 = Some((answer.body, until));
        }
        let (jwks, _) = self.0.as_ref()?;
        Some(verify(jwks, token))
    }
}

fn verify(jwks: &[u8], token: &str) -> Result<(), String> {
    let set = JwkSet::parse(jwks).map_err(|error| error.to_string())?;
    let rules = Rules::new(ISSUER, "orders", [Algorithm::Es256]);
    let verifier = Verifier::new(rules, set).map_err(|error| error.to_string())?;
    let verified = verifier.verify_with_held_keys::<Value>(token, UNIX_EPOCH + since_epoch());
    verified.map(drop).map_err(|error| error.to_string())
}

/// Verifies every token again shortly before it expires, with what the balancer finds.
fn verify_late(tokens: &Receiver<Signed>, balanced: &str, met: &Mutex<Met>) {
    let mut cache = Cache::default();
    for signed in tokens {
        let due = signed.expires_at - BEFORE_ITS_END.as_secs_f64();
        let now = since_epoch().as_secs_f64();
        if due > now {
            sleep(Duration::from_secs_f64(due - now));
        }
        let verdict = cache.judge(balanced, &signed.token);
        // No answer came, or it came too late to say anything about a live token.
        if let Some(verdict) = verdict
            && since_epoch().as_secs_f64() < signed.expires_at
        {
            met.lock().unwrap().judges("at the end", &signed, verdict);
        }
    }
}

/// PyJWT, as a service that verifies a part of the tokens: it keeps a set for five minutes, and
/// fetches again for a kid that it does not know.
fn verify_with_pyjwt(tokens: &Receiver<Signed>, balanced: &str, met: &Mutex<Met>) {
    let mut service = pyjwt();
    let mut answers = service.as_mut().map(|child| {
        let answers = BufReader::new(child.stdout.take().unwrap());
        (child.stdin.take().unwrap(), answers)
    });
    for (number, signed) in tokens.iter().enumerate() {
        let Some((questions, answers)) = &mut answers else {
            continue;
        };
        if number % 7 != 0 {
            continue;
        }
        let jwks = format!("{balanced}/.well-known/jwks.json");
        let question =
            json!({ "token": signed.token, "issuer": ISSUER, "audience": "orders", "jwks": jwks });
        writeln!(questions, "{question}").unwrap();
        let mut verdict = String::new();
        answers.read_line(&mut verdict).unwrap();
        let expired = since_epoch().as_secs_f64() >= signed.expires_at;
        let unreachable = verdict.contains("PyJWKClientConnectionError");
        if !expired && !unreachable {
            let verdict = match verdict.trim() {
                "ok" => Ok(()),
                why => Err(why.to_owned()),
            };
            met.lock().unwrap().judges("by PyJWT", &signed, verdict);
        }
    }
    drop(answers);
    if let Some(mut service) = service {
        let _ = service.wait();
    }
}

fn pyjwt() -> Option<Child> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    let skipped = std::env::var("KEYWRIGHT_SKIP_PYTHON").is_ok_and(|value| value == "1");
    if skipped || !python.exists() {
        report(
            "SKIPPED: PyJWT beside the faults: target/venv is missing, or KEYWRIGHT_SKIP_PYTHON=1",
        );
        return None;
    }
    let service = Command::new(python)
        .arg(root.join("tests/interop/python/verify_pyjwt.py"))
        .args(["--cool-down", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Some(service.unwrap())
}
