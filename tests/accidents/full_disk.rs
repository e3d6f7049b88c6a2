//! A full disk keeps the security team from nothing: what takes access away is committed into the
//! reserve, what gives it is not, and no log takes what the reserve gives up.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::mounted::Mounted;
use crate::support::{Answer, Server, eventually, start_in};
use crate::{create_client, create_issuer, health, kid, metric, ok, revoke};

/// Takes all the space there is.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 16, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

struct World {
    server: Server,
    mounted: Mounted,
    clients: Vec<Value>,
}

fn world(extra: &str) -> Option<World> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mounted = Mounted::at(&folder.path().join("keys"), "size=24m")?;
    let extra = extra.replace("FOLDER", mounted.path().to_str().unwrap());
    let server = start_in(folder, &extra).unwrap_or_else(|log| panic!("no start: {log}"));
    create_issuer(&server, "orders", json!({}));
    let names = ["attacker", "second", "third"];
    let clients = names.map(|name| create_client(&server, name, &["issuer"]));
    eventually("a full set", || kid(&server, "orders", "pending"));
    Some(World {
        server,
        mounted,
        clients: clients.to_vec(),
    })
}

fn client_path(client: &Value) -> String {
    format!("/v1/clients/{}", client["id"].as_str().unwrap())
}

fn rotate(server: &Server) -> Answer {
    let body = json!({ "force": true });
    server.call("POST", "/v1/issuers/orders/rotate", Some(&body))
}

/// Everything that the security team does about a leak, and nothing that others want.
fn defend(world: &World) {
    let World {
        server, clients, ..
    } = world;
    let leaked = kid(server, "orders", "active").unwrap();
    ok(revoke(server, "orders", &leaked));
    ok(server.call("DELETE", &client_path(&clients[0]), None));
    let shown = ok(server.call("GET", &client_path(&clients[1]), None));
    let credential = shown["credentials"][0]["id"].as_str().unwrap();
    let path = format!("{}/credentials/{credential}", client_path(&clients[1]));
    ok(server.call("DELETE", &path, None));
    let path = format!("{}/credentials", client_path(&clients[2]));
    ok(server.call("POST", &path, Some(&json!({}))));
    // The key that takes the place of the revoked one, too.
    eventually("a full set", || kid(server, "orders", "pending"));
    ok(rotate(server));
    let backup = server.call("POST", "/v1/backup", None);
    assert_eq!(backup.status, 200);
    assert!(backup.body.len() > 1000, "{}", backup.body.len());

    for (method, path, body) in [
        (
            "POST",
            "/v1/clients",
            json!({ "name": "new", "roles": ["issuer"] }),
        ),
        (
            "PUT",
            "/v1/issuers/new",
            json!({ "url": "http://127.0.0.1:8080/new", "algorithms": ["ES256"] }),
        ),
        (
            "PUT",
            "/v1/issuers/orders",
            json!({ "url": "http://127.0.0.1:8080/orders", "algorithms": ["ES256"], "max_token_ttl": "30m" }),
        ),
    ] {
        let refused = server.call(method, path, Some(&body));
        let told = refused.json()["code"].clone();
        assert_eq!(
            (refused.status, told),
            (503, json!("store-unavailable")),
            "{path}"
        );
    }
    let path = format!("/v1/issuers/orders/keys/{leaked}");
    let shown = ok(server.call("GET", &path, None));
    assert_eq!(shown["state"], "revoked");
}

#[test]
fn a_disk_that_others_have_filled_stops_no_revocation_and_the_reserve_comes_back() {
    let Some(world) = world("") else { return };
    let server = &world.server;
    assert_eq!(metric(server, "keywright_store_disk_reserve"), Some(1));
    assert_eq!(health(server)["store"]["disk_reserve"], true);
    let filler = world.mounted.path().join("filler");
    fill(&filler);
    defend(&world);
    assert_eq!(metric(server, "keywright_store_disk_reserve"), Some(0));
    assert_eq!(health(server)["store"]["disk_reserve"], false);
    let told = "the disk is full, and the reserve is given up";
    eventually("a line", || server.log().contains(told).then_some(()));
    assert_eq!(server.log().matches(told).count(), 1);
    // Many more than one commit fit into it.
    for _ in 0..10 {
        ok(rotate(server));
        eventually("a full set", || kid(server, "orders", "pending"));
    }

    std::fs::remove_file(&filler).unwrap();
    eventually("the reserve", || {
        (metric(server, "keywright_store_disk_reserve") == Some(1)).then_some(())
    });
    create_client(server, "new", &["issuer"]);
    assert!(server.data().join("keywright.reserve").is_file());
}

#[test]
fn a_start_on_a_full_disk_succeeds_and_the_security_team_can_work() {
    let Some(mut world) = world("") else { return };
    let folder = world.server.folder();
    let leaked = kid(&world.server, "orders", "active").unwrap();
    fill(&world.mounted.path().join("filler"));
    assert_eq!(world.server.terminate().0, Some(0));
    fill(&world.mounted.path().join("rest"));
    world.server = start_in(folder, "").unwrap_or_else(|log| panic!("no start: {log}"));
    ok(revoke(&world.server, "orders", &leaked));
    ok(world
        .server
        .call("DELETE", &client_path(&world.clients[0]), None));
    let folder = world.server.kill();
    let restarted = start_in(folder, "").unwrap_or_else(|log| panic!("no restart: {log}"));
    let path = format!("/v1/issuers/orders/keys/{leaked}");
    assert_eq!(ok(restarted.call("GET", &path, None))["state"], "revoked");
}

#[test]
fn an_issuance_log_on_the_disk_of_the_store_does_not_fill_it() {
    let settings = "issuance_log.to = \"file\"\nissuance_log.path = \"FOLDER/issued.jsonl\"\n\
                    issuance_log.queue = 2000\n";
    let Some(world) = world(settings) else { return };
    let server = &world.server;
    let item = json!({ "claims": { "sub": "x".repeat(250), "aud": "y".repeat(250) } });
    let body = json!({ "requests": vec![item; 1000] });
    let is_refused = |answer: Value| {
        let results = answer["results"].as_array().unwrap().clone();
        let codes = results.iter().map(|result| result["code"].clone());
        codes
            .collect::<Vec<_>>()
            .contains(&json!("issuance-log-unavailable"))
    };
    // Tokens stop while there is space for what must not fail.
    eventually("a refusal", || {
        let path = "/v1/issuers/orders/tokens/batch";
        let answer = ok(server.call("POST", path, Some(&body)));
        let failing = metric(server, "keywright_issuance_log_failing") == Some(1);
        (is_refused(answer) && failing).then_some(())
    });
    assert_eq!(metric(server, "keywright_store_disk_reserve"), Some(1));
    create_client(server, "another", &["issuer"]);
    // What others take then, the log does not take back from the reserve.
    fill(&world.mounted.path().join("filler"));
    let log = world.mounted.path().join("issued.jsonl");
    let size = std::fs::metadata(&log).unwrap().len();
    defend(&world);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(std::fs::metadata(&log).unwrap().len(), size);
    ok(rotate(server));
}
