//! The contract of [`Store`], asked of every store alike.

mod access;
mod batches;
mod chain;
mod master_key;
mod paging;
mod transfer;

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use keywright::clock::Clock;
use keywright::store::chain::LogHead;
use keywright::store::memory::MemoryStore;
use keywright::store::postgres::{PostgresSettings, PostgresStore};
use keywright::store::sqlite::SqliteStore;
use keywright::store::{
    CommitError, Content, Kind, LastUse, NumberedEvent, Query, Record, RecordIndex, RecordKey,
    SealedChange, Store, StoreError, StoredSet, Write,
};
use tempfile::TempDir;
use tokio::runtime::Handle;

use access::{
    a_client_changes_only_among_the_clients_that_the_change_was_judged_with,
    a_refused_change_of_access_writes_nothing, approvals_are_created_and_deleted,
    clients_are_created_and_deleted, of_twenty_changes_of_clients_at_once_one_wins,
    of_twenty_uses_of_one_approval_one_wins, the_last_uses_of_a_client_go_with_it,
    the_latest_use_of_each_credential_stays,
};
use batches::{
    a_batch_is_written_whole_or_not_at_all, a_final_record_refuses_every_later_write,
    a_record_may_be_created_final, a_record_of_the_same_version_with_another_token_is_a_conflict,
    a_settled_commit_answers_as_the_store_does, a_token_is_of_the_batches_that_wrote_the_record,
    a_unique_text_is_of_one_record_of_a_kind,
    of_many_batches_at_once_no_more_win_than_may_be_there, records_are_read_by_kind_owner_and_id,
    the_outcome_of_a_batch_is_where_the_log_ended_after_it,
    what_a_batch_expects_is_what_is_there_before_it,
};
pub(crate) use chain::assert_whole;
use chain::{
    a_refused_commit_leaves_the_head, an_empty_log_has_no_head, an_event_may_come_alone,
    every_event_is_chained_to_the_one_before,
};

use master_key::{
    a_commit_rests_on_what_it_expects, a_sealed_half_is_sealed_anew,
    a_sealed_half_that_is_not_the_expected_one_stays, a_setting_is_replaced_with_its_event,
    a_setting_that_is_not_the_expected_one_stays, of_twenty_replacements_of_one_setting_one_wins,
};
use paging::{
    many_records_are_created_at_once_or_none, records_are_counted_by_client,
    records_are_found_by_subject_by_end_and_by_page,
};
use transfer::{
    a_dump_that_is_cut_off_writes_nothing, a_dump_under_commits_is_a_state_that_was_there,
    a_fill_that_is_refused_early_ends_its_sender, a_filled_store_goes_on_where_the_other_ended,
    a_filled_store_has_the_tokens_that_it_was_given, a_store_that_is_not_empty_is_not_filled,
    an_empty_store_is_dumped_as_one, everything_comes_out_of_a_dump, everything_goes_in_by_a_dump,
};

use crate::rows::{
    StoreCalls as _, approval, batch, batch_id, change, client, commit, event, name, set, token,
};
use crate::support::postgres::{Pooler, shared};

/// One line a store.
macro_rules! stores {
    ($behaviours:tt) => {
        conformance!(memory, open_memory, $behaviours);
        conformance!(sqlite, open_sqlite, $behaviours);
        conformance!(postgres, open_postgres, $behaviours);
        conformance!(
            postgres_behind_pgbouncer,
            open_behind_pgbouncer,
            $behaviours
        );
    };
}

macro_rules! conformance {
    ($store:ident, $open:ident, { $($behaviour:ident)* }) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let Some((store, _folder)) = super::$open().await else {
                        return;
                    };
                    super::$behaviour(&store).await;
                }
            )*
        }
    };
}

