"""A program: one real overlay that reads its events until it is killed. Prints its id and address."""

from __future__ import annotations

import json
import sys

from pyfl.overlay.real import RealOverlay


def main() -> None:
    overlay = RealOverlay(json.loads(sys.argv[1]))
    overlay.announce(b"", eligible=True)
    print(overlay.me, overlay.address, flush=True)
    while True:
        overlay.next_event(0.5)


if __name__ == "__main__":
    main()
