"""What grants cost: renewals a second beside what the database does alone, and many live grants in one store."""

import contextlib
import pathlib
import sqlite3
import tempfile
import threading
import time

from machine import Service, median_of, outcome, wrk
from replicas import REPLICAS, Database, fleet

ISSUER = "/v1/issuers/grants"
CONNECTIONS, ROUNDS = 16, 3
# A record of the size that a grant has, sealed key and index columns included.
DOCUMENT, SEALED = 640, 85

# What a renewal does at the database: it reads the grant, and replaces its record.
RENEWAL = """
\\set number random(1, 100000)
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT id, version, token, document, sealed, unique_text, is_final, owner, subject, client, kept_until FROM records
    WHERE kind = 'grant' AND owner = 'alone' AND id = 'alone-' || :number;
COMMIT;
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
UPDATE records SET version = version + 1, document = repeat('y', 640), kept_until = 1 WHERE kind = 'grant'
    AND owner = 'alone' AND id = 'alone-' || :number;
SELECT sequence, hash, (SELECT coalesce(max(sequence), 0) FROM events) FROM audit_head;
COMMIT;
"""
RECORDS = """INSERT INTO records (kind, owner, id, version, token, document, sealed, is_final, subject, client, kept_until)
    SELECT 'grant', 'alone', 'alone-' || number, 1, '\\x00', repeat('x', 640), convert_to(repeat('s', 85), 'UTF8'), false,
    'user-' || number, 'login', 1 FROM generate_series(1, 100000) AS number"""


def service(folder, live=0):
    """A service with an issuer, whose clients may open grants beside so many live ones."""
    most = str(live + 1_000_000)
    started = Service(folder, {"OAUTH__ENABLED": "true", "OAUTH__MAX_GRANTS_PER_CLIENT": most,
                               "OAUTH__MAX_GRANTS_PER_ISSUER": most})
    url = f"{started.public}/grants"
    started.call("PUT", ISSUER, {"url": url, "algorithms": ["ES256"]})
    return started


def opened(one, count):
    """The refresh tokens of so many new grants."""
    claims = {"sub": "user-1", "aud": "orders", "scope": "orders:read orders:write", "roles": ["clerk"]}
    body = {"claims": claims, "client": "public"}
    return [one.call("POST", f"{ISSUER}/grants", body)["refresh_token"] for _ in range(count)]


