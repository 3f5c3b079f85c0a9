"""The HTTP API: one module per standard or audience."""
