//! A store from before master keys had names.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::json;

use keywright::store::seal::{MasterKeys, check};

use crate::world::{
    Key, database, events, folder, named, refused, rotate, rows, serve, setting, sign, state,
    verifies,
};

/// A record of format 1, as the versions before wrote it.
fn format_1(key: &Key, issuer: &str, kid: &str, text: &[u8]) -> Vec<u8> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key.bytes).unwrap());
    let nonce: [u8; 12] = kid.as_bytes()[..12].try_into().unwrap();
    let bound = format!("keywright sealed key\0\u{1}{issuer}\0{kid}");
    let mut buffer = text.to_vec();
    cipher
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound.as_bytes()),
            &mut buffer,
        )
        .unwrap();
    [[1].as_slice(), &nonce, &buffer].concat()
}

/// Turns a store into what the versions before would have written.
fn downgrade(folder: &std::path::Path, key: &Key) {
    let keys = MasterKeys::of(key.master());
    for row in rows(folder) {
        let issuer = keywright::lifecycle::IssuerName::parse(&row.issuer).unwrap();
        let private = keys
            .open(&issuer, &row.kid.parse().unwrap(), &row.sealed)
            .unwrap();
        let sealed = format_1(key, &row.issuer, &row.kid, &private);
        database(folder, async |connection| {
            sqlx::query("UPDATE records SET sealed = ?2 WHERE kind = 'key' AND id = ?1")
                .bind(&row.kid)
                .bind(&sealed)
                .execute(connection)
                .await
                .unwrap();
        });
    }
    let name = check::SETTING;
    let value = format_1(key, name, name, name.as_bytes());
    database(folder, async |connection| {
        sqlx::query("UPDATE records SET sealed = ?2 WHERE kind = 'setting' AND id = ?1")
            .bind(name)
            .bind(&value)
            .execute(connection)
            .await
            .unwrap();
    });
}

#[test]
fn a_store_from_before_keys_had_names_opens_learns_the_name_and_is_sealed_anew() {
    let folder = folder();
    let (key, after) = (Key::new(1), Key::new(2));
    let server = serve(&folder, &[&key]);
    let token = sign(&server, "default");
    server.terminate();
    downgrade(folder.path(), &key);
    let old = rows(folder.path());
    assert!(old.iter().all(|row| row.sealed[0] == 1));

    // A wrong key is found out without a name, too.
    let before = setting(folder.path());
    let said = refused(folder.path(), &named(folder.path(), &[&after]), &[]);
    assert!(said.contains("sealed with another one; here is"), "{said}");
    assert_eq!(setting(folder.path()), before);

    // Whichever of the keys it is: it is the one that goes on sealing.
    let server = serve(&folder, &[&after, &key]);
    verifies(&server, "default", &token).unwrap();
    sign(&server, "default");
    let seen = state(&server);
    assert_eq!(
        (&seen["sealing"], &seen["rotating"]),
        (&json!(key.fingerprint()), &json!(false))
    );
    let told = events(&server);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["event"], "master-key-named");
    assert_eq!(told[0]["to"], key.fingerprint());
    assert_eq!(
        check::named(&setting(folder.path())),
        Some(key.master().fingerprint())
    );
    assert_eq!(rows(folder.path()), old, "records wait for a rotation");
    let (_, folder) = server.terminate();
    let server = serve(&folder, &[&key, &after]);
    assert_eq!(events(&server).len(), 1, "it is named once");

    let rotation = rotate(&server, &after);
    assert_eq!(
        (&rotation["resealed"], &rotation["left"]),
        (&json!(4), &json!(0))
    );
    let new_key = MasterKeys::of(after.master());
    assert!(
        rows(folder.path())
            .iter()
            .all(|row| row.sealed[0] == 2 && row.opens(&new_key))
    );
    server.terminate();
    let server = serve(&folder, &[&after]);
    verifies(&server, "default", &token).unwrap();
    sign(&server, "default");
}
