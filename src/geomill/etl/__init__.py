"""Handlers of every job type; kinds of source know nothing of one another."""
