"""What every version of the Dragon tasks API does with files: wait, and redirect to one."""

from typing import Annotated

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, Struct, UnsetType

from dragon.engine.engine import Engine
from dragon.engine.files.file_jobs import FileJobs, Wish
from dragon.engine.files.outputs import Outputs
from dragon.faces.file_requests import FileRequest, FileRequests, filename_of
from dragon.faces.version import Version
from dragon.http.answers import WrongRequest, raw_json_response
from dragon.http.describing.routes import (
    BUG,
    CONFLICT,
    UNAUTHORIZED,
    About,
    Answer,
    BodyCredentials,
    FileDefinition,
    Route,
    told,
)
from dragon.http.files.caching import NO_STORE, cache_control
from dragon.http.files.files import (
    NO_FILE,
    REDIRECTED,
    Filename,
    choose_file,
    redirect_to,
)
from dragon.http.files.placeholders import pictured
from dragon.http.files.waiting import (
    NOT_READY,
    REDIRECTED_ELSEWHERE,
    ErrorAs,
    Fallback,
    Wait,
    WaitingQuery,
    not_ready,
)
from dragon.http.requests.base_url import base_url
from dragon.http.requests.creation import prepare
from dragon.http.requests.idempotency import Repeatable
from dragon.http.requests.parameters import Parameters
from dragon.http.requests.signed_urls import SignatureQuery
from dragon.schemas import Key, Record
from dragon.settings import Settings
from dragon.store.clock import StoreClock


class CreateFileBody(BodyCredentials, frozen=True, kw_only=True):
    task: FileDefinition
    wait: Wait | UnsetType = UNSET
    fallback: Fallback | UnsetType = UNSET
    error: ErrorAs | UnsetType = UNSET


class CreateFileQuery(Struct, frozen=True, kw_only=True):
    definition: Annotated[
        FileDefinition,
        Meta(description="each of its names is one in the query string; objects in it are JSON"),
    ]


class FileQuery(Struct, frozen=True, kw_only=True):
    task: Key


class DragonFiles:
    """The methods `file` and `create_file`."""

    def __init__(
        self,
        version: Version,
        settings: Settings,
        engine: Engine,
        jobs: FileJobs,
        requests: FileRequests,
        outputs: Outputs,
        clock: StoreClock,
    ) -> None:
        self._version = version
        self._settings = settings
        self._engine = engine
        self._jobs = jobs
        self._requests = requests
        self._outputs = outputs
        self._clock = clock

    def routes(self) -> list[Route]:
        wrong = told(
            "The request is wrong, or the task ended so.", WrongRequest, self._version.status
        )
        return [*self._finding(wrong), *self._creating(wrong)]

    def _finding(self, wrong: Answer) -> list[Route]:
        about = About(
            summary="Wait for a task, and be redirected to its file",
            path=Filename,
            query=(FileQuery,),
            answers={302: REDIRECTED, 400: wrong, 404: NO_FILE},
        )
        return [Route("GET", path, self.file, about) for path in self._paths("/file")]

    def _creating(self, wrong: Answer) -> list[Route]:
        created = {302: REDIRECTED_ELSEWHERE, 400: wrong, 401: UNAUTHORIZED, 404: NO_FILE}
        created |= {500: BUG, 503: NOT_READY}
        by_get = About(
            summary="Create a task, or find one that is the same, and be redirected to its file",
            credentials="account",
            path=Filename,
            query=(CreateFileQuery, WaitingQuery, SignatureQuery),
            answers=_pictured(created),
        )
        by_post = About(
            summary="Create a task, wait for it, and be redirected to its file",
            credentials="account",
            path=Filename,
            headers=(Repeatable,),
            body=CreateFileBody,
            answers=_pictured({**created, 422: CONFLICT}),
        )
        return [
            route
            for path in self._paths("/create_file")
            for route in (
                Route("GET", path, self.create_file_by_get, by_get),
                Route("POST", path, self.create_file, by_post),
            )
        ]

    def _paths(self, method: str) -> tuple[str, str, str]:
        path = self._version.path + method
        return path, path + "/", path + "/{filename}"

    async def file(self, request: web.Request) -> web.Response:
        parameters = Parameters.of_query(request)
        key = parameters.take_key()
        parameters.check()
        filename = filename_of(request)
        partial = filename if self._version.has_partial_files else ""
        record = await self._jobs.wait(key, Wish(filename=partial))
        caching = cache_control(self._jobs.seconds_left(record))
        return self._redirect(record, base_url(request, self._settings), filename, caching)

    async def create_file(self, request: web.Request) -> web.Response:
        read = await self._requests.read_post(request)
        wish = read.wish(has_partial_files=self._version.has_partial_files)
        submission = await prepare(
            request, self._engine, self._settings, read.caller.account, [read.definition]
        )
        record = self._jobs.run(submission, wish)
        # They are as large as the body: who waits, for hours perhaps, must not hold them.
        read = read.without_input()
        del submission
        return self._answer(read, wish, await record, NO_STORE)

    async def create_file_by_get(self, request: web.Request) -> web.Response:
        read = self._requests.read_get(request)
        wish = read.wish(has_partial_files=self._version.has_partial_files)
        record = self._jobs.find_reusable(read.fingerprint)
        if record is None:
            record = await self._jobs.run_reusable(
                read.definition, read.caller.account, read.url, read.fingerprint, wish
            )
        response = self._answer(read, wish, record, self._caching(read, record))
        if read.definition.is_negotiated:
            response.headers[hdrs.VARY] = hdrs.ACCEPT
        return response

    def _caching(self, read: FileRequest, record: Record) -> str:
        now = self._clock.now()
        return cache_control(
            self._jobs.reusable_until(record) - now,
            is_public=read.caller.is_told_by_url,
            stale_seconds=self._settings.reuse_seconds,
            left_seconds=min(record.expires, read.caller.expires) - now,
        )

    def _answer(self, read: FileRequest, wish: Wish, record: Record, caching: str) -> web.Response:
        if not wish.is_granted(record):
            return not_ready(read.waiting, record.update.key, read.url, read.size)
        return self._redirect(record, read.url, read.filename, caching)

    def _redirect(self, record: Record, url: str, filename: str, caching: str) -> web.Response:
        if record.update.state == "error":
            return raw_json_response(self._version.translate(record.update), 400)
        file = choose_file(record, filename)
        return redirect_to(self._outputs.url(file, url, record.update.key), caching)


def _pictured(answers: dict[int, Answer]) -> dict[int, Answer]:
    """Errors may be told as pictures, too."""
    return {
        status: answer if status < 400 else pictured(answer) for status, answer in answers.items()
    }
