"""hello: greet somebody; the smallest task there is."""

from dragon.task import Context, Params, task


class HelloParams(Params, frozen=True, kw_only=True):
    name: str


@task("hello", timeout_seconds=10)
async def hello(params: HelloParams, ctx: Context) -> str:
    return f"Hello {params.name}"
