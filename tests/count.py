"""Says how many tests ran and how many were skipped, from pytest's JUnit files: `make test` ends with it."""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def main(paths: list[str]) -> None:
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for path in paths:
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            for name in totals:
                totals[name] += int(suite.get(name, 0))
    failed = totals["failures"] + totals["errors"]
    passed = totals["tests"] - failed - totals["skipped"]
    print(f"{passed} passed, {failed} failed, {totals['skipped']} skipped")


if __name__ == "__main__":
    main(sys.argv[1:])
