"""Our answers about two of the reference's jobs, beside its recorded answers about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.example_jobs import BINNING, INTERSECT, ExampleJob, read_json
from tests.support.reference import reference_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECORDED = (f"{BINNING}.quantile_binning", f"{INTERSECT}.rsa_intersect")
#: Differ from run to run, or name things in our way.
VOLATILE = {
    "f_create_time",
    "f_update_time",
    "f_start_time",
    "f_end_time",
    "f_elapsed",
    "f_run_ip",
    "f_run_pid",
    "f_table_name",
    # Uploaded with 4 partitions for one of the recordings.
    "f_partition",
    "table_name",
}
#: Ours only, beside what was recorded.
ADDED = {"f_error", "f_message", "f_attempt", "f_task_progress", "total"}


class Recording:
    """Answers about a recorded job, beside the answers about ours."""

    def __init__(self, job: ExampleJob, name: str) -> None:
        self.job = job
        self.folder = reference_path("golden-1.4", name)
        self.recorded_id = read_json(self.folder / "query_job.json")["data"][0]["f_job_id"]

    def plain(self, value: Any) -> Any:
        """Without what differs by nature; the job's id replaced."""
        if isinstance(value, dict):
            return {
                key: self.plain(inner)
                for key, inner in value.items()
                if key not in VOLATILE | ADDED
            }
        if isinstance(value, list):
            return [self.plain(inner) for inner in value]
        if isinstance(value, str):
            return value.replace(self.recorded_id, "JOB").replace(self.job.job_id, "JOB")
        return value

    def check(self, found: Any, file: Path) -> None:
        ours, theirs = self.plain(found), self.plain(read_json(file))
        _assert_close(ours, theirs, file.name)

    def components(self) -> Iterator[tuple[Path, str, str, int]]:
        for folder in sorted(self.folder.glob("components/*/*")):
            role, _, party_id = folder.name.rpartition("_")
            yield folder, folder.parent.name, role, int(party_id)


def _assert_close(found: Any, expected: Any, path: str) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict), path
        assert set(found) == set(expected), path
        for key, value in expected.items():
            _assert_close(found[key], value, f"{path}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), path
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            _assert_close(found[index], value, f"{path}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6), path
    else:
        assert (type(found), found) == (type(expected), expected), path


@pytest.fixture(params=RECORDED)
def recording(request: pytest.FixtureRequest, feature_jobs: dict[str, ExampleJob]) -> Recording:
    job = feature_jobs[request.param]
    job.site.must_succeed(job.job_id, timeout=600)
    return Recording(job, request.param)


#: The reference's answer about this component's rows is an exception's text.
BROKEN = {("intersection_0", "guest", "output_data")}


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("metrics", "metrics"),
        ("metric_all", "metric/all"),
        ("output_model", "output/model"),
        ("output_data", "output/data"),
        ("output_data_table", "output/data/table"),
        ("parameters", "parameters"),
    ],
)
def test_components_answer_as_recorded(recording: Recording, file: str, what: str) -> None:
    compared = 0
    for folder, component, role, party_id in recording.components():
        path = folder / f"{file}.json"
        if path.exists() and (component, role, file) not in BROKEN:
            found = recording.job.component(what, component, role, party_id)
            recording.check(found, path)
            compared += 1
    assert compared


def test_downloads_are_as_recorded(recording: Recording, tmp_path: Path) -> None:
    compared = 0
    for folder, component, role, party_id in recording.components():
        if not (folder / "download").exists():
            continue
        paths = recording.job.site.client.download_output_data(
            recording.job.job_id, component, role, party_id, tmp_path / component
        )
        for path in paths:
            assert path.read_text() == (folder / "download" / path.name).read_text()
            compared += 1
    assert compared


def test_the_job_looks_as_recorded(recording: Recording) -> None:
    job, folder = recording.job, recording.folder
    recording.check(job.post("job/query"), folder / "query_job.json")
    recording.check(job.post("job/task/query"), folder / "query_task.json")
    recording.check(job.post("job/data/view/query"), folder / "job_data_view_query.json")
    for role, ids in job.conf["role"].items():
        for party_id in ids:
            body = {"role": role, "party_id": str(party_id)}
            for path, file in (
                ("job/config", "job_config"),
                ("pipeline/dag/dependency", "dag_dependency"),
                ("tracking/job/data_view", "tracking_job_data_view"),
            ):
                recording.check(job.post(path, **body), folder / f"{file}_{role}_{party_id}.json")
