"""The command line: ``geomill up``, ``submit``, ``status``, ``schema``, ``doctor``."""

from geomill.cli.app import main

__all__ = ["main"]