stores!({
    an_unknown_issuer_is_not_there
    a_created_set_loads_as_it_was_committed
    issuers_come_in_alphabetical_order
    another_version_than_the_stored_one_is_a_conflict
    creating_an_issuer_that_exists_is_a_conflict
    changing_an_issuer_that_does_not_exist_is_a_conflict
    a_path_belongs_to_one_issuer
    a_stale_version_is_a_conflict_also_when_the_path_is_taken
    keys_keep_the_order_in_which_they_came
    one_kid_may_stand_in_two_issuers
    a_sealed_half_is_kept_set_and_erased_as_the_commit_says
    the_changes_of_one_commit_happen_in_order
    an_empty_sealed_half_is_not_an_absent_one
    events_are_numbered_from_one_across_issuers
    events_are_filtered_by_issuer
    events_are_limited_and_paged
    clients_are_created_and_deleted
    a_client_changes_only_among_the_clients_that_the_change_was_judged_with
    a_refused_change_of_access_writes_nothing
    approvals_are_created_and_deleted
    of_twenty_uses_of_one_approval_one_wins
    of_twenty_changes_of_clients_at_once_one_wins
    the_latest_use_of_each_credential_stays
    the_last_uses_of_a_client_go_with_it
    an_empty_log_has_no_head
    every_event_is_chained_to_the_one_before
    a_refused_commit_leaves_the_head
    an_event_may_come_alone
    everything_comes_out_of_a_dump
    everything_goes_in_by_a_dump
    an_empty_store_is_dumped_as_one
    a_filled_store_goes_on_where_the_other_ended
    a_store_that_is_not_empty_is_not_filled
    a_filled_store_has_the_tokens_that_it_was_given
    a_fill_that_is_refused_early_ends_its_sender
    a_dump_that_is_cut_off_writes_nothing
    a_dump_under_commits_is_a_state_that_was_there
    a_setting_is_written_once
    a_refused_commit_changes_nothing
    of_twenty_commits_on_one_version_one_wins
    of_twenty_values_for_one_setting_one_wins
    a_setting_is_replaced_with_its_event
    a_setting_that_is_not_the_expected_one_stays
    of_twenty_replacements_of_one_setting_one_wins
    a_commit_rests_on_what_it_expects
    records_are_found_by_subject_by_end_and_by_page
    records_are_counted_by_client
    many_records_are_created_at_once_or_none
    a_sealed_half_is_sealed_anew
    a_sealed_half_that_is_not_the_expected_one_stays
    a_token_is_of_the_batches_that_wrote_the_record
    a_record_of_the_same_version_with_another_token_is_a_conflict
    a_final_record_refuses_every_later_write
    a_record_may_be_created_final
    what_a_batch_expects_is_what_is_there_before_it
    a_unique_text_is_of_one_record_of_a_kind
    a_batch_is_written_whole_or_not_at_all
    the_outcome_of_a_batch_is_where_the_log_ended_after_it
    a_settled_commit_answers_as_the_store_does
    of_many_batches_at_once_no_more_win_than_may_be_there
    records_are_read_by_kind_owner_and_id
    hostile_text_survives_bit_for_bit
    a_nul_survives_or_is_refused_whole
});

async fn open_memory() -> Option<(MemoryStore, ())> {
    Some((MemoryStore::default(), ()))
}

async fn open_sqlite() -> Option<(SqliteStore, TempDir)> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keywright.db");
    let store = SqliteStore::open(&file, Clock::system()).await.unwrap();
    Some((store, folder))
}

async fn open_postgres() -> Option<(PostgresStore, ())> {
    let server = shared()?;
    Some((open_database(&server.database()).await.unwrap(), ()))
}

async fn open_behind_pgbouncer() -> Option<(PostgresStore, ())> {
    static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
    let server = shared()?;
    let pooler = POOLER.get_or_init(|| Pooler::start(server)).as_ref()?;
    let url = pooler.url(&server.create_database());
    Some((open_database(&url).await.unwrap(), ()))
}

/// A store in a database, with short time-outs.
pub(crate) async fn open_database(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&settings(url)).await
}

/// What a test wants of a database.
pub(crate) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        url: url.parse().unwrap(),
        listen_url: None,
        max_connections: NonZeroU32::new(4).unwrap(),
        statement_timeout: Duration::from_secs(20),
    }
}

