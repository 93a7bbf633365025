"""The JSON Schemas, which also make forms."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fate_flow.dsl.schema import job_dsl_schema, job_runtime_conf_schema
from tests.unit.dsl import jobs


@pytest.mark.parametrize("schema", [job_dsl_schema(), job_runtime_conf_schema()])
def test_is_a_schema_with_titles(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert all("title" in part or "$ref" in part for part in schema["properties"].values())


def test_the_sample_job_is_valid() -> None:
    Draft202012Validator(job_dsl_schema()).validate(jobs.dsl())
    Draft202012Validator(job_runtime_conf_schema()).validate(jobs.conf())


def test_callers_cannot_change_the_schema_of_others() -> None:
    job_dsl_schema().clear()
    assert job_dsl_schema()
