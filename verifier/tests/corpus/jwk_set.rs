//! Sets of keys.

use std::collections::BTreeSet;

use keywright_verifier::{Jwk, JwkSet, JwsError, PublicKey};
use serde_json::Value;

/// No bytes make the crate panic; what it keeps of a set is canonical, public and can be found.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(set) = JwkSet::parse(bytes) else {
        return;
    };
    let document: Value = serde_json::from_slice(bytes).unwrap();
    let entries = document["keys"].as_array().unwrap();
    assert!(set.keys().len() + set.passed_over().len() <= entries.len());
    let passed_over: BTreeSet<usize> = set.passed_over().iter().map(|one| one.index).collect();
    assert_eq!(passed_over.len(), set.passed_over().len());
    for (index, entry) in entries.iter().enumerate() {
        let alone = Jwk::from_value(entry.clone());
        assert_eq!(alone.is_err(), passed_over.contains(&index));
        if let Ok(key) = alone {
            assert!(set.keys().contains(&key));
            check_key(&key, entry);
        }
    }
    for (index, key) in set.keys().iter().enumerate() {
        assert!(!set.keys()[..index].contains(key), "a key stands twice");
        match set.find(Some(key.kid()), key.algorithm()) {
            Ok(found) => assert_eq!(found, key),
            Err(error) => assert_eq!(error, JwsError::AmbiguousKey),
        }
    }
    let written = set.to_json();
    let read = JwkSet::parse(&written).unwrap();
    assert_eq!(read.keys(), set.keys());
    assert_eq!(read.passed_over(), []);
    assert_eq!(read.to_json(), written);
}

/// The numbers are those of the document, however it writes them.
fn check_key(key: &Jwk, entry: &Value) {
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        assert!(entry.get(private).is_none());
    }
    match key.public_key() {
        PublicKey::P256 { x, y } => {
            assert_eq!(number(&entry["x"]), significant(x));
            assert_eq!(number(&entry["y"]), significant(y));
            let point = [&[4][..], x, y].concat();
            assert!(p256::PublicKey::from_sec1_bytes(&point).is_ok());
        }
        PublicKey::Rsa { n, e } => {
            assert_eq!(number(&entry["n"]), *n);
            assert_eq!(number(&entry["e"]), *e);
            assert!((256..=1024).contains(&n.len()) && (3..=5).contains(&e.len()));
            assert!(n[0] != 0 && e[0] != 0);
            assert!(n[n.len() - 1] % 2 == 1 && e[e.len() - 1] % 2 == 1);
        }
    }
    if let Some(kid) = entry.get("kid") {
        assert_eq!(kid, key.kid().as_str());
    }
}

/// The six bits of each character in turn, whichever alphabet it is of.
fn number(text: &Value) -> Vec<u8> {
    let mut octets = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.as_str().unwrap().chars() {
        let value = match character {
            'A'..='Z' => u32::from(character) - u32::from('A'),
            'a'..='z' => u32::from(character) - u32::from('a') + 26,
            '0'..='9' => u32::from(character) - u32::from('0') + 52,
            '-' | '+' => 62,
            '_' | '/' => 63,
            '=' => continue,
            _ => {
                assert!(character.is_ascii_whitespace(), "{character:?}");
                continue;
            }
        };
        (bits, count) = ((bits << 6 | value) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count & 0xff) as u8);
        }
    }
    significant(&octets).to_vec()
}

fn significant(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    &octets[zeros..]
}
