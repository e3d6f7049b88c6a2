//! The feed: heads as replicas serve them, and the verifier that follows.

use super::super::search::Laws;
use super::super::state::Instant;
use super::laws;
use super::rules::{
    Freshness, HeadLease, HeadOrder, HeadRounding, HeadTime, KeptHead, OpenRecord, Rules,
};
use super::setting::Setting;
use super::state::{Building, CLOSED, Head, OPENED, Replica, Round, State, Verifier};
use super::steps::{Mark, Outcome, Way, holds};

/// Takes the first thing that a head needs; the process may be frozen before the other.
pub(crate) fn build_head(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    if replica.building != Building::Nothing || !may_serve(replica, rules) {
        return None;
    }
    replica.building = match rules.head_order {
        HeadOrder::TimeThenContent => Building::Time(head_time(replica, rules)),
        HeadOrder::ContentThenTime => Building::Content(replica.held),
    };
    Some(Outcome::of(next))
}

/// Takes the rest, and signs.
pub(crate) fn serve_head(
    mut next: State,
    index: usize,
    way: Way,
    setting: &Setting,
) -> Option<Outcome> {
    let rules = &setting.rules;
    let replica = &mut next.replicas[index];
    if !may_serve(replica, rules) {
        return None;
    }
    let (time, content) = match replica.building {
        Building::Nothing => (head_time(replica, rules), replica.held),
        Building::Time(time) => (time, replica.held),
        Building::Content(content) => (head_time(replica, rules), content),
    };
    replica.building = Building::Nothing;
    if -time >= rules.max_staleness && rules.head_lease == HeadLease::Asked {
        return Some(Outcome::of(next).marked(Mark::NoTermAfterSigning));
    }
    let iat = match rules.head_rounding {
        HeadRounding::Down => next.second_before(time, rules),
        HeadRounding::Up => next.second_after(time, rules),
    };
    let head = Head { iat, content };
    let lacks = |event: usize| {
        let is_before = |committed_at: Instant| committed_at < iat;
        let number = u8::try_from(event + 1).unwrap();
        next.witness.committed_at[event].is_some_and(is_before) && content.position.number < number
    };
    let mut broken = Laws::NONE;
    broken.add_if(lacks(0) || lacks(1), laws::D);
    broken.add_if(-time >= rules.max_staleness, laws::E);
    let mut outcome = match way {
        Way::AtOnce => receive(next, head, rules)?,
        Way::Delayed if next.verifier.delayed == Some(head) => return None,
        Way::Delayed => {
            next.verifier.delayed = Some(head);
            Outcome::of(next)
        }
    };
    outcome.broken = broken;
    Some(outcome)
}

pub(crate) fn deliver(next: State, rules: &Rules) -> Option<Outcome> {
    let head = next.verifier.delayed?;
    receive(next, head, rules)
}

fn receive(mut next: State, head: Head, rules: &Rules) -> Option<Outcome> {
    let verifier = &mut next.verifier;
    let is_greatest = verifier.head.is_none_or(|kept| head.iat > kept.iat);
    if rules.kept_head == KeptHead::Greatest && !is_greatest {
        return Some(Outcome::of(next).marked(Mark::OlderHeadIgnored));
    }
    verifier.head = Some(head);
    if rules.freshness == Freshness::Receipt {
        verifier.received_at = 0;
    }
    let is_from_after = |committed_at: Instant| head.iat > committed_at;
    next.witness.told |= next.witness.committed_at[1].is_some_and(is_from_after);
    let outcome = Outcome::of(next)
        .marked_if(head.content.is(OPENED), Mark::HeadWithOpenRecord)
        .marked_if(head.content.is(CLOSED), Mark::HeadWithClosedRecord);
    Some(outcome)
}

/// Whether the verifier accepts a token of this `iat` that the revocation matches.
pub(crate) fn accepts(verifier: &Verifier, iat: Instant, rules: &Rules) -> bool {
    let vouched_at = match (verifier.head, rules.freshness) {
        (None, _) => iat,
        (Some(head), Freshness::HeadTime) => head.iat.max(iat),
        (Some(_), Freshness::Receipt) => verifier.received_at.max(iat),
    };
    -vouched_at <= rules.max_age && !refuses(verifier, iat, rules)
}

/// Whether its head has a record by which it refuses that token.
pub(crate) fn refuses(verifier: &Verifier, iat: Instant, rules: &Rules) -> bool {
    let Some(Head { iat: time, content }) = verifier.head else {
        return false;
    };
    match content.position.number {
        OPENED => rules.open_record == OpenRecord::RefusesAll || iat <= time,
        CLOSED => iat < content.issued_before,
        _ => false,
    }
}

fn may_serve(replica: &Replica, rules: &Rules) -> bool {
    holds(replica) || rules.head_lease == HeadLease::Ignored
}

fn head_time(replica: &Replica, rules: &Rules) -> Instant {
    match (rules.head_time, replica.round) {
        (HeadTime::Now, _) => 0,
        (HeadTime::OwnWhenAsked, _) => replica.asked + replica.skew,
        (HeadTime::RoundUnderWay, Round::Read { asked, .. }) => asked,
        (HeadTime::StoresWhenAsked | HeadTime::RoundUnderWay, _) => replica.asked,
    }
}
