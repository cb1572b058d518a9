"""A round's record comes back from its files as it was, and keeps the first confidence of a question."""

from evolution_api.results import TrainStep
from evolution_jobs.train.record import Record


def step(number: int, loss: float) -> TrainStep:
    return TrainStep(step=number, round=1, loss=loss, learning_rate=1e-6, gradient_norm=0.1 + 0.2, questions=("a", "b"))


def test_files_hold_everything() -> None:
    record = Record()
    record.add(step(1, 2.0), 10, {"b": 0.1 + 0.2, "a": 0.5})
    record.add(step(2, 1.0), 12, {"a": 0.9})
    again = Record.from_files(record.to_files())
    assert again == record
    assert again.to_files() == record.to_files()
    assert record.train_loss == 1.5
    assert record.tokens == 22


def test_the_first_presentation_of_a_question_counts() -> None:
    record = Record()
    record.add(step(1, 2.0), 10, {"a": 0.25})
    record.add(step(2, 1.0), 10, {"a": 0.75})
    assert record.confidences == {"a": 0.25}