async fn load(store: &dyn Store, issuer: &str) -> StoredSet {
    store.load(&name(issuer)).await.unwrap().unwrap()
}

async fn kids(store: &dyn Store, issuer: &str) -> Vec<String> {
    let stored = load(store, issuer).await;
    stored.keys.into_iter().map(|key| key.key.id).collect()
}

async fn sealed(store: &dyn Store, issuer: &str) -> Vec<Option<Vec<u8>>> {
    let stored = load(store, issuer).await;
    stored.keys.into_iter().map(|row| row.sealed).collect()
}

async fn all_events(store: &dyn Store) -> Vec<NumberedEvent> {
    store.events(None, 0, u32::MAX).await.unwrap()
}

/// Everything that a store would tell anyone.
#[derive(Debug, PartialEq)]
struct Everything {
    sets: Vec<StoredSet>,
    events: Vec<NumberedEvent>,
    settings: Vec<Record>,
    clients: Vec<Record>,
    approvals: Vec<Record>,
    last_uses: Vec<LastUse>,
    head: LogHead,
}

async fn everything(store: &dyn Store) -> Everything {
    Everything {
        sets: store.all_key_sets().await.unwrap(),
        settings: store.list(Query::all(Kind::Setting)).await.unwrap(),
        events: all_events(store).await,
        clients: store.clients().await.unwrap(),
        approvals: store.approvals().await.unwrap(),
        last_uses: store.last_uses().await.unwrap(),
        head: store.log_head().await.unwrap(),
    }
}

async fn an_unknown_issuer_is_not_there(store: &dyn Store) {
    assert_eq!(store.load(&name("a")).await.unwrap(), None);
    assert_eq!(store.all_key_sets().await.unwrap(), []);
    assert_eq!(all_events(store).await, []);
    assert_eq!(store.clients().await.unwrap(), []);
    assert_eq!(store.approvals().await.unwrap(), []);
    assert_eq!(store.last_uses().await.unwrap(), []);
}

async fn a_created_set_loads_as_it_was_committed(store: &dyn Store) {
    let mut created = commit("a", 1);
    created.keys = vec![
        change("k1", "first", set(&[0, 1, 255])),
        change("k2", "second", SealedChange::Erase),
    ];
    store.commit(created.clone()).await.unwrap();
    let key = |kid, document: &str, sealed| Record {
        key: RecordKey::signing_key(&name("a"), kid),
        version: 1,
        token: token("a", 1),
        document: document.to_owned(),
        sealed,
        unique: None,
        is_final: false,
        index: RecordIndex::default(),
    };
    let expected = StoredSet {
        issuer: created.issuer_at(1),
        keys: vec![
            key("k1", "first", Some(vec![0, 1, 255])),
            key("k2", "second", None),
        ],
    };
    assert_eq!(load(store, "a").await, expected);

    let mut changed = commit("a", 2);
    changed.path = "/moved".to_owned();
    store.commit(changed.clone()).await.unwrap();
    let stored = load(store, "a").await;
    assert_eq!(stored.issuer, changed.issuer_at(2));
    assert_eq!(stored.keys, expected.keys, "keys that are not named stay");
}

async fn issuers_come_in_alphabetical_order(store: &dyn Store) {
    for issuer in ["m", "z-1", "a", "z", "0"] {
        store.commit(commit(issuer, 1)).await.unwrap();
    }
    assert_eq!(store.issuers().await.unwrap(), ["0", "a", "m", "z", "z-1"]);
}

async fn another_version_than_the_stored_one_is_a_conflict(store: &dyn Store) {
    for version in 1..=3 {
        store.commit(commit("a", version)).await.unwrap();
    }
    let wrong = [0, 1, 2, 4].map(|version| token("a", version));
    for expected in [None, Some(token("b", 3))]
        .into_iter()
        .chain(wrong.map(Some))
    {
        let mut stale = commit("a", 9);
        stale.expected = expected;
        let refused = store.commit(stale).await;
        assert!(
            matches!(refused, Err(CommitError::Conflict)),
            "{expected:?}: {refused:?}"
        );
    }
    let stored = load(store, "a").await.issuer;
    assert_eq!(stored, commit("a", 3).issuer_at(3));
}

