"""Masks (encryptions of zero) made ahead, while the task waits for its peers."""

from __future__ import annotations

import os
import threading
from collections import deque
from types import TracebackType

import gmpy2

from fate_flow.crypto.integers import Mpz
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.errors import CryptoError

#: Masks made in one go: short enough that close() and take() do not wait long.
_BATCH = 16
#: Masks kept at most; 256 MB at 2048 bits.
_MAX_READY = 500_000


class MaskPool:
    """Makes masks in a background thread; each is given out once.

    The thread gives up the interpreter lock inside each product, so it uses a core that
    is free and stands back when the task itself computes.

    Use as a context manager, or call :meth:`close`.

    Args:
        key: the public key, or the private key at its owner (faster).
    """

    def __init__(self, key: PublicKey | PrivateKey) -> None:
        self._key = key
        self._ready: deque[Mpz] = deque()
        self._process = os.getpid()
        self._wanted = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def key(self) -> PublicKey:
        return self._key.public

    @property
    def ready(self) -> int:
        """Number of masks that are ready now."""
        return len(self._ready)

    def prepare(self, count: int) -> None:
        """Start making masks until ``count`` are ready; returns at once.

        Raises:
            CryptoError: the pool is closed.
        """
        with self._changed:
            if self._closed:
                raise CryptoError("the mask pool is closed")
            self._wanted = min(max(self._wanted, count), _MAX_READY)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="masks", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def take(self, count: int) -> list[Mpz]:
        """``count`` masks: those that are ready, and the rest made now.

        Raises:
            CryptoError: the pool is closed.
        """
        with self._changed:
            if self._closed:
                raise CryptoError("the mask pool is closed")
            if os.getpid() != self._process:
                # A forked child must not use the masks that its parent will use too.
                self._ready.clear()
            taken = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
            self._wanted = max(0, self._wanted - count)
        if len(taken) < count:
            taken += self._key.masks(count - len(taken))
        return taken

    def close(self) -> None:
        """Stop the thread and forget all masks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._ready.clear()

    def __enter__(self) -> MaskPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._ready) < self._wanted)
                    if self._closed:
                        return
                    count = min(_BATCH, self._wanted - len(self._ready))
                batch = self._key.masks(count)
                with self._changed:
                    self._ready.extend(batch)
                    self._changed.notify_all()
