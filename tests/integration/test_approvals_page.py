"""The page of approvals in a real browser: what it shows, and that its buttons do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from fate_flow.db.models import JobDetail
from tests.support.browser import Browser, served
from tests.support.site import JOB_ID, Site
from tests.unit.api.test_approval_routes import site
from tests.unit.conftest import airflow_template

__all__ = ["airflow_template", "site"]  # fixtures: a site where a job of another one waits
pytestmark = pytest.mark.slow


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    made = Browser(tmp_path / "browser")
    yield made
    made.close()


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[str]:
    """Address of the page, open in the browser."""
    outer = FastAPI()
    outer.mount("/v1", site.app)
    with served(outer) as base:
        address = f"{base}/v1/ui/approvals"
        browser.open(address)
        browser.until("return document.querySelectorAll('section.request').length === 1")
        yield address


def _click(browser: Browser, name: str) -> None:
    browser.run("document.querySelector(`[data-key='${arguments[0]}']`).click()", name)


def _approval(site: Site) -> str:
    with site.session() as session:
        detail = session.get(JobDetail, JOB_ID)
        assert detail is not None
        return detail.approval


def test_approve(site: Site, browser: Browser, page: str) -> None:
    shown = str(browser.run("return document.body.innerText"))
    for text in (JOB_ID, "guest 9999 at the site bank-a", "host 10000", "Intersection", "n/h"):
        assert text in shown
    _click(browser, f"Approve-{JOB_ID}")
    browser.until("return document.body.innerText.includes('was approved')")
    browser.until("return document.body.innerText.includes('No job waits')")
    assert _approval(site) == "approved"
    complaints = [text for text in browser.complaints() if "favicon" not in text]
    assert complaints == []


def test_refuse_wants_a_reason(site: Site, browser: Browser, page: str) -> None:
    _click(browser, f"Refuse-{JOB_ID}")
    browser.until("return document.body.innerText.includes('Give a reason')")
    assert _approval(site) == "asked"
    browser.run(
        "const box = document.querySelector(`[data-key='reason-${arguments[0]}']`);"
        "box.value = 'no contract'; box.dispatchEvent(new Event('input'));",
        JOB_ID,
    )
    _click(browser, f"Refuse-{JOB_ID}")
    browser.until("return document.body.innerText.includes('was refused')")
    assert _approval(site) == "refused"
