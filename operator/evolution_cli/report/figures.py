"""The report's charts: RunData in, plotly figures out; nothing is read and nothing is written here."""

from collections import Counter

import plotly.graph_objects as go

from evolution_api.kinds import LABELS, REASONS, Label
from evolution_cli.report.collect import RunData

COLOURS: dict[Label, str] = {"easy": "#5aa79b", "frontier": "#e8a33d", "hard": "#8d6aa8"}
SCORE, SEEING, BLIND, ELSEWHERE = "#2563a8", "#c2410c", "#8a8f98", "#9db8d6"
STAGE_COLOURS = {"prepare": "#b8bec7", "generate": "#5aa79b", "probe": "#e8a33d", "train": "#2563a8", "evaluate": "#8d6aa8"}
REASON_COLOURS = ("#d98c5f", "#cfb06a", "#a3b18a", "#b5838d", "#8d99ae", "#c3a6d0")
CONFIDENCE_BINS = 20
MOST_REASONS = len(REASON_COLOURS)
"""Reasons shown by name in a round's bar; the rest is summed up as `other`."""


def scores(data: RunData) -> go.Figure | None:
    """Macro score, seeing score and blind baseline per round, with 95 % bootstrap intervals."""
    rounds = [r for r in data.rounds if r.figures]
    if not rounds:
        return None
    figure = go.Figure()
    for name, colour, dash in (("score", SCORE, "solid"), ("seeing", SEEING, "solid"), ("blind", BLIND, "dot")):
        values = [r.figures.of()[name] for r in rounds if r.figures]
        figure.add_scatter(
            x=[r.round for r in rounds],
            y=[v.mean for v in values],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [v.high - v.mean for v in values],
                "arrayminus": [v.mean - v.low for v in values],
                "thickness": 1.2,
                "width": 4,
            },
            mode="lines+markers",
            name={"score": "score", "seeing": "seeing score", "blind": "blind baseline"}[name],
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 8},
        )
    figure.update_xaxes(title="round (0 = base model)", dtick=1)
    figure.update_yaxes(title="held-out macro", rangemode="tozero")
    return _styled(figure, 360)


def outcomes(data: RunData) -> go.Figure | None:
    """Proposals per round: accepted, and rejected by reason."""
    rounds = [r for r in data.rounds if r.proposed]
    if not rounds:
        return None
    figure = go.Figure()
    names = [f"round {r.round}" for r in rounds]
    figure.add_bar(y=names, x=[len(r.asked) for r in rounds], name="accepted", orientation="h", marker_color=SCORE)
    total: Counter[str] = Counter()
    for r in rounds:
        total.update(r.rejected)
    shown = [reason for reason, _ in total.most_common(MOST_REASONS)]
    for reason, colour in zip(shown, REASON_COLOURS, strict=False):
        counts = [r.rejected[reason] for r in rounds]  # type: ignore[index]
        figure.add_bar(y=names, x=counts, name=words(reason), orientation="h", marker_color=colour)
    other = [sum(r.rejected[reason] for reason in REASONS if reason not in shown) for r in rounds]
    if any(other):
        figure.add_bar(y=names, x=other, name="other", orientation="h", marker_color="#d6d9de")
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="proposals")
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, 120 + 46 * len(rounds))


