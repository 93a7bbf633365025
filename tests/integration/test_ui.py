"""The FATE metrics page in a real browser, against a real server with made-up jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from fate_flow.db.models import Job, JobDetail, Task, TaskDetail
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope
from tests.support.browser import Browser, served
from tests.support.metrics_page import DSL, JOB, fill, open_tab, page_of, pick, text_of, titles_of
from tests.support.site import CONF, MODEL_ID, Site, add_job

pytestmark = pytest.mark.slow
EVIL = "<img src=x onerror='window.broken=1'>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


@pytest.fixture
def server(site: Site) -> Iterator[str]:
    """Address of a server that has the app under /v1, and a page that frames it as Airflow does."""
    outer = FastAPI()
    outer.mount("/v1", site.app)

    @outer.get("/favicon.ico")
    def icon() -> HTMLResponse:
        return HTMLResponse("")

    @outer.get("/around/{path:path}")
    def around(path: str) -> HTMLResponse:
        sandbox = "allow-scripts allow-same-origin allow-forms allow-downloads"
        frame = f'<iframe sandbox="{sandbox}" src="/{path}" width="1200" height="800"></iframe>'
        return HTMLResponse(f"<!doctype html><html class='dark'><body>{frame}</body></html>")

    with served(outer) as address:
        yield address


_DRAWN = "return document.querySelectorAll('.chart canvas').length >= arguments[0]"


def test_a_finished_job(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.resize(1280)
    browser.open(server + page_of())
    browser.until(_DRAWN, 6)
    text = text_of(browser)
    assert JOB in text
    assert MODEL_ID in text
    titles = titles_of(browser)
    assert titles[0] == "Evaluation"
    assert {"ROC", "KS", "Lift", "Gain", "Accuracy", "Precision and recall"} <= set(titles)
    description = browser.run("return document.querySelector('.chart').getAttribute('aria-label')")
    assert description.startswith("ROC, true positive rate over false positive rate. train:")
    pick(browser, "lr_0")
    browser.until(_DRAWN, 1)
    assert titles_of(browser) == ["Loss"]
    open_tab(browser, "model")
    browser.until("return document.body.innerText.includes('intercept')")
    browser.until(_DRAWN, 1)
    cells = browser.run(
        "return [...document.querySelectorAll('.detail tbody tr')].map((r) => r.innerText)"
    )
    assert cells[:2] == ["x0\t1", "x1\t-0.5"]
    assert browser.complaints() == []


def test_output_data_and_download(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.open(f"{server}{page_of()}#lr_0%2Fguest%209999%2Fdata")
    browser.until("return document.querySelectorAll('.detail tbody tr').length === 100")
    assert "The first 100 of 150 rows, 14 columns" in text_of(browser)
    status = browser.until(
        "const link = document.querySelector('a[download]');"
        " const call = new XMLHttpRequest(); call.open('GET', link.href, false); call.send();"
        " return `${call.status} ${call.getResponseHeader('content-disposition')}`"
    )
    assert status == (f"200 attachment; filename=job_{JOB}_lr_0_guest_9999_output_data.tar.gz")
    open_tab(browser, "parameters")
    browser.until("return document.body.innerText.includes('no longer stored here')")
    assert browser.complaints() == []


def test_bins_of_300_features(site: Site, server: str, browser: Browser) -> None:
    fill(site, features=300)
    browser.resize(800)
    browser.open(server + page_of())
    pick(browser, "binning_0")
    browser.until("return document.querySelectorAll('.feature-list li').length === 300")
    browser.until(_DRAWN, 1)
    browser.run(
        "const field = document.querySelector('.filter'); field.value = 'X29';"
        " field.dispatchEvent(new Event('input'))"
    )
    assert browser.run("return document.querySelectorAll('.feature-list li').length") == 11
    browser.run("document.querySelector('.feature-list button').click()")
    assert browser.run("return document.querySelector('.feature-detail dd').textContent") == "x29"
    rows = browser.run(
        "return [...document.querySelectorAll('.feature-detail tbody tr')].map((r) => r.innerText)"
    )
    assert rows[0].startswith("≤ 0.5\t30\t20\t75.00 %\t33.00 %")
    for width in (800, 1600):
        browser.resize(width)
        for component in ("binning_0", "lr_0", "evaluation_0"):
            pick(browser, component)
            wide = (
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert browser.run(wide) == 0, (width, component)
    assert browser.complaints() == []


def test_a_running_job_is_followed_to_its_end(site: Site, server: str, browser: Browser) -> None:
    fill(site, status="running")
    guest = TaskScope(JOB, "lr_0", "guest", "9999")
    with site.session() as session:
        row = session.get(Task, (JOB, f"{JOB}_lr_0", "guest", "9999"))
        assert row is not None
        row.f_status, row.f_end_time = "running", None
        session.add(
            TaskDetail(
                job_id=JOB,
                component_name="lr_0",
                role="guest",
                party_id="9999",
                progress=0.5,
                waiting_for="waiting for host 10000, 42 s",
            )
        )
    browser.resize(1280)
    browser.open(server + page_of())
    browser.until("return document.querySelector('.detail h2')?.textContent === 'lr_0'")
    browser.until("return document.body.innerText.includes('waiting for host 10000, 42 s')")
    label = "return document.querySelector('.chart')?.getAttribute('aria-label')"
    assert "5 points" in browser.until(label)
    with site.session() as session:
        tracking.add_metrics(session, guest, "train", "loss", [(5, 0.01)])
    browser.until(f"{label}.includes('6 points, last 0.01 at 5')")
    with site.session() as session:
        for row in session.query(Task):
            row.f_status = "success"
        for job in session.query(Job):
            job.f_status, job.f_progress = "success", 100
    browser.until("return document.querySelector('.job-head .badge').textContent === 'success'")
    browser.until("return document.querySelector('.detail h2').textContent === 'evaluation_0'")
    calls = "return performance.getEntriesByType('resource').length"
    before = browser.run(calls)
    time.sleep(2.5)
    assert browser.run(calls) == before, "polling ends with the job"
    assert browser.complaints() == []


def test_a_failed_job(site: Site, server: str, browser: Browser) -> None:
    fill(site, status="failed")
    with site.session() as session:
        detail = session.get(JobDetail, JOB)
        assert detail is not None
        detail.reason = "no id in common"
        detail.failed_component, detail.failed_role = "binning_0", "host"
        detail.failed_party_id = "10000"
        row = session.get(Task, (JOB, f"{JOB}_binning_0", "host", "10000"))
        assert row is not None
        row.f_status = "failed"
    browser.open(server + page_of())
    alert = browser.until("return document.querySelector('[role=alert]')?.innerText")
    assert alert.split("\n\n") == ["Failed: binning_0 at host 10000", "no id in common"]
    chosen = "return document.querySelector('.detail h2')?.textContent"
    assert browser.until(chosen) == "binning_0"
    pressed = "return document.querySelector('.detail [aria-pressed=true]').innerText"
    assert browser.run(pressed) == "host 10000"


def test_data_never_becomes_markup(site: Site, server: str, browser: Browser) -> None:
    fill(site, status="failed", odd=EVIL)
    conf = json.loads(json.dumps(CONF))
    with site.session() as session:
        detail = session.get(JobDetail, JOB)
        assert detail is not None
        detail.reason = EVIL
        for job in session.query(Job):
            job.f_description = EVIL
            conf["job_parameters"]["model_id"] = MODEL_ID
            conf["job_parameters"]["model_version"] = JOB
            conf["initiator"]["role"] = EVIL
            job.f_runtime_conf = json.dumps(conf)
    browser.open(server + page_of())
    browser.until(_DRAWN, 1)
    assert EVIL in text_of(browser)
    for component in DSL["components"]:
        pick(browser, component)
        for tab in ("metrics", "model", "data", "parameters"):
            open_tab(browser, tab)
            time.sleep(0.1)
    browser.open(f"{server}/v1/ui/")
    browser.until("return document.querySelectorAll('tbody tr').length === 1")
    assert EVIL in text_of(browser)
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return window.broken") is None
    assert browser.complaints() == []


def test_light_and_dark_follow_the_page_around(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.open(f"{server}/around{page_of()}")
    inside = "document.querySelector('iframe').contentDocument"
    theme = f"{inside}?.documentElement.dataset.theme"
    browser.until(f"return {theme} === 'dark'")
    browser.until(f"return Boolean({inside}.querySelector('.job-head h1'))")
    colour = f"return getComputedStyle({inside}.querySelector('.job-head')).backgroundColor"
    dark = browser.run(colour)
    browser.run("document.documentElement.className = 'light'")
    browser.until(f"return {theme} === 'light'")
    assert browser.run(colour) != dark


def test_a_link_into_airflow_leaves_the_frame(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.open(f"{server}/around{page_of()}")
    link = "document.querySelector('iframe').contentDocument.querySelector('[data-key=log]')"
    browser.until(f"return Boolean({link})")
    browser.run(f"{link}.click()")
    wanted = f"{server}/dags/fate_flow_{JOB}/runs/{JOB}/tasks/evaluation_0.guest_9999"
    browser.until("return location.href === arguments[0]", wanted)
    browser.complaints()  # that address is Airflow's, which is not here


def test_by_keyboard(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.open(server + page_of())
    browser.until("return document.querySelector('[role=tab]')")
    browser.run("document.querySelector('[data-component=lr_0]').focus()")
    browser.key("Tab")
    browser.key("Tab")
    browser.key("Enter")
    browser.until("return document.querySelector('.detail h2').textContent === 'lr_0'")
    pressed = "return document.querySelector('.detail [aria-pressed=true]')?.innerText"
    browser.until(f"{pressed} === 'host 10000'")
    browser.until("return document.querySelector('[role=tab]')")
    browser.run("document.getElementById('tab-metrics').focus()")
    browser.key("ArrowRight")
    browser.until("return document.activeElement.id === 'tab-model'")
    assert browser.run("return document.activeElement.getAttribute('aria-selected')") == "true"


def test_the_address_keeps_the_choice(site: Site, server: str, browser: Browser) -> None:
    fill(site)
    browser.open(server + page_of())
    pick(browser, "lr_0")
    open_tab(browser, "model")
    address = browser.run("return location.href")
    browser.open("about:blank")
    browser.open(address)
    browser.until("return document.querySelector('.detail h2')?.textContent === 'lr_0'")
    browser.until("return document.querySelector('#tab-model')?.ariaSelected === 'true'")


def test_the_list_of_jobs(site: Site, server: str, browser: Browser) -> None:
    browser.open(f"{server}/v1/ui/")
    browser.until("return document.body.innerText.includes('No job was submitted yet')")
    ids = [f"202601011200000000{i:04d}" for i in range(60)]
    with site.session() as session:
        for created, job_id in enumerate(ids):
            add_job(session, job_id, dsl=DSL)
            for row in tracking.query_jobs(session, {"job_id": job_id}):
                row.f_create_time = created + 1
    browser.open(f"{server}/v1/ui/")
    browser.until("return document.querySelectorAll('tbody tr').length === 50")
    browser.run("document.querySelector('[data-key=older]').click()")
    browser.until("return document.querySelectorAll('tbody tr').length === 10")
    browser.run("document.querySelector('tbody a').click()")
    browser.until(
        "return document.querySelector('h1')?.innerText === `Job ${arguments[0]}`", ids[9]
    )


def test_runs_that_are_no_jobs(site: Site, server: str, browser: Browser, tmp_path: Path) -> None:
    browser.open(f"{server}/v1/ui/run/my_dag/manual__2026-01-01T00:00:00+00:00")
    assert "This run is not a federated job" in text_of(browser)
    browser.run("document.querySelector('a.button').click()")
    browser.until("return location.pathname === '/v1/ui/'")
    browser.open(server + page_of("1"))
    browser.until("return document.body.innerText.includes('can not found job: 1')")
    assert browser.complaints() == []
