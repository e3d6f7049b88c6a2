//! Tokens and lines agree: while keys rotate, files are renamed, disks are full, and at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{TO_FILE, lines, log_of};
use crate::support::{Server, report, since_epoch, start, start_in, try_request};
use crate::world::{create_issuer, eventually, ok};

/// Signs from several threads until `during` has ended, and answers what was handed out, as the
/// log must tell it.
fn sign_during(server: &Server, threads: usize, during: impl FnOnce()) -> Vec<Value> {
    let (done, tokens) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, tokens) = (&done, &tokens);
            scope.spawn(move || {
                let mut mine = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let item = json!({"claims": {"sub": format!("user-{thread}")}});
                    let answer = if thread == 0 {
                        let body = json!({ "requests": vec![item; 50] });
                        server.call("POST", "/v1/issuers/busy/tokens/batch", Some(&body))
                    } else {
                        server.call("POST", "/v1/issuers/busy/tokens", Some(&item))
                    };
                    let answer = ok(answer);
                    match answer["results"].as_array() {
                        Some(results) => mine.extend(results.iter().map(identity)),
                        None => mine.push(identity(&answer)),
                    }
                }
                tokens.lock().unwrap().append(&mut mine);
            });
        }
        during();
        done.store(true, Ordering::Relaxed);
    });
    tokens.into_inner().unwrap()
}

/// What token and line must agree on.
fn identity(one: &Value) -> Value {
    let exp = one.get("exp").unwrap_or(&one["expires_at"]);
    assert!(one["jti"].is_string() && exp.is_u64(), "{one}");
    json!([one["jti"], one["kid"], exp])
}

fn assert_same(mut tokens: Vec<Value>, lines: impl Iterator<Item = Value>) {
    let mut logged: Vec<Value> = lines.map(|line| identity(&line)).collect();
    assert_eq!(tokens.len(), logged.len(), "tokens, lines");
    for list in [&mut tokens, &mut logged] {
        list.sort_by_key(Value::to_string);
    }
    assert!(tokens == logged, "a line differs from its token");
}

#[test]
fn every_token_has_one_line_while_keys_rotate_and_sigterm_writes_the_last() {
    let server = start(TO_FILE);
    create_issuer(&server, "busy", json!({}));
    let tokens = sign_during(&server, 8, || {
        for _ in 0..10 {
            let body = json!({ "force": true });
            ok(server.call("POST", "/v1/issuers/busy/rotate", Some(&body)));
        }
    });
    let log = log_of(&server);
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
    let kids: BTreeSet<String> = tokens.iter().map(|token| token[1].to_string()).collect();
    assert!(kids.len() > 2, "{} kids", kids.len());
    assert_same(tokens, lines(&log).into_iter());
}

#[test]
fn a_log_that_is_renamed_goes_on_in_a_new_file_without_a_gap() {
    let server = start(TO_FILE);
    create_issuer(&server, "busy", json!({}));
    let log = log_of(&server);
    let rotated: Vec<PathBuf> = (0..2)
        .map(|number| log.with_extension(format!("{number}")))
        .collect();
    let tokens = sign_during(&server, 3, || {
        for rotated in &rotated {
            eventually("a line", || (!lines(&log).is_empty()).then_some(()));
            fs::rename(&log, rotated).unwrap();
            eventually("the new file", || log.exists().then_some(()));
        }
    });
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
    let files = rotated.iter().chain([&log]);
    assert_same(tokens, files.flat_map(|file| lines(file)));
}

