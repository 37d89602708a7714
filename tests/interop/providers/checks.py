"""Counted checks, and waiting for events."""

import time

# Bound of waits for an event; it only ends a hang.
SOON = 30


class Checks:
    """Results of the checks of one peer."""

    def __init__(self, peer):
        self.peer = peer
        self.total = 0
        self.wrong = 0

    def check(self, what, good, detail=""):
        """Counts one check and prints it; `detail` explains a wrong one. Returns whether it is good."""
        self.total += 1
        self.wrong += not good
        print(f"  {self.peer:>9}: {'ok   ' if good else 'WRONG'} {what}{'' if good else f': {detail}'}", flush=True)
        return bool(good)

    def equal(self, what, found, expected):
        """Counts one comparison."""
        return self.check(what, found == expected, f"{found!r}, expected {expected!r}")

    def eventually(self, what, condition, patience=SOON):
        """Counts one condition that must become true."""
        last, good = eventually(condition, patience)
        return self.check(what, good, f"still {last!r} after {patience} s")

    def told(self, what):
        """Prints a figure."""
        print(f"  {self.peer:>9}:       {what}", flush=True)


def eventually(condition, patience=SOON, pause=0.05):
    """Waits until `condition()` is true. Returns its last value, and whether it became true."""
    deadline = time.monotonic() + patience
    while True:
        if last := condition():
            return last, True
        if time.monotonic() > deadline:
            return last, False
        time.sleep(pause)
