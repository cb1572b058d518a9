"""Reads an EvolutionRun from a YAML file and says in words what is wrong with it. Used by run, validate and manifests."""

from pathlib import Path

from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import RefusedError


def read_run(path: Path) -> EvolutionRun:
    """Raises RefusedError that names every fault: field, value, why, what to do."""
    import yaml

    from evolution_api.explain import explain

    try:
        documents = [d for d in yaml.safe_load_all(path.read_text()) if d is not None]
    except FileNotFoundError:
        raise RefusedError(f"{path} does not exist; name a YAML file with an EvolutionRun") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RefusedError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if len(documents) != 1:
        raise RefusedError(f"{path} holds {len(documents)} documents; it must hold one EvolutionRun")
    found = explain(documents[0])
    if isinstance(found, EvolutionRun):
        return found
    raise RefusedError("\n".join([f"{path} is no valid EvolutionRun:", *(f"  {fault}" for fault in found)]))
