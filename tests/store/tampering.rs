//! What an attacker does to the log behind the store's back, and how it is named.

use std::path::Path;

use keywright::clock::Clock;
use keywright::store::chain::{BrokenLink, HeadSource, LogHead, Verification, line};
use keywright::store::sqlite::SqliteStore;
use keywright::store::{EventRow, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use crate::conformance::open_database;
use crate::rows::{StoreCalls as _, commit, event, name};
use crate::support::postgres::shared;

const EVENTS: u64 = 4;

/// A closed database with a small log, and the head that the operator pinned.
async fn small_log(folder: &TempDir) -> (std::path::PathBuf, LogHead) {
    let path = folder.path().join("keywright.db");
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    let head = fill(&store).await;
    store.close().await;
    (path, head)
}

/// Writes the small log, and answers where it ends.
async fn fill(store: &dyn Store) -> LogHead {
    for version in 1..=EVENTS {
        let mut written = commit("a", version);
        let actor = r#"{"kind":"client","id":"0","name":"é"}"#;
        let document = format!(r#"{{"event":"key-revoked","kid":"k{version}","actor":{actor}}}"#);
        written.batch.events = vec![EventRow {
            issuer: (version != 2).then(|| name("a")),
            ..event(None, &document)
        }];
        store.commit(written).await.unwrap();
    }
    store.log_head().await.unwrap()
}

/// A connection of another process, which is in no hurry to reach the disk.
async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Off)
        .connect()
        .await
        .unwrap()
}

async fn run(connection: &mut SqliteConnection, statement: &str) {
    let statement = sqlx::query(AssertSqlSafe(statement.to_owned()));
    let done = statement.execute(connection).await.unwrap();
    assert!(done.rows_affected() > 0);
}

async fn verify(store: &dyn Store, pins: &[(HeadSource, LogHead)]) -> Result<LogHead, BrokenLink> {
    let head = store.log_head().await.unwrap();
    let service = (HeadSource::Service, head);
    let pins = pins.iter().copied().chain([service]);
    let mut verification = Verification::begin(LogHead::BEGINNING, pins)?;
    for numbered in store.events(None, 0, 100).await.unwrap() {
        verification.read(line(&numbered).as_bytes())?;
    }
    verification.finish()?.within(service.1)
}

#[tokio::test]
async fn every_altered_byte_of_every_column_is_found() {
    let folder = TempDir::new().unwrap();
    let (path, head) = small_log(&folder).await;
    let mut connection = connect(&path).await;
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    assert_eq!(verify(&store, &[]).await, Ok(head));
    let mut flips = 0;
    for sequence in 1..=EVENTS {
        for column in ["document", "issuer", "hash"] {
            let select = format!("SELECT CAST({column} AS BLOB) FROM events WHERE sequence = ?1");
            let stored: Option<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(select))
                .bind(sequence as i64)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            let kind = if column == "hash" { "BLOB" } else { "TEXT" };
            let update =
                format!("UPDATE events SET {column} = CAST(?2 AS {kind}) WHERE sequence = ?1");
            for index in 0..stored.as_ref().map_or(0, Vec::len) {
                // A letter's case, another letter, and a byte that stands in no text.
                for mask in [0x20, 0x01, 0x80] {
                    let mut altered = stored.clone().unwrap();
                    altered[index] ^= mask;
                    for (value, outcome) in [
                        (&altered, Err(BrokenLink::Altered { sequence })),
                        (stored.as_ref().unwrap(), Ok(head)),
                    ] {
                        sqlx::query(AssertSqlSafe(update.clone()))
                            .bind(sequence as i64)
                            .bind(value)
                            .execute(&mut connection)
                            .await
                            .unwrap();
                        if outcome.is_err() || index == 0 {
                            let told = verify(&store, &[]).await;
                            assert_eq!(told, outcome, "{column} of {sequence}, byte {index}");
                        }
                    }
                    flips += 1;
                }
            }
        }
        for bit in 0..64 {
            let flip = format!(
                "UPDATE events SET at = (at | {mask}) - (at & {mask}) WHERE sequence = {sequence}",
                mask = 1_i64.wrapping_shl(bit)
            );
            run(&mut connection, &flip).await;
            let told = verify(&store, &[]).await;
            assert_eq!(told, Err(BrokenLink::Altered { sequence }), "bit {bit}");
            run(&mut connection, &flip).await;
            flips += 1;
        }
    }
    assert_eq!(verify(&store, &[]).await, Ok(head));
    assert!(flips > 1000, "{flips}");
}

