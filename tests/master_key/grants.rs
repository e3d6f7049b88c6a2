//! The keys of grants under another master key.

use serde_json::{Value, json};

use crate::support::{Server, request, start_in};
use crate::world::{Key, folder, named, ok, rotate, state};

fn open(server: &Server) -> Value {
    let body = json!({"claims": {"sub": "user-1", "aud": "orders"}, "client": "public"});
    let answer = server.call("POST", "/v1/issuers/default/grants", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

fn renew(server: &Server, grant: &Value) -> Value {
    let token = grant["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let form = ("application/x-www-form-urlencoded", form.into_bytes());
    ok(request(
        "POST",
        &format!("{}/token", server.public),
        &[],
        Some(form),
    ))
}

#[test]
fn grants_are_renewed_under_the_next_master_key_alone() {
    let folder = folder();
    let (before, after) = (Key::new(1), Key::new(2));
    let settings = |keys: &[&Key]| {
        let named = named(folder.path(), keys);
        format!("oauth.enabled = true\n{named}")
    };
    let server = start_in(folder.clone(), &settings(&[&before, &after])).unwrap();
    let (old, renewed) = (open(&server), open(&server));
    let renewed = renew(&server, &renewed);
    let keys = 4;
    let sealed = state(&server);
    let sealed = sealed["keys"].as_array().unwrap().iter();
    let by = |key: &Key| {
        let mut sealed = sealed.clone();
        let found = sealed.find(|one| one["fingerprint"] == key.fingerprint());
        found.unwrap()["records"].clone()
    };
    assert_eq!((by(&before), by(&after)), (json!(keys + 2), json!(0)));
    let report = rotate(&server, &after);
    assert_eq!(
        report,
        json!({"sealing": after.fingerprint(), "resealed": keys + 2, "left": 0, "unopenable": 0})
    );
    let new = open(&server);
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    let server = start_in(folder, &settings(&[&after])).unwrap();
    for grant in [&old, &renewed, &new] {
        let next = renew(&server, grant);
        renew(&server, &next);
    }
}
