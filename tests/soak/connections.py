"""Kept-alive connections to one replica, a question at a time on each. Judges each answer."""

import asyncio
import time
from collections import Counter, deque

# Longer than the longest that any answer may take (server.request_timeout, 15 s).
HUNG = 30
# Below server.idle_timeout, so that no question meets the end of its connection.
IDLE = 30
MOST = 100
EXAMPLES = 20


class Tally:
    """What was answered since the last look."""

    def __init__(self):
        self.wrong, self.examples = 0, []
        self.clear()

    def clear(self):
        self.codes, self.latencies, self.lags = Counter(), [], []

    def is_wrong(self, what):
        self.wrong += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {what}")


class Connection(asyncio.Protocol):
    def __init__(self, pool):
        self.pool, self.question, self.transport = pool, None, None
        self.received, self.needed, self.used = b"", None, time.monotonic()

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, question, due):
        self.question, self.used = question, time.monotonic()
        self.received, self.needed = b"", None
        self.pool.tally.lags.append(self.used - due)
        self.transport.write(question.sent)

    def data_received(self, data):
        self.received = self.received + data if self.received else data
        if self.needed is None:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = self.received[:end]
            self.status = int(self.head[9:12])
            bodiless = self.status == 304 or (self.question and not self.question.has_body)
            self.needed = end + 4 + (0 if bodiless else int(self.header(b"content-length") or 0))
        if len(self.received) >= self.needed and self.question:
            question, self.question = self.question, None
            self.pool.answered(self, question)

    def header(self, name):
        _, found, rest = self.head.partition(b"\r\n" + name + b": ")
        return rest.split(b"\r\n", 1)[0] if found else None

    def connection_lost(self, error):
        self.pool.lost(self, error)


class Pool:
    """To one replica. A question that finds no idle connection opens one."""

    def __init__(self, number, port, tally):
        self.number, self.port, self.tally = number, port, tally
        self.idle, self.all, self.waiting = [], set(), deque()
        # Called with each answer: (replica, question, status).
        self.heard = lambda *_: None

    def ask(self, question, due):
        if self.idle:
            self.idle.pop().ask(question, due)
        elif len(self.all) < MOST:
            connection = Connection(self)
            self.all.add(connection)
            asyncio.get_running_loop().create_task(self._open(connection, question, due))
        else:
            self.waiting.append((question, due))

    async def _open(self, connection, question, due):
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self.port)
        except OSError as error:
            self.all.discard(connection)
            self.tally.codes["no connection"] += 1
            self.tally.is_wrong(f"no connection to replica {self.number}: {error}")
            return
        connection.ask(question, due)

    def answered(self, connection, question):
        status = connection.status
        self.tally.codes[status] += 1
        if question.held:
            self.tally.latencies.append(time.monotonic() - connection.used)
        body = connection.received[len(connection.head) + 4 :]
        if status not in question.allowed:
            told = question.sent.split(b" HTTP", 1)[0].decode()
            self.tally.is_wrong(f"replica {self.number}: {status} to {told}: {body[:300].decode(errors='replace')}")
        elif status == 200 and question.within not in body:
            self.tally.is_wrong(f"replica {self.number}: another report than {question.within.decode()}")
        if status == 200 and question.report:
            question.report.etags[self.number] = connection.header(b"etag").decode()
        closes = connection.header(b"connection") == b"close"
        self.heard(self.number, question, status)
        if closes:
            connection.transport.close()
        elif self.waiting:
            connection.ask(*self.waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection, error):
        self.all.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if connection.question:
            question, connection.question = connection.question, None
            self.tally.codes["cut off"] += 1
            self.tally.is_wrong(f"replica {self.number}: cut off, {error!r}, after {question.sent[:120]!r}")
            self.heard(self.number, question, None)

    def sweep(self):
        """Each second: closes what is idle, and what no longer waits for an answer."""
        now = time.monotonic()
        for connection in list(self.all):
            if connection.question and now - connection.used > HUNG:
                self.tally.is_wrong(f"replica {self.number}: no answer after {HUNG} s to {connection.question.sent[:120]!r}")
                connection.question = None
                connection.transport.abort()
        for connection in [idle for idle in self.idle if now - idle.used > IDLE]:
            self.idle.remove(connection)
            connection.transport.close()
