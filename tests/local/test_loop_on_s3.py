"""The whole loop with its model, its scenes and everything that it keeps on a real S3 server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.testbed.tools.s3 import s3_client, upload

from evolution_operator.local.folder import Workdir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
EVOLUTION = (sys.executable, "-c", "from evolution_cli import main; main()")
PATIENCE_S = 180.0


def evolution(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*EVOLUTION, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=dict(os.environ))


@pytest.fixture
def run_file(s3_endpoint: str, tmp_path: Path) -> Path:
    """The smoke example with every URI on the server: prepared rooms, the tiny model, the run's own storage."""
    client = s3_client(s3_endpoint)
    upload(client, EXAMPLES / "tiny-model", "models/tiny")
    made = evolution("prepare", "procedural", "--rooms", 8, "--out", tmp_path / "rooms")
    assert made.returncode == 0, made.stderr
    upload(client, tmp_path / "rooms", "rooms")
    document = yaml.safe_load((EXAMPLES / "smoke.yaml").read_text())
    document["spec"]["model"]["uri"] = "s3://runs/models/tiny"
    document["spec"]["scenes"] = {"uri": "s3://runs/rooms", "framesPerScene": 6}
    document["spec"]["storage"] = {"uri": "s3://runs/evolution", "endpoint": s3_endpoint}
    file = tmp_path / "smoke.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_whole_run_lives_on_s3(run_file: Path, s3_endpoint: str, tmp_path: Path) -> None:
    done = evolution("run", run_file, "--workdir", tmp_path / "w")
    assert done.returncode == 0, done.stdout + done.stderr
    run = Workdir(tmp_path / "w").runs()[0].load()
    assert run is not None
    assert run.status.phase == "Succeeded"
    assert [record.round for record in run.status.rounds] == [0, 1, 2]
    client = s3_client(s3_endpoint)
    prefix = f"evolution/{run.metadata.namespace}/{run.metadata.name}/{run.metadata.uid}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="runs", Prefix=prefix)
    keys = [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]
    assert "run.json" in keys
    assert {key.split("/")[1] for key in keys if key.endswith(".safetensors")} == {"0001", "0002"}  # the rounds that trained
    assert not list((tmp_path / "w").rglob("*.safetensors"))
    report = evolution("report", "smoke", "--workdir", tmp_path / "w")
    assert report.returncode == 0, report.stderr
