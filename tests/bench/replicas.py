"""Revocations a second on PostgreSQL with three replicas, beside what the database does alone."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from machine import Service

REPLICAS, CALLERS = 3, 24
ISSUER = "/v1/issuers/revoked"

# What a revocation writes: it is opened, and closed, each with an event at the end of the log.
COMMIT = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SELECT sequence, hash, (SELECT coalesce(max(sequence), 0) FROM events) FROM audit_head WHERE singleton = 1 FOR UPDATE;
{record}
INSERT INTO events (sequence, at, issuer, document, hash, batch)
    SELECT sequence + 1, 0, 'revoked', repeat('x', 400), hash, hash FROM audit_head;
UPDATE audit_head SET sequence = sequence + 1 WHERE singleton = 1;
SELECT pg_notify('keywright', '1');
COMMIT;
"""
REVOCATION = "\\set number random(1, 1000000000)\n{opened}{closed}"
OPENED = """INSERT INTO records (kind, owner, id, version, token, document, is_final)
    VALUES ('revocation', 'revoked', 'alone-' || :number, 1, '\\x00', repeat('x', 450), false);"""
CLOSED = """UPDATE records SET document = repeat('y', 500), version = version + 1 WHERE kind = 'revocation'
    AND owner = 'revoked' AND id = 'alone-' || :number;"""


class Database:
    """A PostgreSQL server in a folder of its own. It does not run as root."""

    def __init__(self, folder):
        self.programs = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))), None)
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=keywright", "-D", self.data)
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "--wait", "-D", self.data, "-l", self.folder / "log", "-o", options, "start")
        self.command("CREATE DATABASE keywright")
        self.url = f"postgres://keywright@127.0.0.1:{self.port}/keywright?sslmode=disable"

    def run(self, program, *arguments):
        command = [self.programs / program, *map(str, arguments)]
        user = self.user if os.getuid() == 0 else None
        done = subprocess.run(command, user=user, group=user, cwd="/", stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
                              stderr=subprocess.STDOUT if program != "pg_ctl" else subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}")
        return done.stdout

    def connection(self, database):
        return ["-h", "127.0.0.1", "-p", self.port, "-U", "keywright", database]

    def command(self, statement):
        self.run("psql", "-q", "-c", statement, *self.connection("postgres"))

    def alone(self, seconds, statements, records=None):
        """How often a second it runs these statements when nothing but it is measured, after `records`."""
        self.command("CREATE DATABASE alone TEMPLATE keywright")
        if records:
            self.run("psql", "-q", "-c", records, *self.connection("alone"))
        script = self.folder / "commit.sql"
        script.write_text(statements)
        script.chmod(0o644)
        told = self.run("pgbench", "-n", "-M", "extended", "-f", script, "-c", CALLERS, "-T", seconds,
                        *self.connection("alone"))
        return float(re.search(r"tps = ([\d.]+)", told).group(1))

    def stop(self):
        self.run("pg_ctl", "--wait", "-m", "immediate", "-D", self.data, "stop")


def fleet(database, folder, settings=None):
    """Services that share a database, each in a new folder."""
    services = []
    for _ in range(REPLICAS):
        data = pathlib.Path(folder())
        if services:
            (data / "keys").mkdir(mode=0o700)
            for name in ("master.key", "admin.token"):
                shutil.copy(services[0].data / name, data / "keys" / name)
        services.append(Service(data, {"STORE__URL": database.url, **(settings or {})}))
    return services


def revoke(services, seconds, batch):
    """How many a second all callers together are told of, each of one replica."""
    told, until = [0] * CALLERS, time.perf_counter() + seconds

    def call(caller):
        service, number = services[caller % REPLICAS], 0
        while time.perf_counter() < until:
            revocations = [{"subject": f"user-{batch}-{caller}-{number}-{one}"} for one in range(batch)]
            if batch == 1:
                service.call("POST", f"{ISSUER}/revocations", revocations[0])
            else:
                service.call("POST", f"{ISSUER}/revocations/batch", {"revocations": revocations})
            told[caller] += batch
            number += 1

    began = time.perf_counter()
    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS if batch == 1 else REPLICAS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(told) / (time.perf_counter() - began)


def measure(table, seconds):
    with contextlib.ExitStack() as stack:
        folder = lambda: stack.enter_context(tempfile.TemporaryDirectory())
        database = Database(folder())
        stack.callback(database.stop)
        services = fleet(database, folder)
        # Before the store has run for a lease nothing is closed soon: it may have been another's before.
        services[0].call("PUT", ISSUER, {"url": f"{services[0].public}/revoked"})
        time.sleep(40)
        single, batches = revoke(services, seconds, 1), revoke(services, seconds, 100)
        for service in services:
            service.stop()
        time.sleep(1)
        commits = REVOCATION.format(opened=COMMIT.format(record=OPENED), closed=COMMIT.format(record=CLOSED))
        alone = database.alone(seconds, commits)
    table.add(f"revocations/s on PostgreSQL, {REPLICAS} replicas, single requests", f"{single:,.0f}",
              f"{alone:,.0f} the same transactions alone", f"{single / alone:.2f}", "reported")
    table.add(f"revocations/s on PostgreSQL, {REPLICAS} replicas, batches of 100", f"{batches:,.0f}",
              f"{alone:,.0f} the same transactions alone", f"{batches / alone:.2f}", "reported")
