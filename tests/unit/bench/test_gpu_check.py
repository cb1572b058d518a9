"""The check for a lent GPU: what it does with phases that hang, die or cannot be imported; its numbers, counted by hand."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.gpu import check

BUDGET_S, WITHOUT_MEASURES_S = 540, 150

HANGING = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(os.environ["OUT"], "child").write_text(str(child.pid))
time.sleep(600)
"""
PHASES = {
    "hanging": HANGING,
    "dying": "import os, signal\ndef measure(scale, report):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    "lacking": "import a_package_that_nobody_has\n",
    "faulty": "def measure(scale, report):\n    report.fault('the loss is nan')\n",
    "right": "def measure(scale, report):\n    report.note(found=scale.device)\n",
}


@pytest.fixture
def carry_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    """The check with the phases above in the place of its own: exit status, its lines, and what it says besides."""
    modules = tmp_path / "more" / "bench" / "gpu"
    modules.mkdir(parents=True)
    for name, source in PHASES.items():
        (modules / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    monkeypatch.setenv("OUT", str(tmp_path / "out"))

    def run(limits_s: dict[str, float], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        monkeypatch.setattr(check, "PHASES", tuple(check.Phase(name, limit_s) for name, limit_s in limits_s.items()))
        monkeypatch.setattr(check, "CPU_PATIENCE", 1)
        monkeypatch.setattr(sys, "argv", ["check", "--phases", ",".join(map(str, range(len(limits_s)))), *arguments])
        with pytest.raises(SystemExit) as ended:
            check.main()
        said = capsys.readouterr()
        lines = [json.loads(line) for line in said.out.splitlines()]
        assert said.out == "".join(path.read_text() for path in (tmp_path / "out").glob("*-cpu.jsonl"))
        return int(ended.value.code or 0), lines, said.err

    return run


def test_the_limits_leave_room_for_setting_up() -> None:
    first, second, *_ = check.PHASES
    assert check.SETTING_UP_S + sum(phase.limit_s for phase in check.PHASES) <= BUDGET_S
    assert check.SETTING_UP_S + first.limit_s + second.limit_s <= WITHOUT_MEASURES_S


def test_what_a_phase_had_found_stands_in_its_line_when_it_is_cut_off(tmp_path: Path) -> None:
    from bench.gpu.phase import Report

    Report(tmp_path / "report.json").note(found=3)
    line = check.line_of(2, check.Phase("attention", 60), tmp_path / "report.json", None, 60.04, 60)
    assert (line["phase"], line["name"], line["status"], line["seconds"], line["found"]) == (2, "attention", "timeout", 60.0, 3)


@pytest.mark.parametrize(
    ("left_s", "limit_s"),
    [
        pytest.param(200, 198, id="all but the last words, for the last phase"),
        pytest.param(130, 68, id="what is left over is its own, but not what later ones need"),
        pytest.param(40, 38, id="no more than is left"),
        pytest.param(1, 0, id="nothing"),
    ],
)
def test_the_time_of_a_phase(left_s: float, limit_s: float) -> None:
    later = [] if left_s == 200 else [check.Phase("later", 60)]
    assert check.limit_of(check.Phase("this", 50), later, left_s) == limit_s


@pytest.mark.slow
def test_whatever_becomes_of_a_phase_the_next_one_runs(carry_out: Any, tmp_path: Path) -> None:
    limits_s = {"hanging": 15.0, "dying": 60.0, "lacking": 60.0, "faulty": 60.0, "right": 60.0}
    no_spare_time = str(sum(limits_s.values()))
    code, (hanging, dying, lacking, faulty, right), said = carry_out(limits_s, "--cpu", "--budget-s", no_spare_time)
    assert code == 4
    assert hanging["status"] == "timeout"
    assert hanging["faults"] == ["cut off after 13 s; what it had found by then stands here"]
    assert not Path("/proc", (tmp_path / "out" / "child").read_text()).exists()
    assert dying["faults"] == ["ended by SIGKILL without a word; see its log"]
    assert lacking["faults"] == [
        "ModuleNotFoundError: No module named 'a_package_that_nobody_has'; it is not among what `make gpu-carry` brought: "
        "name its package in bench/gpu/packages.txt and carry again"
    ]
    assert (faulty["status"], faulty["faults"]) == ("failed", ["the loss is nan"])
    assert (right["phase"], right["status"], right["faults"], right["found"]) == (4, "ok", [], "cpu")
    assert "1 of 5 phases are right, 4 failed" in said


def test_a_budget_cuts_the_limits(carry_out: Any) -> None:
    began = time.monotonic()
    code, (first, second), _ = carry_out({"hanging": 600.0, "right": 600.0}, "--cpu", "--budget-s", "1")
    assert code == 2
    assert first["status"] == second["status"] == "timeout"
    assert time.monotonic() - began < 600


def test_without_a_gpu_one_line_says_so(carry_out: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    code, lines, said = carry_out({"right": 60.0, "faulty": 60.0})
    assert (code, lines) == (2, [])
    assert said == "gpu-check: PyTorch sees no GPU here; CPU=1 runs the same phases at small shapes\n"


@pytest.mark.parametrize("text", ["6", "-1", "0,9"])
def test_a_phase_that_there_is_not(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["check", f"--phases={text}"])
    with pytest.raises(SystemExit):
        check.main()
    assert f"'{text}': phases are 0 to 5, with commas between them" in capsys.readouterr().err


def test_another_python_than_the_carried_packages_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    with pytest.raises(SystemExit, match=r"the carried packages are for Python 3.12, this is 3.11"):
        check.unpacked(tmp_path)


def test_nothing_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "version_info", (3, 12, 3))
    monkeypatch.setattr(check, "PACKAGES", tmp_path / "packages.tar.xz")
    with pytest.raises(SystemExit, match=r"packages.tar.xz is missing; `make gpu-carry` makes it"):
        check.unpacked(tmp_path)


def test_what_is_carried_comes_from_the_lock() -> None:
    from bench.gpu.carry import NAMES, ROOT, locked

    names, lock = set(NAMES.read_text().split()), (ROOT / "requirements.lock").read_text()
    entries = locked(names, lock)
    assert {line.split("==")[0] for line in entries.splitlines() if "==" in line} == names
    assert entries.count("--hash=sha256:") >= len(names)
    with pytest.raises(ValueError, match=r"packages.txt names torhc, which requirements.lock does not have"):
        locked({"torch", "torhc"}, lock)


def test_too_little_memory_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from bench.gpu.scale import FULL, SMALL, need_memory

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * 10**9, 80 * 10**9))
    with pytest.raises(RuntimeError, match=r"scoring takes 14 GB, and 3 of the card's 80 GB are free; stop what else is on it"):
        need_memory(FULL, 14 * 10**9, "scoring")
    need_memory(SMALL, 14 * 10**9, "scoring")


