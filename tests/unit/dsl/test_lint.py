"""Checking job files."""

from __future__ import annotations

import json
from pathlib import Path

from fate_flow.dsl.lint import lint, lint_files, mermaid
from fate_flow.dsl.parser import compile_plan
from tests.unit.dsl import jobs


def test_a_good_job() -> None:
    report = lint(jobs.dsl(), jobs.conf())
    assert report.ok
    text = report.text()
    assert "3. learn_0 (Learn)" in text
    assert "   train_data: sample_0.sampled" in text
    assert "   runs at: guest 9999, host 10000, host 10001, arbiter 10000" in text


def test_a_bad_job() -> None:
    conf = jobs.conf()
    conf["job_parameters"]["work_mode"] = 3
    report = lint(jobs.dsl(), conf)
    assert not report.ok
    assert report.text() == (
        "problem: job_runtime_conf.job_parameters.work_mode: found 3; allowed: 0, 1"
    )


def test_a_predict_conf() -> None:
    conf = jobs.conf()
    conf["job_parameters"].update(job_type="predict", model_id="m")
    report = lint(None, conf)
    assert [p.path for p in report.problems] == ["job_runtime_conf.job_parameters.model_version"]
    conf["job_parameters"]["model_version"] = "1"
    assert "predict job" in lint(None, conf).text()


def test_files(tmp_path: Path) -> None:
    dsl, conf = tmp_path / "dsl.json", tmp_path / "conf.json"
    dsl.write_text(json.dumps(jobs.dsl()))
    conf.write_text("\ufeff" + json.dumps(jobs.conf()), encoding="utf-8")
    assert lint_files(dsl, conf).ok
    conf.write_text('{"role": {"guest": [1]},\n "role": {}, }')
    problems = [str(p) for p in lint_files(dsl, conf).problems]
    assert len(problems) == 1
    assert "conf.json, line 2" in problems[0]
    conf.write_text('{"role": {"guest": [1]}, "role": {}}')
    assert "the key 'role' stands twice" in lint_files(dsl, conf).text()
    assert "cannot be read" in lint_files(tmp_path / "none.json", conf).text()


def test_mermaid() -> None:
    dsl = jobs.dsl()
    dsl["components"]["judge_0"]["input"]["isometric_model"] = ["learn_0.learned"]
    text = mermaid(compile_plan(dsl, jobs.conf()))
    assert text.splitlines() == [
        "flowchart TD",
        '    t0[("train_data")]',
        '    c0["read_0<br/>Read"]',
        '    c1["sample_0<br/>Sample"]',
        '    c2["learn_0<br/>Learn"]',
        '    c3["judge_0<br/>Judge"]',
        "    t0 -->|data| c0",
        "    c0 -->|data| c1",
        "    c1 -->|train_data| c2",
        "    c2 -->|data| c3",
        "    c2 -.->|isometric_model| c3",
    ]


def test_mermaid_shows_odd_keys_as_they_are() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["read_0"]["input"]["data"]["data"] = ['args.a"]<b>']
    for entries in conf["role_parameters"].values():
        entries["args"]["data"] = {'a"]<b>': entries["args"]["data"]["train_data"]}
    assert 't0[("a#34;#93;#60;b#62;")]' in mermaid(compile_plan(dsl, conf))
