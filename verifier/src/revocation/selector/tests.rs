use proptest::prelude::*;

use super::*;

#[test]
fn kinds_are_read_by_their_words() {
    for kind in SelectorKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("Subject".parse::<SelectorKind>().is_err());
    assert!("subject+jti".parse::<SelectorKind>().is_err());
}

#[test]
fn selector_has_as_many_values_as_its_kind() {
    for kind in SelectorKind::ALL {
        let fitting: Vec<usize> = (0..=3)
            .filter(|count| Selector::new(kind, &vec!["x"; *count]).is_ok())
            .collect();
        let expected = match kind {
            SelectorKind::Issuer => 0,
            _ => 1 + kind.as_str().matches('+').count(),
        };
        assert_eq!(fitting, [expected], "{kind}");
        let selector = Selector::new(kind, &["a", "b"][..expected]).unwrap();
        assert_eq!(selector.kind(), kind);
        assert_eq!(selector.values().collect::<String>(), "ab"[..expected]);
    }
}

#[test]
fn selector_value_has_1_to_512_bytes() {
    for (text, is_valid) in [
        (String::new(), false),
        ("x".repeat(512), true),
        ("é".repeat(256), true),
        ("é".repeat(257), false),
        ("x".repeat(513), false),
    ] {
        let selector = Selector::new(SelectorKind::Jti, &[&text]);
        assert_eq!(selector.is_ok(), is_valid, "{} bytes", text.len());
    }
}

#[test]
fn debug_shows_no_value() {
    let selector = Selector::new(SelectorKind::SubjectAndClient, &["alice", "bob"]).unwrap();
    let text = format!("{selector:?} {:?}", SelectorValue::parse("alice").unwrap());
    assert_eq!(text, "Selector(SubjectAndClient) SelectorValue { .. }");
}

// The format that verifiers in other languages implement.
#[test]
fn digest_is_the_first_half_of_an_hmac_over_kind_lengths_and_values() {
    let salt = Salt::new([9; 32]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[9; 32]);
    let expected = |input: &[u8]| hmac::sign(&key, input).as_ref()[..16].to_vec();
    for (kind, values, input) in [
        (SelectorKind::Jti, &["id"][..], &b"\x01\0\0\0\x02id"[..]),
        (SelectorKind::Issuer, &[], b"\x06"),
        (
            SelectorKind::SubjectAndSession,
            &["u", "s1"],
            b"\x09\0\0\0\x01u\0\0\0\x02s1",
        ),
    ] {
        let digest = Selector::new(kind, values).unwrap().digest(&salt);
        assert_eq!(digest.as_bytes().to_vec(), expected(input), "{kind}");
    }
}

fn selector() -> impl Strategy<Value = Selector> {
    let kind = prop::sample::select(SelectorKind::ALL.as_slice());
    // Everything that could pass for a separator, a length or a kind.
    let value = "[a:|,+/\u{0}\u{1}\u{3}\u{1f} ]{1,4}";
    (kind, value, value).prop_map(|(kind, first, second)| {
        (0..3)
            .find_map(|count| Selector::new(kind, &[first.as_str(), &second][..count]).ok())
            .unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_selectors_have_one_digest_only_if_they_are_the_same(
        one in selector(),
        other in selector(),
    ) {
        let salt = Salt::new([1; 32]);
        prop_assert_eq!(one == other, one.digest(&salt) == other.digest(&salt));
    }

    #[test]
    fn parts_of_a_pair_cannot_be_moved(text in "[a:|\u{0}\u{1}]{2,8}", first in 1_usize..8, second in 1_usize..8) {
        let pair = |at: usize| {
            let (subject, client) = text.split_at_checked(at)?;
            let selector = Selector::new(SelectorKind::SubjectAndClient, &[subject, client]).ok()?;
            Some(selector.digest(&Salt::new([1; 32])))
        };
        if let (Some(one), Some(other)) = (pair(first), pair(second)) {
            prop_assert_eq!(first == second, one == other);
        }
    }

    #[test]
    fn digest_depends_on_the_salt(selector in selector(), one in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        let is_same = selector.digest(&Salt::new(one)) == selector.digest(&Salt::new(other));
        prop_assert_eq!(one == other, is_same);
    }
}
