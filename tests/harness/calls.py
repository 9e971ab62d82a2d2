"""Very many REST calls at the same moment, each on a connection of its own, and each answer against what its device computed."""

import asyncio
import collections
import itertools
import json
import random

from .swarm import mixed_value

LONGEST_S = 60  # no call may take longer: it waits 30 s for its device, the rest is this machine's
_VARIABLES = ("anInt", "aBool", "aDouble", "aString")
_NAMES = ("mix", "anInt", "mixTwo", "aString", "mix", "aBool", "mixTwo", "aDouble", "mix", "mixTwo")


class Call:
    """A function with an argument nobody else uses, or a read of a variable; afterwards its status and body."""

    _numbers = itertools.count(1)

    def __init__(self, device, name):
        self.device, self.name = device, name
        self.argument = None if name in _VARIABLES else f"n{next(self._numbers)}"
        self.status = self.body = None

    def request(self, token):
        head = f"Host: cyan\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        path = f"/v1/devices/{self.device}/{self.name}"
        if self.argument is None:
            return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
        body = f"arg={self.argument}"
        return (f"POST {path} HTTP/1.1\r\n{head}Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def __repr__(self):
        return f"{self.device}/{self.name}({self.argument}): {self.status} {self.body}"


def mixed_calls(devices, count, seed=1):
    """Functions and variables in turn, every device as often as any other, in random order."""
    calls = [Call(devices[i % len(devices)], _NAMES[(i + i // len(devices)) % len(_NAMES)]) for i in range(count)]
    random.Random(seed).shuffle(calls)
    return calls


async def _ask(call, port, token, source, ready, go):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    ready.release()
    try:
        await go.wait()
        writer.write(call.request(token))
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), LONGEST_S)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    call.status, call.body = int(head.split()[1]), json.loads(body)


async def _ask_all(calls, ports, token, meanwhile):
    ready, go = asyncio.Semaphore(0), asyncio.Event()
    # a server takes so many connections from one address: people have several
    asked = [asyncio.ensure_future(_ask(call, ports[i % len(ports)], token, f"127.0.0.{2 + i % 4}", ready, go))
             for i, call in enumerate(calls)]
    for _ in calls:
        await asyncio.wait_for(ready.acquire(), LONGEST_S)
    go.set()
    disturbing = asyncio.ensure_future(meanwhile()) if meanwhile else None
    await asyncio.gather(*asked)
    if disturbing:
        disturbing.cancel()


def ask_at_once(calls, ports, token, meanwhile=None):
    """All connections are open before the first request goes out. meanwhile: a coroutine function, ended with the last answer."""
    asyncio.run(_ask_all(calls, ports, token, meanwhile))
    return collections.Counter(call.status for call in calls)


def check_answers(calls, swarm):
    """Each answered function has its own result, and its device ran it once; each read value is one that the device gave, and
    given to one reader. A call that got no answer ran at most once."""
    swarm.status()  # what it told before has been read
    ran, given = collections.Counter(), collections.Counter()
    for notice in list(swarm.notices):
        if notice["event"] == "function":
            ran[notice["device"], notice["name"], notice["argument"]] += 1
        elif notice["event"] == "variable":
            given[notice["device"], notice["name"], repr(notice["value"])] += 1
    read = collections.Counter()
    for call in calls:
        if call.argument is None:
            if call.status == 200:
                assert call.body["coreInfo"]["deviceID"] == call.device and call.body["name"] == call.name, call
                read[call.device, call.name, repr(call.body["result"])] += 1
            continue
        times = ran[call.device, call.name, call.argument]
        if call.status == 200:
            assert call.body["id"] == call.device, call
            assert call.body["return_value"] == mixed_value(call.device, call.name, call.argument), call
            assert times == 1, (times, call)
        else:
            assert times <= (call.status == 408), (times, call)
    assert not read - given, f"values nobody computed: {read - given}"
