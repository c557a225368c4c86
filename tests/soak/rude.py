"""Clients that behave badly, some at any time: they hang up, read slowly, send half a head, nothing, or nonsense."""

import asyncio
import socket

from questions import activity, large_activities, path, request

# After server.header_timeout (10 s) such a connection is closed.
PATIENCE = 30
# A client that had no turn on the machine for so long after connecting may rightly be closed without an answer.
LATE = 5
PIECE = 4096


class Rude:
    def __init__(self, ports, random, tally):
        self.ports, self.random, self.tally = ports, random, tally
        self.done = 0

    def start(self, loop):
        """The tasks, each of which repeats one thing."""
        kinds = (
            (self.hangs_up, 0.5),
            (self.reads_slowly, 1),
            (self.reads_slowly, 1),
            (self.reads_slowly, 1),
            (self.sends_half_a_head, 2),
            (self.says_nothing, 2),
            (self.sends_nonsense, 1),
            (self.sends_too_much, 1),
        )
        return [loop.create_task(self._repeat(kind, pause)) for kind, pause in kinds]

    async def _repeat(self, kind, pause):
        while True:
            try:
                await kind()
                self.done += 1
            except TimeoutError:
                self.tally.is_wrong(f"a client that {kind.__name__} is not closed after {PATIENCE} s")
            except OSError:
                # A reset is as good as an answer to them.
                self.done += 1
            await asyncio.sleep(pause)

    async def _open(self, sent, buffer=None):
        """A connection on which this was sent."""
        loop, connection = asyncio.get_running_loop(), socket.socket()
        connection.setblocking(False)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        began = loop.time()
        await loop.sock_connect(connection, ("127.0.0.1", self.random.choice(self.ports)))
        await loop.sock_sendall(connection, sent)
        if loop.time() - began > LATE:
            connection.close()
            raise ConnectionAbortedError("sent too late to be judged")
        return connection

    async def _said(self, connection, least=1 << 30):
        """All that it is sent until it is closed, or at least so much."""
        said = b""
        async with asyncio.timeout(PATIENCE):
            while len(said) < least and (piece := await asyncio.get_running_loop().sock_recv(connection, 1 << 16)):
                said += piece
        return said

    def _large(self):
        return request("GET", path(self.random.choice(large_activities())))

    async def hangs_up(self):
        with await self._open(self._large(), PIECE) as connection:
            await self._said(connection, least=100)

    async def reads_slowly(self):
        with await self._open(self._large(), PIECE) as connection:
            if not (await self._said(connection, least=100)).startswith(b"HTTP/1.1 200"):
                return  # an error is short, and nothing follows it
            for _ in range(60):
                if not await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, PIECE), PATIENCE):
                    return
                await asyncio.sleep(0.25)

    async def sends_half_a_head(self):
        with await self._open(b"GET /v3/reports HTTP/1.1\r\nHost: 127.") as connection:
            self._expect("408", await self._said(connection))

    async def says_nothing(self):
        with await self._open(b"") as connection:
            self._expect("", await self._said(connection))

    async def sends_nonsense(self):
        with await self._open(b"\x16\x03\x01\x02\x00\x01 hello\r\n\r\n") as connection:
            self._expect("400", await self._said(connection))

    async def sends_too_much(self):
        with await self._open(request("GET", path(activity(1, 3)), f"X-Filler: {'x' * 70_000}")) as connection:
            self._expect("431", await self._said(connection))

    def _expect(self, status, said):
        got = said[9:12].decode(errors="replace")
        if got != status:
            self.tally.is_wrong(f"a client that should get {status or 'nothing'} gets {said[:80]!r}")


async def leak(port, each):
    """One connection more each `each` seconds, kept by a request at times: a run with it must fail."""

    async def kept():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(request("HEAD", path(activity(1, 3))))
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(20)

    leaked = []
    while True:
        leaked.append(asyncio.create_task(kept()))
        await asyncio.sleep(each)
