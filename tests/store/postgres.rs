//! What the store in PostgreSQL promises beside the contract: who may use which tables, what it
//! does while the server hangs or ends, and that the password is not shown.

use std::num::NonZeroU32;
use std::time::Duration;

use keywright::store::chain::LogHead;
use keywright::store::postgres::{PostgresSettings, PostgresStore};
use keywright::store::replicas::Heartbeat;
use keywright::store::{CommitError, Store as _, StoreError};

use crate::conformance::{assert_whole, open_database, settings};
use crate::rows::{StoreCalls as _, change, commit, name, set};
use crate::support::postgres::{PASSWORD, Pooler, Postgres, ROLE, shared};
use crate::support::{eventually, since_epoch};

fn refusal(outcome: Result<PostgresStore, StoreError>) -> String {
    match outcome {
        Ok(_) => panic!("the store opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_that_begin_at_once_on_an_empty_database_all_come_up() {
    let Some(server) = shared() else { return };
    let Some(pooler) = Pooler::start(server) else {
        return;
    };
    let database = server.create_database();
    let urls = [server.url(&database), pooler.url(&database)];
    let opening: Vec<_> = (0..10)
        .map(|number| {
            let url = urls[number % 2].clone();
            tokio::spawn(async move { open_database(&url).await })
        })
        .collect();
    let mut stores = Vec::new();
    for store in opening {
        stores.push(store.await.unwrap().unwrap());
    }
    for (number, store) in stores.iter().enumerate() {
        store
            .commit(commit(&format!("i{number}"), 1))
            .await
            .unwrap();
    }
    assert_eq!(stores[0].issuers().await.unwrap().len(), 10);
    assert_whole(&stores[9]).await;
    let migrations = server.psql(&database, "SELECT count(*) FROM keywright_migrations");
    assert_eq!(migrations.trim(), "3");
}

#[tokio::test]
async fn tables_of_another_program_are_refused_and_left_alone() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    server.psql(&database, "CREATE TABLE settings (theme TEXT)");
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class \
                  JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'";
    let told = refusal(open_database(&server.url(&database)).await);
    for part in ["\"settings\"", "\"public\"", &database] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(server.psql(&database, tables).trim(), "settings");

    // In a schema of its own it is at home, with neighbours.
    server.psql(&database, "CREATE SCHEMA apart");
    let url = format!("{}?options=-csearch_path%3Dapart", server.url(&database));
    let store = open_database(&url).await.unwrap();
    store.commit(commit("a", 1)).await.unwrap();
    assert_eq!(
        server
            .psql(&database, "SELECT id FROM apart.records")
            .trim(),
        "a"
    );
    assert_eq!(server.psql(&database, tables).trim(), "settings");
}

#[tokio::test]
async fn tables_that_a_later_version_has_changed_are_refused_at_the_start_and_used_till_then() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let url = server.url(&database);
    let older = open_database(&url).await.unwrap();
    older.commit(commit("a", 1)).await.unwrap();
    server.psql(
        &database,
        "ALTER TABLE records ADD COLUMN colour TEXT; \
         INSERT INTO keywright_migrations VALUES (9, 'later', now(), TRUE, '\\x00', 1)",
    );
    let told = refusal(open_database(&url).await);
    assert!(
        told.contains("later version") && told.contains('9'),
        "{told}"
    );
    older.commit(commit("a", 2)).await.unwrap();
    assert_eq!(
        older
            .load(&name("a"))
            .await
            .unwrap()
            .unwrap()
            .issuer
            .version,
        2
    );
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(server) = shared() else { return };
    let create = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    server.psql("postgres", create);
    let told = refusal(open_database(&server.url("ascii")).await);
    assert!(
        told.contains("SQL_ASCII") && told.contains("UTF8"),
        "{told}"
    );
}

#[tokio::test]
async fn a_commit_sets_what_it_needs_whatever_the_role_has() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let url = server.url(&database);
    let store = open_database(&url).await.unwrap();
    store.close().await;
    server.psql(
        &database,
        &format!(
            "ALTER DATABASE {database} SET synchronous_commit = off; \
             ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'; \
             ALTER DATABASE {database} SET default_transaction_read_only = on; \
             ALTER DATABASE {database} SET statement_timeout = 0;"
        ),
    );
    server.psql(
        &database,
        "SET TRANSACTION READ WRITE; CREATE TABLE noted (name TEXT, value TEXT); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
         INSERT INTO noted SELECT setting, current_setting(setting) FROM unnest(ARRAY[ \
         'synchronous_commit', 'transaction_isolation', 'statement_timeout', 'lock_timeout', \
         'idle_in_transaction_session_timeout']) AS setting; RETURN NEW; END$$; \
         CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note(); \
         CREATE TRIGGER note AFTER INSERT ON heartbeats FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let mut settings = settings(&url);
    settings.statement_timeout = Duration::from_secs(7);
    let store = PostgresStore::open(&settings).await.unwrap();
    store.commit(commit("a", 1)).await.unwrap();
    let heartbeat = Heartbeat {
        replica: "r".to_owned(),
        through: LogHead::BEGINNING,
        document: String::new(),
    };
    let replicas = store.replicas().unwrap();
    replicas.write_heartbeat(&heartbeat).await.unwrap();
    let noted = "SELECT DISTINCT name || '=' || value || ' ' || count(*) FROM noted \
                 GROUP BY name, value ORDER BY 1";
    let expected = "idle_in_transaction_session_timeout=7s 2\nlock_timeout=7s 2\n\
                    statement_timeout=7s 2\nsynchronous_commit=on 2\n\
                    transaction_isolation=read committed 2";
    assert_eq!(server.psql(&database, noted).trim(), expected);
}