async fn creating_an_issuer_that_exists_is_a_conflict(store: &dyn Store) {
    store.commit(commit("a", 1)).await.unwrap();
    let again = store.commit(commit("a", 1)).await;
    assert!(matches!(again, Err(CommitError::Conflict)), "{again:?}");
}

async fn changing_an_issuer_that_does_not_exist_is_a_conflict(store: &dyn Store) {
    store.commit(commit("a", 1)).await.unwrap();
    let other = store.commit(commit("b", 2)).await;
    assert!(matches!(other, Err(CommitError::Conflict)), "{other:?}");
    assert_eq!(store.issuers().await.unwrap(), ["a"]);
}

async fn a_path_belongs_to_one_issuer(store: &dyn Store) {
    store.commit(commit("a", 1)).await.unwrap();
    let mut created = commit("b", 1);
    created.path = "/a".to_owned();
    let refused = store.commit(created).await;
    assert!(
        matches!(refused, Err(CommitError::NotUnique)),
        "{refused:?}"
    );

    store.commit(commit("b", 1)).await.unwrap();
    let mut moved = commit("b", 2);
    moved.path = "/a".to_owned();
    let refused = store.commit(moved.clone()).await;
    assert!(
        matches!(refused, Err(CommitError::NotUnique)),
        "{refused:?}"
    );

    let mut away = commit("a", 2);
    away.path = "/elsewhere".to_owned();
    store.commit(away).await.unwrap();
    store.commit(moved).await.unwrap();
    assert_eq!(load(store, "b").await.issuer.unique.unwrap(), "/a");
}

// A writer that lost a race must load again; what the newer version says about paths is not its business.
async fn a_stale_version_is_a_conflict_also_when_the_path_is_taken(store: &dyn Store) {
    store.commit(commit("a", 1)).await.unwrap();
    store.commit(commit("b", 1)).await.unwrap();
    for expected in [None, Some(token("b", 7))] {
        let mut stale = commit("b", 8);
        stale.expected = expected;
        stale.path = "/a".to_owned();
        let refused = store.commit(stale).await;
        assert!(
            matches!(refused, Err(CommitError::Conflict)),
            "{expected:?}: {refused:?}"
        );
    }
}

async fn keys_keep_the_order_in_which_they_came(store: &dyn Store) {
    let arrivals: [&[&str]; 3] = [&["z", "b"], &["a"], &["y", "b", "0", "z"]];
    for (version, kids) in (1..).zip(arrivals) {
        let mut arrival = commit("a", version);
        arrival.keys = kids
            .iter()
            .map(|kid| change(kid, "", SealedChange::Keep))
            .collect();
        store.commit(arrival).await.unwrap();
    }
    assert_eq!(kids(store, "a").await, ["z", "b", "a", "y", "0"]);
}

async fn one_kid_may_stand_in_two_issuers(store: &dyn Store) {
    for issuer in ["a", "b"] {
        let mut created = commit(issuer, 1);
        created.keys = vec![change("k", issuer, set(issuer.as_bytes()))];
        store.commit(created).await.unwrap();
    }
    let mut revoked = commit("a", 2);
    revoked.keys = vec![change("k", "revoked", SealedChange::Erase)];
    store.commit(revoked).await.unwrap();
    assert_eq!(sealed(store, "a").await, [None]);
    assert_eq!(sealed(store, "b").await, [Some(b"b".to_vec())]);
    assert_eq!(load(store, "b").await.keys[0].document, "b");
}

