"""Commands as a person types them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[3] / "examples"
HEAVY = ("aiohttp", "torch", "transformers", "numpy", "pyarrow", "open3d", "pydantic", "boto3", "kopf", "yaml", "plotly")


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from evolution_cli.app import app\ntry: app(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert [name for name in HEAVY if name in loaded] == []
    assert "questions" in done.stdout


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_example_is_valid_and_needs_no_cluster(cli: Any, example: Path) -> None:
    done = cli("validate", example)
    assert (done.exit_code, "is valid" in done.output) == (0, True)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_manifests_of_an_example_name_every_stage(cli: Any, example: Path) -> None:
    objects = list(yaml.safe_load_all(cli("manifests", example).output))
    kinds = [(o["kind"], o["metadata"]["labels"]["evolution.spatial.io/stage"]) for o in objects]
    assert kinds == [
        ("Job", "prepare"),
        ("Job", "evaluate"),
        ("Job", "generate"),
        ("InferenceService", "probe"),
        ("Job", "probe"),
        ("PyTorchJob", "train"),
        ("Job", "evaluate"),
    ]
    assert json.loads(cli("manifests", example, "--json").output) == objects


def changed(tmp_path: Path, **spec: Any) -> Path:
    document = yaml.safe_load((EXAMPLES / "smoke.yaml").read_text())
    document["spec"] |= spec
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "changed.yaml"


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown field": ({"round": 3}, ["spec.round = 3", "did you mean rounds?"]),
    "out of bounds": ({"rounds": 0}, ["spec.rounds = 0", "must be at least 1"]),
    "wrong type": ({"rounds": "four"}, ["spec.rounds", "whole number"]),
    "a combination that cannot work": (
        {"generation": {"shards": 2, "maxFailedShards": 2}},
        ["spec.generation", "generation.maxFailedShards must be below generation.shards", "lower it"],
    ),
    "two faults": ({"rounds": 0, "seed": -1}, ["spec.rounds = 0", "spec.seed = -1"]),
}


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize(("spec", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_run_is_refused_with_field_value_why_and_what_to_do(
    cli: Any, tmp_path: Path, command: str, spec: dict[str, Any], said: list[str]
) -> None:
    where = ["--workdir", tmp_path / "w"] if command == "run" else []
    done = cli(command, changed(tmp_path, **spec), *where)
    assert done.exit_code == 2
    for words in said:
        assert words in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "does not exist", id="no file"),
        pytest.param("a: [", "cannot be read as YAML", id="no YAML"),
        pytest.param("", "holds 0 documents", id="empty"),
        pytest.param("a: 1\n---\nb: 2\n", "holds 2 documents", id="two documents"),
        pytest.param("just words", "is no valid EvolutionRun", id="no mapping"),
        pytest.param("kind: Pod", "is no valid EvolutionRun", id="another kind"),
    ],
)
def test_a_file_that_is_no_run_is_told_in_a_sentence(cli: Any, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "f.yaml").write_text(content)
    done = cli("validate", tmp_path / "f.yaml")
    assert (done.exit_code, said in done.output) == (2, True)


def test_a_field_that_needs_a_cluster_is_refused_before_anything_starts(cli: Any, tmp_path: Path) -> None:
    file = changed(tmp_path, scheduling={"accelerator": "none", "queueName": "q"})
    done = cli("run", file, "--workdir", tmp_path / "w")
    assert done.exit_code == 2
    assert "scheduling.queueName is 'q'" in done.output
    assert not (tmp_path / "w").exists()


def test_a_namespace_cannot_lead_out_of_the_workdir(cli: Any, tmp_path: Path) -> None:
    document = yaml.safe_load((EXAMPLES / "smoke.yaml").read_text())
    document["metadata"]["namespace"] = "../.."
    (tmp_path / "f.yaml").write_text(yaml.safe_dump(document))
    assert cli("run", tmp_path / "f.yaml", "--workdir", tmp_path / "w").exit_code == 2


def test_a_workdir_that_cannot_be_written_is_told_in_a_sentence(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    done = cli("run", EXAMPLES / "smoke.yaml", "--workdir", tmp_path / "w")
    assert done.exit_code == 1
    assert "error: " in done.output
    assert "Traceback" not in done.output


def test_get_prints_the_columns_of_kubectl(cli: Any, workdir: Path) -> None:
    header, row = cli("get", "--workdir", workdir).output.splitlines()
    assert header.split() == ["NAME", "PHASE", "ROUND", "STAGE", "ACCEPTED", "FRONTIER", "SCORE", "BEST", "AGE"]
    assert row.split() == ["demo", "Running", "1/4", "train", "2", "50", "0.500", "0.100", "5m"]


def test_get_prints_json_for_programs(cli: Any, workdir: Path) -> None:
    (run,) = json.loads(cli("get", "--workdir", workdir, "--json").output)
    assert (run["metadata"]["name"], run["status"]["frontierPercent"]) == ("demo", 50)


def test_get_of_an_empty_folder_says_how_to_begin(cli: Any, tmp_path: Path) -> None:
    done = cli("get", "--workdir", tmp_path)
    assert (done.exit_code, "evolution run FILE" in done.output) == (0, True)


def test_describe_says_how_far_each_round_is(cli: Any, workdir: Path) -> None:
    said = cli("describe", "demo", "--workdir", workdir).output
    assert "0: prepare 3.0 s, evaluate 4.0 s" in said
    assert "9 proposed, 8 executed, 2 accepted" in said
    assert "rejected: 7 blind" in said
    assert "seeing 0.100 [0.080, 0.120] of 100 questions" in said
    assert "Best:      round 0, seeing 0.100, file:///m" in said
    assert json.loads(cli("describe", "demo", "--workdir", workdir, "--json").output)["children"] == []


@pytest.mark.parametrize("command", ["describe", "questions", "report", "resume"])
def test_a_run_that_is_not_there_is_told_in_a_sentence(cli: Any, workdir: Path, command: str) -> None:
    done = cli(command, "other", "--workdir", workdir)
    assert (done.exit_code, "no run 'other'" in done.output, "default/demo" in done.output) == (2, True, True)


@pytest.mark.parametrize(("option", "value"), [("--kind", "colour"), ("--label", "simple")])
def test_an_unknown_kind_or_label_is_told_in_a_sentence(cli: Any, workdir: Path, option: str, value: str) -> None:
    done = cli("questions", "demo", "--workdir", workdir, option, value)
    assert (done.exit_code, f"{option} is {value!r}" in done.output) == (2, True)


def test_audit_of_a_broken_file_names_the_line(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("{}\n")
    (tmp_path / "scenes").mkdir()
    done = cli("audit", "--questions", tmp_path / "q.jsonl", "--scenes", tmp_path / "scenes")
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_audit_agrees_with_the_official_answers(cli: Any, real_data: Path) -> None:
    arguments = ("--questions", real_data / "vsibench" / "questions.jsonl", "--scenes", real_data / "vsibench", "--json")
    report = json.loads(cli("audit", *arguments).output)
    assert sum(found["asked"] for found in report.values()) == 375
    answerable = {name: found for name, found in report.items() if name not in ("obj_appearance_order", "route_planning")}
    assert all(found["agreed"] == found["asked"] for found in answerable.values())


@pytest.mark.parametrize(
    "command",
    [("get",), ("get", "--json"), ("describe", "demo"), ("questions", "demo"), ("manifests", EXAMPLES / "smoke.yaml")],
    ids=lambda command: " ".join(map(str, command[:2])),
)
def test_a_reader_that_has_gone_ends_a_command_in_silence(workdir: Path, command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    where = () if command[0] == "manifests" else ("--workdir", workdir)
    code = "from evolution_cli import main; main()"
    with os.fdopen(writer) as pipe:
        done = subprocess.run([sys.executable, "-c", code, *command, *where], stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")
