//! Random lives.

use std::sync::LazyLock;
use std::time::Duration;

use keywright::lifecycle::{
    AdoptionGate, CLOCK_TOLERANCE, CanaryPhase, Command, ImportAs, IssuerOrigin, Policy, Readiness,
    RuleViolation, SWITCH_OVER, Schedule, State, Successor, Timing,
};
use keywright_api::{DurationText, Share};
use keywright_verifier::Algorithm;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::copies::TARGETS;
use super::invariants::Law;
use super::keys;
use super::world::{
    Crash, DAY, Fate, HOUR, MINUTE, SECOND, Seen, World, default_policy, single_policy,
};

/// A life: how the issuer begins, and what happens to it.
#[derive(Debug, Clone)]
pub(crate) struct History {
    profile: Profile,
    founding: IssuerOrigin,
    /// Whether one process uses the store, or several.
    timing: Timing,
    /// The targets that the first policy names, by the bits of this number.
    push: usize,
    /// How many keys a flood of forced rotations leaves before anything else happens.
    crowd: Option<usize>,
    steps: Vec<Step>,
}

/// The policy that a life begins with.
#[derive(Debug, Clone, Copy)]
enum Profile {
    Default,
    /// ES256 alone.
    Single,
    /// Every inequality holds with nothing to spare, no skew, minutes for hours.
    Tight,
    /// Many keys at a time: tokens that outlive several rotations.
    Dense,
    Cron,
}

#[derive(Debug, Clone)]
enum Step {
    Pass(Duration),
    /// To so many milliseconds after (or before) the next time that something is due.
    ToWake(i64),
    /// Living on with a tick whenever something is due.
    Live(Duration),
    JumpBack(Duration),
    Sign(Algorithm, u32),
    ShowAll,
    Outage(bool),
    Start(usize),
    Restart,
    /// The replicas have seen other verifiers.
    Seen(Seen),
    /// A push to one target succeeds.
    Push(usize),
    Ask(Request, Mishap),
}

#[derive(Debug, Clone)]
enum Request {
    Tick,
    Rotate(Option<Algorithm>, Readiness),
    Revoke(usize, Successor),
    StopCanary(Option<Algorithm>),
    RevokeCanary(Algorithm, Successor),
    /// Revokes what signs.
    RevokeActive(Algorithm, Successor),
    Import(Material, Algorithm, ImportAs),
    Policy(PolicyChange),
    /// Goes on without private halves, chosen by the bits of this number.
    Replace(u32),
    CorrectClock,
    /// What was pushed is confirmed.
    Confirm,
    Delete,
}

/// What is imported.
#[derive(Debug, Clone)]
enum Material {
    Unknown,
    /// A key that is or was here.
    Again(usize),
    /// The same key material under another name.
    Renamed(usize),
    /// Another key under a name that is or was here.
    Impostor(usize),
}

#[derive(Debug, Clone)]
enum PolicyChange {
    MaxTtl(Duration),
    Lead(Duration),
    MaxAge(Duration),
    Stale(Duration),
    Skew(Duration),
    Every(Duration),
    Cron(usize),
    Algorithms(Vec<Algorithm>),
    Default(Algorithm),
    RsaBits(u16),
    Adoption(Option<AdoptionGate>),
    Canary(Option<CanaryPhase>),
    /// To the targets that the bits of this number choose.
    Push(usize),
    /// Everything but the algorithms.
    All(Profile),
}

#[derive(Debug, Clone)]
struct Mishap {
    fate: Fate,
    rival: Option<Request>,
    /// Whether the keys that are wanted afterwards are there before anything else happens.
    keys_come_at_once: bool,
}

/// Reading a crontab line and finding its shortest gap takes long, so that it is done once.
static CRONTABS: LazyLock<[Schedule; 2]> = LazyLock::new(|| {
    [
        Schedule::cron("0 3 1 * *", "Europe/Berlin").unwrap(),
        Schedule::cron("30 2 * * 0", "America/New_York").unwrap(),
    ]
});

