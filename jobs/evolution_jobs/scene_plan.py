"""What the prepare stage fixed for the whole run, read back: the scene plan and the held-out questions.

Called by the programs of every later stage. It does not know how scenes or questions are made.
"""

from evolution_api.jobs import StageInput
from evolution_api.layout import HELDOUT_KEY, SCENE_PLAN_KEY, manifest_key
from evolution_api.question import Question
from evolution_api.results import Manifest
from evolution_api.scene import ScenePlan
from evolution_jobs.program import BadInputError
from evolution_storage.manifests import committed, read_file
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet


def read_plan(store: Store, job: StageInput) -> ScenePlan:
    """Raises BadInputError where nothing was prepared, CorruptError where the file is not what its manifest says."""
    return ScenePlan.model_validate_json(read_file(store, _manifest(store, job), SCENE_PLAN_KEY))


def read_heldout(store: Store, job: StageInput) -> list[Question]:
    """The fixed held-out questions, in their fixed order; raises as `read_plan` does."""
    return from_parquet(read_file(store, _manifest(store, job), HELDOUT_KEY), Question)


def _manifest(store: Store, job: StageInput) -> Manifest:
    key = manifest_key(0, "prepare")
    manifest = committed(store, job.uid, key)
    if manifest is None:
        raise BadInputError(f"{key} is missing: the run's scenes were never prepared; run its prepare stage first")
    return manifest
