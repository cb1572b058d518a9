"""Finds the object labels that a question's sentence names.

Called by `check.py` for proposals that do not list them, and by `audit.py`, which has nothing but the sentence.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

ALIASES = {"couch": "sofa", "television": "tv", "fridge": "refrigerator", "trash can": "trash bin", "desk": "table"}
"""Names that VSI-Bench's labels merge; used only where the scene has the second and not the first."""
PLURAL = r"(?:\(s\)|\(es\)|es|s)?"


def labels_in(text: str, vocabulary: Iterable[str]) -> list[str]:
    """Labels of the vocabulary that the text names, in its order, each once; the longest match wins ("trash bin", not "bin")."""
    known = {label.lower(): label for label in vocabulary}
    known |= {alias: known[label] for alias, label in ALIASES.items() if label in known and alias not in known}
    if not known:
        return []
    found = (known[m[1].lower()] for m in _pattern(tuple(sorted(known))).finditer(text))
    return list(dict.fromkeys(found))


@lru_cache(maxsize=512)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))}){PLURAL}(?![\w-])", re.IGNORECASE)
