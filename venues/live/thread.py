"""The thread in which all sessions run: one asyncio loop, so that a busy reader delays no stamp."""

import asyncio
import threading
from collections.abc import Sequence

from venues.live.session import Session

STOP_S = 10.0  # farewells and a REST answer under way take their own bounded times


class SessionThread:
    """Runs sessions until it is stopped; a wrong program ends it, and is raised where it is used.

    Parameters
    ----------
    sessions : sequence of Session
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = sessions
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._begun = threading.Event()
        self._stopped = False
        self._failed: BaseException | None = None

    def start(self) -> None:
        """Begin, once; raises what has ended the thread since."""
        if self._failed is not None:
            raise RuntimeError("the sessions' thread has ended") from self._failed
        if self._stopped:
            raise RuntimeError("the feed is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="live-sessions", daemon=True)
            self._thread.start()
            self._begun.wait()

    def stop(self) -> None:
        """End all sessions, and wait for them."""
        self._stopped = True
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # kept for whoever uses the feed next
            self._failed = error
        finally:
            self._begun.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(session.run()) for session in self._sessions]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
