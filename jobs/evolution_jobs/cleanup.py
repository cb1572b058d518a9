"""Program `cleanup`: deletes everything that a run stored, when the run is deleted and `storage.onDelete` is Delete.

Deletes every key below <storage.uri>/<namespace>/<run>/<uid>/ and nothing beside it; scenes that the run did not make
lie elsewhere. Started again, it finds less or nothing and ends well.

    EVOLUTION_INPUT='{"stage": "cleanup", "round": 0, ...}' python -m evolution_jobs.cleanup
"""

from evolution_api.jobs import StageInput
from evolution_api.summaries import CleanupSummary
from evolution_jobs.program import BadInputError, log, run
from evolution_storage.uri import run_store


def main(job: StageInput) -> CleanupSummary:
    if job.spec.storage.on_delete != "Delete":
        raise BadInputError("storage.onDelete is Retain: what the run stored stays; set it to Delete before deleting the run")
    store = run_store(job)
    keys = store.list("")
    store.delete("")
    log.info("deleted %d objects below %s/%s", len(keys), job.spec.storage.uri.rstrip("/"), job.prefix)
    return CleanupSummary(deleted=len(keys))


if __name__ == "__main__":
    run(main)
