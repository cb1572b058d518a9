"""Names: labels, annotations, object names and the keys below a run's storage prefix. Nothing else spells them out."""

import hashlib

from evolution_api.kinds import StageName

GROUP = "evolution.spatial.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "EvolutionRun"
PLURAL = "evolutionruns"

LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_RUN = f"{GROUP}/run"
LABEL_ROUND = f"{GROUP}/round"
LABEL_STAGE = f"{GROUP}/stage"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_ROLE = f"{GROUP}/role"
"""What the child is to its stage: `work` (its end ends the stage) or `server` (lives as long as the work needs it)."""

ANNOTATION_RESUME = f"{GROUP}/resume"
"""Any new value resumes a failed run from its failed stage with a fresh set of attempts."""

FINALIZER = f"{GROUP}/storage"

ENV_INPUT = "EVOLUTION_INPUT"
"""JSON of a StageInput."""
ENV_SOLVER_URL = "EVOLUTION_SOLVER_URL"
"""Base URL of the model server that the probe asks."""
ENV_PROPOSER_URL = "EVOLUTION_PROPOSER_URL"
"""Base URL of the OpenAI-compatible server that `proposer.serving` started, up to and with /v1."""
ENV_PROPOSER_KEY = "EVOLUTION_PROPOSER_KEY"
"""Token for `proposer.endpoint`, where it names a secret."""
ENV_TERMINATION_LOG = "EVOLUTION_TERMINATION_LOG"
"""File for the LastWords; /dev/termination-log where unset."""
ENV_SHARD = "JOB_COMPLETION_INDEX"

SERVED_MODEL = "solver"
"""Name under which a model server offers its model; ready when GET /v1/models/<name> answers 200."""
SERVER_PORT = 8080

MAX_NAME = 50
"""Longest child name: the training operator and KServe append up to 13 characters, and a Service name ends at 63."""


def child_name(run: str, round_: int, stage: StageName, attempt: int, suffix: str = "") -> str:
    """Deterministic name of a child, so that a repeat is an update and never a second child.

    A run's name too long for its children is cut and closed by 8 hex digits of its hash.
    """
    tail = f"-r{round_}-{stage}{suffix}" + (f"-a{attempt}" if attempt > 1 else "")
    if len(run) + len(tail) > MAX_NAME:
        digest = hashlib.sha256(run.encode()).hexdigest()[:8]
        run = f"{run[: MAX_NAME - len(tail) - 9].rstrip('-.')}-{digest}"
    return run.replace(".", "-") + tail


def run_prefix(namespace: str, run: str, uid: str) -> str:
    return f"{namespace}/{run}/{uid}"


def round_prefix(round_: int) -> str:
    return f"rounds/{round_:04d}"


def stage_prefix(round_: int, stage: StageName) -> str:
    return f"{round_prefix(round_)}/{stage}"


def part(round_: int, stage: StageName, shard: int) -> str:
    """Stem of a shard's files: `<stem>.parquet` is its data, `<stem>.json` its manifest."""
    return f"{stage_prefix(round_, stage)}/part-{shard:05d}"


def manifest_key(round_: int, stage: StageName, shard: int | None = None) -> str:
    if shard is None:
        return f"{stage_prefix(round_, stage)}/manifest.json"
    return f"{part(round_, stage, shard)}.json"


def checkpoint_prefix(round_: int) -> str:
    """Where round's checkpoint lies, Hugging Face layout; round 0 has none: it is the base model at `model.uri`."""
    return f"{stage_prefix(round_, 'train')}/checkpoint"


RUN_KEY = "run.json"
"""The run and its spec as it began (a StageInput): what lies in storage says by itself where it came from."""
SCENE_PLAN_KEY = f"{stage_prefix(0, 'prepare')}/scenes.json"
SCENES_PREFIX = f"{stage_prefix(0, 'prepare')}/scenes"
"""Where scenes lie that the run makes itself (`scenes.procedural`)."""
HELDOUT_KEY = f"{stage_prefix(0, 'prepare')}/heldout.parquet"
