//! Base64url as JOSE uses it (RFC 7515 §2): the URL-safe alphabet, no padding, one spelling for each
//! value. Keys of other systems are read more liberally ([`decode_forgiving`]).

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The URL-safe alphabet, with or without padding and with any trailing bits.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Encodes without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes, or answers `None` for padding, white space, any character outside the alphabet, an
/// impossible length, or trailing bits that are not zero (RFC 4648 §3.5). The last rule makes the
/// encoding of a value unique, so a signed text has no second spelling.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes like [`decode`] to the end of `bytes`, and says where it begins there.
pub(crate) fn decode_to_end_of(bytes: &mut Vec<u8>, text: &str) -> Option<Range<usize>> {
    let start = bytes.len();
    URL_SAFE_NO_PAD.decode_vec(text, bytes).ok()?;
    Some(start..bytes.len())
}

/// Decodes what other implementations write where RFC 7518 wants base64url: the "forgiving-base64
/// decode" of the WHATWG Infra Standard, which ignores white space, padding and trailing bits, in
/// the standard and in the URL-safe alphabet. `None` for everything else.
///
/// For the numbers of a public key alone: no signature covers their spelling.
pub(crate) fn decode_forgiving(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    FORGIVING.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_forgiving, encode};

    #[test]
    fn the_alphabet_is_the_url_safe_one() {
        assert_eq!(encode(&[0xfb, 0xff, 0xfe]), "-__-");
        assert_eq!(decode("-__-"), Some(vec![0xfb, 0xff, 0xfe]));
        assert_eq!(decode("+//+"), None);
    }

    #[test]
    fn padding_and_white_space_are_refused() {
        for text in ["AQ==", "AQ=", "A Q", "AQ\n", " AQ"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode("AQ"), Some(vec![1]));
    }

    #[test]
    fn trailing_bits_that_are_not_zero_are_refused() {
        assert_eq!(decode("AR"), None);
        assert_eq!(decode("AAB"), None);
        assert_eq!(decode("AAA"), Some(vec![0, 0]));
    }

    #[test]
    fn forgiving_decoding_takes_either_alphabet_padding_white_space_and_trailing_bits() {
        for text in [
            "-__-AQ",
            "+//+AQ",
            "+//+AQ==",
            "-__-AQ=",
            "-__-AR",
            " +/ /+\r\nAQ==",
        ] {
            let octets = vec![0xfb, 0xff, 0xfe, 1];
            assert_eq!(decode_forgiving(text), Some(octets), "{text:?}");
        }
        for text in ["A", "AQ===", "A=Q=", "AQ.", "AQ\u{a0}", "="] {
            assert_eq!(decode_forgiving(text), None, "{text:?}");
        }
        assert_eq!(decode_forgiving(""), Some(Vec::new()));
    }

    #[test]
    fn a_length_that_no_encoder_produces_is_refused() {
        assert_eq!(decode("A"), None);
        assert_eq!(decode("AAAAA"), None);
    }
}
