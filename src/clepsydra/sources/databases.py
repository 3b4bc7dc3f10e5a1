"""Connections to databases that only read, and errors that say what is wrong, without passwords."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clepsydra.config import SqlConfig
from clepsydra.errors import SourceError

__all__ = ["find_table", "reading"]

_CREDENTIALS = ("url", "username", "password")
# What to install for a driver or dialect, where it is not called as it is in the URL.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "duckdb": "duckdb-engine",
    "snowflake": "snowflake-sqlalchemy",
    "bigquery": "sqlalchemy-bigquery",
    "redshift": "sqlalchemy-redshift",
    "clickhouse": "clickhouse-sqlalchemy",
}
# Options of a URL that may hold a secret have names with one of these.
_SECRETS = ("pass", "pwd", "secret", "token", "odbc_connect")
_NAMES_SHOWN = 50


@contextmanager
def reading(
    where: str, sql: SqlConfig, credentials: Mapping[str, Any] | None
) -> Iterator[sa.Connection]:
    """A connection with a transaction that sees one state of the database and writes nothing.

    So it is in PostgreSQL and SQLite; in other databases as much of it as their defaults give.

    Args:
        where: what errors begin with: the source.
        sql: its `url` names the database.
        credentials: `url`, which counts before that of `sql`; `username` and `password`.

    Raises:
        SourceError: there is no such database, driver or login; or the database reports an error
            while the connection is used.
    """
    url = _url(where, sql, credentials)
    engine = _engine(where, url)
    try:
        with _connect(where, engine) as connection:
            _only_read(connection)
            yield connection
    except (sa.exc.SQLAlchemyError, sqlite3.Warning) as error:
        raise SourceError(f"{where}: {_message(error, url)}") from None
    finally:
        engine.dispose()


def find_table(
    where: str, connection: sa.Connection, table: str
) -> tuple[sa.TableClause, list[str]]:
    """A table or view, and the columns of its primary key.

    Args:
        where: what errors begin with: the source and the table.
        connection: to the database.
        table: its name as it is in the database, after its schema and a dot if it needs one. A
            name may contain dots itself.

    Returns:
        The table with its columns in order, without types: values come as the driver gives them.

    Raises:
        SourceError: there is no such table.
    """
    inspector = sa.inspect(connection)
    dots = [place for place, letter in enumerate(table) if letter == "."]
    for schema, name in [(None, table), *((table[:dot], table[dot + 1 :]) for dot in dots)]:
        if name and schema != "" and inspector.has_table(name, schema=schema):
            with warnings.catch_warnings():
                # Types that SQLAlchemy does not know; they are not used.
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                columns = [column["name"] for column in inspector.get_columns(name, schema)]
                key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
            return sa.table(name, *map(sa.column, columns), schema=schema), list(key)
    raise SourceError(f"{where}: no such table; {_tables(inspector, table)}")


def _url(where: str, sql: SqlConfig, credentials: Mapping[str, Any] | None) -> sa.URL:
    given = {key: str(value) for key, value in (credentials or {}).items() if value is not None}
    if unknown := [key for key in given if key not in _CREDENTIALS]:
        raise SourceError(
            f"{where}: its credentials have {', '.join(map(repr, unknown))}; those of a database "
            f"are 'url', 'username' and 'password'"
        )
    text = given.pop("url", sql.url)
    if not text:
        raise SourceError(
            f"{where}: no database is named: give 'url' under 'sql', or in its credentials"
        )
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    # An '@' behind the first is the password's, and what comes before it no part of the host.
    if url is None or (url.password and "@" in f"{url.host}{url.database}"):
        # The text is not shown: it may be a password where another part was expected.
        raise SourceError(
            f"{where}: the 'url' of its database cannot be read: write dialect://host:port/name, "
            f"and 'username' and 'password' in its credentials"
        )
    return url.set(username=given.get("username"), password=given.get("password"))


def _engine(where: str, url: sa.URL) -> sa.Engine:
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except sa.exc.NoSuchModuleError:
        package = _PACKAGES.get(url.get_backend_name())
        hint = f"pip install '{package}'" if package else "correct it, or install its dialect"
        raise SourceError(
            f"{where}: SQLAlchemy knows no '{url.drivername}', the beginning of 'url': {hint}"
        ) from None
    except ImportError as error:
        driver = error.name or url.get_driver_name()
        raise SourceError(
            f"{where}: the driver of '{url.drivername}' is not installed ({error}): "
            f"pip install '{_PACKAGES.get(driver, driver)}'"
        ) from None
    except (sa.exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise SourceError(f"{where}: wrong 'url' {_shown(url)}: {_message(error, url)}") from None
    if engine.dialect.is_async:
        raise SourceError(
            f"{where}: the driver of '{url.drivername}' is asynchronous: name another, such as "
            f"postgresql+psycopg, or none"
        )
    return engine


def _connect(where: str, engine: sa.Engine) -> sa.Connection:
    url = engine.url
    file = url.database or ":memory:"
    is_file = engine.dialect.name == "sqlite" and not file.startswith((":memory:", "file:"))
    if is_file and not Path(file).is_file():
        # SQLite would make it.
        raise SourceError(f"{where}: there is no database file '{file}'; correct 'url'")
    try:
        return engine.connect()
    except (sa.exc.SQLAlchemyError, OSError, TypeError, ValueError) as error:
        raise SourceError(
            f"{where}: cannot connect to {_shown(url)}: {_message(error, url)}"
        ) from None


def _only_read(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")


def _shown(url: sa.URL) -> str:
    """The URL without its password, and without options, which may hold another."""
    return f"'{url.set(query={}).render_as_string(hide_password=True)}'"


def _message(error: Exception, url: sa.URL) -> str:
    """What the database says, on one line, without the statement and the secrets of the URL."""
    cause = getattr(error, "orig", None) or error
    lines = [" ".join(line.split()) for line in str(cause).splitlines()]
    text = " ".join(line for line in lines if line not in ("", "^") and line[:5] != "LINE ")
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text


def _secrets(url: sa.URL) -> list[str]:
    found = [str(url.password)] if url.password else []
    for key, values in url.normalized_query.items():
        if any(mark in key.lower() for mark in _SECRETS):
            found += values
    return sorted(filter(None, found), key=len, reverse=True)


def _tables(inspector: sa.Inspector, table: str) -> str:
    """What there is instead: the tables of the schema that was named, or of the default one."""
    schemas = inspector.get_schema_names()
    named = table.rpartition(".")[0]
    schema = named if named in schemas else None
    names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    if inspector.dialect.name == "postgresql":
        names += inspector.get_materialized_view_names(schema)
    names = sorted(f"{schema}.{name}" if schema else name for name in names)
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN])) or "none"
    if len(names) > _NAMES_SHOWN:
        shown += f" and {len(names) - _NAMES_SHOWN} more"
    if len(schemas) > 1:
        shown += f"; its schemas: {', '.join(map(repr, schemas[:_NAMES_SHOWN]))}"
    return f"the database has: {shown}"
