"""`evolution resume`: go on with a failed run from the stage that failed."""

from datetime import UTC, datetime

from evolution_cli.console import DEFAULT_WORKDIR, AsJson, RunName, Workdir, told_errors


def resume(run: RunName, workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """Give a failed run a fresh set of attempts and go on with it, from the failed stage."""
    with told_errors():
        from evolution_api.layout import ANNOTATION_RESUME
        from evolution_cli.commands.run import carry_through
        from evolution_operator.local.folder import Workdir as Folder

        folder = Folder(workdir)
        place = folder.find(run)
        with folder.lock():
            kept = place.load()
            annotations = {**kept.metadata.annotations, ANNOTATION_RESUME: datetime.now(UTC).isoformat()}
            metadata = kept.metadata.model_copy(update={"annotations": annotations})
            spec = kept.spec.model_copy(update={"suspend": False})
            kept = kept.model_copy(update={"metadata": metadata, "spec": spec})
            place.save(kept)
            carry_through(kept, place, folder, as_json=as_json)