/// How many times a single step lets the scheduler wake.
const LONGEST_LIVING: u32 = 6;

impl History {
    /// Histories of at most `length` steps.
    pub(crate) fn of_at_most(length: usize) -> impl Strategy<Value = Self> {
        let profile = prop_oneof![
            8 => Just(Profile::Default),
            8 => Just(Profile::Single),
            12 => Just(Profile::Tight),
            8 => Just(Profile::Dense),
            1 => Just(Profile::Cron),
        ];
        let founding =
            prop_oneof![3 => Just(IssuerOrigin::Fresh), 1 => Just(IssuerOrigin::TakesOver)];
        let timing = select(vec![Timing::single(), Timing::shared(SECOND * 30)]);
        let crowd = prop_oneof![60 => Just(None), 1 => (90_usize..=100).prop_map(Some)];
        let push = prop_oneof![1 => Just(0_usize), 1 => 1_usize..4];
        let steps = vec(step(), 1..=length);
        (profile, founding, timing, push, crowd, steps).prop_map(
            |(profile, founding, timing, push, crowd, steps)| Self {
                profile,
                founding,
                timing,
                push,
                crowd,
                steps,
            },
        )
    }

    /// Lives it to its end, whatever the laws say, and dies. `note` sees the world at every step.
    pub(crate) fn live_and_die(&self, mut note: impl FnMut(usize, &World)) -> World {
        let mut world = self.begin();
        if let Some(count) = self.crowd {
            crowd(&mut world, count);
        }
        note(0, &world);
        for (index, step) in self.steps.iter().enumerate() {
            take(&mut world, step).unwrap();
            note(index + 1, &world);
        }
        world.restart();
        world
    }

    fn begin(&self) -> World {
        let policy = policy(self.profile);
        let policy = changed(&policy, &PolicyChange::Push(self.push)).unwrap_or(policy);
        let mut world = World::create(policy, self.founding);
        world.timing = self.timing;
        world
    }

    /// How many steps it has.
    pub(crate) fn length(&self) -> usize {
        self.steps.len()
    }

    /// Lives it, and asks after every step whether the laws hold.
    pub(crate) fn live(&self, laws: &[Law]) -> Result<(), String> {
        let mut world = self.begin();
        if let Some(count) = self.crowd {
            crowd(&mut world, count);
        }
        check(&mut world, laws)?;
        for step in &self.steps {
            take(&mut world, step)?;
            check(&mut world, laws)?;
        }
        world.show_all();
        world.restart();
        ask(&mut world, &Request::Tick, &Mishap::none())?;
        check(&mut world, laws)
    }
}

fn check(world: &mut World, laws: &[Law]) -> Result<(), String> {
    laws.iter().try_for_each(|law| law(world))?;
    world.touched = false;
    world.recollect();
    Ok(())
}

fn policy(profile: Profile) -> Policy {
    match profile {
        Profile::Default => default_policy(),
        Profile::Single => single_policy(),
        Profile::Tight => Policy {
            lead: MINUTE * 2,
            jwks_max_age: MINUTE,
            stale_if_error: MINUTE,
            clock_skew: Duration::ZERO,
            rotation: Schedule::Every(MINUTE * 4),
            default_token_ttl: MINUTE,
            max_token_ttl: MINUTE * 3,
            ..default_policy()
        },
        Profile::Dense => Policy {
            lead: HOUR * 3,
            rotation: Schedule::Every(HOUR * 6),
            max_token_ttl: DAY * 3,
            ..default_policy()
        },
        Profile::Cron => Policy {
            rotation: CRONTABS[0].clone(),
            ..default_policy()
        },
    }
}

