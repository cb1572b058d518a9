"""The report says what lies in storage, and works in a browser without a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from evolution_api.run import EvolutionRun
from evolution_jobs.storage.store import CorruptError, Store
from evolution_operator.report.collect import collect
from evolution_operator.report.page import write_report

WIDTH, HEIGHT = 1280, 1000


@pytest.fixture
def page() -> Iterator[Page]:
    """Headless Chromium that must not reach out: any request other than for the file fails the test."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine; `make test` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda r: requests.append(r.url))
        page.on("pageerror", lambda e: errors.append(str(e)))
        yield page
        browser.close()
        assert errors == []
        assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_what_was_committed_is_collected(finished_run: tuple[EvolutionRun, Store]) -> None:
    data = collect(*finished_run)
    first = data.rounds[1]
    assert (first.proposed, len(first.asked), first.rejected["too_close"]) == (20, 12, 5)
    assert first.asked[3].steps == (2,)
    assert data.rounds[2].steps[0].step == 5
    assert first.labels().total() == 12


def test_a_run_that_has_only_begun_has_a_report(finished_run: tuple[EvolutionRun, Store], tmp_path: Path) -> None:
    run, store = finished_run
    store.delete("rounds")
    html = write_report(run, store, tmp_path / "report.html").read_text()
    assert "No question has been accepted yet" in html


def test_a_spoilt_part_is_refused_by_name(finished_run: tuple[EvolutionRun, Store], tmp_path: Path) -> None:
    run, store = finished_run
    store.write("rounds/0001/generate/part-00000.parquet", b"PAR1")
    with pytest.raises(CorruptError, match=r"part-00000\.parquet"):
        write_report(run, store, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_page_works_offline_in_a_browser(finished_run: tuple[EvolutionRun, Store], tmp_path: Path, page: Page) -> None:
    path = write_report(*finished_run, tmp_path / "report.html")
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text() == "demo"
    assert "vsi-bench" in page.locator("#benchmark").inner_text()
    for chart in ("scores", "outcomes", "difficulty", "frontier_by_kind", "confidence", "loss", "times"):
        drawn, section = page.locator(f"#chart-{chart} svg").first, page.locator("section", has=page.locator(f"#chart-{chart}"))
        assert drawn.bounding_box()["width"] <= section.bounding_box()["width"], f"{chart} leaves its section"  # type: ignore[index]
    assert page.locator("#kinds tbody tr").count() == 3
    assert page.locator("#list button").count() == 24
    page.select_option("#kind", "object_counting")
    page.select_option("#round", "2")
    assert page.locator("#found").inner_text() == "6 questions"
    page.locator("#list button").nth(1).click()
    detail = page.locator("#detail").inner_text()
    assert "count('chair')" in detail
    assert "<b>&</b>" in detail, "texts are shown as text"
    assert page.locator("#detail img").count() == 3
    assert page.evaluate("document.querySelector('#detail img').naturalWidth") == 64
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, "nothing is wider than the window"
