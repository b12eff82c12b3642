"""What every version of the Dragon tasks API does with files: wait, and redirect to one."""

from aiohttp import web
from msgspec import Struct

from dragon.engine.definitions import Definition, NotADefinition, read_query_definition
from dragon.engine.engine import Engine
from dragon.engine.file_jobs import FileJobs
from dragon.engine.outputs import Outputs
from dragon.errors import BadRequest, Problem
from dragon.faces.version import Version
from dragon.http.authentication import Accounts
from dragon.http.creation import prepare, read_creation
from dragon.http.errors import WrongRequest, raw_json_response
from dragon.http.files import NO_FILE, REDIRECTED, Filename, base_url, choose_file, redirect_to
from dragon.http.idempotency import Repeatable
from dragon.http.parameters import Parameters, task_query
from dragon.http.routes import CONFLICT, About, BodyCredentials, Route, TaskDefinition, told
from dragon.schemas import Key, Record
from dragon.settings import Settings


class CreateFileBody(BodyCredentials, frozen=True, kw_only=True):
    task: TaskDefinition


class CreateFileQuery(Struct, frozen=True, kw_only=True):
    definition: TaskDefinition
    """Each of its names is one of the query string."""


class FileQuery(Struct, frozen=True, kw_only=True):
    task: Key


class DragonFiles:
    """The methods `file` and `create_file`."""

    def __init__(
        self,
        version: Version,
        settings: Settings,
        accounts: Accounts,
        engine: Engine,
        jobs: FileJobs,
        outputs: Outputs,
    ) -> None:
        self._version = version
        self._settings = settings
        self._accounts = accounts
        self._engine = engine
        self._jobs = jobs
        self._outputs = outputs

    def routes(self) -> list[Route]:
        file, create_file = self._version.path + "/file", self._version.path + "/create_file"
        wrong = told(
            "The request is wrong, or the task ended so.", WrongRequest, self._version.status
        )
        answers = {302: REDIRECTED, 400: wrong, 404: NO_FILE}
        about_file = About(
            summary="Wait for a task, and be redirected to its file",
            path=Filename,
            query=(FileQuery,),
            answers=answers,
        )
        about_get = About(
            summary="Create a task, or find one that is the same, and be redirected to its file",
            credentials="account",
            path=Filename,
            query=(CreateFileQuery,),
            answers=answers,
        )
        about_post = About(
            summary="Create a task, wait for it, and be redirected to its file",
            credentials="account",
            path=Filename,
            headers=(Repeatable,),
            body=CreateFileBody,
            answers={**answers, 422: CONFLICT},
        )
        return [
            *(Route("GET", path, self.file, about_file) for path in _paths(file)),
            *(
                Route("GET", path, self.create_file_by_get, about_get)
                for path in _paths(create_file)
            ),
            *(Route("POST", path, self.create_file, about_post) for path in _paths(create_file)),
        ]

    async def file(self, request: web.Request) -> web.Response:
        parameters = Parameters.of_query(request)
        key = parameters.take_key()
        parameters.check()
        record = await self._jobs.wait(key, self._wanted(request))
        return self._redirect(request, record, self._jobs.seconds_left(record))

    async def create_file(self, request: web.Request) -> web.Response:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        definitions = parameters.take_definition(self._engine.registry)
        parameters.check()
        submission = await prepare(request, self._engine, self._settings, account, definitions)
        record = await self._jobs.run(submission, self._wanted(request))
        return self._redirect(request, record, 0)

    async def create_file_by_get(self, request: web.Request) -> web.Response:
        account = self._accounts.authenticate(request, None)
        definition = self._read_query_definition(request)
        url = base_url(request, self._settings)
        record = await self._jobs.run_reusable(definition, account, url, self._wanted(request))
        return self._redirect(request, record, self._jobs.reuse_seconds_left(record))

    def _wanted(self, request: web.Request) -> str:
        """The name of the file for which the end need not be waited for."""
        return _filename(request) if self._version.has_partial_files else ""

    def _read_query_definition(self, request: web.Request) -> Definition:
        try:
            return read_query_definition(self._engine.registry, task_query(request))
        except NotADefinition as error:
            raise BadRequest([Problem("task_name", "query", str(error))]) from None

    def _redirect(self, request: web.Request, record: Record, cache_seconds: float) -> web.Response:
        if record.update.state == "error":
            return raw_json_response(self._version.translate(record.update), 400)
        file = choose_file(record, _filename(request))
        url = base_url(request, self._settings)
        return redirect_to(self._outputs.url(file, url, record.update.key), cache_seconds)


def _filename(request: web.Request) -> str:
    return request.match_info.get("filename", "")


def _paths(path: str) -> tuple[str, str, str]:
    return path, path + "/", path + "/{filename}"