async fn a_sealed_half_is_kept_set_and_erased_as_the_commit_says(store: &dyn Store) {
    let rounds: [(SealedChange, Option<&[u8]>); 7] = [
        (SealedChange::Keep, None),
        (set(b"one"), Some(b"one")),
        (SealedChange::Keep, Some(b"one")),
        (set(b"two"), Some(b"two")),
        (SealedChange::Erase, None),
        (SealedChange::Keep, None),
        (SealedChange::Erase, None),
    ];
    for (version, (sealed_change, expected)) in (1..).zip(rounds) {
        let document = format!("round {version}");
        let mut round = commit("a", version);
        round.keys = vec![change("k", &document, sealed_change)];
        store.commit(round).await.unwrap();
        let stored = load(store, "a").await;
        assert_eq!(stored.keys[0].sealed.as_deref(), expected, "{document}");
        assert_eq!(stored.keys[0].document, document);
    }
}

async fn the_changes_of_one_commit_happen_in_order(store: &dyn Store) {
    let mut twice = commit("a", 1);
    twice.keys = vec![
        change("k", "first", set(b"sealed")),
        change("k", "second", SealedChange::Keep),
    ];
    store.commit(twice).await.unwrap();
    let stored = load(store, "a").await;
    assert_eq!(stored.keys.len(), 1);
    assert_eq!(stored.keys[0].document, "second");
    assert_eq!(stored.keys[0].sealed.as_deref(), Some(b"sealed".as_slice()));
}

async fn an_empty_sealed_half_is_not_an_absent_one(store: &dyn Store) {
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "", set(b""))];
    store.commit(created).await.unwrap();
    assert_eq!(sealed(store, "a").await, [Some(Vec::new())]);
}

async fn events_are_numbered_from_one_across_issuers(store: &dyn Store) {
    let mut created = commit("a", 1);
    created.batch.events = vec![event(Some("a"), "1"), event(None, "2")];
    store.commit(created).await.unwrap();
    let mut other = commit("b", 1);
    other.batch.events = vec![event(Some("b"), "3"), event(Some("a"), "4")];
    store.commit(other).await.unwrap();
    // What was refused must not leave a gap that looks like a deleted event.
    store.commit(commit("b", 1)).await.unwrap_err();
    let create = Write::Create(client("c"), Content::default());
    store.write(batch([create], "5")).await.unwrap();
    let mut silent = commit("a", 2);
    silent.batch.events = Vec::new();
    store.commit(silent).await.unwrap();

    let events = all_events(store).await;
    assert_eq!(
        events
            .iter()
            .map(|numbered| numbered.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    let expected = [(Some("a"), "1"), (None, "2"), (Some("b"), "3")];
    for (numbered, (issuer, document)) in events.iter().zip(expected) {
        assert_eq!(numbered.event, event(issuer, document));
    }
}

async fn ten_events(store: &dyn Store) {
    for version in 1..=5 {
        store.commit(commit("a", version)).await.unwrap();
        store.commit(commit("b", version)).await.unwrap();
    }
}

async fn sequences(store: &dyn Store, issuer: Option<&str>, after: u64, limit: u32) -> Vec<u64> {
    let issuer = issuer.map(name);
    let events = store.events(issuer.as_ref(), after, limit).await.unwrap();
    events.iter().map(|numbered| numbered.sequence).collect()
}

async fn events_are_filtered_by_issuer(store: &dyn Store) {
    ten_events(store).await;
    assert_eq!(sequences(store, Some("a"), 0, 100).await, [1, 3, 5, 7, 9]);
    assert_eq!(sequences(store, Some("b"), 4, 2).await, [6, 8]);
    assert_eq!(sequences(store, Some("c"), 0, 100).await, Vec::<u64>::new());
}

async fn events_are_limited_and_paged(store: &dyn Store) {
    ten_events(store).await;
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = sequences(store, None, after, 4).await;
        let Some(last) = page.last() else {
            break;
        };
        after = *last;
        pages.push(page);
    }
    assert_eq!(pages, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
    assert_eq!(sequences(store, None, 0, 0).await, Vec::<u64>::new());
    assert_eq!(sequences(store, None, 0, u32::MAX).await.len(), 10);
    assert_eq!(
        sequences(store, None, u64::MAX, 10).await,
        Vec::<u64>::new()
    );
}

async fn a_setting_is_written_once(store: &dyn Store) {
    assert_eq!(store.setting("s").await.unwrap(), None);
    store.create_setting("s", &[0, 255]).await.unwrap();
    for value in [[0, 255].as_slice(), b"other"] {
        let again = store.create_setting("s", value).await;
        assert!(matches!(again, Err(CommitError::Conflict)), "{again:?}");
    }
    assert_eq!(store.setting("s").await.unwrap(), Some(vec![0, 255]));
    store.create_setting("S", b"").await.unwrap();
    assert_eq!(store.setting("S").await.unwrap(), Some(Vec::new()));
}

async fn a_refused_commit_changes_nothing(store: &dyn Store) {
    store.commit(commit("other", 1)).await.unwrap();
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "before", set(b"before"))];
    store.commit(created).await.unwrap();
    let before = everything(store).await;

    let mut stale = commit("a", 1);
    stale.keys = vec![
        change("k", "after", SealedChange::Erase),
        change("l", "after", set(b"after")),
    ];
    let mut path_taken = stale.clone();
    path_taken.path = "/other".to_owned();
    path_taken.expected = Some(token("a", 1));
    let mut absent = stale.clone();
    absent.issuer = "absent".to_owned();
    absent.expected = Some(token("absent", 5));
    for refused in [stale, path_taken, absent] {
        store.commit(refused).await.unwrap_err();
        assert_eq!(everything(store).await, before);
    }
}

