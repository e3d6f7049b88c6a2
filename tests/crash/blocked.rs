//! A crash between a decision and its commit, which a random moment hardly ever meets: here the
//! commit is held up, because another process has the database's write lock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::changes::{Change, Door, import, revoke, rotate, set_policy, token};
use crate::state::{State, Token, published, verifies};
use crate::support::{Server, start_in};

const ISSUER: &str = "calm";

/// How many tokens are signed while a commit waits. The store gives up waiting after 5 s.
const TOKENS: usize = 50;

/// The write lock of a service's database, until it is dropped.
struct WriteLock {
    runtime: tokio::runtime::Runtime,
    connection: Option<SqliteConnection>,
}

impl WriteLock {
    fn of(server: &Server) -> Self {
        let file = server.data().join("keywright.db");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let connection = runtime.block_on(Self::take(&file)).expect("the write lock");
        Self {
            runtime,
            connection: Some(connection),
        }
    }

    async fn take(file: &Path) -> sqlx::Result<SqliteConnection> {
        let url = format!("sqlite://{}", file.display());
        let mut connection = SqliteConnection::connect(&url).await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        Ok(connection)
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close());
        }
    }
}

#[test]
fn nothing_of_a_change_is_seen_before_it_is_committed() {
    let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let mut server = start_in(folder, "").unwrap_or_else(|log| panic!("no start: {log}"));
    let policy = json!({ "url": format!("{}/calm", server.public), "algorithms": ["ES256"] });
    let answer = server.call("PUT", &format!("/v1/issuers/{ISSUER}"), Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let mut tokens = Vec::new();
    for turn in 0..5 {
        let before = State::of(&server);
        let change = match turn {
            0 => rotate(ISSUER, "ES256", &before),
            1 => revoke(ISSUER, "ES256", "active", &before),
            2 => import(ISSUER, "pending"),
            3 => import(ISSUER, "retired"),
            _ => set_policy(ISSUER, 1, &before),
        };
        let lock = WriteLock::of(&server);
        let (answer, folder) = hold_up(server, &change, &before, &mut tokens);
        assert_eq!(answer, None, "{} was acknowledged", change.what);
        drop(lock);

        server = start_in(folder, "").unwrap_or_else(|log| panic!("no restart: {log}"));
        let after = State::of(&server);
        after.check();
        assert_eq!(after, before, "{} was not committed", change.what);
        let set = published(&server, &after, ISSUER);
        for token in &tokens {
            assert_eq!(verifies(token, &set), Ok(()), "{}", change.what);
        }
    }
}

/// Asks for a change whose commit cannot begin, looks at what is signed and published meanwhile,
/// and kills the service.
fn hold_up(
    server: Server,
    change: &Change,
    before: &State,
    tokens: &mut Vec<Token>,
) -> (Option<(u16, Value)>, Arc<tempfile::TempDir>) {
    let active = before.issuers[ISSUER].kids("ES256", "active");
    let set = published(&server, before, ISSUER);
    let door = Door::of(&server);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| door.ask(change.method, &change.path, &change.body));
        // By then the change is decided and waits for its commit.
        std::thread::sleep(Duration::from_millis(200));
        for _ in 0..TOKENS {
            let path = format!("/v1/issuers/{ISSUER}/tokens");
            let body = json!({ "claims": { "sub": "user-1" } });
            let (status, answer) = door.ask("POST", &path, &body).expect("an answer");
            assert_eq!(status, 201, "{answer}");
            let token = token(ISSUER, &answer);
            assert_eq!(
                [token.kid.as_str()],
                active[..],
                "{} is not committed",
                change.what
            );
            tokens.push(token);
        }
        assert_eq!(
            published(&server, before, ISSUER),
            set,
            "{} is not committed",
            change.what
        );
        assert!(
            !asked.is_finished(),
            "{} was answered before its commit",
            change.what
        );
        let folder = server.kill();
        (asked.join().unwrap(), folder)
    })
}