/// Fills the set: tokens for a year keep every key published, and rotations are forced.
fn crowd(world: &mut World, count: usize) {
    let before = world.view.policy().clone();
    let generous = Policy {
        max_token_ttl: DAY * 360,
        rotation: Schedule::Every(DAY * 60),
        ..before.clone()
    };
    if generous.validate(&world.timing).is_err()
        || world.run(&Command::SetPolicy(generous.into())).is_err()
    {
        return;
    }
    let force = Command::Rotate {
        algorithm: Some(Algorithm::Es256),
        readiness: Readiness::Waived,
    };
    while world.view.published(world.clock).count() < count && world.run(&force).is_ok() {}
    // What is promised stays promised: the keys stay.
    world.run(&Command::SetPolicy(before.into())).unwrap();
}

fn take(world: &mut World, step: &Step) -> Result<(), String> {
    match step {
        Step::Pass(duration) => world.pass(*duration),
        Step::ToWake(milliseconds) => {
            if let Some(wake) = world.next_wake() {
                let offset = Duration::from_millis(milliseconds.unsigned_abs());
                let target = match milliseconds {
                    0.. => wake.after(offset),
                    _ => wake.before(offset),
                };
                // A crontab line that never fires again is due at the end of time.
                let ahead = target.since(world.clock);
                world.pass(if ahead > DAY * 3650 { DAY } else { ahead });
            }
        }
        Step::Live(duration) => {
            let until = world.clock.after(*duration);
            let wakes = (0..LONGEST_LIVING).find(|_| {
                let wake = world.next_wake().filter(|wake| *wake < until);
                world.live_until(wake.unwrap_or(until));
                wake.is_none()
            });
            // A process that is not woken in time was suspended.
            if wakes.is_none() {
                world.pass(until.since(world.clock));
            }
        }
        Step::JumpBack(duration) => world.jump_back(*duration),
        Step::Sign(algorithm, share) => {
            let longest = world.view.policy().max_token_ttl;
            let ttl = longest * *share / 100;
            world.sign_for(*algorithm, Duration::from_secs(ttl.as_secs()).max(SECOND));
        }
        Step::ShowAll => world.show_all(),
        Step::Outage(outage) => world.network.outage = *outage,
        Step::Start(index) => world.start_verifier(*index),
        Step::Restart => world.restart(),
        Step::Seen(seen) => world.seen = *seen,
        Step::Push(index) => world.push(*index),
        Step::Ask(request, mishap) => ask(world, request, mishap)?,
    }
    Ok(())
}

/// Asks, and accepts a refusal, except where nothing may stand in the way: whatever is due is
/// always done, and whatever is trusted can be revoked.
fn ask(world: &mut World, request: &Request, mishap: &Mishap) -> Result<(), String> {
    let Some(command) = command(world, request) else {
        return Ok(());
    };
    let rival = (mishap.rival.as_ref()).and_then(|rival| self::command(world, rival));
    let revocable = match &command {
        Command::Revoke { kid, .. } => world
            .view
            .key(kid)
            .is_some_and(|key| !matches!(key.state(), State::Removed(_) | State::Revoked(_))),
        _ => false,
    };
    let mut outcome = world.run_with(&command, &mishap.fate, rival.as_ref());
    if outcome.is_ok() && (mishap.keys_come_at_once || matches!(request, Request::Tick)) {
        outcome = world.follow_up();
    }
    match outcome {
        Err(refusal @ RuleViolation::IllegalTransition { .. })
            if rival.is_none() && (revocable || matches!(command, Command::Replace { .. })) =>
        {
            Err(format!("{command:?} refused: {refusal}"))
        }
        Err(RuleViolation::IllegalTransition { .. }) => Ok(()),
        // The rival may have been the one to delete it.
        Err(RuleViolation::IssuerDeleted)
            if world.view.deleted_at().is_some() && !matches!(command, Command::ApplyPlan) =>
        {
            Ok(())
        }
        Err(refusal)
            if revocable
                || matches!(command, Command::ApplyPlan)
                || (matches!(command, Command::Replace { .. }) && rival.is_none()) =>
        {
            Err(format!("{command:?} refused: {refusal}"))
        }
        _ => Ok(()),
    }
}

