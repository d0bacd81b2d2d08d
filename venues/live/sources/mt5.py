"""MetaTrader 5 through its bridge: JSON lines over TCP; docs/venues.md describes the protocol.

The terminal runs on Windows and knows no network but its own; an Expert Advisor in it serves the
lines. Nothing about an account passes the bridge.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from decimal import Decimal
from time import monotonic

import msgspec

from venues.frames.fields import DefectError
from venues.frames.mt5 import error_of, hello_of, instrument_of, type_of
from venues.live.errors import LiveError, RestError
from venues.live.session import ConnectionOverError, SilenceError
from venues.live.venue import LiveVenue, Outlet, Steps

BRIDGE = "TRIFECTA_MT5"  # the environment's name for HOST:PORT of the bridge
DEFAULT = "127.0.0.1:7790"
SILENT_S = 5.0  # the bridge sends a heartbeat each second
ANSWER_S = 5.0  # for a greeting, and for the instrument behind it
LINE_BYTES_MAX = 64 << 10


def mt5(address: str = "", *, silent_s: float = SILENT_S) -> LiveVenue:
    """The broker behind a bridge.

    Parameters
    ----------
    address : str
        HOST:PORT; "" for the bridge on this computer.
    """
    source = Mt5Source(address or DEFAULT, silent_s=silent_s)
    return LiveVenue(
        name="mt5",
        ws=source.address,
        rest="",
        names=r"[A-Za-z0-9._#-]{3,32}",
        example="EURUSD",
        subscribe=lambda names: [_subscribe(names).decode().strip()],
        lists=lambda name: "",
        steps=lambda body, name: None,
        silent_s=silent_s,
        source=source,
        quotes_only=True,
    )


class Mt5Source:
    """Reads the lines of a bridge; see `venues.live.venue.Source`.

    Parameters
    ----------
    address : str
        HOST:PORT.
    silent_s : float
        Without a line for so long the connection counts as dead.
    """

    resumes = False

    def __init__(self, address: str, *, silent_s: float) -> None:
        self.address = address
        self._silent_s = silent_s

    def steps(self, name: str) -> Steps | None:
        give_up_s = monotonic() + ANSWER_S
        try:
            with (
                socket.create_connection(self._place(), timeout=ANSWER_S) as to,
                to.makefile("rb") as lines,
            ):
                hello_of(lines.readline(LINE_BYTES_MAX))
                to.sendall(_subscribe([name]))
                while monotonic() < give_up_s:
                    line = lines.readline(LINE_BYTES_MAX)
                    what = type_of(line)
                    if what == "error" and error_of(line).symbol == name:
                        return None
                    if what == "instrument" and instrument_of(line).symbol == name:
                        found = instrument_of(line)
                        lot = Decimal(found.volume_step) * Decimal(found.contract_size)
                        return Steps(_plain(Decimal(found.point)), _plain(lot))
        except (OSError, msgspec.DecodeError, DefectError) as error:
            raise RestError(f"bridge {self.address}: {error}") from error
        raise RestError(f"bridge {self.address}: says nothing of {name} for {ANSWER_S:g} s")

    async def bring(self, names: Sequence[str], outlet: Outlet) -> None:
        host, port = self._place()
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)
        try:
            hello = await self._line(reader)
            try:
                hello_of(hello)
            except (msgspec.DecodeError, DefectError) as error:
                raise ConnectionOverError(f"bridge {self.address}: {error}") from error
            outlet.opened()
            outlet.frame(hello)
            writer.write(_subscribe(names))
            await writer.drain()
            while True:
                outlet.frame(await self._line(reader))
        finally:
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._silent_s):
                return (await reader.readuntil(b"\n")).rstrip()
        except TimeoutError as error:
            raise SilenceError(f"no line for {self._silent_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise ConnectionOverError("the bridge closed the connection") from error
        except asyncio.LimitOverrunError as error:
            raise ConnectionOverError(f"a line of more than {LINE_BYTES_MAX} bytes") from error

    def _place(self) -> tuple[str, int]:
        found = re.fullmatch(r"(.+):(\d{1,5})", self.address)
        if not found or not 0 < int(found[2]) < 65_536:
            raise LiveError(
                "no address of a bridge", f"{BRIDGE}={self.address}", "Write it as HOST:PORT"
            )
        return found[1], int(found[2])


def _subscribe(names: Sequence[str]) -> bytes:
    return msgspec.json.encode({"type": "subscribe", "symbols": list(names)}) + b"\n"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
