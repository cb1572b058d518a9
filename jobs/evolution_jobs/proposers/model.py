"""The proposer that is a model: it sees frames, metadata and feedback, writes questions with programs, and looks a second time.

Called by `generate.py`, whatever serves the model (`speaker.py`). Nothing that it says is believed: proposals go through the
sandbox and the filters like any other, and what cannot be read is counted as malformed. A second look that cannot be had or
cannot be read drops nothing; `verdicts_missing` counts its questions.
"""

import math
from collections.abc import Sequence

from evolution_api.kinds import Kind, Reason
from evolution_api.run.generation import ModelCall
from evolution_api.summaries import ProposerUsage
from evolution_jobs.program import log
from evolution_jobs.proposers.messages import propose_text, second_look_text
from evolution_jobs.proposers.proposer import SceneFailedError, SceneTask
from evolution_jobs.proposers.replies import Malformed, Verdict, proposal_schema, read_proposals, read_verdicts, verdict_schema
from evolution_jobs.proposers.speaker import CHARACTERS_PER_TOKEN, CallFailedError, Prompt, Reply, Speaker

TOKENS_PER_PROPOSAL = 170
"""What a question with its program takes as JSON: how many are asked for at once follows from it and `maxTokens`."""
CALLS_PER_NEED = 2
"""A scene may take this many times the calls that it would need if every proposal were accepted."""

REASONS: dict[Verdict, Reason] = {"guessable": "blind", "contradicted": "contradicted"}


class BudgetSpentError(Exception):
    """The shard's token budget has no room for another call."""


class ModelProposer:
    def __init__(self, speaker: Speaker, settings: ModelCall, kinds: Sequence[Kind]) -> None:
        self.speaker = speaker
        self.settings = settings
        self.kinds = kinds
        self.name = speaker.name
        self.scenes_at_once = speaker.concurrency
        self._prompts: dict[str, str] = {}
        self._scenes_over_budget = 0
        self._verdicts_missing = 0
        self._under_way = 0
        self._largest_call_tokens = 0

    async def ask(self, task: SceneTask) -> None:
        try:
            await self._propose(task)
        except BudgetSpentError:
            self._scenes_over_budget += 1
        except CallFailedError as error:
            if not task.proposed:
                raise SceneFailedError(str(error)) from error
            log.warning("scene %s ends with %d questions: %s", task.scene.id, len(task.accepted), error)

    def usage(self) -> ProposerUsage:
        spoken = self.speaker.usage
        return ProposerUsage(
            calls=spoken.calls,
            calls_retried=spoken.calls_retried,
            calls_failed=spoken.calls_failed,
            tokens_in=spoken.tokens_in,
            tokens_out=spoken.tokens_out,
            scenes_over_budget=self._scenes_over_budget,
            verdicts_missing=self._verdicts_missing,
        )

    def prompts(self) -> dict[str, str]:
        return self._prompts

    async def _propose(self, task: SceneTask) -> None:
        at_once = max(1, self.settings.max_tokens // TOKENS_PER_PROPOSAL)
        for _ in range(CALLS_PER_NEED * math.ceil(task.wanted / at_once)):
            if task.missing <= 0:
                return
            text = propose_text(
                task.scene,
                self.kinds,
                wanted=min(at_once, task.missing),
                last=task.last,
                shard=task.shard,
                so_far=[*task.accepted, *task.rejected],
            )
            prompt = Prompt(text, task.images)
            reply = await self._say(task, prompt, self.settings.temperature, proposal_schema(self.kinds))
            before = len(task.accepted)
            for proposal in read_proposals(reply.text, self.kinds):
                if isinstance(proposal, Malformed):
                    task.malformed(proposal.detail, kind=proposal.kind, text=proposal.text, program=proposal.program)
                elif task.missing > 0:
                    task.submit(proposal, prompt.sha256)
            if len(task.accepted) > before:
                self._prompts[prompt.sha256] = text
                if self.settings.second_look:
                    await self._look_again(task, before)

    async def _look_again(self, task: SceneTask, first: int) -> None:
        """Withdraw what the model, shown frames, question and answer, calls guessable or contradicted."""
        new = task.accepted[first:]
        prompt = Prompt(second_look_text(task.scene, new), task.images)
        self._verdicts_missing += len(new)  # until they are here
        reply = await self._say(task, prompt, 0.0, verdict_schema())
        verdicts = read_verdicts(reply.text, len(new))
        self._verdicts_missing -= len(verdicts)
        for number, (verdict, why) in verdicts.items():
            if verdict in REASONS:
                task.withdraw(new[number - 1], REASONS[verdict], f"the proposer's second look calls it {verdict}: {why}")

    async def _say(self, task: SceneTask, prompt: Prompt, temperature: float, schema: dict[str, object]) -> Reply:
        """One call within the budget; raises BudgetSpentError where calls under way and this one could exceed it."""
        reserve = max(self._largest_call_tokens, len(prompt.text) // CHARACTERS_PER_TOKEN + self.settings.max_tokens)
        budget = self.settings.token_budget
        if budget is not None and self.speaker.usage.tokens + self._under_way + reserve > budget:
            raise BudgetSpentError
        self._under_way += reserve
        try:
            reply = await self.speaker.say(
                prompt,
                max_tokens=self.settings.max_tokens,
                temperature=temperature,
                seed=task.rng.getrandbits(31),
                schema=schema,
            )
        finally:
            self._under_way -= reserve
        self._largest_call_tokens = max(self._largest_call_tokens, reply.tokens_in + reply.tokens_out)
        return reply
