"""What simulated devices do when: one after another, in one thread."""

import heapq
import itertools
import queue
import time
from collections.abc import Callable

Action = Callable[[], object]

LONGEST_WAIT = 3_600.0


class Schedule:
    """Runs actions at their time, all of them in the thread that calls `run`.

    The devices belong to that thread alone. Threads of the network and signal handlers hand over
    what is to be done.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Action]] = []
        # Not a Queue: whoever puts something may have interrupted another who does.
        self._handed_over: queue.SimpleQueue[tuple[float, int, Action]] = queue.SimpleQueue()
        self._numbers = itertools.count()

    def at(self, when: float, action: Action) -> None:
        """Plan `action` for the time `when` of the monotonic clock; any thread may."""
        self._handed_over.put((when, next(self._numbers), action))

    def after(self, seconds: float, action: Action) -> None:
        self.at(time.monotonic() + seconds, action)

    def run(self, is_over: Callable[[], bool], seconds: float = float("inf")) -> None:
        """Run what is planned until `is_over`, which is asked after every action, or for
        `seconds`."""
        end = time.monotonic() + seconds
        while not is_over() and (now := time.monotonic()) < end:
            following = self._waiting[0][0] if self._waiting else end
            self._collect(min(following, end) - now)
            if self._waiting and self._waiting[0][0] <= time.monotonic():
                heapq.heappop(self._waiting)[-1]()

    def _collect(self, seconds: float) -> None:
        """Take over what was handed over, and wait up to `seconds` for the first."""
        wait = min(max(seconds, 0.0), LONGEST_WAIT)
        try:
            heapq.heappush(self._waiting, self._handed_over.get(timeout=wait))
            while True:
                heapq.heappush(self._waiting, self._handed_over.get_nowait())
        except queue.Empty:
            return
