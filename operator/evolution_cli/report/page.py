"""Writes the report of a run: one HTML file, everything in it, so that it opens offline and can be mailed."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from PIL.Image import Image
from plotly.offline import get_plotlyjs

from evolution_api.run.resource import EvolutionRun
from evolution_api.run.scenes import Scenes
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import ScenePlan
from evolution_cli.report import figures
from evolution_cli.report.collect import Asked, RunData, collect
from evolution_jobs.scenes.library import SceneError, SceneLibrary, reduce
from evolution_storage.store import Store

MOST_QUESTIONS = 4000
"""Questions in the browser; a larger run shows an even sample of them and says so."""
MOST_SCENES = 120
"""Scenes whose frames are shown."""
THUMBNAIL_PX = 160
"""Longest side of a frame in the browser."""
FRAMES_SHOWN = 8
SCENES_AT_ONCE = 8
"""Scenes whose frames are read side by side, from storage that may be far away."""


def write_report(run: EvolutionRun, store: Store, path: Path) -> Path:
    """Write the report of `run` from what lies in its `store` to `path`; raises CorruptError where that is spoilt."""
    data = collect(run, store)
    template = resources.files(__package__).joinpath("template.html").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["words"] = figures.words
    environment.filters["points"] = lambda x: f"{100 * x:+.1f}"
    environment.filters["percent"] = lambda x: f"{100 * x:.1f}"
    asked, total = _sample(data)
    charts = {name: figure for name in CHARTS if (figure := getattr(figures, name)(data)) is not None}
    html = environment.from_string(template).render(
        run=run,
        data=data,
        headline=_headline(data),
        kinds=_kind_table(data),
        charts=charts.keys(),
        figures="{" + ",".join(f'"{name}":{_safe(figure.to_json())}' for name, figure in charts.items()) + "}",
        shown=len(asked),
        total=total,
        plotly=get_plotlyjs(),
        script=resources.files(__package__).joinpath("browser.js").read_text(),
        style=resources.files(__package__).joinpath("style.css").read_text(),
        questions=_embed([_row(number, a) for number, a in asked]),
        frames=_embed(_frames(data.plan, asked, run.spec) if data.plan else {}),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(html)
    partial.replace(path)
    return path


CHARTS = ("scores", "outcomes", "difficulty", "frontier_by_kind", "confidence", "loss", "times")


def _headline(data: RunData) -> dict[str, Any]:
    """First and last evaluation, and what changed between them."""
    evaluated = [r for r in data.rounds if r.figures]
    headline: dict[str, Any] = {"accepted": sum(len(r.asked) for r in data.rounds), "first": None, "last": None}
    if evaluated:
        first, last = evaluated[0], evaluated[-1]
        headline |= {"first": first, "last": last}
    headline["seconds"] = sum(sum(r.seconds.values()) for r in data.run.status.rounds)
    return headline


def _kind_table(data: RunData) -> list[dict[str, Any]]:
    evaluated = [r.figures for r in data.rounds if r.figures]
    if not evaluated:
        return []
    first, last = evaluated[0], evaluated[-1]

    def row(name: str, part: str) -> dict[str, Any]:
        gain = last.of(part).get("gain")
        direction = "" if gain is None else "up" if gain.low > 0 else "down" if gain.high < 0 else ""
        return {"name": name, "first": first.of(part), "last": last.of(part), "direction": direction}

    return [*(row(kind, kind) for kind in sorted(last.parts)), row("macro average", "")]


def _sample(data: RunData) -> tuple[list[tuple[int, Asked]], int]:
    """Every n-th question, so that all rounds and scenes stay in proportion, and how many there are."""
    everything = [(r.round, a) for r in data.rounds for a in r.asked]
    stride = max(1, -(-len(everything) // MOST_QUESTIONS))
    return everything[::stride], len(everything)


def _row(number: int, asked: Asked) -> dict[str, Any]:
    q, p = asked.question, asked.probe
    return {
        "id": q.id,
        "round": number,
        "scene": q.scene,
        "kind": q.kind,
        "text": q.text,
        "options": q.options,
        "unit": q.unit,
        "answer": q.answer,
        "program": q.program,
        "level": q.level,
        "proposer": q.proposer,
        "p": round(p.confidence, 4) if p else None,
        "elsewhere": round(p.confidence_elsewhere, 4) if p and p.confidence_elsewhere is not None else None,
        "label": p.label if p else None,
        "steps": asked.steps,
    }


Thumbnail = tuple[int, str]
"""Number of a frame as questions count them, from 1 among those that the solver sees, and the frame as a small data URL."""


def _frames(plan: ScenePlan, asked: list[tuple[int, Asked]], spec: EvolutionRunSpec) -> dict[str, list[Thumbnail]]:
    """Scene id -> frames that the solver sees of it; a scene whose frames cannot be read has none."""
    library = SceneLibrary(plan.root_uri, spec.storage.endpoint)
    wanted = sorted({a.question.scene for _, a in asked})
    shown = wanted[:MOST_SCENES]
    with ThreadPoolExecutor(SCENES_AT_ONCE) as readers:
        return dict(zip(shown, readers.map(lambda scene_id: _thumbnails(library, spec.scenes, scene_id), shown), strict=True))


def _thumbnails(library: SceneLibrary, scenes: Scenes, scene_id: str) -> list[Thumbnail]:
    try:
        seen = reduce(library.scene(scene_id), scenes.frames_per_scene, scenes.frame_sampling).frames
        numbers = range(1, len(seen) + 1, max(1, -(-len(seen) // FRAMES_SHOWN)))
        return [(number, _data_url(library.image(scene_id, seen[number - 1]))) for number in numbers]
    except (SceneError, OSError):  # the report must open even where a scene was moved since
        return []


def _data_url(image: Image) -> str:
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    sink = io.BytesIO()
    image.save(sink, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(sink.getvalue()).decode()


def _embed(value: Any) -> str:
    return _safe(json.dumps(value, separators=(",", ":")))


def _safe(text: str) -> str:
    """JSON that may stand in a script element: no text in it can end the element, or open a comment or a script there."""
    return text.replace("<", "\\u003c")
