"""Frozen types shared by every layer above; no I/O."""
