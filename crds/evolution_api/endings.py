"""How a program in a pod ends: its exit code, and its last words in the container's termination message.

Written by the programs, read by the planner, and kept room for by the machine; said here once for all of them.
"""

from evolution_api.closed import Record
from evolution_api.summaries import AnySummary

EXIT_DONE = 0
EXIT_FAILED = 1
"""Another attempt may do better."""
EXIT_BAD_INPUT = 2
"""Doing the same again must fail again."""
EXIT_TERMINATED = 143
"""128 + SIGTERM, as a shell reports it: the pod was stopped."""

LAST_WORDS_BYTES = 4096
"""Kubernetes cuts a container's termination message here."""
LOG_BYTES_FOR_WORDS = 2048
"""As much of the end of its log stands in for the words of a container that failed without any (FallbackToLogsOnError)."""


class LastWords(Record):
    summary: AnySummary | None = None
    """What it did; None for one that failed, and for a server."""
    error: str | None = None
    """Why it failed: field, value, why, what to do."""
    retryable: bool = True
    """False where doing the same again must fail again (bad input)."""

    def to_json(self) -> str:
        """At most LAST_WORDS_BYTES in UTF-8; beyond them the error is cut, and what JSON escapes at length is blank."""
        text = self.model_dump_json(exclude_none=True)
        if len(text.encode()) <= LAST_WORDS_BYTES:
            return text
        plain = "".join(c if c.isprintable() else " " for c in self.error or "the summary was too long")
        error = plain.encode()[: LAST_WORDS_BYTES // 4].decode(errors="ignore")
        return self.model_copy(update={"error": error, "summary": None}).model_dump_json(exclude_none=True)
