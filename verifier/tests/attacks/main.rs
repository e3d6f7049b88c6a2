//! Every attack on a verifier that the project knows by number, from the token to the answer of
//! [`keywright_verifier::Verifier::verify_with_held_keys`].
//!
//! Each is shown to be alive: a verifier that has every defence but one ([`naive`]) accepts the token
//! that the crate refuses.

#[cfg(test)]
mod algorithm_and_key;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod der;
#[cfg(test)]
mod key_from_elsewhere;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod parsing;
#[cfg(test)]
mod service;
#[cfg(test)]
#[path = "../corpus/shape.rs"]
mod shape;
#[cfg(test)]
mod signature;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod textbook;

/// Makes a test of each line, so that a number in the table is a test that runs, and an attack that is
/// not in the table is dead code.
macro_rules! attacks {
    ($($number:literal: $theme:ident::$attack:ident,)*) => {
        $(
            #[test]
            fn $attack() {
                $theme::$attack();
            }
        )*

        #[cfg(test)]
        const TESTED: &[u8] = &[$($number),*];
    };
}

attacks! {
    1: algorithm_and_key::attack_01_none,
    2: algorithm_and_key::attack_02_none_in_another_case,
    3: algorithm_and_key::attack_03_rs256_public_key_as_hmac_secret,
    4: algorithm_and_key::attack_04_es256_public_key_as_hmac_secret,
    5: algorithm_and_key::attack_05_algorithm_from_the_header_when_the_key_names_none,
    6: algorithm_and_key::attack_06_hmac_with_an_empty_key,
    7: algorithm_and_key::attack_07_algorithm_in_an_unprotected_header,
    8: algorithm_and_key::attack_08_one_algorithm_is_allowed_and_another_verified,
    9: key_from_elsewhere::attack_09_embedded_jwk,
    10: key_from_elsewhere::attack_10_jku,
    11: key_from_elsewhere::attack_11_x5u,
    12: key_from_elsewhere::attack_12_forged_x5c,
    13: key_from_elsewhere::attack_13_kid_is_a_path,
    14: key_from_elsewhere::attack_14_kid_is_a_query_or_a_command,
    15: algorithm_and_key::attack_15_duplicate_or_missing_kid,
    16: algorithm_and_key::attack_16_key_for_another_purpose,
    17: algorithm_and_key::attack_17_key_of_another_issuer,
    18: signature::attack_18_r_and_s_are_zero,
    19: signature::attack_19_r_or_s_is_not_below_the_order,
    20: signature::attack_20_der_signature,
    21: signature::attack_21_signature_of_another_length,
    22: signature::attack_22_mirrored_signature_passes_a_replay_cache_of_texts,
    23: signature::attack_23_key_that_is_not_on_the_curve,
    24: signature::attack_24_pkcs1_padding_forgeries,
    26: signature::attack_26_exponent_1_or_3_or_short_modulus,
    28: signature::attack_28_huge_modulus,
    30: signature::attack_30_empty_signature,
    31: parsing::attack_31_critical_parameters,
    32: parsing::attack_32_unencoded_payload,
    33: parsing::attack_33_duplicate_header_names,
    34: parsing::attack_34_duplicate_claims,
    35: parsing::attack_35_trailing_bits,
    36: parsing::attack_36_padding_white_space_and_other_characters,
    37: parsing::attack_37_json_serialization_as_compact,
    38: parsing::attack_38_five_parts,
    39: parsing::attack_39_oversize_and_a_million_dots,
    40: parsing::attack_40_deep_json_and_huge_numbers,
    41: parsing::attack_41_text_that_is_not_well_formed,
    46: claims::attack_46_dates_that_are_no_dates,
    47: claims::attack_47_nbf_ignored,
    48: claims::attack_48_issuer_that_looks_alike,
    49: claims::attack_49_audience_missing_in_an_array_or_alike,
    50: claims::attack_50_one_kind_of_token_as_another,
    52: claims::attack_52_leeway_without_an_end,
    53: claims::attack_53_replay,
}

/// The list has no 25, 27, 29, 42 to 45, 51 and 54; from 55 on the attacks are on other parts.
#[test]
fn every_attack_on_a_verifier_has_a_test() {
    let numbers = [1..=24, 26..=26, 28..=28, 30..=41, 46..=50, 52..=53];
    let numbers: Vec<u8> = numbers.into_iter().flatten().collect();
    assert_eq!(TESTED, numbers);
}
