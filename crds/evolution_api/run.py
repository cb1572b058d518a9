"""The EvolutionRun resource: spec and status, with every default, bound and rule that the CRD's schema states.

Defaults are those of Ouroboros-Spatial (arXiv 2606.11719) where it has one. A rule that joins fields is a `Rule` of
the class that owns them: a CEL expression for the API server and the same test in Python for files.
"""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from evolution_api.closed import Resource
from evolution_api.kinds import KINDS, LABELS, Kind, Label, Reason, Stage
from evolution_api.layout import API_VERSION, KIND


class Rule(NamedTuple):
    """A cross-field rule, said twice because it is checked in two places: by the API server and by `evolution validate`."""

    cel: str
    """x-kubernetes-validations expression over `self`."""
    holds: Callable[[Any], bool]
    message: str
    """What is wrong and what to do."""


IMMUTABLE: JsonDict = {"x-evolution-immutable": True}
"""Marks a field that may not change while the run lives; the CRD generator turns it into a transition rule."""


class Ruled(Resource):
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def rules_hold(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self


SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = f"^({SUBDOMAIN}/)?{LABEL}$"
"""Kubernetes' own patterns: whatever they refuse, the children of a run would be refused for."""

ObjectName = Annotated[str, Field(pattern=f"^{SUBDOMAIN}$", max_length=253)]
LabelValue = Annotated[str, Field(pattern=f"^({LABEL})?$", max_length=63)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([mkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$", max_length=64)]
"""A Kubernetes quantity: "4", 500m, 16Gi."""

SUFFIXES: dict[str, Decimal] = {
    "m": Decimal("0.001"),
    **{prefix: Decimal(1000**power) for power, prefix in enumerate("kMGTPE", start=1)},
    **{f"{prefix}i": Decimal(1024**power) for power, prefix in enumerate("KMGTPE", start=1)},
}


def amount(quantity: str) -> Decimal:
    """The number that a quantity stands for."""
    suffix = next((s for s in SUFFIXES if quantity.endswith(s)), "")
    return Decimal(quantity.removesuffix(suffix)) * SUFFIXES.get(suffix, 1)


class EnvVar(Ruled):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable; names that start with EVOLUTION_ are the operator's."""
    value: str = Field(max_length=4096)
    """Its value."""

    rules = (
        Rule(
            "!self.name.startsWith('EVOLUTION_')",
            lambda v: not v.name.startswith("EVOLUTION_"),
            "variables whose names start with EVOLUTION_ are the operator's own; choose another name",
        ),
    )


class ResourceAmounts(Ruled):
    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    """Kubernetes resource requests, e.g. cpu: "4", memory: 16Gi."""
    limits: dict[str, Quantity] = Field(default={}, max_length=16)
    """Kubernetes resource limits; accelerators are set by the operator and cannot be named here."""

    rules = (
        Rule(
            "self.requests.all(name, name in ['cpu', 'memory', 'ephemeral-storage']) && "
            "self.limits.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",
            lambda r: {*r.requests, *r.limits} <= {"cpu", "memory", "ephemeral-storage"},
            "resources.requests and resources.limits take only cpu, memory and ephemeral-storage: accelerators follow from "
            "scheduling.accelerator and the number of processes; leave the others out",
        ),
        Rule(
            "self.requests.all(name, !(name in self.limits) || "
            "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) <= 0)",
            lambda r: all(amount(r.requests[name]) <= amount(r.limits[name]) for name in {*r.requests} & {*r.limits}),
            "resources.requests must not exceed resources.limits; lower the former",
        ),
    )


class PodTemplate(Ruled):
    """What a user may say about the pods of a stage; everything else is the operator's."""

    image: str | None = Field(default=None, pattern=r"^\S+$", max_length=512)
    """Image of the stage's program; None means the one that the operator was installed with."""
    resources: ResourceAmounts = ResourceAmounts()
    """CPU and memory."""
    env: tuple[EnvVar, ...] = Field(default=(), max_length=64)
    """Further environment variables."""

    rules = (
        Rule(
            "self.env.all(variable, self.env.exists_one(other, other.name == variable.name))",
            lambda p: len({variable.name for variable in p.env}) == len(p.env),
            "pod.env names a variable twice; name each once",
        ),
    )


class Model(Resource):
    """The solver's base model; the frozen proposer is the same unless it names another."""

    uri: str = Field(pattern=r"^(hf|s3|file)://.+", max_length=1024, json_schema_extra=IMMUTABLE)
    """The base model: hf://owner/name, s3://bucket/prefix or file:///folder (Hugging Face layout with processor)."""
    revision: str | None = Field(default=None, max_length=128, json_schema_extra=IMMUTABLE)
    """Commit, tag or branch of an hf:// model; None means main."""
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", json_schema_extra=IMMUTABLE)
    """Number format of the weights in training and serving."""
    choices: Literal["letter", "text"] = Field(default="letter", json_schema_extra=IMMUTABLE)
    """How the solver answers a choice: `letter`, as VSI-Bench asks, or `text`, the option's words."""


class Procedural(Ruled):
    """Rooms made by seed and drawn by ray casting; needs no data."""

    rooms: int = Field(default=96, ge=2, le=100_000)
    """How many rooms, the held-out ones included."""
    objects_min: int = Field(default=4, ge=1, le=40)
    """Fewest objects in a room."""
    objects_max: int = Field(default=8, ge=1, le=40)
    """Most objects in a room."""
    furniture: tuple[Annotated[str, Field(max_length=40)], ...] = Field(default=(), max_length=64)
    """Categories that the rooms are furnished with; empty means all that there are."""
    width: int = Field(default=64, ge=16, le=1920)
    """Width of a frame, pixels."""
    height: int = Field(default=64, ge=16, le=1440)
    """Height of a frame, pixels."""

    rules = (
        Rule(
            "self.objectsMin <= self.objectsMax",
            lambda s: s.objects_min <= s.objects_max,
            "scenes.procedural.objectsMin must not exceed scenes.procedural.objectsMax; raise the latter",
        ),
    )


class Scenes(Ruled):
    """Where the scenes come from, and which of their frames are seen."""

    uri: str | None = Field(default=None, pattern=r"^(s3|file)://.+", max_length=1024)
    """Prepared scenes: a folder or prefix that `evolution prepare` wrote."""
    procedural: Procedural | None = None
    """Rooms that the run makes itself."""
    frames_per_scene: int = Field(default=32, ge=1, le=256)
    """Frames that the proposer and the solver see of a scene."""
    frame_sampling: Literal["uniform", "coverage"] = "uniform"
    """`uniform` takes frames evenly spaced in time; `coverage` takes those that together see most objects."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """Use at most this many scenes; None means all."""
    allow_benchmark_scenes: bool = False
    """Train on scenes of a benchmark's validation set; the run, its report and its checkpoints then say so."""

    rules = (
        Rule(
            "has(self.uri) != has(self.procedural)",
            lambda s: (s.uri is None) != (s.procedural is None),
            "scenes needs exactly one of uri (prepared scenes) and procedural (rooms made by the run); set one",
        ),
    )


class Grammar(Resource):
    feedback: bool = True
    """Let last round's labels steer what is asked; false is the static baseline."""


class ModelCall(Resource):
    """Settings of a model that proposes, wherever it runs."""

    max_tokens: int = Field(default=1024, ge=16, le=32_768)
    """Most tokens of one reply."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature of the proposals; the second look always uses 0."""
    second_look: bool = True
    """Ask the model again with frames, question and answer, and drop what it calls guessable or contradicted."""
    token_budget: int | None = Field(default=None, ge=1, le=1_000_000_000_000)
    """Most tokens (in and out) that one shard may use in a round; None means no limit."""


class RemoteCall(ModelCall):
    """Settings of a model that proposes over the network."""

    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests under way at once per shard."""
    timeout_seconds: float = Field(default=120, gt=0, le=3600)
    """Time limit of one request."""
    retries: int = Field(default=3, ge=0, le=10)
    """Further tries of a request that failed for a passing reason."""


class Endpoint(RemoteCall):
    url: str = Field(pattern=r"^https?://.+", max_length=1024)
    """Base URL of an OpenAI-compatible server, up to and with /v1."""
    model: str = Field(min_length=1, max_length=256)
    """Model name that the server knows."""
    api_key_secret: ObjectName | None = None
    """Secret whose key `apiKey` holds the token; None means no token."""


class Inline(ModelCall):
    uri: str | None = Field(default=None, pattern=r"^(hf|s3|file)://.+", max_length=1024)
    """The proposer's weights; None means model.uri, as in the paper."""


class Serving(RemoteCall):
    uri: str | None = Field(default=None, pattern=r"^(hf|s3|file)://.+", max_length=1024)
    """The proposer's weights; None means model.uri, as in the paper."""
    replicas: int = Field(default=1, ge=1, le=64)
    """Replicas of the proposer's InferenceService while generation lasts."""


class Proposer(Ruled):
    """Who writes the questions; exactly one."""

    grammar: Grammar | None = None
    """No model: a grammar over the scene's metadata."""
    endpoint: Endpoint | None = None
    """Any OpenAI-compatible server."""
    inline: Inline | None = None
    """A model loaded by the generating pod itself."""
    serving: Serving | None = None
    """An InferenceService of the frozen model, started for the stage."""

    rules = (
        Rule(
            "[has(self.grammar), has(self.endpoint), has(self.inline), has(self.serving)].filter(x, x).size() == 1",
            lambda s: sum(x is not None for x in (s.grammar, s.endpoint, s.inline, s.serving)) == 1,
            "generation.proposer needs exactly one of grammar, endpoint, inline and serving; set one",
        ),
    )


class Filters(Resource):
    """What a checked question must hold beyond having an answer."""

    min_visible_ratio: float = Field(default=0.1, ge=0, le=1)
    """An object counts as visible in a frame from this visible share on."""
    drop_blind: bool = True
    """Drop questions that a blind prior answers (a label's median size, the commonest count ...)."""


class Sandbox(Resource):
    """Limits of one program."""

    timeout_milliseconds: int = Field(default=250, ge=1, le=60_000)
    """Wall-clock limit. Out of time with the processor for less than a quarter of it, a program is run again, 7 times at most."""
    memory_mebibytes: int = Field(default=64, ge=1, le=4096)
    """Memory limit."""
    max_recursion: int = Field(default=100, ge=1, le=1000)
    """Deepest recursion."""


class Generation(Ruled):
    """How questions are written and checked."""

    proposer: Proposer = Field(default=Proposer(grammar=Grammar()), json_schema_extra=IMMUTABLE)
    """Who writes the questions."""
    questions_per_scene: int = Field(default=15, ge=1, le=200)
    """Questions wanted of a scene in a round."""
    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1, max_length=len(KINDS))
    """Kinds that may be asked."""
    shards: int = Field(default=8, ge=1, le=1000, json_schema_extra=IMMUTABLE)
    """Parts that the scenes are split into: one pod each, one Parquet file each."""
    parallelism: int = Field(default=8, ge=1, le=1000)
    """Pods that work at once."""
    max_failed_shards: int = Field(default=0, ge=0, le=1000)
    """Shards that may fail for good without failing the stage."""
    filters: Filters = Filters()
    sandbox: Sandbox = Sandbox()
    pod: PodTemplate = PodTemplate()

    rules = (
        Rule(
            "self.maxFailedShards < self.shards",
            lambda s: s.max_failed_shards < s.shards,
            "generation.maxFailedShards must be below generation.shards: a stage without any shard has no questions; lower it",
        ),
        Rule(
            "self.kinds.all(kind, self.kinds.exists_one(other, other == kind))",
            lambda s: len(set(s.kinds)) == len(s.kinds),
            "generation.kinds names a kind twice, and its held-out questions would count twice; name each once",
        ),
    )


class Difficulty(Ruled):
    """What makes a question easy, frontier or hard for the solver."""

    signal: Literal["probe", "training"] = Field(default="probe", json_schema_extra=IMMUTABLE)
    """`probe` asks a model server before training; `training` reads the confidence from the training pass itself."""
    rule: Literal["paper", "seeing"] = Field(default="paper", json_schema_extra=IMMUTABLE)
    """`paper` labels by p alone; `seeing` also asks with another scene's frames and takes chance and prior out."""
    easy_above: float = Field(default=0.9, gt=0, le=1, json_schema_extra=IMMUTABLE)
    """Confidence above which a question is easy."""
    hard_below: float = Field(default=0.1, ge=0, lt=1, json_schema_extra=IMMUTABLE)
    """Confidence below which a question is hard."""

    rules = (
        Rule(
            "self.hardBelow < self.easyAbove",
            lambda s: s.hard_below < s.easy_above,
            "difficulty.hardBelow must be below difficulty.easyAbove, or nothing is frontier; the paper uses 0.1 and 0.9",
        ),
        Rule(
            "!(self.signal == 'training' && self.rule == 'seeing')",
            lambda s: not (s.signal == "training" and s.rule == "seeing"),
            "difficulty.rule seeing asks every question a second time with other frames, which training does not do; "
            "use signal: probe, or rule: paper",
        ),
    )


class Probe(Resource):
    """How the solver is asked for its confidence before training."""

    replicas: int = Field(default=1, ge=1, le=64)
    """Replicas of the solver's InferenceService."""
    parallelism: int = Field(default=4, ge=1, le=1000)
    """Probe pods that ask at once, one shard each."""
    timeout_seconds: int = Field(default=600, ge=1, le=86_400)
    """Longest wait for the model server to become ready, for what asks it to run, and for one of its answers; an attempt that
    waits longer has failed, and its server is deleted."""
    pod: PodTemplate = PodTemplate()
    """The model server's pods."""


class DeepSpeed(Resource):
    """How DeepSpeed splits and offloads what training holds in memory."""

    zero_stage: int = Field(default=2, ge=0, le=3)
    """What is split over the processes: nothing, optimiser state, gradients too, parameters too."""
    offload_optimizer: bool = False
    """Keep the optimiser state in host memory (stage 1 and above)."""
    offload_parameters: bool = False
    """Keep parameters in host memory (stage 3)."""


class Training(Ruled):
    """How the solver learns from a round's questions."""

    method: Literal["sft"] = Field(default="sft", json_schema_extra=IMMUTABLE)
    """Supervised fine-tuning on the program-verified answers."""
    steps: int = Field(default=100, ge=1, le=1_000_000, json_schema_extra=IMMUTABLE)
    """Optimiser steps a round."""
    global_batch_size: int = Field(default=64, ge=1, le=65_536, json_schema_extra=IMMUTABLE)
    """Questions an optimiser step, over all processes."""
    micro_batch_size: int = Field(default=1, ge=1, le=1024)
    """Scenes (each with its packed questions) in one forward pass of one process."""
    learning_rate: float = Field(default=1e-6, gt=0, le=1, json_schema_extra=IMMUTABLE)
    """Constant, without warm-up."""
    gradient_clipping: float = Field(default=1.0, gt=0, le=1000, json_schema_extra=IMMUTABLE)
    """Largest global gradient norm."""
    nodes: int = Field(default=1, ge=1, le=1024)
    """Pods of the training job."""
    processes_per_node: int = Field(default=1, ge=1, le=64)
    """Training processes a pod, one accelerator each."""
    deepspeed: DeepSpeed = DeepSpeed()
    select: tuple[Label, ...] = Field(default=LABELS, min_length=1, max_length=len(LABELS), json_schema_extra=IMMUTABLE)
    """Labels that are trained on; the paper trains on all."""
    checkpoint_every: int = Field(default=50, ge=1, le=1_000_000)
    """Steps between checkpoints within a round, for a crash."""
    pod: PodTemplate = PodTemplate()

    rules = (
        Rule(
            "self.globalBatchSize >= self.nodes * self.processesPerNode",
            lambda s: s.global_batch_size >= s.nodes * s.processes_per_node,
            "training.globalBatchSize must be at least nodes x processesPerNode, or a process has nothing to do; raise it",
        ),
        Rule(
            "self.select.all(label, self.select.exists_one(other, other == label))",
            lambda s: len(set(s.select)) == len(s.select),
            "training.select names a label twice; name each once",
        ),
        Rule(
            "!self.deepspeed.offloadParameters || self.deepspeed.zeroStage == 3",
            lambda s: not s.deepspeed.offload_parameters or s.deepspeed.zero_stage == 3,
            "training.deepspeed.offloadParameters needs zeroStage 3: only there are parameters split; set zeroStage: 3",
        ),
        Rule(
            "!self.deepspeed.offloadOptimizer || self.deepspeed.zeroStage >= 1",
            lambda s: not s.deepspeed.offload_optimizer or s.deepspeed.zero_stage >= 1,
            "training.deepspeed.offloadOptimizer needs zeroStage 1 or above; raise zeroStage",
        ),
    )


class Heldout(Resource):
    """The fixed questions that no round trains on."""

    scenes: int = Field(default=50, ge=2, le=10_000, json_schema_extra=IMMUTABLE)
    """Scenes kept from training; at least 2, for the seeing score shows every question another one's frames."""
    questions_per_kind: int = Field(default=100, ge=1, le=10_000, json_schema_extra=IMMUTABLE)
    """Questions of each kind asked of them, the same in every round; a kind that the scenes cannot fill says so."""


class Stop(Resource):
    metric: Literal["score", "seeing"] = "seeing"
    """Held-out figure that must keep rising."""
    patience: int = Field(default=2, ge=1, le=100)
    """Evaluations without a new best after which the run ends early."""


class Evaluation(Resource):
    """How a checkpoint is scored, and when the run ends early."""

    every: int = Field(default=1, ge=1, le=100)
    """Evaluate every n-th round; the base model and the last round always are."""
    heldout: Heldout = Heldout()
    stop: Stop | None = None
    """End early; None means all rounds."""
    pod: PodTemplate = PodTemplate()


class Storage(Resource):
    """Where shards, checkpoints and metrics are kept."""

    uri: str = Field(pattern=r"^(s3|file)://.+", max_length=1024, json_schema_extra=IMMUTABLE)
    """Where everything is kept: s3://bucket/prefix, or file:///folder."""
    endpoint: str | None = Field(default=None, pattern=r"^https?://.+", max_length=1024)
    """URL of an S3 server other than AWS; None means AWS."""
    secret_name: ObjectName | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; None means the pod's own identity."""
    on_delete: Literal["Retain", "Delete"] = "Retain"
    """What happens to the stored objects when the run is deleted."""
    keep_checkpoints: int | None = Field(default=None, ge=1, le=1000)
    """Keep only the newest n checkpoints, the best one and the optimiser state of the last; None keeps all."""


class Toleration(Ruled):
    key: str | None = Field(default=None, pattern=LABEL_KEY, max_length=317)
    """Taint key; None with operator Exists matches all."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value must equal `value`, or the taint only has to exist."""
    value: LabelValue | None = None
    """Taint value; None with operator Exists."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect that is tolerated; None means all."""

    rules = (
        Rule(
            "has(self.key) || self.operator == 'Exists'",
            lambda t: t.key is not None or t.operator == "Exists",
            "a toleration without a key needs operator Exists, and then tolerates every taint; set key, or operator: Exists",
        ),
        Rule(
            "!(has(self.value) && self.operator == 'Exists')",
            lambda t: t.value is None or t.operator != "Exists",
            "a toleration with operator Exists has no value, since any will do; leave value out, or use operator: Equal",
        ),
    )


class Scheduling(Ruled):
    """Where pods may run, and what they wait for."""

    accelerator: str = Field(default="nvidia.com/gpu", pattern=f"^(none|{SUBDOMAIN}/{LABEL})$", max_length=128)
    """Resource name of the accelerator that every pod with a model in it asks for; `none` runs on CPUs."""
    queue_name: str | None = Field(default=None, pattern=f"^{SUBDOMAIN}$", max_length=63)
    """Kueue LocalQueue that the run's children wait in; what runs beside a model server waits in none."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of every pod."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of every pod, by which a cloud lets it into the bucket; its token is not mounted. None means `default`."""
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=32)
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that pods tolerate."""

    rules = (
        Rule(
            f"self.nodeSelector.all(key, key.matches(r'{LABEL_KEY}'))",
            lambda s: all(re.fullmatch(LABEL_KEY, key) for key in s.node_selector),
            "scheduling.nodeSelector has a key that no label can have; labels are called such as zone or example.com/pool",
        ),
    )


class Retry(Ruled):
    """What happens when a stage fails."""

    limit: int = Field(default=3, ge=0, le=100)
    """Further attempts of a stage that failed."""
    backoff_seconds: int = Field(default=10, ge=0, le=86_400)
    """Wait before the first further attempt; doubled each time."""
    max_backoff_seconds: int = Field(default=600, ge=0, le=86_400)
    """Longest wait."""
    stage_timeout_seconds: int | None = Field(default=None, ge=1, le=31_536_000)
    """Time limit of one attempt of a stage, the wait in a queue not counted; None means no limit."""

    rules = (
        Rule(
            "self.backoffSeconds <= self.maxBackoffSeconds",
            lambda s: s.backoff_seconds <= s.max_backoff_seconds,
            "retry.backoffSeconds must not exceed retry.maxBackoffSeconds; raise the latter",
        ),
    )


class EvolutionRunSpec(Ruled):
    rounds: int = Field(default=4, ge=1, le=100)
    """Rounds of generate, probe, train and evaluate; may be raised at any time, and lowered to the round under way."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1, json_schema_extra=IMMUTABLE)
    """Everything random follows from it."""
    suspend: bool = False
    """Stop all pods and keep what is committed; false goes on from there."""
    model: Model
    scenes: Scenes = Field(json_schema_extra=IMMUTABLE)
    generation: Generation = Generation()
    difficulty: Difficulty = Difficulty()
    probe: Probe = Probe()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    storage: Storage
    scheduling: Scheduling = Scheduling()
    retry: Retry = Retry()

    rules = (
        Rule(
            "self.difficulty.signal == 'probe' || self.training.select.size() == 3",
            lambda s: s.difficulty.signal == "probe" or len(set(s.training.select)) == len(LABELS),
            "training.select cannot leave labels out with difficulty.signal training: the labels are only known after that "
            "training; use signal: probe, or select all labels",
        ),
        Rule(
            "!has(self.scenes.procedural) || self.scenes.procedural.rooms > self.evaluation.heldout.scenes",
            lambda s: s.scenes.procedural is None or s.scenes.procedural.rooms > s.evaluation.heldout.scenes,
            "scenes.procedural.rooms must be above evaluation.heldout.scenes, which are among them, or no room is left to train "
            "on; raise the former",
        ),
        Rule(
            "!has(self.scenes.limit) || self.scenes.limit > self.evaluation.heldout.scenes",
            lambda s: s.scenes.limit is None or s.scenes.limit > s.evaluation.heldout.scenes,
            "scenes.limit must be above evaluation.heldout.scenes, which are among them, or no scene is left to train on; "
            "raise the former",
        ),
    )


ConditionType = Literal["Progressing", "Suspended", "Succeeded", "Failed", "Reconciling", "Stalled"]


class Condition(Resource):
    """One aspect of the run's state, as Kubernetes' conditions are."""

    type: ConditionType
    """Progressing, Suspended, Succeeded, Failed; and for kstatus, only while they are True, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)
    """Why, in one CamelCase word."""
    message: str = Field(default="", max_length=32_768)
    """Why, in words, and what to do where there is something to do."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec that the condition speaks of."""


class RoundStatus(Resource):
    """One round in numbers. Every count is of committed shards only."""

    round: int = Field(ge=0)
    """0 is the preparation and the base model's evaluation."""
    proposed: int = Field(default=0, ge=0)
    """Proposals written."""
    executed: int = Field(default=0, ge=0)
    """Proposals whose program returned an answer in the sandbox."""
    accepted: int = Field(default=0, ge=0)
    """Questions that passed every filter."""
    rejected: dict[Reason, int] = {}
    """Proposals dropped, by reason."""
    easy: int = Field(default=0, ge=0)
    """Accepted questions labelled easy."""
    frontier: int = Field(default=0, ge=0)
    """Accepted questions labelled frontier."""
    hard: int = Field(default=0, ge=0)
    """Accepted questions labelled hard."""
    mean_confidence: float | None = None
    """Mean confidence in the true answer over the round's questions."""
    train_loss: float | None = None
    """Mean loss over the round's steps, nats per answer token."""
    score: float | None = None
    """Held-out macro score of the round's checkpoint."""
    seeing: float | None = None
    """Held-out macro seeing score: score with the right frames minus score with another scene's."""
    blind: float | None = None
    """Macro score of the blind prior on the same questions."""
    checkpoint: str | None = None
    """Key of the checkpoint below the run's storage prefix."""
    seconds: dict[Stage, float] = {}
    """Time that the successful attempt of each stage took, seconds."""
    started: datetime | None = None
    """When the round's first stage was due."""
    finished: datetime | None = None
    """When its last stage had succeeded."""


class Best(Resource):
    """The round with the best held-out score; 0 is the base model."""

    round: int
    """Its number."""
    score: float
    """Its held-out macro score."""
    checkpoint: str
    """Key of its checkpoint below the run's storage prefix; the model's URI for the base model."""


Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Deleting"]


class EvolutionRunStatus(Resource):
    observed_generation: int = -1
    """Generation of the spec that this status speaks of; -1 before the operator's first look, so that kstatus waits for it."""
    phase: Phase = "Pending"
    """One word for people; programs read the conditions."""
    round: int = 0
    """Round under way; 0 prepares scenes and evaluates the base model."""
    progress: str = ""
    """Round of rounds, as printed: 2/4."""
    stage: Stage | None = None
    """Stage under way; None before the first and after the last."""
    attempt: int = 1
    """Attempt of the stage, from 1."""
    first_attempt: int = 1
    """Attempt that the present set began with; a resume begins a new set, and retry.limit counts within a set."""
    stage_started: datetime | None = None
    """When this attempt began to run (the wait in a queue not counted)."""
    retry_at: datetime | None = None
    """When the next attempt may start; None unless one is waited for."""
    resumed: str | None = None
    """Value of the resume annotation that was last acted on."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=8)
    """What holds, with reasons in words; programs read these."""
    rounds: tuple[RoundStatus, ...] = Field(default=(), max_length=101)
    """One record a round, from round 0 on."""
    best: Best | None = None
    """Best evaluated round by held-out score."""
    accepted: int = 0
    """Accepted questions over all rounds."""
    frontier_percent: int | None = None
    """Share of frontier among the latest probed round's questions, percent."""
    score: float | None = None
    """Latest held-out macro score."""


class Metadata(Resource):
    """The part of Kubernetes' ObjectMeta that this project reads; the rest passes through."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    uid: str = ""
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: datetime | None = None


class EvolutionRun(Resource):
    api_version: Literal["evolution.spatial.io/v1alpha1"] = API_VERSION  # type: ignore[assignment]
    kind: Literal["EvolutionRun"] = KIND  # type: ignore[assignment]
    metadata: Metadata
    spec: EvolutionRunSpec
    status: EvolutionRunStatus = EvolutionRunStatus()
