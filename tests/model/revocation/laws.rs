//! What must hold in every state.

use super::super::search::Laws;
use super::feed::{accepts, refuses};
use super::rules::Rules;
use super::signing::sign_at_once;
use super::state::{CLOSED, OPENED, State};
use super::steps::Mark;

/// The laws, by their letters where the protocol has one.
pub(crate) const A: u8 = 1;
pub(crate) const B: u8 = 2;
pub(crate) const D: u8 = 4;
pub(crate) const E: u8 = 5;
pub(crate) const F: u8 = 6;
pub(crate) const G: u8 = 7;

/// What a law says.
pub(crate) fn text(law: u8) -> &'static str {
    match law {
        A => "a: once it is guaranteed, no verifier accepts what was signed without knowledge",
        B => "b: no token that leaves after the answer is refused because of the revocation",
        D => "d: a head has every revocation that was committed before its time",
        E => "e: a head is no older than a lease",
        F => "f: a verifier that was told of the closing does not forget it",
        G => "g: an open revocation can be closed by every replica that reaches the store",
        _ => "a law without a name",
    }
}

/// Lets every replica sign, and says which laws are broken.
pub(crate) fn witness(state: &mut State, rules: &Rules) -> (Laws, u32) {
    let (mut broken, has_signed_knowing) = sign_at_once(state, rules);
    let mut marks = 0;
    if has_signed_knowing {
        marks |= 1 << u32::from(Mark::SignedKnowing);
    }
    let verifier = &state.verifier;
    let witness = &state.witness;
    let stored = state.store.revocation;
    if !stored.is(CLOSED) {
        return (broken, marks);
    }
    let is_accepted = accepts(verifier, witness.unknowing, rules);
    if witness.guaranteed.is_some_and(|guaranteed| guaranteed < 0) {
        broken.add_if(is_accepted, A);
        marks |= 1 << u32::from(Mark::Guaranteed);
    }
    broken.add_if(witness.told && is_accepted, F);
    // Of the tokens that were signed with knowledge, the oldest is the first to be refused. One that is
    // older than the head may vouch for is refused anyway.
    let is_young = stored.issued_before >= -rules.max_age;
    let has_open_record = verifier.head.is_some_and(|head| head.content.is(OPENED));
    if witness.good_token && has_open_record && is_young {
        broken.add_if(refuses(verifier, stored.issued_before, rules), B);
        marks |= 1 << u32::from(Mark::GoodTokenPastOpenRecord);
    }
    (broken, marks)
}