#[tokio::test]
async fn replicas_that_are_silent_for_an_hour_are_forgotten() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let store = open_database(&server.url(&database)).await.unwrap();
    let replicas = store.replicas().unwrap();
    let heartbeat = |replica: &str| Heartbeat {
        replica: replica.to_owned(),
        through: LogHead::BEGINNING,
        document: String::new(),
    };
    for replica in ["a", "b", "c"] {
        replicas.write_heartbeat(&heartbeat(replica)).await.unwrap();
    }
    for (replica, silence) in [("a", "61 minutes"), ("b", "59 minutes")] {
        server.psql(
            &database,
            &format!(
                "UPDATE heartbeats SET seen_at = seen_at - interval '{silence}' \
                 WHERE replica = '{replica}'"
            ),
        );
    }
    let list = replicas.write_heartbeat(&heartbeat("c")).await.unwrap();
    let known: Vec<_> = list
        .replicas
        .iter()
        .map(|one| &one.heartbeat.replica)
        .collect();
    assert_eq!(known, ["b", "c"]);
    let silence = list.now.since(list.replicas[0].seen_at);
    assert!(silence >= Duration::from_secs(59 * 60), "{silence:?}");
}

// A pooler would keep the LISTEN, and tell it to the process that gets the connection next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_listened_to_through_a_pooler() {
    let Some(server) = shared() else { return };
    let Some(pooler) = Pooler::start(server) else {
        return;
    };
    let database = server.create_database();
    let listening = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
    );
    let behind = open_database(&pooler.url(&database)).await.unwrap();
    let direct = open_database(&server.url(&database)).await.unwrap();
    // The pooler has heard of the one that is behind it, which was opened first.
    eventually("the direct one listens", || {
        (server.psql(&database, &listening).trim() == "1").then_some(())
    });
    eventually("the pooler refuses", || {
        pooler
            .log()
            .contains("unsupported startup parameter")
            .then_some(())
    });
    assert_eq!(server.psql(&database, &listening).trim(), "1");
    for version in 1..=20 {
        behind.commit(commit("a", version)).await.unwrap();
    }
    drop(direct);
}

/// How long something took.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let before = since_epoch();
    let outcome = work.await;
    (outcome, since_epoch().saturating_sub(before))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_fails_each_call_in_time_and_is_used_again_afterwards() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    let mut settings = settings(&server.database());
    settings.statement_timeout = Duration::from_secs(1);
    settings.max_connections = NonZeroU32::new(2).unwrap();
    let store = PostgresStore::open(&settings).await.unwrap();
    store.commit(commit("a", 1)).await.unwrap();
    let a = name("a");
    server.freeze();
    // More often than there are connections: none of them may be kept.
    for _ in 0..3 {
        let (outcomes, took) = timed(async {
            tokio::join!(
                store.commit(commit("a", 2)),
                store.load(&a),
                store.commit(commit("b", 1)),
            )
        })
        .await;
        assert!(took < Duration::from_secs(4), "{took:?}");
        let (one, loaded, other) = outcomes;
        for refused in [one, other] {
            assert!(
                matches!(
                    refused,
                    Err(CommitError::Store(_) | CommitError::Unknown(_))
                ),
                "{refused:?}"
            );
            assert!(!format!("{refused:?}").contains(PASSWORD));
        }
        let told = loaded.unwrap_err().to_string();
        assert!(told.contains("127.0.0.1"), "{told}");
    }
    server.thaw();
    // What was asked before may still happen, whole.
    let version = eventually("the store is back", || {
        let stored = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(store.load(&name("a")))
        });
        stored.ok().flatten().map(|set| set.issuer.version)
    });
    store.commit(commit("a", version + 1)).await.unwrap();
    assert_whole(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    let store = open_database(&server.database()).await.unwrap();
    let mut version = 0;
    for round in 0..3 {
        version += 1;
        store.commit(commit("a", version)).await.unwrap();
        if round == 1 {
            server.kill();
        } else {
            server.stop_immediately();
        }
        store.commit(commit("b", 1)).await.unwrap_err();
        server.resume();
        let stored = store.load(&name("a")).await.unwrap().unwrap();
        assert_eq!(stored.issuer.version, version);
        // It listens again, too.
        let heard = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let change = store.replicas().unwrap().wait_for_change();
                tokio::select! {
                    () = change => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        version += 1;
                        store.commit(commit("a", version)).await.unwrap();
                    }
                }
            }
        });
        heard.await.unwrap();
    }
    assert_whole(&store).await;
}

