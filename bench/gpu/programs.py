"""Phase 1: the stage programs themselves, on the tiny model, on the device and on CPUs: do they say the same?

    once, on CPUs      prepare, generate with the grammar, evaluate the base model
    each way           serve + probe, generate with `inline`; beside it train, killed after 2 of 4 steps, train again, evaluate

The ways run beside one another, each over a copy of the storage of its own. float32 has to give the CPUs' figures to 1e-4, and
every word of answers and proposals; bfloat16 has to stay within bounds three times as wide as what it
showed on CPUs (0.014, 0.013, 0.042 and 0.02, in the order of Bounds).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from bench.gpu.check import CARRIED, ROOT
from bench.gpu.phase import Report, said
from bench.gpu.scale import SMALL, Scale

from evolution_api.endings import LastWords
from evolution_api.figures import Figures as ScoredFigures
from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.layout import ENV_INPUT, ENV_SOLVER_URL, ENV_TERMINATION_LOG, manifest_key, part, stage_prefix
from evolution_api.question import Rejection
from evolution_api.results import Answered, ProbeResult, TrainStep
from evolution_storage.manifests import committed, read_file
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet
from evolution_storage.uri import run_store

STEPS, KILLED_AFTER = 4, 2
LONGEST_S = {"cuda": 80, "cpu": 800}
"""Of one program, by the scale's device: a busy machine is no fault."""
SHOWN_CHARACTERS = 3000
MAX_TOKENS = 24
TOKEN_BUDGET = 8_000
"""Of a proposal, and of the shard, which is two of them: the tiny model writes no JSON, more would only take longer."""


@dataclass(frozen=True)
class Bounds:
    """The largest difference from float32 on CPUs that is right."""

    confidence: float
    """Of any question, absolute."""
    loss: float
    """Of any step, relative; the same for gradient norms."""
    gradient_norm: float
    """Of any step, relative."""
    other_words: float
    """Share of held-out answers, and of proposals, that may differ."""


@dataclass(frozen=True)
class Way:
    name: str
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    bounds: Bounds


EXACT = Bounds(confidence=1e-4, loss=1e-4, gradient_norm=1e-4, other_words=0)
ROUNDED = Bounds(confidence=0.04, loss=0.04, gradient_norm=0.13, other_words=0.07)
GRAMMAR: dict[str, Any] = {"grammar": {}}
REFERENCE = Way("cpu float32", "cpu", "float32", EXACT)
OTHERS = {
    "cuda": (Way("cuda float32", "cuda", "float32", EXACT), Way("cuda bfloat16", "cuda", "bfloat16", ROUNDED)),
    "cpu": (Way("cpu float32 again", "cpu", "float32", EXACT),),
}
"""By the scale's device."""


@dataclass
class Figures:
    confidences: dict[str, float]
    losses: list[float]
    gradient_norms: list[float]
    answers: dict[str, str]
    """Held-out question -> what the trained checkpoint said."""
    proposals: list[str]
    score: float
    seeing: float


