"""What a client was seen to do with a broker, and what it is expected to do."""

import dataclasses
import json
import pathlib

try:
    import tomllib
except ModuleNotFoundError:  # Python before 3.11; scripts/requirements.txt has it.
    import tomli as tomllib

HERE = pathlib.Path(__file__).resolve().parent
# passed: it does what it says. refused: a plain error said that it is not to be had. failed: neither. skipped: not tried.
RESULTS = ("passed", "refused", "failed", "skipped")


@dataclasses.dataclass(frozen=True)
class Fact:
    """One thing that one client does, and how it went."""

    client: str
    version: str
    fact: str
    result: str
    detail: str = ""
    seconds: float = 0.0

    @classmethod
    def read(cls, line):
        """Reads a fact from the line of JSON that a client's program prints."""
        said = json.loads(line)
        if said["result"] not in RESULTS:
            raise ValueError(f"a result is one of {', '.join(RESULTS)}: {line}")
        return cls(said["client"], said["version"], said["fact"], said["result"], said.get("detail", ""), said.get("seconds", 0.0))
