"""What a user can set is documented where they look."""

from __future__ import annotations

from pathlib import Path

import pytest

from geomill.config import Settings
from geomill.workflow.definitions import JOB_TYPES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_documented(field: str) -> None:
    reference = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert f"GEOMILL_{field.upper()}" in reference


@pytest.mark.parametrize("job_type", sorted(JOB_TYPES))
def test_every_job_type_is_documented(job_type: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    assert job_type in text