fn command(world: &mut World, request: &Request) -> Option<Command> {
    let revoke = |kid, successor| Command::Revoke {
        kid,
        reason: "leaked".to_owned(),
        successor,
    };
    let pick = |world: &World, index: &usize| {
        let keys = world.view.keys();
        keys[index % keys.len()].jwk().clone()
    };
    Some(match request {
        Request::Tick => Command::ApplyPlan,
        Request::Rotate(algorithm, readiness) => Command::Rotate {
            algorithm: *algorithm,
            readiness: *readiness,
        },
        Request::Revoke(index, successor) => revoke(pick(world, index).kid().clone(), *successor),
        Request::RevokeActive(algorithm, successor) => {
            revoke(world.view.active(*algorithm)?.kid().clone(), *successor)
        }
        Request::StopCanary(algorithm) => Command::StopCanary {
            algorithm: *algorithm,
        },
        Request::RevokeCanary(algorithm, successor) => {
            revoke(world.view.canary(*algorithm)?.kid().clone(), *successor)
        }
        Request::Import(material, algorithm, state) => {
            let unknown = world.new_key(*algorithm);
            let jwk = match material {
                Material::Unknown => unknown,
                Material::Again(index) => pick(world, index),
                Material::Renamed(index) => keys::named("renamed", &pick(world, index)),
                Material::Impostor(index) => {
                    keys::named(pick(world, index).kid().as_str(), &unknown)
                }
            };
            Command::Import { jwk, state: *state }
        }
        Request::Replace(chosen) => {
            let sealed = world
                .view
                .keys()
                .iter()
                .filter(|key| key.holds_private_half());
            let lost = sealed
                .enumerate()
                .filter(|(index, _)| chosen >> (index % 32) & 1 == 1);
            Command::Replace {
                lost: lost.map(|(_, key)| key.kid().clone()).collect(),
            }
        }
        Request::CorrectClock => Command::CorrectClock,
        Request::Confirm => world.confirmation()?,
        Request::Delete => Command::Delete {
            reason: "over".to_owned(),
        },
        Request::Policy(change) => Command::SetPolicy(changed(world.view.policy(), change)?.into()),
    })
}

/// The policy after a change, unless it breaks a rule.
fn changed(policy: &Policy, change: &PolicyChange) -> Option<Policy> {
    let mut policy = policy.clone();
    match change {
        PolicyChange::MaxTtl(value) => {
            policy.max_token_ttl = *value;
            policy.default_token_ttl = *value;
        }
        PolicyChange::Lead(value) => policy.lead = *value,
        PolicyChange::MaxAge(value) => policy.jwks_max_age = *value,
        PolicyChange::Stale(value) => policy.stale_if_error = *value,
        PolicyChange::Skew(value) => policy.clock_skew = *value,
        PolicyChange::Every(value) => policy.rotation = Schedule::Every(*value),
        PolicyChange::Cron(index) => policy.rotation = CRONTABS[*index].clone(),
        PolicyChange::Algorithms(algorithms) => {
            policy.algorithms.clone_from(algorithms);
            if !algorithms.contains(&policy.default_algorithm) {
                policy.default_algorithm = algorithms[0];
            }
        }
        PolicyChange::Default(algorithm) => policy.default_algorithm = *algorithm,
        PolicyChange::Adoption(gate) => policy.adoption = *gate,
        PolicyChange::Canary(phase) => policy.canary = *phase,
        PolicyChange::RsaBits(bits) => policy.rsa_bits = *bits,
        PolicyChange::Push(chosen) => {
            let targets = TARGETS.iter().enumerate();
            let chosen = targets.filter(|(index, _)| chosen >> index & 1 == 1);
            policy.push = chosen.map(|(_, (name, _))| (*name).to_owned()).collect();
        }
        PolicyChange::All(profile) => {
            policy = Policy {
                adoption: policy.adoption,
                canary: policy.canary,
                algorithms: policy.algorithms,
                default_algorithm: policy.default_algorithm,
                push: policy.push,
                ..self::policy(*profile)
            }
        }
    }
    // The shortest gap of the crontab lines, so that it need not be found again and again.
    let mut stand_in = policy.clone();
    if let Schedule::Cron(_) = policy.rotation {
        stand_in.rotation = Schedule::Every(DAY * 7 - HOUR);
    }
    stand_in
        .validate(&Timing::single())
        .is_ok()
        .then_some(policy)
}

