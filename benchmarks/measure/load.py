"""Clients of a server, in a process of their own: light, so that on a small machine they take little from it.

Reads a JSON object from standard input (port, clients, requests, bodies) and writes what came back.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count
from typing import Any


def request_of(body: str) -> bytes:
    content = body.encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer on a connection that stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length: ")[2].partition("\r\n")[0]
    return int(head.split(" ", 2)[1]), await reader.readexactly(int(length))


async def client(port: int, wanted: list[bytes], turn: count, seen: list[tuple[int, float]]) -> None:
    """Ask, wait for the answer, ask the next, until all are asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (row := next(turn)) < len(wanted):
        start = time.perf_counter()
        writer.write(wanted[row])
        status, _ = await answer_of(reader)
        seen.append((status, time.perf_counter() - start))
    writer.close()
    await writer.wait_closed()


async def load(port: int, clients: int, bodies: list[str]) -> dict[str, Any]:
    """All bodies through so many clients, each as fast as it is answered."""
    wanted, turn, seen = [request_of(body) for body in bodies], count(), []
    start = time.perf_counter()
    await asyncio.gather(*(client(port, wanted, turn, seen) for _ in range(clients)))
    seconds = time.perf_counter() - start
    good = sorted(1000 * spent for status, spent in seen if status == 200) or [float("nan")]
    statuses = Counter(str(status) for status, _ in seen)
    return {
        "requests": len(bodies),
        "statuses": dict(statuses),
        "lost": len(bodies) - len(seen),
        "per_second": statuses["200"] / seconds,
        "p50_ms": good[len(good) // 2],
        "p99_ms": good[min(len(good) * 99 // 100, len(good) - 1)],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(**json.load(sys.stdin)))))