class Run:
    """One way through the programs, over a storage of its own."""

    def __init__(self, way: Way, folder: Path, report: Report, threads: int, longest_s: float) -> None:
        self.way, self.folder, self.report = way, folder, report
        self.threads, self.longest_s = threads, longest_s
        self.seconds: dict[str, float] = {}
        """Of each program, its start included."""

    def ended(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(seconds, 1)
        self.report.note(**{f"{self.way.name}, seconds": dict(self.seconds)})

    def job(self, stage: StageName, round_: int, proposer: Mapping[str, Any]) -> StageInput:
        spec = {
            "seed": 11,
            "model": {"uri": (ROOT / "examples" / "tiny-model").as_uri(), "dtype": self.way.dtype, "choices": "text"},
            "scenes": {"uri": (CARRIED / SMALL.rooms).as_uri(), "framesPerScene": 6},
            "generation": {"proposer": proposer, "questionsPerScene": 8, "shards": 1, "parallelism": 1},
            "probe": {"timeoutSeconds": self.longest_s},
            "training": {
                "steps": STEPS,
                "globalBatchSize": 16,
                "microBatchSize": 2,
                "learningRate": 1e-4,
                "checkpointEvery": KILLED_AFTER,
            },
            "evaluation": {"heldout": {"scenes": 4, "questionsPerKind": 3}},
            "scheduling": {"accelerator": "none" if self.way.device == "cpu" else "nvidia.com/gpu"},
            "storage": {"uri": (self.folder / "storage").as_uri()},
        }
        return StageInput.model_validate(
            {"namespace": "bench", "run": "gpu-check", "uid": "0-1", "stage": stage, "round": round_, "spec": spec}
        )

    def start(self, name: str, module: str, job: StageInput, *arguments: str, **environment: str) -> "Program":
        ours = {ENV_INPUT: job.model_dump_json(), "OMP_NUM_THREADS": str(self.threads), **environment}
        if self.way.device == "cpu":
            ours["CUDA_VISIBLE_DEVICES"] = ""
        return Program(self, name, module, arguments, ours)

    def prepare_base(self) -> None:
        stages: tuple[tuple[StageName, int], ...] = (("prepare", 0), ("generate", 1), ("evaluate", 0))
        for stage, round_ in stages:
            self.start(stage, stage, self.job(stage, round_, GRAMMAR)).end()

    def go_through(self) -> Figures:
        with ThreadPoolExecutor(2) as pool:
            for chain in [pool.submit(self.ask), pool.submit(self.learn)]:
                chain.result()
        done = self.job("evaluate", 1, GRAMMAR)
        return self.figures(run_store(done), done.uid)

    def ask(self) -> None:
        port = str(free_port())
        job = self.job("probe", 1, GRAMMAR)
        server = self.start("serve", "serve", job, "--http_port", port)
        self.start("probe", "probe", job, **{ENV_SOLVER_URL: f"http://127.0.0.1:{port}"}).end(beside=server)
        server.terminate()
        inline = {"inline": {"maxTokens": MAX_TOKENS, "temperature": 0, "secondLook": False, "tokenBudget": TOKEN_BUDGET}}
        self.start("generate inline", "generate", self.job("generate", 2, inline)).end()

    def learn(self) -> None:
        job, port = self.job("train", 1, GRAMMAR), str(free_port())
        self.start("train until killed", "train", job, PET_MASTER_PORT=port).kill_at(f"state saved after step {KILLED_AFTER}")
        again = self.start("train", "train", job, PET_MASTER_PORT=port)
        again.end()
        if f"the round goes on after step {KILLED_AFTER}" not in again.log.read_text():
            raise RuntimeError(f"training began anew after a kill; it had saved step {KILLED_AFTER}")
        self.start("evaluate", "evaluate", self.job("evaluate", 1, GRAMMAR)).end()

    def figures(self, store: Store, uid: str) -> Figures:
        def file(manifest: str, key: str) -> bytes:
            found = committed(store, uid, manifest)
            assert found is not None
            return read_file(store, found, key)

        def rows(stage: StageName, round_: int, model: Any, ending: str = ".parquet") -> list[Any]:
            return from_parquet(file(manifest_key(round_, stage, 0), f"{part(round_, stage, 0)}{ending}"), model)

        evaluation, trained = manifest_key(1, "evaluate"), manifest_key(1, "train")
        answers = from_parquet(file(evaluation, f"{stage_prefix(1, 'evaluate')}/answers.parquet"), Answered)
        scored = ScoredFigures.model_validate_json(file(evaluation, f"{stage_prefix(1, 'evaluate')}/figures.json")).of()
        lines = file(trained, f"{stage_prefix(1, 'train')}/metrics.jsonl").splitlines()
        steps = [TrainStep.model_validate_json(line) for line in lines]
        return Figures(
            confidences={result.question: result.confidence for result in rows("probe", 1, ProbeResult)},
            losses=[step.loss for step in steps],
            gradient_norms=[step.gradient_norm for step in steps],
            answers={row.question: row.said for row in answers},
            proposals=[f"{r.scene}: {r.text} {r.detail}" for r in rows("generate", 2, Rejection, ".rejected.parquet")],
            score=scored["score"].mean,
            seeing=scored["seeing"].mean,
        )


class Program:
    """A stage program as a process; what it prints is kept for the error that quotes it."""

    def __init__(self, run: Run, name: str, module: str, arguments: tuple[str, ...], ours: Mapping[str, str]) -> None:
        self.run, self.name = run, name
        self.log = run.folder / f"{name}.log"
        self.words = run.folder / f"{name}.words"
        self.started = time.monotonic()
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"evolution_jobs.{module}", *arguments],
                env={**os.environ, **ours, ENV_TERMINATION_LOG: str(self.words)},
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def end(self, beside: "Program | None" = None) -> LastWords:
        """Raises RuntimeError where it, or what it needs `beside` it, fails or takes too long."""
        deadline = self.started + self.run.longest_s
        while self.process.poll() is None:
            if beside is not None and beside.process.poll() is not None:
                raise RuntimeError(f"{beside.said()} while {self.name} needed it")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.said()} after {self.run.longest_s} s")
            time.sleep(0.02)
        if self.process.returncode:
            raise RuntimeError(self.said())
        self.run.ended(self.name, time.monotonic() - self.started)
        return LastWords.model_validate_json(self.words.read_text())

    def kill_at(self, text: str) -> None:
        """SIGKILL to it and all that it started, as soon as its log says `text`; raises RuntimeError where it never does."""
        deadline = self.started + self.run.longest_s
        while text not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.said()}; it never said {text!r}")
            time.sleep(0.005)
        whole = psutil.Process(self.process.pid)
        for process in [whole, *whole.children(recursive=True)]:
            process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.terminate()
        self.process.wait(self.run.longest_s)

    def said(self) -> str:
        code = self.process.poll()
        end = "has not ended" if code is None else f"ended with exit code {code}"
        error = LastWords.model_validate_json(self.words.read_text()).error if self.words.exists() else None
        return f"{self.name} {end}: {error or self.log.read_text()[-600:]}"


