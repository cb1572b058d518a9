"""The input of every program that runs in a pod, handed over as JSON in the variable EVOLUTION_INPUT."""

from collections.abc import Mapping

from pydantic import Field

from evolution_api.closed import Record
from evolution_api.kinds import StageName
from evolution_api.layout import ENV_INPUT, ENV_SHARD, checkpoint_prefix, run_prefix
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.stages import BY_NAME


class StageInput(Record):
    """One stage of one round; the shard, where there is one, comes from the Job's own index variable."""

    namespace: str
    run: str
    uid: str
    stage: StageName
    round: int = Field(ge=0)
    attempt: int = Field(default=1, ge=1)
    spec: EvolutionRunSpec
    """The spec as it was when the stage began."""

    @property
    def prefix(self) -> str:
        """Where the run's keys begin below `spec.storage.uri`."""
        return run_prefix(self.namespace, self.run, self.uid)

    @property
    def solver_key(self) -> str | None:
        """Key of the checkpoint that this stage starts from; None for the base model.

        Training and probing in round t start from round t - 1's checkpoint; evaluation scores round t's own.
        """
        made_by = {"base": 0, "last round": self.round - 1, "this round": self.round}[BY_NAME[self.stage].starts_from]
        return checkpoint_prefix(made_by) if made_by >= 1 else None

    @staticmethod
    def from_environment(environ: Mapping[str, str]) -> "StageInput":
        """Raises ValueError where the variable is missing or does not parse."""
        if ENV_INPUT not in environ:
            raise ValueError(f"{ENV_INPUT} is not set: this program is started by the operator or by `evolution run`")
        return StageInput.model_validate_json(environ[ENV_INPUT])


def shard_from_environment(environ: Mapping[str, str]) -> int:
    return int(environ.get(ENV_SHARD, "0"))
