"""`spec`: its groups, and the rules that join them."""

from pydantic import Field

from evolution_api.kinds import LABELS
from evolution_api.run.difficulty import Difficulty, Probe
from evolution_api.run.evaluation import Evaluation
from evolution_api.run.generation import Generation
from evolution_api.run.model import Model
from evolution_api.run.rules import IMMUTABLE, Rule, Ruled
from evolution_api.run.scenes import Scenes
from evolution_api.run.scheduling import Retry, Scheduling
from evolution_api.run.storage import Storage
from evolution_api.run.training import Training


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
        Rule(
            "!self.evaluation.metric.contains('.') || self.generation.kinds.exists(k, self.evaluation.metric.endsWith('.' + k))",
            lambda s: "." not in s.evaluation.metric or s.evaluation.metric.partition(".")[2] in s.generation.kinds,
            "evaluation.metric names a kind of question that generation.kinds does not have, so nothing would be measured of it; "
            "name one of those, or none (score, seeing)",
        ),
    )
