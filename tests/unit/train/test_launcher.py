"""What the launcher makes of its environment and of the way in which processes end."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from evolution_api.jobs import StageInput
from evolution_jobs.program import BadInputError, TerminatedError
from evolution_jobs.train.launcher import FailedProcessError, PodRank, cause, leave_words, reserve_words

Jobs = Callable[..., StageInput]


class FailedError(Exception):
    """The shape of torch's ChildFailedError, which costs an import of torch."""

    def __init__(self, **exitcodes: int) -> None:
        super().__init__("failed")
        self.failures = {int(rank[1:]): SimpleNamespace(exitcode=code) for rank, code in exitcodes.items()}


def test_a_pod_reads_what_the_training_operator_injects(job: Jobs) -> None:
    environ = {
        "PET_NNODES": "3",
        "PET_NPROC_PER_NODE": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "run-master-0",
        "PET_MASTER_PORT": "23456",
    }
    train = job(training={"global_batch_size": 8, "nodes": 3, "processes_per_node": 2})
    assert PodRank.from_environment(train, environ) == PodRank(3, 1, 2, "run-master-0", 23456)
    with pytest.raises(BadInputError, match=r"PET_NNODES=3 .* training\.nodes 1"):
        PodRank.from_environment(job(), environ)


@pytest.mark.parametrize(
    ("failed", "words", "expected", "message"),
    [
        pytest.param(FailedError(r1=-signal.SIGKILL), {}, FailedProcessError, "process 1 was killed by SIGKILL", id="killed"),
        pytest.param(
            FailedError(r1=-signal.SIGSEGV),
            {0: (1.0, 1, "Connection closed by peer")},
            FailedProcessError,
            "process 1 was killed by SIGSEGV",
            id="killed, its peer complained first",
        ),
        pytest.param(
            FailedError(r0=1),
            {0: (2.0, 1, "Connection closed by peer"), 1: (1.0, 1, "ValueError: no")},
            FailedProcessError,
            "process 1: ValueError: no",
            id="the first that spoke",
        ),
        pytest.param(
            FailedError(r0=1),
            {0: (1.0, 1, "Connection closed by peer")},
            FailedProcessError,
            "process 1 was killed by SIGKILL",
            id="killed, and only its peer's end was seen",
        ),
        pytest.param(
            FailedError(r0=2),
            {0: (1.0, 2, "scene x is broken"), 1: (2.0, 143, "terminated")},
            BadInputError,
            "scene x is broken",
            id="bad input",
        ),
        pytest.param(
            FailedError(r0=143),
            {0: (1.0, 143, "terminated"), 1: (2.0, 143, "terminated")},
            TerminatedError,
            "^$",
            id="told to end on another pod",
        ),
        pytest.param(
            FailedError(r0=1),
            {0: (1.0, 1, "OSError: disk full"), 1: (0.5, 0, "")},
            FailedProcessError,
            "process 0: OSError: disk full",
            id="the other was done",
        ),
        pytest.param(
            FailedError(r0=1, r1=1), {}, FailedProcessError, "ended with exit code 1 and left no words", id="nobody spoke"
        ),
    ],
)
def test_the_cause_of_a_failure(
    failed: Exception, words: dict[int, tuple[float, int, str]], expected: type[BaseException], message: str, tmp_path: Path
) -> None:
    for rank in range(2):
        reserve_words(str(tmp_path), rank)
    for rank, (at, code, error) in words.items():
        (tmp_path / f"{rank}.json").write_text(json.dumps({"at": at, "code": code, "error": error}))
    with pytest.raises(expected, match=message):
        raise cause(failed, tmp_path, range(2))


@pytest.mark.parametrize("character", ["x", "\n", "椅", "🪑"])
def test_the_last_words_of_a_process_need_no_more_room_than_was_reserved(tmp_path: Path, character: str) -> None:
    """A full disk is what they are often about; whatever was said halfway would be read as nothing."""
    reserve_words(str(tmp_path), 0)
    reserved = (tmp_path / "0.json").stat()
    leave_words(str(tmp_path), 0, 1, character * 9000)
    left = (tmp_path / "0.json").stat()
    assert left.st_ino == reserved.st_ino
    assert left.st_size <= reserved.st_size
    with pytest.raises(FailedProcessError, match=r"^training process 0: "):
        raise cause(FailedError(r0=1), tmp_path, range(1))
