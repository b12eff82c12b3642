"""A TCP proxy that delays, drops replies, swallows bytes and cuts connections when a test says."""

import asyncio
from typing import Self


class Link:
    """One connection through the proxy, both its sides."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self.transports = [transport]
        self.is_deaf = False

    def cut(self) -> None:
        for transport in self.transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()


class Proxy:
    """Stands before `upstream`: the path of a unix socket, or `host:port`."""

    def __init__(self, upstream: str) -> None:
        self.delay_seconds = 0.0
        self.replies_to_drop = 0
        """So many connections are cut at the first byte that comes back."""
        self.accepted = 0
        """How many connections there were, those included that found nobody behind the proxy."""
        self._upstream = upstream
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallows = False
        self._passes = asyncio.Event()
        self._passes.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.heal()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def links(self) -> list[Link]:
        """The connections that are open, the oldest first."""
        return sorted(self._links, key=id)

    def swallow(self) -> None:
        """All connections, and those to come, stay open, and whatever is sent is lost."""
        self._swallows = True
        for link in self._links:
            link.is_deaf = True

    def hold(self) -> None:
        """Whatever is sent waits until the proxy is healed, and then arrives."""
        self._passes.clear()

    def heal(self) -> None:
        """Connections that lost bytes stay deaf, as a stream with a hole would be no stream."""
        self._swallows = False
        self._passes.set()

    def cut(self) -> None:
        for link in self._links:
            link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer.transport)
        link.is_deaf = self._swallows
        self._links.add(link)
        self.accepted += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._join(link, reader, writer)
        except OSError:
            pass  # one side is gone, so the other has to go as well
        finally:
            link.cut()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _join(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        to_reader, to_writer = await self._connect()
        link.transports.append(to_writer.transport)
        pumps = [
            asyncio.create_task(self._pump(link, reader, to_writer, is_reply=False)),
            asyncio.create_task(self._pump(link, to_reader, writer, is_reply=True)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        link.cut()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.startswith("/"):
            return await asyncio.open_unix_connection(self._upstream)
        host, port = self._upstream.split(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_reply: bool,
    ) -> None:
        while data := await reader.read(65_536):
            await asyncio.sleep(self.delay_seconds)
            await self._passes.wait()
            if link.is_deaf:
                continue
            if is_reply and self.replies_to_drop:
                self.replies_to_drop -= 1
                return
            writer.write(data)
            await writer.drain()
