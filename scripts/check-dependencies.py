#!/usr/bin/env python3
"""Checks every crate of the build against deny.toml: its licence, its source, and that it is not banned.

It reads what `cargo metadata` says, with all features on, for all platforms. Advisories need `cargo deny check`.
Prints one line per objection and ends with status 1 if there is any.
"""

import json
import pathlib
import re
import subprocess
import sys

try:
    import tomllib
except ModuleNotFoundError:  # Python before 3.11; scripts/requirements.txt has it.
    import tomli as tomllib

TOP = pathlib.Path(__file__).resolve().parent.parent


def licence_allowed(expression, allowed):
    """Whether an SPDX expression can be met with allowed licences alone. `/` is the old way to write OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def take(word):
        nonlocal position
        if position < len(tokens) and tokens[position] == word:
            position += 1
            return True
        return False

    def any_of():
        met = all_of()
        while take("OR"):
            met = all_of() or met
        return met

    def all_of():
        met = one()
        while take("AND"):
            met = one() and met
        return met

    def one():
        nonlocal position
        if take("("):
            met = any_of()
            if not take(")"):
                raise ValueError(f"cannot read the licence {expression!r}")
            return met
        if position >= len(tokens):
            raise ValueError(f"cannot read the licence {expression!r}")
        name = tokens[position]
        position += 1
        if take("WITH"):
            name += " WITH " + tokens[position]
            position += 1
        return name in allowed

    met = any_of()
    if position != len(tokens):
        raise ValueError(f"cannot read the licence {expression!r}")
    return met


def version_matches(version, bound):
    """Whether `version` is below the bound of a ban ("<0.22"); a ban without a bound is about every version."""
    if not bound:
        return True
    if not bound.startswith("<") or bound.startswith("<="):
        raise ValueError(f"bans are understood as `crate` or `crate:<version`, not with {bound!r}")

    def numbers(text):
        return [int(part) for part in re.split(r"[.+-]", text)[:3] if part.isdigit()]

    return numbers(version) < numbers(bound[1:])


def objections(packages, rules):
    """Yields what deny.toml has against each package."""
    allowed = set(rules["licenses"]["allow"])
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    bans = {}
    for ban in rules["bans"]["deny"]:
        name, _, bound = ban["crate"].partition(":")
        bans[name] = (bound, ban["reason"])
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if licence is None:
            yield f"{name} states no licence"
        elif not licence_allowed(licence, allowed):
            yield f"{name} has the licence {licence}, which deny.toml does not allow"
        if package["source"] is not None and package["source"] not in registries:
            yield f"{name} comes from {package['source']}"
        if package["name"] in bans:
            bound, reason = bans[package["name"]]
            if version_matches(package["version"], bound):
                yield f"{name} is banned: {reason}"


def main():
    rules = tomllib.loads((TOP / "deny.toml").read_text(encoding="utf-8"))
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features"]
    told = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, check=True).stdout
    packages = json.loads(told)["packages"]
    found = list(objections(packages, rules))
    for objection in found:
        print(f"check-dependencies: {objection}", file=sys.stderr)
    if not found:
        print(f"check-dependencies: {len(packages)} packages have allowed licences and sources, and none is banned")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