#[tokio::test]
async fn events_and_heads_that_are_gone_moved_or_changed_are_found() {
    let (service, pinned) = (HeadSource::Service, HeadSource::Pinned);
    let swap = "UPDATE events SET sequence = 99 WHERE sequence = 2; \
                UPDATE events SET sequence = 2 WHERE sequence = 3; \
                UPDATE events SET sequence = 3 WHERE sequence = 99";
    let unchained = "UPDATE events SET hash = NULL; DELETE FROM audit_head";
    let cases: [(&str, Result<(), BrokenLink>); 16] = [
        ("SELECT 1", Ok(())),
        (
            "DELETE FROM events WHERE sequence = 1",
            Err(BrokenLink::Missing {
                sequence: 1,
                found: 2,
            }),
        ),
        (
            "DELETE FROM events WHERE sequence = 3",
            Err(BrokenLink::Missing {
                sequence: 3,
                found: 4,
            }),
        ),
        (
            "DELETE FROM events WHERE sequence = 4",
            Err(BrokenLink::CutOff {
                last: 3,
                sequence: 4,
                witness: pinned,
            }),
        ),
        (
            "DELETE FROM events",
            Err(BrokenLink::CutOff {
                last: 0,
                sequence: 4,
                witness: pinned,
            }),
        ),
        (swap, Err(BrokenLink::Altered { sequence: 2 })),
        (
            "UPDATE events SET sequence = 7 WHERE sequence = 3",
            Err(BrokenLink::Missing {
                sequence: 3,
                found: 4,
            }),
        ),
        (
            "UPDATE events SET issuer = 'a' WHERE sequence = 2",
            Err(BrokenLink::Altered { sequence: 2 }),
        ),
        // Reads as no name, but not as no issuer.
        (
            "UPDATE events SET issuer = '!' WHERE sequence = 2",
            Err(BrokenLink::Altered { sequence: 2 }),
        ),
        (
            "UPDATE events SET issuer = NULL WHERE sequence = 1",
            Err(BrokenLink::Altered { sequence: 1 }),
        ),
        // One event without a hash is not an old database: it is not chained anew.
        (
            "UPDATE events SET document = '{}', hash = NULL WHERE sequence = 3",
            Err(BrokenLink::Altered { sequence: 3 }),
        ),
        (
            "UPDATE audit_head SET hash = zeroblob(32)",
            Err(BrokenLink::Rewritten {
                sequence: 4,
                witness: service,
            }),
        ),
        (
            "UPDATE audit_head SET hash = x'00'",
            Err(BrokenLink::Rewritten {
                sequence: 4,
                witness: service,
            }),
        ),
        ("UPDATE audit_head SET sequence = 3", {
            Err(BrokenLink::Rewritten {
                sequence: 3,
                witness: service,
            })
        }),
        (
            "DELETE FROM audit_head",
            Err(BrokenLink::BeyondHead { sequence: 1 }),
        ),
        // All that is left then is what the operator has written down.
        (unchained, Ok(())),
    ];
    for (statement, expected) in cases {
        let folder = TempDir::new().unwrap();
        let (path, head) = small_log(&folder).await;
        let mut connection = connect(&path).await;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
        let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
        let told = verify(&store, &[(pinned, head)]).await;
        assert_eq!(told, expected.map(|()| head), "{statement}");
    }
}

