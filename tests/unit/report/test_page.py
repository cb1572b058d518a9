"""The report says what lies in storage, and works in a browser without a network."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from plotly.offline import get_plotlyjs

from evolution_api.layout import SCENES_PREFIX, manifest_key
from evolution_api.question import Question
from evolution_api.run.resource import EvolutionRun
from evolution_api.scene import Frame, Scene
from evolution_cli.report.collect import collect, run_input
from evolution_cli.report.page import write_report
from evolution_storage.manifests import commit, committed
from evolution_storage.store import CorruptError, Store
from evolution_storage.tables import from_parquet, to_parquet

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


def embedded(html: str, name: str) -> Any:
    """The JSON that the page carries in its script element `name`."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_no_text_of_a_question_can_end_or_open_a_script(finished_run: tuple[EvolutionRun, Store], tmp_path: Path) -> None:
    """Inside a script element `<!--` and `<script` hide the end tag from the browser: all that follows would be swallowed."""
    run, store = finished_run
    hostile = "<!-- <script> </script><img src=x onerror=alert(1)>"
    generated = committed(store, "u-1", manifest_key(1, "generate", 0))
    assert generated is not None
    key = "rounds/0001/generate/part-00000.parquet"
    questions = [q.model_copy(update={"text": hostile}) for q in from_parquet(store.read(key), Question)]
    job = run_input(run).model_copy(update={"stage": "generate", "round": 1})
    commit(store, job, {key: to_parquet(questions, Question)}, generated.summary, shard=0)
    html = write_report(run, store, tmp_path / "report.html").read_text()
    assert "<!--" not in html.replace(get_plotlyjs(), "")
    assert "<img" not in html.replace(get_plotlyjs(), "")
    assert embedded(html, "questions")[0]["text"] == hostile


def test_frames_are_those_that_the_solver_sees_under_the_numbers_that_questions_use(
    finished_run: tuple[EvolutionRun, Store], tmp_path: Path
) -> None:
    run, store = finished_run
    image = store.read(f"{SCENES_PREFIX}/room-a/frames/0.png")
    frames = tuple(Frame(file=f"frames/{n}.png", time_s=n, width=64, height=64) for n in range(20))
    for frame in frames:
        store.write(f"{SCENES_PREFIX}/room-a/{frame.file}", image)
    scene = Scene(id="room-a", source="procedural", objects=(), frames=frames)
    store.write(f"{SCENES_PREFIX}/room-a/scene.json", scene.model_dump_json().encode())
    scenes = run.spec.scenes.model_copy(update={"frames_per_scene": 10})
    run = run.model_copy(update={"spec": run.spec.model_copy(update={"scenes": scenes})})
    shown = embedded(write_report(run, store, tmp_path / "report.html").read_text(), "frames")
    assert [number for number, _ in shown["room-a"]] == [1, 3, 5, 7, 9]
    assert [number for number, _ in shown["room-b"]] == [1, 2, 3]


def test_a_scene_whose_frames_lead_out_of_its_folder_shows_none(finished_run: tuple[EvolutionRun, Store], tmp_path: Path) -> None:
    run, store = finished_run
    frame = Frame(file="../room-b/frames/0.png", time_s=0, width=64, height=64)
    scene = Scene(id="room-a", source="procedural", objects=(), frames=(frame,))
    store.write(f"{SCENES_PREFIX}/room-a/scene.json", scene.model_dump_json().encode())
    shown = embedded(write_report(run, store, tmp_path / "report.html").read_text(), "frames")
    assert shown["room-a"] == []
    assert len(shown["room-b"]) == 3


def test_the_page_works_offline_in_a_browser(finished_run: tuple[EvolutionRun, Store], tmp_path: Path, page: Page) -> None:
    path = write_report(*finished_run, tmp_path / "report.html")
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text() == "demo"
    assert "vsi-bench" in page.locator("#benchmark").inner_text()
    for chart in ("scores", "outcomes", "difficulty", "frontier_by_kind", "confidence", "loss", "times"):
        drawn, section = page.locator(f"#chart-{chart} svg").first, page.locator("section", has=page.locator(f"#chart-{chart}"))
        assert drawn.bounding_box()["width"] <= section.bounding_box()["width"], f"{chart} leaves its section"  # type: ignore[index]
    assert page.locator("#kinds tbody tr").count() == 3
    gain = page.locator("#kinds tr.total td").last
    assert gain.evaluate("td => getComputedStyle(td).color") != page.evaluate("getComputedStyle(document.body).color"), (
        "a gain whose interval leaves out zero is coloured"
    )
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
