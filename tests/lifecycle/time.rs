//! Time that stands still, runs backwards and leaps.

use keywright::lifecycle::{
    Adoption, Attestation, AvailableKeys, Command, Event, Readiness, RuleViolation, Schedule,
    State, decide,
};

use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, SECOND, World, single_policy};

#[test]
fn ninety_days_offline_end_in_exactly_one_rotation() {
    let mut world = World::fresh(single_policy());
    let successor = standing_by(&world)[0].clone();
    world.pass(DAY * 90);
    world.restart();
    let events = world.run(&Command::ApplyPlan).unwrap();
    let activated = |event: &&Event| matches!(event, Event::KeyActivated { .. });
    assert_eq!(events.iter().filter(activated).count(), 1);
    assert_eq!(signing(&world), successor);
    assert_eq!(world.next_wake().unwrap(), {
        // The key that signed until now is removed first.
        let retired = |key: &&keywright::lifecycle::Key| key.state().name() == "retired";
        match world.view.keys().iter().find(retired).unwrap().state() {
            State::Retired(retired) => retired.published_until,
            _ => unreachable!(),
        }
    });
    let story = world.live_until(world.clock.after(DAY * 30 - SECOND));
    let activated = |(_, event): &(_, Event)| matches!(event, Event::KeyActivated { .. });
    assert!(!story.iter().any(activated));
}

#[test]
fn a_clock_that_is_set_back_changes_no_state() {
    let mut world = World::fresh(single_policy());
    world.live_until(BEGINNING.after(DAY * 31));
    let before = world.view.clone();
    world.jump_back(DAY * 20);
    assert_eq!(world.run(&Command::ApplyPlan), Ok(Vec::new()));
    assert_eq!(world.view, before);
    world.restart();
    assert_eq!(world.view, before);
}

#[test]
fn what_happens_while_the_clock_is_back_is_stamped_no_earlier_than_what_was_seen() {
    let mut world = World::fresh(single_policy());
    world.pass(DAY * 3);
    let seen = world.clock;
    let first = signing(&world);
    world.jump_back(DAY * 2);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let key = world.view.active(ES256).unwrap();
    assert_eq!(key.activated_at(), Some(seen));
    let State::Retired(retired) = world.view.key(&first).unwrap().state() else {
        panic!("retired");
    };
    // A token from the time before the jump lives until then.
    assert!(seen.after(HOUR) < retired.published_until);
}

#[test]
fn a_lead_that_began_before_the_clock_was_set_back_is_not_shortened() {
    let mut world = World::fresh(single_policy());
    world.pass(DAY * 3);
    let seen = world.clock;
    world.jump_back(DAY);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    world.pass(DAY + HOUR);
    assert!(matches!(
        world.run(&rotate(ES256, Readiness::Required)),
        Err(RuleViolation::SuccessorNotReady { ready_at, .. }) if ready_at == seen.after(DAY)
    ));
}

#[test]
fn a_commit_remembers_its_instant_also_when_nobody_witnessed_it() {
    let mut world = World::fresh(single_policy());
    let mut supply = AvailableKeys::default();
    supply.add(world.new_key(ES256));
    let later = BEGINNING.after(DAY);
    let command = rotate(ES256, Readiness::Required);
    let change = decide(
        &world.view,
        &command,
        Attestation::OnePerson,
        later,
        &supply,
        &Adoption::default(),
    );
    assert_eq!(change.unwrap().change.unwrap().set.latest(), later);
}

#[test]
fn a_crontab_line_decides_when_keys_rotate() {
    let mut policy = single_policy();
    policy.rotation = Schedule::cron("0 3 1 * *", "Europe/Berlin").unwrap();
    let mut world = World::fresh(policy);
    // 03:00 in Berlin on 1 January, which is two hours away, and on 1 February.
    for due in [HOUR * 2, DAY * 31 + HOUR * 2].map(|ahead| BEGINNING.after(ahead)) {
        let before = signing(&world);
        world.live_until(due.before(SECOND));
        assert_eq!(signing(&world), before);
        world.live_until(due);
        assert_ne!(signing(&world), before);
    }
}
