"""What a round of training has come to so far: its steps, answer tokens and confidences, kept through a crash by `to_files`.

Called by `loop`. Pure: bytes in, bytes out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from evolution_api.results import TrainStep

METRICS = "metrics.jsonl"
REST = "record.json"


@dataclass
class Record:
    steps: list[TrainStep] = field(default_factory=list)
    tokens: int = 0
    """Answer tokens of all steps, end tokens included."""
    confidences: dict[str, float] = field(default_factory=dict)
    """Question id -> confidence at its first presentation in the round; empty unless the round labels by them."""

    def add(self, step: TrainStep, tokens: int, confidences: Mapping[str, float]) -> None:
        self.steps.append(step)
        self.tokens += tokens
        self.confidences = {**confidences, **self.confidences}

    @property
    def metrics(self) -> bytes:
        """A TrainStep a line."""
        return "".join(f"{step.model_dump_json()}\n" for step in self.steps).encode()

    @property
    def train_loss(self) -> float:
        return fmean(step.loss for step in self.steps)

    def to_files(self) -> dict[str, bytes]:
        rest = {"tokens": self.tokens, "confidences": dict(sorted(self.confidences.items()))}
        return {METRICS: self.metrics, REST: json.dumps(rest).encode()}

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> "Record":
        steps = [TrainStep.model_validate_json(line) for line in files[METRICS].splitlines()]
        return Record(steps, **json.loads(files[REST]))
