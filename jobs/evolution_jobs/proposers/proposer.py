"""What every proposer shares: the task of asking one scene, and the shape of who does it.

`generate.py` makes a task for each scene and hands it to the proposer; the proposer submits proposals and learns at once what
became of them. A proposer never sees storage, and never decides on an answer: `submit` runs the program and the filters.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from PIL.Image import Image

from evolution_api.kinds import Label, Reason
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.scene import Scene
from evolution_api.summaries import ProposerUsage
from evolution_jobs.proposers.feedback import Cell, Tally, tally
from evolution_jobs.questions.check import question_id

Judge = Callable[[Proposal], Question | Rejection]
"""Sandbox and filters: `evolution_jobs.questions.check.check` with everything but the proposal filled in."""

DETAIL_CHARACTERS = 500
"""Longest detail of a malformed proposal that is kept; a model's garbage can be of any length."""


@dataclass(frozen=True)
class Recalled:
    """A question of last round and how hard the solver found it; None where it was not probed."""

    question: Question
    label: Label | None


@dataclass
class SceneTask:
    """Asking one scene: what is known of it, what is wanted, and what has come in so far."""

    scene: Scene
    """Reduced to the frames that the solver will see."""
    images: Sequence[Image]
    """One a frame, RGB."""
    wanted: int
    last: Sequence[Recalled]
    """Last round's questions of this scene."""
    shard: Mapping[Cell, Tally]
    """Last round's labels over all scenes of the shard."""
    rng: random.Random
    round: int
    proposer: str
    judge: Judge
    known: AbstractSet[str]
    """Ids of the questions accepted before, in whatever round; the judge adds to them."""
    accepted: list[Question] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    proposed: int = 0
    submitted: set[str] = field(default_factory=set)
    """Ids of what was submitted in this round, dropped ones too."""

    @property
    def missing(self) -> int:
        return self.wanted - len(self.accepted)

    @property
    def labels(self) -> dict[Cell, Tally]:
        """Last round's labels of this scene."""
        return tally(((r.question.kind, r.question.level), r.label) for r in self.last if r.label is not None)

    def asked_before(self, proposal: Proposal) -> bool:
        """Whether submitting it would be a waste: it was accepted before, or already judged in this round."""
        id_ = question_id(proposal, self.scene.id)
        return id_ in self.known or id_ in self.submitted

    def submit(self, proposal: Proposal, prompt_sha256: str | None = None) -> Question | Rejection:
        """Run the proposal through sandbox and filters and keep the result."""
        self.proposed += 1
        self.submitted.add(question_id(proposal, self.scene.id))
        result = self.judge(proposal)
        if isinstance(result, Rejection):
            self.rejected.append(result)
            return result
        if prompt_sha256 is not None:
            result = result.model_copy(update={"prompt_sha256": prompt_sha256})
        self.accepted.append(result)
        return result

    def malformed(self, detail: str, *, kind: str = "", text: str = "", program: str = "") -> None:
        """Count what came back from a proposer and is no proposal."""
        self.proposed += 1
        self._reject(kind, text, program, "malformed_proposal", detail)

    def withdraw(self, question: Question, reason: Reason, detail: str) -> None:
        """Take an accepted question back: the proposer's second look speaks against it."""
        self.accepted.remove(question)
        self._reject(question.kind, question.text, question.program, reason, detail)

    def _reject(self, kind: str, text: str, program: str, reason: Reason, detail: str) -> None:
        self.rejected.append(
            Rejection(
                scene=self.scene.id,
                kind=kind,
                text=text,
                program=program,
                reason=reason,
                detail=detail[:DETAIL_CHARACTERS],
                round=self.round,
                proposer=self.proposer,
            )
        )


class Proposer(Protocol):
    name: str
    """What questions name as their proposer."""
    scenes_at_once: int
    """Tasks that it can work on concurrently."""

    async def ask(self, task: SceneTask) -> None:
        """Submit proposals until `task.wanted` are accepted or it has nothing more to ask.

        Raises SceneFailedError for what concerns this scene alone; any other exception ends the shard.
        """

    def usage(self) -> ProposerUsage | None:
        """What it used up over all scenes: calls, tokens; None for one that costs nothing."""

    def prompts(self) -> dict[str, str]:
        """Prompts that accepted questions refer to: sha256 -> text."""


class SceneFailedError(Exception):
    """The proposer could not ask this scene; the message says why. The shard goes on with the next."""
