"""Stands between the proxy and the brokers, and cuts connections at random byte positions when told to.

    python3 -m tests.integration.relay --seed N PORT:BROKERS_PORT ...
A line `cut` on standard input cuts one connection: it goes on carrying some bytes, then both its ends are closed. The line
`CUT <port> <direction> <bytes>` on standard output tells of it. The end of the input ends the relay.
"""

import argparse
import asyncio
import random
import sys

from . import install, process, verify

UP, DOWN = "to the broker", "to the client"
AT_MOST = 3000  # bytes that are still carried; most requests of the tests are smaller
PATIENCE = 1.0  # seconds after which a connection that does not carry as many is let go


class Relay:
    """The process, for the harness."""

    def __init__(self, pairs, folder, seed=1):
        self.log = folder / "relay.log"
        words = ["--seed", seed, *(f"{told}:{own}" for told, own in pairs)]
        command = [sys.executable, "-m", "tests.integration.relay", *words]
        self.child = process.spawn(command, self.log, stdin=process.subprocess.PIPE, cwd=install.ROOT)
        process.wait_until("the relay", lambda: "READY" in self.log.read_text(), 20, [self.child])

    def cut(self):
        self.child.stdin.write(b"cut\n")
        self.child.stdin.flush()

    def cuts(self):
        return sum(line.startswith("CUT ") for line in verify.lines(self.log))

    def stop(self):
        process.end([self.child])


class Link:
    """One connection through the relay."""

    def __init__(self, port, writers):
        self.port, self.writers = port, writers
        self.carried = {UP: 0, DOWN: 0}  # since a connection was last looked for
        self.left = {}  # direction -> bytes until it is cut
        self.cut = asyncio.Event()

    async def carry(self, direction, reader):
        writer = self.writers[direction]
        while data := await reader.read(1 << 16):
            last = direction in self.left and len(data) >= self.left[direction]
            if last:
                data = data[: self.left[direction]]
            elif direction in self.left:
                self.left[direction] -= len(data)
            self.carried[direction] += len(data)
            writer.write(data)
            await writer.drain()
            if last:
                self.cut.set()
                return


class Door:
    """A port that leads to a broker; closed while there is none, so that who connects is refused as by the broker itself."""

    def __init__(self, cutter, port, brokers_port):
        self.cutter, self.port, self.brokers_port = cutter, port, brokers_port
        self.server = None

    async def open(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", self.port)

    async def accept(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.brokers_port)
        except OSError:
            writer.transport.abort()
            await self.reopen()
            return
        await self.cutter.carry(Link(self.port, {UP: up_writer, DOWN: writer}), reader, up_reader)

    async def reopen(self):
        """Once the broker is there again."""
        if self.server.is_serving():
            self.server.close()
            while not await self.reachable():
                await asyncio.sleep(0.1)
            await self.open()

    async def reachable(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.brokers_port)
        except OSError:
            return False
        writer.close()
        return True


class Cutter:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.links = set()

    async def carry(self, link, reader, up_reader):
        self.links.add(link)
        both = [asyncio.create_task(link.carry(UP, reader)), asyncio.create_task(link.carry(DOWN, up_reader))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        self.links.discard(link)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        for end in link.writers.values():
            # A reset drops what the other end has not read yet, as a real one does.
            if link.cut.is_set() and self.random.random() < 0.5:
                end.transport.abort()
            else:
                end.close()

    async def cut_one(self):
        while True:
            link, direction = await self.choose()
            position = link.left[direction] = self.random.randrange(AT_MOST)
            try:
                await asyncio.wait_for(link.cut.wait(), PATIENCE)
                print(f"CUT {link.port} {direction}: {position}", flush=True)
                return
            except TimeoutError:
                link.left.clear()

    async def choose(self):
        """A connection that carries something, the busier the likelier."""
        while True:
            # Mostly what clients send is in doubt when a connection that carries requests is cut, whichever way.
            busy = self.random.choice((UP, UP, DOWN))
            links = [link for link in self.links if link.carried[busy]]
            if links:
                link = self.random.choices(links, [link.carried[busy] for link in links])[0]
                for other in self.links:
                    other.carried = {UP: 0, DOWN: 0}
                return link, self.random.choice((UP, DOWN))
            await asyncio.sleep(0.05)

    async def obey(self):
        loop = asyncio.get_running_loop()
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            if line.strip() == b"cut":
                await self.cut_one()


async def run(args):
    cutter = Cutter(args.seed)
    doors = [Door(cutter, *map(int, pair.split(":"))) for pair in args.pairs]
    for door in doors:
        await door.open()
    print("READY", flush=True)
    await cutter.obey()


def main():
    parser = argparse.ArgumentParser(
        prog="relay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("pairs", nargs="+", metavar="PORT:BROKERS_PORT")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
