"""A run that meets no trouble."""

import pytest


def test_a_run_goes_through_every_stage_of_every_round_in_order(world):
    world.pass_all()
    assert world.made == [
        "x-r0-prepare",
        "x-r0-evaluate",
        *(f"x-r{r}-{s}" for r in (1, 2) for s in ("generate", "probe-server", "probe", "train", "evaluate")),
    ]
    assert (world.status["phase"], world.status["progress"]) == ("Succeeded", "2/2")
    assert world.true_conditions() == ["Succeeded"]
