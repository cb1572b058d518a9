"""How labels steer the mix; every expected share is worked out by hand with LEAN = 4 and FLOOR = 0.25."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution_jobs.proposers.feedback import FLOOR, Cell, Tally, rate, shard_rates, static_mix, steered_mix, tally

COUNT0: Cell = ("object_counting", 0)
COUNT1: Cell = ("object_counting", 1)
ROOM0: Cell = ("room_size_estimation", 0)
CELLS = [COUNT0, COUNT1, ROOM0]


def test_labels_are_tallied_by_cell() -> None:
    labelled = [(COUNT0, "easy"), (COUNT0, "easy"), (COUNT0, "hard"), (ROOM0, "frontier")]
    assert tally(labelled) == {COUNT0: Tally(easy=2, hard=1), ROOM0: Tally(frontier=1)}


@pytest.mark.parametrize(
    ("hits", "total", "prior", "expected"),
    [
        pytest.param(0, 0, 0.3, 0.3, id="no-labels-are-the-prior"),
        pytest.param(4, 4, 0.0, 0.5, id="as-many-labels-as-the-lean-are-half"),
        pytest.param(0, 8, 0.6, 0.2, id="twice-as-many-are-two-thirds"),
    ],
)
def test_a_rate_from_few_labels_leans_on_its_prior(hits: int, total: int, prior: float, expected: float) -> None:
    assert rate(hits, total, prior) == pytest.approx(expected)


def test_the_static_mix_is_uniform_over_kinds_and_then_over_levels() -> None:
    assert static_mix(CELLS) == {COUNT0: 0.25, COUNT1: 0.25, ROOM0: 0.5}


def test_without_labels_the_steered_mix_is_the_static_one() -> None:
    assert steered_mix(CELLS, {}, {}) == pytest.approx(static_mix(CELLS))


def test_a_kind_that_is_all_easy_climbs_a_level() -> None:
    shard = {COUNT0: Tally(easy=8), ROOM0: Tally(frontier=4, hard=4)}
    # overall = (4 + 4/3) / (16 + 4) = 4/15; hint for level 1 = 8 / (8 + 4) = 2/3, its prior = 4/15 + 11/15 * 2/3 = 34/45
    assert shard_rates(CELLS, shard) == pytest.approx(
        {
            COUNT0: 4 * (4 / 15) / 12,
            COUNT1: 34 / 45,
            ROOM0: (4 + 4 * (4 / 15)) / 12,
        }
    )
    # weights 1/45, 17/90, 19/90 of 38/90
    assert steered_mix(CELLS, shard, {}) == pytest.approx(
        {
            COUNT0: 0.25 * 0.25 + 0.75 * 2 / 38,
            COUNT1: 0.25 * 0.25 + 0.75 * 17 / 38,
            ROOM0: 0.25 * 0.5 + 0.75 * 19 / 38,
        }
    )


def test_a_kind_that_is_all_hard_comes_down_a_level() -> None:
    rates = shard_rates(CELLS, {COUNT1: Tally(hard=8), ROOM0: Tally(frontier=8)})
    # overall = (8 + 4/3) / 20 = 7/15; prior of level 0 = 7/15 + 8/15 * 2/3 = 37/45
    assert rates[COUNT0] == pytest.approx(37 / 45)
    assert rates[COUNT1] == pytest.approx(4 * (7 / 15) / 12)


def test_labels_of_the_scene_outweigh_those_of_the_shard_as_they_grow_in_number() -> None:
    shard = {ROOM0: Tally(frontier=50, hard=50), COUNT0: Tally(frontier=50, hard=50)}
    shares = [steered_mix(CELLS, shard, {COUNT0: Tally(hard=n)})[COUNT0] for n in (0, 1, 4, 100)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(FLOOR * 0.25, abs=0.01)


labels = st.integers(min_value=0, max_value=200)
tallies = st.dictionaries(st.sampled_from(CELLS), st.builds(Tally, easy=labels, frontier=labels, hard=labels))


@given(shard=tallies, scene=tallies)
def test_the_mix_sums_to_one_and_starves_no_cell(shard: dict[Cell, Tally], scene: dict[Cell, Tally]) -> None:
    mix = steered_mix(CELLS, shard, scene)
    assert sum(mix.values()) == pytest.approx(1)
    assert all(mix[cell] >= FLOOR * share for cell, share in static_mix(CELLS).items())


@given(easy=labels, frontier=labels, hard=labels)
def test_one_more_frontier_label_never_lowers_a_cells_rate(easy: int, frontier: int, hard: int) -> None:
    other = {ROOM0: Tally(easy=3, frontier=3, hard=3)}
    fewer = shard_rates(CELLS, {**other, COUNT0: Tally(easy, frontier, hard)})
    more = shard_rates(CELLS, {**other, COUNT0: Tally(easy, frontier + 1, hard)})
    assert more[COUNT0] >= fewer[COUNT0]
