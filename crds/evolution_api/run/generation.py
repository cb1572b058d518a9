"""`spec.generation`: who writes questions, and how they are checked."""

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.kinds import KINDS, Kind
from evolution_api.run.pod import PodTemplate
from evolution_api.run.quantities import ObjectName
from evolution_api.run.rules import IMMUTABLE, Rule, Ruled


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
