"""Connections, the embedded cluster and the schemas."""
