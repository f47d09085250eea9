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


class Expectations:
    """What expectations.toml says: for each client its facts, and where one does not pass on both brokers, what it does and why."""

    def __init__(self, common, clients):
        self.common, self.clients = common, clients

    @classmethod
    def load(cls):
        with (HERE / "expectations.toml").open("rb") as file:
            read = tomllib.load(file)
        common, clients = read["common"], {}
        for name, said in read["clients"].items():
            passing = [fact for fact in common if fact not in said.get("without", [])] if said["common"] else []
            clients[name] = {fact: {} for fact in passing + said.get("also", [])}
            for fact, otherwise in said.get("otherwise", {}).items():
                if not otherwise.get("because"):
                    raise ValueError(f"expectations.toml: {name}: {fact} does not pass everywhere, and no reason is given")
                clients[name][fact] = otherwise
        return cls(common, clients)

    def of(self, names, label):
        """The result that each fact of these clients is to have on the broker of that label."""
        return {(name, fact): otherwise.get(label, "passed") for name in names for fact, otherwise in self.clients[name].items()}