#[tokio::test]
async fn the_password_is_in_no_error_and_no_debug_output() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let port = server.port();
    let secret = "h%40nter2";
    for url in [
        format!("postgres://keywright:{secret}@127.0.0.1:{port}/{database}"),
        format!("postgres://127.0.0.1:{port}/{database}?user=keywright&password={secret}"),
        format!("postgres://keywright:{secret}@127.0.0.1:{port}/nowhere"),
        format!("postgres://keywright:{secret}@127.0.0.1:1/{database}"),
        format!("postgres://keywright:{secret}@no-such-host.invalid/{database}"),
        format!("postgres://keywright:{secret}@127.0.0.1:{port}/{database}?sslmode=require"),
        format!("postgres:///{database}?host=/nowhere&password={secret}"),
        format!("postgres://keywright:{secret}@127.0.0.1:{port}/{database}?port=x"),
    ] {
        let settings = settings(&url);
        let told = match PostgresStore::open(&settings).await {
            Ok(_) => panic!("{url} opened"),
            Err(error) => format!("{error} {error:?} {settings:?} {}", settings.url),
        };
        for hidden in ["h%40nter2", "h@nter2"] {
            assert!(!told.contains(hidden), "{told}");
        }
        assert!(told.contains("***"), "{told}");
    }
    for text in [
        format!("postgres://keywright:{secret}@/db"),
        format!("postgres://keywright:{secret}@db:port/db"),
        format!("postgres://keywright:{secret}@db/db?sslpassword={secret}"),
        format!("postgres://keywright:{secret}@db/db?sslmode={secret}"),
        format!("mysql://keywright:{secret}@db/db"),
    ] {
        let parsed: Result<keywright::store::postgres::DatabaseUrl, _> = text.parse();
        let error = parsed.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("nter2"), "{told}");
    }
}

#[tokio::test]
async fn a_socket_in_a_folder_is_a_way_in() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let store = open_database(&server.socket_url(&database)).await.unwrap();
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "key", set(b"sealed"))];
    store.commit(created).await.unwrap();
    assert!(store.load(&name("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_used_also_after_a_switch() {
    let (Some(one), Some(two)) = (Postgres::start(""), Postgres::start("")) else {
        return;
    };
    for server in [&one, &two] {
        server.psql("postgres", "CREATE DATABASE several");
        open_database(&server.url("several")).await.unwrap();
    }
    two.reconfigure(&[("standby.signal", "")], "");
    let url = |parameters: &str| {
        format!(
            "postgres://{ROLE}:{PASSWORD}@127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}/several?sslmode=disable{parameters}",
            two.port(),
            one.port()
        )
    };
    let store = open_database(&url("&target_session_attrs=read-write"))
        .await
        .unwrap();
    store.commit(commit("a", 1)).await.unwrap();
    let owners = "SELECT id FROM records WHERE kind = 'issuer'";
    assert_eq!(one.psql("several", owners).trim(), "a");

    // The other way round, while the store is in use.
    std::fs::remove_file(two.data().join("standby.signal")).unwrap();
    two.stop_immediately();
    two.resume();
    one.reconfigure(&[("standby.signal", "")], "");
    let switched = tokio::time::timeout(Duration::from_secs(60), async {
        while store.commit(commit("b", 1)).await.is_err() {}
    });
    switched.await.unwrap();
    assert_eq!(two.psql("several", owners).trim(), "b");

    // Where none takes writes, each is named with its reason.
    two.reconfigure(&[("standby.signal", "")], "");
    let told = refusal(open_database(&url("")).await);
    for part in ["127.0.0.1:1:", "refused", "standby"] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn the_servers_own_reason_is_told_when_it_refuses_a_connection() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    server.psql(
        &database,
        &format!("CREATE ROLE few LOGIN PASSWORD 'word'; ALTER DATABASE {database} OWNER TO few"),
    );
    let port = server.port();
    let url = format!("postgres://few:word@127.0.0.1:{port}/{database}?connect_timeout=1");
    let store = open_database(&url).await.unwrap();
    server.psql(&database, "ALTER ROLE few CONNECTION LIMIT 0");
    let told = store.log_head().await.unwrap_err().to_string();
    assert!(
        told.contains("too many connections for role \"few\""),
        "{told}"
    );
    assert!(!told.contains("pool timed out"), "{told}");
    server.psql(&database, "ALTER ROLE few CONNECTION LIMIT 20");
    store.log_head().await.unwrap();
}

#[tokio::test]
async fn a_store_whose_connections_are_all_in_use_says_so() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let settings = PostgresSettings {
        max_connections: NonZeroU32::MIN,
        ..settings(&format!("{}?connect_timeout=1", server.url(&database)))
    };
    let store = PostgresStore::open(&settings).await.unwrap();
    let (sender, entries) = tokio::sync::mpsc::channel(1);
    let fill = store.fill(entries);
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = store.log_head().await.unwrap_err().to_string();
        drop(sender);
        told
    };
    let (_, told) = tokio::join!(fill, other);
    assert!(told.contains("all 1 connections are in use"), "{told}");
}
