"""`make gpu-check CPU=1`: every phase of the check for a lent GPU, at small shapes, as a person starts it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_every_phase_is_right_on_cpus(tmp_path: Path) -> None:
    command = ["make", "gpu-check", "CPU=1"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OUT": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stdout
    assert [(line["name"], line["faults"]) for line in lines] == [
        (name, []) for name in ("versions", "programs", "attention", "trainer", "confidences", "serving")
    ]
    versions, programs, attention, trainer, confidences, serving = lines
    assert any(call.startswith("masked") for call in versions["attention"])
    assert programs["cpu float32 again against cpu float32"] == {
        "confidence": 0,
        "loss": 0,
        "gradient_norm": 0,
        "other_words": 0,
    }
    assert set(attention["attention"]["67 default"]["relative_error"]) == {"out", "dq", "dk", "dv"}
    sixth, third = trainer["tries"].values()
    assert sixth["losses"][-1] < sixth["losses"][0]
    assert sixth["parameters"] < third["parameters"]
    assert confidences["64 questions"]["largest_log_p_difference"] < 1e-4
    assert serving["32 at once"]["p50_s"] > serving["1 at once"]["p50_s"]
