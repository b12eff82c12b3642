"""One try at the delivery of a web hook, as a worker runs it."""

import asyncio

import structlog

from dragon.engine.network.webhooks import Answer, jittered
from dragon.engine.worker.persist import persist
from dragon.engine.worker.run import Outcome, Run
from dragon.store.deliveries import Deliveries, Try

log = structlog.get_logger()

GONE = "there is nothing to deliver any more"


class HookRun(Run):
    """A run whose work is a request, and which is repeated by a schedule of its own."""

    _how: Try

    async def attempt(self) -> Outcome:
        job = self.claim.job
        body = await persist(job.key, lambda: self._deliveries.body(job.key))
        at, began = self.tools.store.clock.iso(), asyncio.get_running_loop().time()
        answer = await self.tools.hooks.send(job, body) if body else Answer(error=GONE)
        seconds = asyncio.get_running_loop().time() - began
        self.phases["webhook"] = seconds
        self._how = Try(at=at, seconds=round(seconds, 3), status=answer.status, error=answer.error)
        outcome = self._judge(answer)
        log.info(
            "webhook_tried",
            key=job.key,
            attempt=self.claim.attempt,
            answer=answer.status,
            error=answer.error,
            pause_seconds=round(outcome.pause_seconds, 1),
        )
        return outcome

    def _judge(self, answer: Answer) -> Outcome:
        if not answer.error:
            return Outcome(state="success")
        pauses = self.tools.settings.webhook_retry_seconds
        attempt = self.claim.attempt
        if answer.is_over or attempt >= self.claim.job.attempts:
            return Outcome(state="error", error=answer.error)
        # A worker with other settings may have queued it.
        pause_seconds = jittered(pauses[min(attempt, len(pauses) - 1)])
        return Outcome(state="queued", pause_seconds=max(pause_seconds, answer.wait_seconds))

    async def write(self, outcome: Outcome) -> None:
        line = self.telling.line(outcome.state, error=outcome.error)
        await persist(
            self.claim.job.key,
            lambda: self._deliveries.tried(
                self.claim, outcome.state, line, self._how, pause_seconds=outcome.pause_seconds
            ),
        )

    @property
    def _deliveries(self) -> Deliveries:
        return Deliveries(self.tools.store)
