"""How long a failed stage waits before its next attempt."""

from evolution_api.run.scheduling import Retry


def backoff_s(retry: Retry, failures: int) -> int:
    """Seconds to wait after the `failures`-th failure in a row (from 1): doubled each time, up to the bound."""
    return int(min(retry.max_backoff_seconds, retry.backoff_seconds * 2 ** (failures - 1)))