// An attacker who can write to the database can compute the chain anew: only a pinned head tells.
#[tokio::test]
async fn a_log_that_was_written_anew_is_found_by_a_pinned_head_alone() {
    let folder = TempDir::new().unwrap();
    let (path, head) = small_log(&folder).await;
    let mut connection = connect(&path).await;
    let anew = "UPDATE events SET document = '{}' WHERE sequence = 2; \
                UPDATE events SET hash = NULL; DELETE FROM audit_head";
    sqlx::raw_sql(anew).execute(&mut connection).await.unwrap();
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    let told = verify(&store, &[]).await.unwrap();
    assert_eq!(told.sequence, head.sequence);
    let rewritten = BrokenLink::Rewritten {
        sequence: 4,
        witness: HeadSource::Pinned,
    };
    let told = verify(&store, &[(HeadSource::Pinned, head)]).await;
    assert_eq!(told, Err(rewritten));
}

#[tokio::test]
async fn a_store_whose_head_was_altered_goes_on_and_stays_broken_there() {
    for (statement, expected) in [
        (
            "DELETE FROM audit_head",
            BrokenLink::Altered { sequence: 5 },
        ),
        (
            "UPDATE audit_head SET hash = zeroblob(32)",
            BrokenLink::Altered { sequence: 5 },
        ),
        (
            "UPDATE audit_head SET sequence = 6",
            BrokenLink::Missing {
                sequence: 5,
                found: 7,
            },
        ),
        (
            "DELETE FROM events WHERE sequence > 2",
            BrokenLink::Missing {
                sequence: 3,
                found: 5,
            },
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let (path, _) = small_log(&folder).await;
        let mut connection = connect(&path).await;
        run(&mut connection, statement).await;
        let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
        // A key can be revoked all the same.
        store.commit(commit("a", EVENTS + 1)).await.unwrap();
        store.commit(commit("a", EVENTS + 2)).await.unwrap();
        let told = verify(&store, &[]).await;
        assert_eq!(told, Err(expected), "{statement}");
    }
}

#[tokio::test]
async fn lines_that_no_export_has_are_named_by_the_event_before() {
    let folder = TempDir::new().unwrap();
    let (path, _) = small_log(&folder).await;
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    let lines: Vec<String> = store
        .events(None, 0, 100)
        .await
        .unwrap()
        .iter()
        .map(line)
        .collect();
    let read = |lines: &[&[u8]]| {
        let mut verification = Verification::begin(LogHead::BEGINNING, []).unwrap();
        lines.iter().try_for_each(|line| verification.read(line))
    };
    let verified =
        |lines: &[&str]| read(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
    let [one, two, three] = [0, 1, 2].map(|index| lines[index].as_str());
    assert_eq!(verified(&[one, two, three]), Ok(()));
    assert_eq!(
        verified(&[one, two, two]),
        Err(BrokenLink::OutOfOrder {
            sequence: 2,
            after: 2
        })
    );
    assert_eq!(
        verified(&[one, three, two]),
        Err(BrokenLink::Missing {
            sequence: 2,
            found: 3
        })
    );
    let long = two.replacen(r#""sequence":2"#, r#""sequence":02"#, 1);
    let signed = two.replacen(r#""sequence":2"#, r#""sequence":+2"#, 1);
    let huge = two.replacen(r#""sequence":2"#, r#""sequence":99999999999999999999"#, 1);
    let capital = two.to_uppercase();
    for strange in [
        "",
        "\n",
        "{}",
        "null",
        &one[..80],
        &long,
        &signed,
        &huge,
        &capital,
    ] {
        let told = verified(&[one, strange]);
        assert_eq!(told, Err(BrokenLink::Unreadable { after: 1 }), "{strange}");
    }
    for end in 84..two.trim_end().len() {
        let cut = &two.as_bytes()[..end];
        assert!(read(&[one.as_bytes(), cut]).is_err(), "cut at {end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_in_a_shared_database_is_found() {
    let Some(server) = shared() else { return };
    let (service, pinned) = (HeadSource::Service, HeadSource::Pinned);
    let altered = |sequence| BrokenLink::Altered { sequence };
    let missing = |sequence, found| BrokenLink::Missing { sequence, found };
    let cut = |last| BrokenLink::CutOff {
        last,
        sequence: EVENTS,
        witness: pinned,
    };
    let rewritten = |sequence| BrokenLink::Rewritten {
        sequence,
        witness: service,
    };
    let zeros = "decode(repeat('00', 32), 'hex')";
    let swap = "UPDATE events SET sequence = 99 WHERE sequence = 2; \
                UPDATE events SET sequence = 2 WHERE sequence = 3; \
                UPDATE events SET sequence = 3 WHERE sequence = 99";
    let mut cases = vec![
        (
            "DELETE FROM events WHERE sequence = 1".to_owned(),
            missing(1, 2),
        ),
        (
            "DELETE FROM events WHERE sequence = 3".to_owned(),
            missing(3, 4),
        ),
        ("DELETE FROM events WHERE sequence = 4".to_owned(), cut(3)),
        ("DELETE FROM events".to_owned(), cut(0)),
        (swap.to_owned(), altered(2)),
        (
            "UPDATE events SET issuer = 'a' WHERE sequence = 2".to_owned(),
            altered(2),
        ),
        (
            "UPDATE events SET issuer = '!' WHERE sequence = 2".to_owned(),
            altered(2),
        ),
        (
            "UPDATE events SET issuer = NULL WHERE sequence = 1".to_owned(),
            altered(1),
        ),
        (
            format!("UPDATE audit_head SET hash = {zeros}"),
            rewritten(4),
        ),
        (
            "UPDATE audit_head SET hash = '\\x00'".to_owned(),
            rewritten(4),
        ),
        (
            "UPDATE audit_head SET sequence = 3".to_owned(),
            rewritten(3),
        ),
        (
            "DELETE FROM audit_head".to_owned(),
            BrokenLink::BeyondHead { sequence: 1 },
        ),
        (
            "ALTER TABLE events ALTER hash DROP NOT NULL; \
             UPDATE events SET hash = NULL WHERE sequence = 3"
                .to_owned(),
            altered(3),
        ),
    ];
    for sequence in 1..=EVENTS {
        for change in [
            "at = at + 1",
            "at = -at",
            "document = document || ' '",
            "document = replace(document, 'k', 'K')",
            "document = replace(document, 'é', 'e\u{301}')",
            "hash = set_byte(hash, 31, get_byte(hash, 31) # 1)",
            "hash = substr(hash, 2)",
        ] {
            let update = format!("UPDATE events SET {change} WHERE sequence = {sequence}");
            cases.push((update, altered(sequence)));
        }
    }
    let database = server.create_database();
    let store = open_database(&server.url(&database)).await.unwrap();
    let head = fill(&store).await;
    server.psql(
        &database,
        "CREATE TABLE kept AS TABLE events; CREATE TABLE kept_head AS TABLE audit_head",
    );
    for (statement, expected) in cases {
        server.psql(&database, &statement);
        let told = verify(&store, &[(pinned, head)]).await;
        assert_eq!(told, Err(expected), "{statement}");
        server.psql(
            &database,
            "TRUNCATE events, audit_head; INSERT INTO events TABLE kept; \
             INSERT INTO audit_head TABLE kept_head",
        );
        assert_eq!(verify(&store, &[(pinned, head)]).await, Ok(head));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_store_whose_head_was_altered_goes_on_and_stays_broken_there() {
    let Some(server) = shared() else { return };
    for (statement, expected) in [
        (
            "DELETE FROM audit_head",
            BrokenLink::Altered { sequence: 5 },
        ),
        (
            "UPDATE audit_head SET sequence = 6",
            BrokenLink::Missing {
                sequence: 5,
                found: 7,
            },
        ),
        (
            "DELETE FROM events WHERE sequence > 2",
            BrokenLink::Missing {
                sequence: 3,
                found: 5,
            },
        ),
    ] {
        let database = server.create_database();
        let store = open_database(&server.url(&database)).await.unwrap();
        fill(&store).await;
        server.psql(&database, statement);
        // A key can be revoked all the same, by several at a time.
        let (one, other) = tokio::join!(
            store.commit(commit("a", EVENTS + 1)),
            store.commit(commit("b", 1))
        );
        one.unwrap();
        other.unwrap();
        store.commit(commit("a", EVENTS + 2)).await.unwrap();
        let told = verify(&store, &[]).await;
        assert_eq!(told, Err(expected), "{statement}");
    }
}
