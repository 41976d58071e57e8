"""Time budgets."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, in seconds."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def part(self, seconds: float) -> "Deadline":
        """Return a budget of `seconds` from now that ends with this deadline at the latest."""
        return Deadline(min(self.at_s, time.monotonic() + seconds))

    @property
    def left_s(self) -> float:
        """The seconds that remain; never negative."""
        return max(0.0, self.at_s - time.monotonic())
