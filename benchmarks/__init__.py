"""Benchmarks against peers on this machine; outside the default test run."""