#[test]
fn a_full_disk_stops_tokens_when_the_queue_is_full_and_loses_none() {
    const QUEUE: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let (link, file) = (folder.path().join("log"), folder.path().join("file"));
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    let server = start(&format!(
        "{TO_FILE}issuance_log.path = {link:?}\nissuance_log.queue = {QUEUE}\n"
    ));
    create_issuer(&server, "busy", json!({}));
    let mut tokens = Vec::new();
    let body = json!({"requests": vec![json!({"claims": {"sub": "u"}}); 100]});
    let answer = ok(server.call("POST", "/v1/issuers/busy/tokens/batch", Some(&body)));
    for result in answer["results"].as_array().unwrap() {
        match result.get("token") {
            Some(_) => tokens.push(identity(result)),
            None => assert_eq!(result["code"], "issuance-log-unavailable"),
        }
    }
    assert_eq!(tokens.len(), QUEUE);
    let single = json!({"claims": {"sub": "u"}});
    let answer = server.call("POST", "/v1/issuers/busy/tokens", Some(&single));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(answer.json()["code"], "issuance-log-unavailable");
    assert!(answer.json().get("token").is_none());
    let metric = |name: &str| {
        let text = server.call("GET", "/metrics", None).body;
        let text = String::from_utf8(text).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("{name}:\n{text}"))
            .parse::<u64>()
            .unwrap()
    };
    eventually("failures", || {
        (metric("keywright_issuance_log_failures_total") > 1).then_some(())
    });
    assert_eq!(metric("keywright_issuance_log_failing"), 1);
    assert_eq!(metric("keywright_issuance_log_no_room_total"), 61);
    assert_eq!(metric("keywright_issuance_log_lines_total"), 0);
    let complaints = || {
        let log = server.log();
        log.matches("the issuance log cannot be written").count()
    };
    eventually("a complaint", || (complaints() > 0).then_some(()));
    assert_eq!(complaints(), 1);

    let other = folder.path().join("other");
    std::os::unix::fs::symlink(&file, &other).unwrap();
    fs::rename(&other, &link).unwrap();
    tokens.push(identity(&eventually("a token", || {
        let answer = server.call("POST", "/v1/issuers/busy/tokens", Some(&single));
        (answer.status == 201).then(|| answer.json())
    })));
    eventually("all lines", || {
        (lines(&file).len() >= tokens.len()).then_some(())
    });
    assert_eq!(metric("keywright_issuance_log_failing"), 0);
    assert_eq!(metric("keywright_issuance_log_lines_total"), 41);
    assert_eq!(
        metric("keywright_issuance_log_bytes_total"),
        fs::metadata(&file).unwrap().len()
    );
    assert!(server.log().contains("the issuance log is written again"));
    assert_same(tokens, lines(&file).into_iter());
}

#[test]
fn an_end_does_not_wait_for_ever_for_a_disk_that_stays_full() {
    let server = start(&format!("{TO_FILE}issuance_log.path = \"/dev/full\"\n"));
    server.sign("default", &json!({"claims": {}}));
    let before = since_epoch();
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(since_epoch() - before < Duration::from_secs(8));
}

#[test]
fn what_a_kill_loses_is_what_waited() {
    let server = start(TO_FILE);
    create_issuer(&server, "busy", json!({}));
    let log = log_of(&server);
    let done = Mutex::new(Vec::new());
    let internal = server.internal.clone();
    let bearer = format!("Bearer {}", server.admin);
    let _folder = std::thread::scope(|scope| {
        for _ in 0..4 {
            let (done, internal, bearer) = (&done, &internal, &bearer);
            scope.spawn(move || {
                let url = format!("{internal}/v1/issuers/busy/tokens");
                let headers = [("authorization", bearer.clone())];
                loop {
                    let body = ("application/json", b"{\"claims\":{}}".to_vec());
                    match try_request("POST", &url, &headers, Some(body)) {
                        Ok(answer) => done.lock().unwrap().push(answer.json()["jti"].clone()),
                        Err(_) => break,
                    }
                }
            });
        }
        eventually("lines", || (lines(&log).len() > 100).then_some(()));
        server.kill()
    });
    let logged: BTreeSet<String> = lines(&log)
        .iter()
        .map(|line| line["jti"].to_string())
        .collect();
    let tokens = done.into_inner().unwrap();
    let lost = tokens
        .iter()
        .filter(|jti| !logged.contains(&jti.to_string()))
        .count();
    report(&format!(
        "kill -9 lost {lost} lines of {} tokens",
        tokens.len()
    ));
    assert!(lost < 1000, "{lost} of {}", tokens.len());
}

#[test]
fn without_a_setting_there_is_no_log() {
    let server = start("");
    server.sign("default", &json!({"claims": {}}));
    assert!(!log_of(&server).exists());
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
}

#[test]
fn a_log_that_cannot_be_opened_refuses_the_start() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("missing/log");
    let extra = format!("{TO_FILE}issuance_log.path = {path:?}\n");
    let Err(log) = start_in(folder, &extra) else {
        panic!("the service has started");
    };
    assert!(log.contains("issuance_log"), "{log}");
}
