"""Servers that the tests here share."""

from postgres import database, postgres, postgres_connection

__all__ = ["database", "postgres", "postgres_connection"]
