"""How the Python programs say what they saw: one line of JSON a fact. See ../README.md for the facts."""

import json
import sys
import time
import uuid

# Longest wait for anything that should come, in seconds.
PATIENCE_S = 30


class Refused(Exception):
    """The client or the broker said plainly that this is not to be had."""


class Teller:
    """Shows the facts of one client."""

    def __init__(self, client, version):
        self.client, self.version = client, version

    def show(self, fact, work):
        """Does the work and prints how it went. What it returns, if anything, is the detail."""
        began = time.monotonic()
        try:
            result, detail = "passed", work() or ""
        except Refused as refusal:
            result, detail = "refused", str(refusal)
        except Exception as error:  # pylint: disable=broad-except  # Whatever it is, it is what the fact says.
            result, detail = "failed", f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - began, 1)
        said = {"client": self.client, "version": self.version, "fact": fact, "result": result, "detail": detail[:500], "seconds": seconds}
        print(json.dumps(said), flush=True)


def bootstrap():
    """The address that the program was given."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BOOTSTRAP")
    return sys.argv[1]


def unique(name):
    """A name that no other run has."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def until(condition, what):
    """Returns the first value of the condition that is neither None nor False. The condition itself takes a moment each time."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        # By identity: a record without a value counts as false in some clients.
        if (value := condition()) is not None and value is not False:
            return value
    raise TimeoutError(f"no {what} within {PATIENCE_S} s")


def same(got, wanted):
    """Fails unless the two are equal."""
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}"[:500])