def difficulty(data: RunData) -> go.Figure | None:
    """Shares of easy, frontier and hard per round."""
    rounds = [r for r in data.rounds if r.labels()]
    if not rounds:
        return None
    figure = go.Figure()
    for label in LABELS:
        counts = [r.labels()[label] for r in rounds]
        totals = [r.labels().total() for r in rounds]
        figure.add_bar(
            x=[f"round {r.round}" for r in rounds],
            y=[100 * c / t for c, t in zip(counts, totals, strict=True)],
            customdata=counts,
            hovertemplate="%{customdata} questions, %{y:.0f} %<extra>" + label + "</extra>",
            name=label,
            marker_color=COLOURS[label],
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(title="% of questions", range=[0, 100])
    return _styled(figure, 320)


def frontier_by_kind(data: RunData) -> go.Figure | None:
    """Share of frontier questions per kind and round."""
    rounds = [r for r in data.rounds if r.labels()]
    kinds = sorted({a.question.kind for r in rounds for a in r.asked})
    if not rounds or not kinds:
        return None
    share: list[list[float | None]] = []
    text: list[list[str]] = []
    for kind in kinds:
        labels = [r.labels(kind) for r in rounds]
        share.append([100 * c["frontier"] / c.total() if c.total() else None for c in labels])
        text.append([f"{c['frontier']}/{c.total()}" if c.total() else "" for c in labels])
    figure = go.Figure(
        go.Heatmap(
            z=share,
            x=[f"round {r.round}" for r in rounds],
            y=[words(k) for k in kinds],
            text=text,
            texttemplate="%{text}",
            zmin=0,
            zmax=100,
            colorscale=[[0, "#f7f4ee"], [1, COLOURS["frontier"]]],
            colorbar={"title": "% frontier", "thickness": 12},
            hovertemplate="%{y}, %{x}: %{z:.0f} % frontier<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, 90 + 30 * len(kinds))


def confidence(data: RunData) -> go.Figure | None:
    """Histogram of the confidence in the true answer, one line a round."""
    rounds = [r for r in data.rounds if r.labels()]
    if not rounds:
        return None
    figure = go.Figure()
    for position, r in enumerate(rounds):
        bins = Counter(min(int(a.probe.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1) for a in r.asked if a.probe)
        total = sum(bins.values())
        shade = 0.35 + 0.65 * (position + 1) / len(rounds)
        figure.add_scatter(
            x=[(b + 0.5) / CONFIDENCE_BINS for b in range(CONFIDENCE_BINS)],
            y=[100 * bins[b] / total for b in range(CONFIDENCE_BINS)],
            name=f"round {r.round}",
            line={"color": f"rgba(37, 99, 168, {shade:.2f})", "width": 2, "shape": "hvh"},
        )
    thresholds = data.run.spec.difficulty
    for value in (thresholds.hard_below, thresholds.easy_above):
        figure.add_vline(x=value, line={"color": "#b8bec7", "dash": "dot"})
    figure.update_xaxes(title="confidence p in the true answer", range=[0, 1])
    figure.update_yaxes(title="% of the round's questions", rangemode="tozero")
    return _styled(figure, 320)


def loss(data: RunData) -> go.Figure | None:
    """Training loss per step over all rounds."""
    steps = [s for r in data.rounds for s in r.steps]
    if not steps:
        return None
    figure = go.Figure(
        go.Scatter(x=[s.step for s in steps], y=[s.loss for s in steps], line={"color": SCORE, "width": 1.3}, name="loss")
    )
    for r in data.rounds[1:]:
        if r.steps:
            figure.add_vline(x=r.steps[0].step, line={"color": "#d6d9de"}, annotation_text=f"round {r.round}")
    figure.update_xaxes(title="optimiser step")
    figure.update_yaxes(title="nats per answer token", rangemode="tozero")
    return _styled(figure, 320)


def times(data: RunData) -> go.Figure | None:
    """Seconds of each stage, a bar a round."""
    rounds = [r for r in data.run.status.rounds if r.seconds]
    if not rounds:
        return None
    figure = go.Figure()
    for stage, colour in STAGE_COLOURS.items():
        values = [r.seconds.get(stage, 0.0) for r in rounds]  # type: ignore[call-overload]
        if any(values):
            figure.add_bar(y=[f"round {r.round}" for r in rounds], x=values, name=stage, orientation="h", marker_color=colour)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="seconds")
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, 120 + 40 * len(rounds))


def words(name: str) -> str:
    """`obj_appearance_order` as people say it."""
    return (
        name.replace("obj_", "object_", 1)
        .replace("object_rel_", "relative ")
        .replace("object_abs_", "absolute ")
        .replace("_", " ")
    )


def _styled(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 10, "t": 24, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#2b2f36"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