impl Mishap {
    fn none() -> Self {
        Self {
            fate: Fate::default(),
            rival: None,
            keys_come_at_once: true,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => select(&[-1000_i64, -1, 0, 0, 0, 1, 1000]).prop_map(Step::ToWake),
        4 => duration().prop_map(Step::Pass),
        4 => duration().prop_map(Step::Live),
        2 => duration().prop_map(Step::JumpBack),
        3 => (algorithm(), 1_u32..=100).prop_map(|(one, share)| Step::Sign(one, share)),
        2 => Just(Step::ShowAll),
        1 => any::<bool>().prop_map(Step::Outage),
        2 => (0_usize..14).prop_map(Step::Start),
        1 => Just(Step::Restart),
        3 => seen().prop_map(Step::Seen),
        5 => (0..TARGETS.len()).prop_map(Step::Push),
        18 => (request(), mishap()).prop_map(|(request, mishap)| Step::Ask(request, mishap)),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        2 => (1_u64..5000).prop_map(Duration::from_millis),
        3 => (1_u32..300).prop_map(|count| SECOND * count),
        2 => (1_u32..120).prop_map(|count| MINUTE * count),
        3 => (1_u32..48).prop_map(|count| HOUR * count),
        2 => (1_u32..40).prop_map(|count| DAY * count),
        1 => (1_u32..5).prop_map(|count| DAY * 30 * count),
    ]
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    select(&Algorithm::ALL)
}

fn request() -> impl Strategy<Value = Request> {
    let successor = || select(&[Successor::Promote, Successor::Discard]);
    let some_algorithm = prop_oneof![Just(None), algorithm().prop_map(Some)];
    let readiness = select(&[Readiness::Required, Readiness::Waived]);
    let material = prop_oneof![
        3 => Just(Material::Unknown),
        1 => any::<usize>().prop_map(Material::Again),
        1 => any::<usize>().prop_map(Material::Renamed),
        1 => any::<usize>().prop_map(Material::Impostor),
    ];
    let state = select(&[ImportAs::Pending, ImportAs::Active, ImportAs::Retired]);
    prop_oneof![
        30 => Just(Request::Tick),
        15 => (some_algorithm, readiness).prop_map(|(one, ready)| Request::Rotate(one, ready)),
        10 => (any::<usize>(), successor()).prop_map(|(one, next)| Request::Revoke(one, next)),
        5 => (algorithm(), successor()).prop_map(|(one, next)| Request::RevokeActive(one, next)),
        15 => (material, algorithm(), state)
            .prop_map(|(what, one, state)| Request::Import(what, one, state)),
        35 => policy_change().prop_map(Request::Policy),
        5 => prop_oneof![Just(None), algorithm().prop_map(Some)].prop_map(Request::StopCanary),
        3 => (algorithm(), successor()).prop_map(|(one, next)| Request::RevokeCanary(one, next)),
        3 => Just(Request::CorrectClock),
        12 => Just(Request::Confirm),
        // It ends a life, so that it comes seldom.
        1 => Just(Request::Delete),
        4 => prop_oneof![Just(u32::MAX), any::<u32>()].prop_map(Request::Replace),
    ]
}

fn seen() -> impl Strategy<Value = Seen> {
    let uncounted = prop_oneof![4 => Just(0_u64), 1 => Just(1)];
    (0_u64..5, 0_u64..5, uncounted).prop_map(|(verifiers, holders, uncounted_replicas)| Seen {
        verifiers,
        holders: holders.min(verifiers),
        uncounted_replicas,
    })
}

fn gate() -> impl Strategy<Value = Option<AdoptionGate>> {
    let within = select(&[1_u64, 60, 7200, 86_400]).prop_map(Duration::from_secs);
    let share = select(&[1_u16, 5000, 9900, 10_000]);
    let gate = (share, within).prop_map(|(share, within)| AdoptionGate {
        share: Share::of_ten_thousand(share).unwrap(),
        within: DurationText(within),
    });
    prop_oneof![1 => Just(None), 4 => gate.prop_map(Some)]
}

fn phase() -> impl Strategy<Value = Option<CanaryPhase>> {
    let duration = select(&[1_u64, 60, 7200, 86_400]).prop_map(Duration::from_secs);
    let phase = duration.prop_map(|duration| CanaryPhase {
        share: Share::of_ten_thousand(100).unwrap(),
        duration: DurationText(duration),
    });
    prop_oneof![1 => Just(None), 4 => phase.prop_map(Some)]
}

fn policy_change() -> impl Strategy<Value = PolicyChange> {
    use PolicyChange::{
        All, Cron, Default, Every, Lead, MaxAge, MaxTtl, Push, RsaBits, Skew, Stale,
    };
    let seconds = |values: &'static [u64]| select(values).prop_map(Duration::from_secs);
    prop_oneof![
        6 => seconds(&[60, 180, 900, 3600, 43_200, 604_800]).prop_map(MaxTtl),
        3 => seconds(&[60, 120, 7200, 14_400, 86_400, 172_800]).prop_map(Lead),
        3 => seconds(&[1, 60, 300, 3600]).prop_map(MaxAge),
        3 => seconds(&[0, 60, 3600, 43_200]).prop_map(Stale),
        4 => seconds(&[0, 1, 60, 300, 3600]).prop_map(Skew),
        3 => seconds(&[240, 14_400, 172_800, 2_592_000]).prop_map(Every),
        1 => (0_usize..2).prop_map(Cron),
        6 => select(&[Profile::Default, Profile::Tight, Profile::Dense]).prop_map(All),
        6 => select(vec![
            vec![Algorithm::Es256],
            vec![Algorithm::Rs256],
            Algorithm::ALL.to_vec(),
        ])
        .prop_map(PolicyChange::Algorithms),
        2 => algorithm().prop_map(Default),
        1 => select(&[2048_u16, 4096]).prop_map(RsaBits),
        6 => gate().prop_map(PolicyChange::Adoption),
        8 => phase().prop_map(PolicyChange::Canary),
        6 => (0_usize..4).prop_map(Push),
    ]
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let longest = SWITCH_OVER * 3;
    let delay = prop_oneof![
        3 => Just(Duration::ZERO),
        2 => (0..=longest.as_millis() as u64).prop_map(Duration::from_millis),
        1 => Just(SWITCH_OVER),
        // The last that a shared store takes.
        1 => Just(SWITCH_OVER + CLOCK_TOLERANCE),
        1 => Just(longest),
    ];
    let lag = prop_oneof![
        2 => Just(Duration::ZERO),
        1 => (0_u32..=30).prop_map(|count| SECOND * count),
        1 => Just(SECOND * 30),
    ];
    let crash = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Crash::BeforeCommit)),
        1 => Just(Some(Crash::BetweenCommitAndSwap)),
    ];
    let rival = prop_oneof![8 => Just(None), 1 => request().prop_map(Some)];
    let keys_come_at_once = prop_oneof![3 => Just(true), 1 => Just(false)];
    (delay, lag, crash, any::<u16>(), rival, keys_come_at_once).prop_map(
        |(delay, lag, crash, starting, rival, keys_come_at_once)| Mishap {
            fate: Fate {
                delay,
                lag,
                crash,
                starting,
            },
            rival,
            keys_come_at_once,
        },
    )
}