@contextlib.contextmanager
def renewing(one, seconds):
    """Starts a load of renewals on a service."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(opened(one, 4 * CONNECTIONS)))
        file.flush()
        yield wrk(f"{one.public}/grants/token", seconds, CONNECTIONS, file.name, script="refresh.lua")


def renewals(one, seconds):
    """Renewals a second, and the 99th percentile in milliseconds."""
    rounds = []
    for _ in range(ROUNDS):
        with renewing(one, seconds) as load:
            rate, _, slow = outcome(load)
            rounds.append((rate, slow))
    return median_of(rate for rate, _ in rounds), median_of(slow for _, slow in rounds)


def sqlite_alone(folder, seconds):
    """The same read and write a second by SQLite alone, each on the disk when it is committed."""
    connection = sqlite3.connect(pathlib.Path(folder) / "alone.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, version INTEGER, document TEXT, sealed BLOB)")
    connection.executemany("INSERT INTO records VALUES (?, 1, ?, ?)",
                           ((f"grant-{number}", "x" * DOCUMENT, b"s" * SEALED) for number in range(1000)))
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        name = (f"grant-{done % 1000}",)
        connection.execute("SELECT version, document, sealed FROM records WHERE id = ?", name).fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE records SET version = version + 1, document = ? WHERE id = ?", ("y" * DOCUMENT, *name))
        connection.execute("COMMIT")
        done += 1
    return done / (time.perf_counter() - began)


def on_sqlite(table, seconds):
    with tempfile.TemporaryDirectory() as folder:
        one = service(folder)
        rate, slow = renewals(one, seconds)
        one.stop()
        alone = sqlite_alone(folder, seconds)
    table.add("renewals/s on SQLite", f"{rate:,.0f}", f"{alone:,.0f} the same transactions alone", f"{rate / alone:.2f}",
              "reported")
    table.add(f"p99 of a renewal on SQLite, {CONNECTIONS} connections", f"{slow:.2f} ms", "", "", "reported")


def on_postgres(table, seconds):
    with contextlib.ExitStack() as stack:
        folder = lambda: stack.enter_context(tempfile.TemporaryDirectory())
        database = Database(folder())
        stack.callback(database.stop)
        services = fleet(database, folder, {"OAUTH__ENABLED": "true"})
        services[0].call("PUT", ISSUER, {"url": f"{services[0].public}/grants", "algorithms": ["ES256"]})
        # Until each of them has it.
        time.sleep(2)
        rounds = []
        for _ in range(ROUNDS):
            with contextlib.ExitStack() as loads:
                running = [loads.enter_context(renewing(one, seconds)) for one in services]
                ended = [outcome(load) for load in running]
            rounds.append((sum(rate for rate, *_ in ended), max(slow for *_, slow in ended)))
        for one in services:
            one.stop()
        alone = database.alone(seconds, RENEWAL, RECORDS)
    rate, slow = (median_of(one) for one in zip(*rounds))
    table.add(f"renewals/s on PostgreSQL, {REPLICAS} replicas", f"{rate:,.0f}",
              f"{alone:,.0f} the same transactions alone", f"{rate / alone:.2f}", "reported")
    table.add(f"p99 of a renewal on PostgreSQL, {REPLICAS} × {CONNECTIONS} connections", f"{slow:.2f} ms", "", "",
              "reported")


def copied(data, count):
    """Fills a store, whose service is stopped, with copies of its one grant under other names and subjects."""
    with contextlib.closing(sqlite3.connect(data / "keywright.db")) as store, store:
        store.execute("""INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final,
            subject, client, kept_until)
            WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?)
            SELECT kind, owner, printf('%032x', number), 1, token, document, sealed, NULL, 0, 'user-' || number, client,
            kept_until FROM numbers, (SELECT * FROM records WHERE kind = 'grant' LIMIT 1)""", (count,))


def left(data):
    """How many grants there are that may be deleted."""
    with contextlib.closing(sqlite3.connect(f"file:{data / 'keywright.db'}?mode=ro", uri=True)) as store:
        return store.execute("SELECT count(*) FROM records WHERE kind = 'grant' AND kept_until = 1").fetchone()[0]


def many(table, seconds, count):
    with tempfile.TemporaryDirectory() as folder:
        one = service(folder, count)
        opened(one, 1)
        time.sleep(1)
        memory = one.resident_megabytes()
        one.stop()
        copied(one.data, count)
        one.start()
        table.add(f"start to ready, {count:,} live grants", f"{one.start_seconds * 1000:.0f} ms", "", "", "reported")
        # They are counted each minute, and with the first that is opened.
        rate, slow = renewals(one, seconds)
        time.sleep(65)
        table.add(f"resident memory, {count:,} live grants", f"{one.resident_megabytes():.1f} MB",
                  f"{memory:.1f} MB with one", "", "reported")
        table.add(f"renewals/s on SQLite, {count:,} live grants", f"{rate:,.0f}", "", "", "reported")
        table.add(f"p99 of a renewal on SQLite, {count:,} live grants", f"{slow:.2f} ms", "", "", "reported")
        sweeping(table, one, min(count, 100_000), slow)
        one.stop()


def sweeping(table, one, count, slow):
    """How long it takes to delete the records of ended grants, and what renewals notice of it."""
    one.stop()
    with contextlib.closing(sqlite3.connect(one.data / "keywright.db")) as store, store:
        store.execute("""UPDATE records SET kept_until = 1, client = NULL WHERE position IN
            (SELECT position FROM records WHERE kind = 'grant' LIMIT ?)""", (count,))
    one.start()
    swept = threading.Event()
    slowest = []

    def renew():
        while not swept.is_set():
            with renewing(one, 1) as load:
                slowest.append(outcome(load)[2])

    while left(one.data) == count:
        time.sleep(0.05)
    began = time.perf_counter()
    renewing_on = threading.Thread(target=renew)
    renewing_on.start()
    while left(one.data) > 0:
        time.sleep(0.1)
    took = time.perf_counter() - began
    swept.set()
    renewing_on.join()
    table.add(f"sweep of {count:,} ended grants, under load", f"{took:.1f} s", f"{count / took:,.0f} a second", "",
              "reported")
    table.add("p99 of a renewal during it", f"{median_of(slowest):.2f} ms", f"{slow:.2f} ms before",
              f"{median_of(slowest) / slow:.2f}", "reported")


def measure(table, seconds, count):
    on_sqlite(table, seconds)
    on_postgres(table, seconds)
    many(table, seconds, count)