def show_logs(folder: Path) -> None:
    """The ends of all programs' logs, into this phase's own."""
    for log in sorted(folder.glob("**/*.log")):
        print(f"\n== {log.relative_to(folder)}\n{log.read_text()[-SHOWN_CHARACTERS:]}", flush=True)


def free_port() -> int:
    """Not the testbed's: a package of the lent machine may be called `tests`, and would hide ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def differences(found: Figures, reference: Figures) -> dict[str, float]:
    """The largest of each kind; names as in Bounds."""

    def relative(these: list[float], those: list[float]) -> float:
        return max(abs(a / b - 1) for a, b in zip(these, those, strict=True))

    def others(these: list[str], those: list[str]) -> float:
        return sum(a != b for a, b in zip(these, those, strict=True)) / len(those)

    if found.confidences.keys() != reference.confidences.keys() or found.answers.keys() != reference.answers.keys():
        raise ValueError("not the same questions were asked")
    return {
        "confidence": max(abs(p - reference.confidences[q]) for q, p in found.confidences.items()),
        "loss": relative(found.losses, reference.losses),
        "gradient_norm": relative(found.gradient_norms, reference.gradient_norms),
        "other_words": max(
            others([found.answers[q] for q in reference.answers], list(reference.answers.values())),
            others(found.proposals, reference.proposals),
        ),
    }


def measure(scale: Scale, report: Report) -> None:
    ways = (REFERENCE, *OTHERS[scale.device])
    threads = max(1, len(os.sched_getaffinity(0)) // len(ways))
    with tempfile.TemporaryDirectory(prefix="evolution-programs-") as folder:
        report.when_cut_off = lambda: show_logs(Path(folder))
        longest_s = LONGEST_S[scale.device]
        first = Run(REFERENCE, Path(folder), report, threads, longest_s)
        first.prepare_base()
        runs = [Run(way, Path(folder) / str(number), report, threads, longest_s) for number, way in enumerate(ways)]
        for run in runs:
            shutil.copytree(first.folder / "storage", run.folder / "storage")
        with ThreadPoolExecutor(len(runs)) as pool:
            done = [pool.submit(run.go_through) for run in runs]
        show_logs(Path(folder))
        figures: list[Figures | None] = []
        for way, one in zip(ways, done, strict=True):
            try:
                figures.append(one.result())
            except Exception as error:  # the other ways still say something
                report.fault(f"{way.name}: {said(error)}")
                figures.append(None)
    for way, found in zip(ways, figures, strict=True):
        if found is not None:
            report.note(**{way.name: {"score": found.score, "seeing": found.seeing}})
    reference = figures[0]
    for way, found in zip(ways[1:], figures[1:], strict=True):
        if reference is None or found is None:
            continue
        try:
            apart = differences(found, reference)
        except ValueError as error:
            report.fault(f"{way.name}: {error}")
            continue
        report.note(**{f"{way.name} against {REFERENCE.name}": apart})
        for name, value in apart.items():
            bound = getattr(way.bounds, name)
            if not value <= bound:
                report.fault(f"{way.name}: {name} differs by {value:.2g} from {REFERENCE.name}; at most {bound:g} is right")
