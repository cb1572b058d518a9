"""Runs deleted at every place of their life: each goes with its children and pods, and with its objects where it says so."""

import os
from pathlib import Path

import pytest
from tests.cluster.lab import Lab, at_work, is_of, log_of, operator
from tests.testbed.api import Object, address
from tests.testbed.tools.daemon import eventually

from evolution_api.layout import LABEL_RUN

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)

PLACES = {
    "preparing": (0, "prepare", "work"),
    "base": (0, "evaluate", "work"),
    "generating": (1, "generate", "work"),
    "server": (1, "probe", "server"),
    "probing": (1, "probe", "work"),
    "training": (1, "train", "work"),
    "evaluating": (1, "evaluate", "work"),
}
"""Name of the run, and the child that is under way when it is deleted."""


def is_awaited(child: Object) -> bool:
    return is_of(child, *PLACES[child["metadata"]["labels"][LABEL_RUN]])


@pytest.mark.parametrize("on_delete", ["Retain", "Delete"])
def test_a_deleted_run_leaves_nothing(lab: Lab, kubeconfig: Path, tmp_path: Path, on_delete: str) -> None:
    def all_are_there() -> bool:
        lab.finish_all(lambda child: not is_awaited(child))
        return {child["metadata"]["labels"][LABEL_RUN] for child in lab.children() if is_awaited(child)} == PLACES.keys()

    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only")):
        for name in PLACES:
            lab.start(name, rounds=1, storage={"uri": "s3://bucket/runs", "onDelete": on_delete})
        eventually(all_are_there, "every run is at its place", 120)
        for name in PLACES:
            lab.delete(name)
        if on_delete == "Delete":
            eventually(lambda: lab.names() == sorted(f"{name}-r0-cleanup" for name in PLACES), "only cleanups are there", 60)
            lab.turn(lambda: not any(map(lab.exists, PLACES)), "the runs are gone")
        eventually(lambda: not (any(map(lab.exists, PLACES)) or lab.names() or lab.pods()), "nothing is left", 60)
        stored = len(PLACES) if on_delete == "Delete" else 0
        eventually(lambda: lab.reasons().count("StorageDeleted") == stored, "their last events")


def test_a_namespace_that_goes_is_not_held_by_its_runs(lab: Lab, kubeconfig: Path, tmp_path: Path) -> None:
    """Nothing can be made there any more, so neither can what would delete their objects."""
    namespace = lab.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}})
    going = Lab(lab.api, namespace["metadata"]["name"])
    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only", clusterwide=True)) as working:
        going.start(rounds=1, storage={"uri": "s3://bucket/runs", "onDelete": "Delete"})
        going.turn_to(1, "generate")
        lab.api.delete(address(namespace))
        eventually(lambda: not going.exists(), "the run is gone", 60)
    told = [line for line in log_of(working) if line.get("reason") == "StorageLeftBehind"]
    assert ["were not deleted, delete them by hand" in line["message"] for line in told] == [True]
