"""How the library that Flux and Helm 4 go by (kstatus) reads a run at each turn of its life."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.lab import Lab, at_work, operator
from tests.testbed.api import address
from tests.testbed.tools.daemon import eventually

from evolution_api.endings import LastWords
from evolution_api.layout import ANNOTATION_RESUME

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)


def test_kstatus_reads_a_run_rightly(lab: Lab, kubeconfig: Path, tmp_path: Path, binary: Callable[[str], Path]) -> None:
    def read(name: str = "x") -> str:
        done = subprocess.run([binary("kstatus")], input=json.dumps(lab.run(name)), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    lab.start(rounds=1, retry={"limit": 0})
    assert (lab.status(), read()) == ({"observedGeneration": -1}, "InProgress")
    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only")):
        lab.turn_to(1, "generate")
        assert (lab.status()["phase"], read()) == ("Running", "InProgress")

        lab.edit(suspend=True)
        eventually(lambda: lab.condition("Suspended").get("status") == "True", "the run is suspended", 30)
        assert read() == "Current"

        lab.edit(suspend=False)
        assert read() == "InProgress", "of a run that was edited, whatever its status says"
        eventually(lambda: (child := lab.child("x-r1-generate")) is not None and len(lab.pods_of(child)) == 2, "pods", 30)
        job = lab.turn_to(1, "generate")
        lab.fail(job, LastWords(error="the scenes are gone"))
        eventually(lambda: lab.condition("Failed").get("status") == "True", "the run fails", 30)
        assert read() == "Failed"

        lab.api.patch(address(lab.run()), {"metadata": {"annotations": {ANNOTATION_RESUME: "1"}}})
        lab.turn_to(1, "probe")
        assert read() == "InProgress"
        lab.turn(lambda: lab.status()["phase"] == "Succeeded", "the run succeeds")
        assert read() == "Current"

        lab.start("bad", storage={"uri": "file:///runs"})
        eventually(lambda: lab.condition("Stalled", "bad").get("reason") == "SpecInvalid", "the run says so", 30)
        assert read("bad") == "Failed"