/// Runs `attempt` on twenty threads at once and counts who won.
fn race<F>(attempt: impl Fn(usize) -> F + Sync) -> usize
where
    F: Future<Output = Result<LogHead, CommitError>>,
{
    let runtime = Handle::current();
    let outcomes: Vec<Result<LogHead, CommitError>> = tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..20)
                .map(|number| {
                    scope.spawn({
                        let (runtime, attempt) = (&runtime, &attempt);
                        move || runtime.block_on(attempt(number))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    });
    for outcome in &outcomes {
        assert!(
            matches!(outcome, Ok(_) | Err(CommitError::Conflict)),
            "{outcome:?}"
        );
    }
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

async fn of_twenty_commits_on_one_version_one_wins(store: &dyn Store) {
    let mut expected = None;
    for version in 1..=5 {
        let won = race(|number| {
            let kid = format!("{version}-{number}");
            let mut racing = commit("a", version);
            racing.expected = expected;
            racing.batch.id = batch_id();
            racing.document.clone_from(&kid);
            racing.keys = vec![change(&kid, &kid, set(kid.as_bytes()))];
            racing.batch.events = vec![event(Some("a"), &kid)];
            store.commit(racing)
        });
        assert_eq!(won, 1);
        expected = Some(load(store, "a").await.issuer.token);
    }
    let stored = load(store, "a").await;
    let events = all_events(store).await;
    assert_eq!((stored.issuer.version, stored.keys.len()), (5, 5));
    // The winner's set, key and event belong together.
    assert_eq!(stored.keys[4].key.id, stored.issuer.document);
    let told: Vec<_> = events.into_iter().map(|row| row.event.document).collect();
    assert_eq!(told, kids(store, "a").await);
    assert_whole(store).await;
}

async fn of_twenty_values_for_one_setting_one_wins(store: &dyn Store) {
    let values: Vec<[u8; 1]> = (0..20).map(|number| [number]).collect();
    assert_eq!(race(|number| store.create_setting("s", &values[number])), 1);
}

async fn hostile_text_survives_bit_for_bit(store: &dyn Store) {
    let texts = [
        "'; DROP TABLE keys; --",
        "\"quoted\" `ticks` [brackets] $1 ?1 :name @name %s \\",
        "",
        " leading and trailing ",
        "line\r\nbreaks\ttabs",
        "controls \u{1}\u{1b}\u{7f}\u{85} in the middle",
        "\u{feff}byte order mark, \u{202e}override, combining e\u{301} and é",
        "🔑𝄞\u{10ffff}",
        "123",
        "0x10",
        "1e3",
        "NULL",
        "x'00'",
    ];
    // What names something has an end somewhere; what a document says has not.
    let long_name = "long ".repeat(200);
    let long = "long ".repeat(40_000);
    let mut hostile = commit("a", 1);
    hostile.batch.events.clear();
    hostile
        .keys
        .push(change("long", &long, set(long.as_bytes())));
    hostile.event(event(Some("a"), &long));
    let mut kids = vec!["long"];
    for text in texts.into_iter().chain([long_name.as_str()]) {
        // The path and the kid identify rows, so that two texts must not become one.
        hostile.path = format!("/{text}");
        hostile.document = text.to_owned();
        hostile.keys.push(change(text, text, set(text.as_bytes())));
        hostile.event(event(Some("a"), text));
        kids.push(text);
        let used = LastUse {
            client: text.to_owned(),
            credential: text.to_owned(),
            at: 1,
        };
        let create = |key| Write::Create(key, Content::of(text.to_owned()));
        let both = [client(text), approval("a", text)].map(create);
        store.write(batch(both, text)).await.unwrap();
        store.record_uses(&[used]).await.unwrap();
        store.create_setting(text, text.as_bytes()).await.unwrap();
    }
    store.commit(hostile.clone()).await.unwrap();

    let stored = load(store, "a").await;
    assert_eq!(stored.issuer, hostile.issuer_at(1));
    assert_eq!(stored.keys.len(), kids.len());
    assert_eq!(stored.keys[0].document, long);
    assert_eq!(stored.keys[0].sealed.as_deref(), Some(long.as_bytes()));
    for (key, kid) in stored.keys.iter().zip(kids).skip(1) {
        assert_eq!((&*key.key.id, &*key.document), (kid, kid));
        assert_eq!(key.sealed.as_deref(), Some(kid.as_bytes()));
        let setting = store.setting(kid).await.unwrap();
        assert_eq!(setting.as_deref(), Some(kid.as_bytes()));
    }
    let issuer = name("a");
    let events = store.events(Some(&issuer), 0, 100).await.unwrap();
    let events: Vec<_> = events.into_iter().map(|row| row.event).collect();
    assert_eq!(events, hostile.batch.events);
    assert_whole(store).await;
    for used in store.last_uses().await.unwrap() {
        assert_eq!(used.client, used.credential);
    }
    let records = [Query::all(Kind::Client), Query::all(Kind::Approval)];
    for record in store.read(&records).await.unwrap().into_iter().flatten() {
        assert_eq!(record.key.id, record.document);
        let delete = Write::Delete(record.key, record.token);
        store.write(batch([delete], "")).await.unwrap();
    }
    assert_eq!(store.clients().await.unwrap(), []);
    assert_eq!(store.approvals().await.unwrap(), []);
    assert_eq!(store.last_uses().await.unwrap(), []);
}

// No document and no name has one: JSON escapes it. A store need not have a place for it, but it
// must not cut a text short there.
async fn a_nul_survives_or_is_refused_whole(store: &dyn Store) {
    let text = "NUL \0 in the middle";
    let mut hostile = commit("a", 1);
    hostile.document = text.to_owned();
    hostile.keys = vec![change("k", text, set(b"sealed"))];
    hostile.batch.events = vec![event(None, text)];
    match store.commit(hostile.clone()).await {
        Ok(_) => {
            let stored = load(store, "a").await;
            assert_eq!(stored.issuer, hostile.issuer_at(1));
            assert_eq!(stored.keys[0].document, text);
            assert_eq!(all_events(store).await[0].event, hostile.batch.events[0]);
        }
        Err(refused) => {
            assert!(matches!(refused, CommitError::Store(_)), "{refused:?}");
            assert_eq!(store.all_key_sets().await.unwrap(), []);
            assert_eq!(all_events(store).await, []);
            store.commit(commit("a", 1)).await.unwrap();
        }
    }
}