def test_operations_are_those_that_pytorch_counts() -> None:
    """Attention apart, of which its counter takes what a kernel does, masked or not."""
    from bench.gpu import flops
    from bench.gpu.scale import SMALL, packed, random_solver
    from PIL import Image
    from torch.utils.flop_counter import FlopCounterMode

    solver = random_solver(SMALL)
    solver.model.set_attn_implementation("eager")
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("navy", "olive", "grey")]
    pack = packed(solver, frames, [("how many chairs are there?", "three"), ("is there a bed?", "yes")])
    text, vision = solver.model.config.text_config, solver.model.config.vision_config
    length, patches = len(pack.input_ids), [64, 64, 64]
    whole = 4 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * length**2
    whole += 4 * vision.depth * vision.hidden_size * sum(n**2 for n in patches)
    with FlopCounterMode(display=False) as counted:
        solver.confidences(pack)
    assert counted.get_total_flops() - whole == flops.products(solver.model, pack)
    seen = int((flops_mask(pack) == 0).sum())
    assert flops.seen_pairs(pack) == seen
    ours = flops.attention(solver.model, pack)
    assert ours == 4 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * seen + (
        4 * vision.depth * vision.hidden_size * sum(n**2 for n in patches)
    )
    assert flops.step(solver.model, pack) == 3 * (ours + flops.products(solver.model, pack))


def flops_mask(pack: Any) -> Any:
    import torch

    from evolution_jobs.model.packing import block_mask

    return block_mask(pack.owners[None], pack.owners[None], torch.float32)


def test_the_full_scale_is_qwen3_vl_4b_and_a_frame_of_640x480_is_300_tokens() -> None:
    import torch
    from bench.gpu.scale import FULL, configuration
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration

    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(configuration(FULL, FULL.text_layers, FULL.vision_layers))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(4.438e9, rel=1e-4)
    assert sum(p.numel() for p in model.model.visual.parameters()) == pytest.approx(0.415e9, rel=2e-3)
    vision = model.config.vision_config
    assert vision.deepstack_visual_indexes == [5, 11, 17]
    assert (640 // vision.patch_size) * (480 // vision.patch_size) // vision.spatial_merge_size**2 == 300


def test_all_layers_follow_from_a_sixth_and_a_third() -> None:
    from bench.gpu.trainer import covered, extrapolated, frames_that_fit

    sixth = {"step_s": 0.5, "states_gb": 12.0, "peak_gb": 32.0, "total_gb": 100.0}
    third = {"step_s": 0.8, "states_gb": 24.0, "peak_gb": 56.0}
    assert extrapolated(sixth, third, "step_s") == pytest.approx(2.0)  # 0.2 + 6 x 0.3
    # states 72 of 95 usable, activations of 32 frames 80: 9.2 frames
    assert frames_that_fit(sixth, third, 32) == 9
    assert covered([(5, 7), (0, 2), (1, 3), (6, 6.5)]) == 5


def test_what_two_ways_differ_in() -> None:
    from bench.gpu.programs import EXACT, Figures, differences

    reference = Figures({"a": 0.5, "b": 0.25}, [2.0, 1.0], [4.0, 2.0], {"x": "yes", "y": "no"}, ["?", "!"], 0.5, 0.1)
    other = Figures({"b": 0.2501, "a": 0.47}, [2.0, 1.02], [3.8, 2.0], {"y": "no", "x": "yes"}, ["?", "?"], 0.5, 0.1)
    found = differences(other, reference)
    assert found == pytest.approx({"confidence": 0.03, "loss": 0.02, "gradient_norm": 0.05, "other_words": 0.5})
    assert all(value > getattr(EXACT, name) for name, value in found.items())
    assert set(differences(reference, reference).values()) == {0}
    with pytest.raises(ValueError, match="not the same questions"):
        differences(Figures({"a": 0.5}, [2.0], [4.0], {"x": "yes"}, [], 0.5, 0.1), reference)


def test_a_report_is_whole_at_any_time(tmp_path: Path) -> None:
    from bench.gpu.phase import Report

    report = Report(tmp_path / "report.json")
    report.note(a=1)
    report.fault("b is wrong")
    report.note(a=2)
    assert json.loads((tmp_path / "report.json").read_text()) == {"faults": ["b is wrong"], "facts": {"a": 2}}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
