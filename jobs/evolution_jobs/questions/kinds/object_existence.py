"""Is there an object of this label in the room? Half the questions ask for labels that the source annotates and the
room lacks.

Levels: 0 asks for a label that at least half of the frames show, 1 for one that fewer show; absent labels are the
same at both.
"""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, lacks, nameable
from evolution_jobs.scenes.furniture import CATEGORIES

LEVELS = 2
SHAPE = Shape("yesno", fewest=1, most=1, absent=True)
VOWELS = "aeiou"


def program(label: str) -> str:
    return f"count({label!r}) > 0"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    absent = absent_labels(scene)
    present = [x for x in nameable(library, single=False) if _seldom_shown(library, x) is not (level == 0)]
    if not absent or not present:
        return None  # asked only one way, the sentence would give the answer away
    label = rng.choice(rng.choice((absent, present)))
    article = "an" if label[0] in VOWELS else "a"
    text = f"Is there {article} {label} in this room?"
    return Proposal(kind="object_existence", text=text, answer_type="yesno", program=program(label), labels=(label,), level=level)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    """Presence has no margin."""
    return None


def absent_labels(scene: Scene) -> list[str]:
    """Labels that could be here and are not: those the source counts as 0, or the rest of the catalogue of procedural
    rooms.

    Where neither is known, nothing can be called absent: what is not annotated may be there all the same.
    """
    here = {o.label for o in scene.objects}
    if scene.counts is not None:
        return sorted(label for label, n in scene.counts.items() if n == 0 and label not in here)
    return sorted(set(CATEGORIES) - here) if scene.source == "procedural" else []


def _seldom_shown(library: Geometry, label: str) -> bool | None:
    """Whether fewer than half of the frames show the label; None where that is unknown (such labels are asked at both levels)."""
    if lacks(library, "visibility") is not None:
        return None
    shown = sum(library.visible(f, label) >= VISIBLE_RATIO for f in range(1, library.frames() + 1))
    return 2 * shown < library.frames()
