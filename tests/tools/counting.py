"""An HTTP server that takes its time, and counts: how many connections at once, how many in any second.

counting.py PORT DELAY FILE: answers after DELAY seconds (negative: never); writes "PEAK BUSIEST TOTAL" to FILE. Ends
when FILE.stop is there, or after a minute.
"""

import asyncio
import os
import sys
import time

PORT, DELAY, PATH = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
now_open, peak, starts = 0, 0, []


def busiest_second():
    first, most = 0, 0
    for last, start in enumerate(starts):
        while start - starts[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def write():
    with open(PATH + ".new", "w", encoding="ascii") as file:
        file.write(f"{peak} {busiest_second()} {len(starts)}")
    os.rename(PATH + ".new", PATH)


async def serve(reader, writer):
    global now_open, peak
    now_open += 1
    peak = max(peak, now_open)
    starts.append(time.monotonic())
    write()
    try:
        await reader.readuntil(b"\r\n\r\n")
        if DELAY < 0:
            await reader.read()
        await asyncio.sleep(DELAY)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        now_open -= 1
        writer.close()


async def main():
    write()
    server = await asyncio.start_server(serve, "0.0.0.0", PORT, backlog=128)
    async with server:
        for _ in range(600):
            if os.path.exists(PATH + ".stop"):
                break
            await asyncio.sleep(0.1)


asyncio.run(main())
