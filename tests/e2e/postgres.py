"""A PostgreSQL server for tests: its own data, port and password, gone when they end."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

_HOST = "127.0.0.1"
_USER = "tester"
_DEBIAN = Path("/usr/lib/postgresql")
_SECONDS = 300


@dataclass
class PostgresServer:
    """A server that runs; it asks for a password by SCRAM."""

    port: int
    password: str = field(repr=False)
    username: str = _USER
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def url(self, database: str = "postgres") -> sa.URL:
        """Of a database, with the password."""
        return sa.URL.create(
            "postgresql+psycopg", self.username, self.password, _HOST, self.port, database
        )

    def new_database(self) -> sa.URL:
        """An empty database, in UTF-8."""
        name = f"test_{next(self._numbers)}"
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url(name)


@contextlib.contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own; stop it and delete the folder at the end.

    The programs are those on PATH or in Debian's folders; root installs Debian's package if there
    are none. PostgreSQL does not run as root: root starts it as `postgres`, or `nobody`.
    """
    programs = _programs()
    owner = _owner()
    # Not in pytest's folder, which only its own user may enter; the socket's path is short, too.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        password_file, data = folder / "password", folder / "data"
        server = PostgresServer(_free_port(), secrets.token_urlsafe(24))
        password_file.touch(mode=0o600)
        password_file.write_text(server.password + "\n", encoding="utf-8")
        if owner:
            for path in (folder, password_file):
                os.chown(path, owner["user"], owner["group"])
        _run(
            f"{programs}/initdb --pgdata {data} --username {server.username} "
            f"--pwfile {password_file} --auth scram-sha-256 "
            f"--encoding UTF8 --locale C.UTF-8 --no-sync",
            folder,
            owner,
        )
        control = f"{programs}/pg_ctl --pgdata {data} --wait --timeout 60"
        options = f"-h {_HOST} -p {server.port} -k {folder} -c fsync=off"
        _run(f"{control} --log {folder}/log --options '{options}' start", folder, owner)
        try:
            yield server
        finally:
            _run(f"{control} --mode immediate stop", folder, owner)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of a session."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_connection(postgres: PostgresServer) -> Iterator[sa.Connection]:
    """To a database that the tests share; what is executed is committed."""
    engine = sa.create_engine(
        postgres.new_database(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def database(postgres_connection: sa.Connection) -> sa.Connection:
    """The shared database, emptied, with its settings as they were."""
    inspector = sa.inspect(postgres_connection)
    schemas = [schema for schema in inspector.get_schema_names() if schema != "information_schema"]
    execute(
        postgres_connection,
        *(f'DROP SCHEMA "{schema}" CASCADE' for schema in schemas),
        "CREATE SCHEMA public",
        f"ALTER DATABASE {postgres_connection.engine.url.database} RESET ALL",
    )
    return postgres_connection


def execute(database: sa.Connection, *statements: str) -> None:
    """Execute statements, in which `%%` stands for `%`."""
    for statement in statements:
        database.exec_driver_sql(statement)


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; Debian's package is installed if there is none."""
    found = _find_programs()
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"]
        for command in (["apt-get", "update"], install):
            subprocess.run(command, env=environment, check=True, timeout=_SECONDS)
        found = _find_programs()
    assert found, "no initdb and pg_ctl on PATH or in /usr/lib/postgresql: install PostgreSQL"
    return found


def _find_programs() -> Path | None:
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    both = ("initdb", "pg_ctl")
    return next((f for f in folders if all((f / program).exists() for program in both)), None)


def _owner() -> dict[str, Any]:
    """Who runs the server, for `subprocess`: this user, but not root."""
    if os.geteuid() != 0:
        return {}
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return int(free.getsockname()[1])


def _run(command: str, folder: Path, owner: dict[str, Any]) -> None:
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        **owner,
    )
    logs = [done.stdout, done.stderr, *(log.read_text("utf-8") for log in folder.glob("log"))]
    assert done.returncode == 0, "\n".join(logs)[-3000:]
