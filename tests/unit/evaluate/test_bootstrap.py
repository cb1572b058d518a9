"""Intervals by resampling scenes, against cases that can be worked out by hand."""

import numpy as np
import pytest

from evolution_jobs.evaluate.bootstrap import estimate, kind_means, macro_means, resample


def test_every_resample_draws_as_many_scenes_as_there_are() -> None:
    weights = resample(5, seed=0, resamples=100)
    assert weights.shape == (100, 5)
    assert (weights.sum(axis=1) == 5).all()


def test_the_seed_decides() -> None:
    assert (resample(5, seed=1) == resample(5, seed=1)).all()
    assert (resample(5, seed=1) != resample(5, seed=2)).any()


def test_a_mean_weighs_questions_and_not_scenes() -> None:
    """Scene 0: 3 questions, 3 right; scene 1: 1 question, wrong. Whole sample 3/4; scene 1 drawn twice 0."""
    sums, counts = np.array([[3.0, 0.0]]), np.array([[3.0, 1.0]])
    weights = np.array([[1, 1], [0, 2], [2, 0]])
    assert kind_means(weights, sums, counts).tolist() == [[0.75], [0.0], [1.0]]


def test_a_kind_that_a_resample_lacks_is_left_out_of_its_macro_mean() -> None:
    """Kind 0 is in both scenes, kind 1 in scene 1 alone; drawing scene 0 twice leaves kind 0."""
    sums, counts = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    means = kind_means(np.array([[1, 1], [2, 0]]), sums, counts)
    assert means[0].tolist() == [0.5, 1.0]
    assert means[1, 0] == 1.0
    assert np.isnan(means[1, 1])
    assert macro_means(means).tolist() == [0.75, 1.0]


def test_the_interval_of_two_scenes_is_the_three_outcomes_there_are() -> None:
    """One scene right, one wrong: resamples give 0, 1/2, 1 with probability 1/4, 1/2, 1/4, so 95 % reach from 0 to 1."""
    weights = resample(2, seed=0)
    means = kind_means(weights, np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))[:, 0]
    share = [(means == value).mean() for value in (0.0, 0.5, 1.0)]
    assert share == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert estimate(0.5, means, 2).model_dump() == {"mean": 0.5, "low": 0.0, "high": 1.0, "questions": 2}


def test_many_scenes_give_the_interval_of_the_normal_distribution() -> None:
    """400 scenes of one question, half right: standard error 0.5 / sqrt(400) = 0.025, interval 0.5 +- 0.049."""
    right = np.array([[1.0, 0.0] * 200])
    interval = estimate(0.5, kind_means(resample(400, seed=0), right, np.ones_like(right))[:, 0], 400)
    assert (interval.low, interval.high) == (pytest.approx(0.451, abs=0.004), pytest.approx(0.549, abs=0.004))


def test_questions_of_one_scene_are_no_independent_evidence() -> None:
    """Ten scenes of ten questions, each scene all right or all wrong: the interval is that of 10 draws, not of 100."""
    sums, counts = np.array([[10.0, 0.0] * 5]), np.full((1, 10), 10.0)
    interval = estimate(0.5, kind_means(resample(10, seed=0), sums, counts)[:, 0], 100)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(10), abs=0.05)
