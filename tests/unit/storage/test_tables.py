"""Records survive Parquet, and the Hugging Face library opens it as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from evolution_api.question import Question, Rejection
from evolution_api.results import Answered, ProbeResult
from evolution_storage.store import CorruptError
from evolution_storage.tables import from_parquet, schema_of, to_parquet

QUESTION = Question(
    id="0123456789abcdef",
    scene="room-1",
    kind="object_rel_distance",
    text="Which is closest?",
    answer_type="choice",
    options=("chair", "lamp"),
    program="1",
    labels=("chair", "lamp", "bed"),
    level=2,
    answer="lamp",
    round=1,
    proposer="grammar",
)


def test_records_come_back_as_they_were() -> None:
    plain = QUESTION.model_copy(
        update={"answer_type": "number", "options": (), "tolerance": 0.05, "prompt_sha256": "ab", "unit": "m", "answer": "1.5"}
    )
    assert from_parquet(to_parquet([QUESTION, plain], Question), Question) == [QUESTION, plain]


def test_an_empty_table_keeps_its_columns() -> None:
    assert from_parquet(to_parquet([], ProbeResult), ProbeResult) == []


@pytest.mark.parametrize("type_", [Question, Rejection, ProbeResult, Answered], ids=lambda t: t.__name__)
def test_every_stored_record_has_a_flat_schema(type_: type) -> None:
    assert schema_of(type_).names == list(type_.model_fields)


def test_the_same_records_give_the_same_bytes() -> None:
    assert to_parquet([QUESTION], Question) == to_parquet([QUESTION], Question)


@pytest.mark.parametrize("data", [b"", b"PAR1garbagePAR1", to_parquet([], Rejection)[:-9]], ids=["empty", "garbage", "cut"])
def test_bytes_that_are_no_table_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="no table of Question"):
        from_parquet(data, Question)


def test_reading_and_writing_start_no_thread() -> None:
    """Arrow's pools abort a short program that ends beside them; so a program must not have them."""
    program = (
        "import os\n"
        "from evolution_api.results import ProbeResult as Row\n"
        "from evolution_storage.tables import from_parquet, to_parquet\n"
        "row = Row(question='q', scene='s', kind='object_counting', level=0, confidence=1, label='easy')\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "assert from_parquet(to_parquet([row], Row), Row) == [row]\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "0"


def test_datasets_opens_a_part_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "part-00000.parquet").write_bytes(to_parquet([QUESTION], Question))
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(tmp_path / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["answer"] == "lamp"
    assert rows[0]["options"] == ["chair", "lamp"]
