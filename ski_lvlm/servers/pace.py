"""Rate limits: requests and tokens a minute."""

import threading
import time

_LONGEST_HOLD = 3600.0  # seconds; a server that asks for more is tried again after an hour


class Pace:
    """Leaky buckets of requests and of tokens a minute, shared by all threads. None is no limit."""

    def __init__(self, *, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        from throttled import MemoryStore, Throttled, rate_limiter

        self._tokens_per_minute = tokens_per_minute
        self._not_before = 0.0
        self._stopped = threading.Event()
        self._buckets = {}
        for name, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if limit is None:
                continue
            if limit < 1:
                raise ValueError(f"--{name} is {limit}; expected 1 or more, or leave it out for no limit")
            # requests come a second's worth at a time; the bucket of tokens must hold the largest request
            burst = limit if name == "tokens_per_minute" else max(1, limit // 60)
            # Not token_bucket, which counts whole seconds: a second's worth comes free at each of their borders.
            quota = rate_limiter.per_min(limit, burst=burst)
            self._buckets[name] = Throttled(using="gcra", quota=quota, store=MemoryStore())

    def hold(self, seconds: float) -> None:
        """Block all threads for so many seconds, because the server has asked one of them to wait."""
        self._not_before = max(self._not_before, time.monotonic() + min(seconds, _LONGEST_HOLD))

    def stop(self) -> None:
        """End all waiting, because no more requests will be sent."""
        self._stopped.set()

    def wait(self, tokens: int) -> None:
        """Return when a request of so many tokens may be sent, or after `stop`."""
        if self._tokens_per_minute is not None and tokens > self._tokens_per_minute:
            raise ValueError(
                f"a request may need {tokens} tokens, more than --tokens_per_minute {self._tokens_per_minute}; raise it"
            )
        while (pause := self._not_before - time.monotonic()) > 0 and not self._stopped.wait(pause):
            pass
        for name, cost in (("requests_per_minute", 1), ("tokens_per_minute", tokens)):
            if name in self._buckets:
                # `stop` could not end the library's own waiting, by `timeout`
                while (verdict := self._buckets[name].limit(name, cost=cost)).limited:
                    if self._stopped.wait(max(verdict.state.retry_after, 0.001)):
                        return
