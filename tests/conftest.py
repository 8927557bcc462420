"""What every test run shares: a crash in compiled code prints all stacks, and hypothesis keeps one profile for CI."""

from __future__ import annotations

import faulthandler
import os
import signal

from hypothesis import settings

faulthandler.enable()

# A shell starts what runs in the background with SIGINT ignored, and children inherit that; the tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may stall any example: how long one takes is no finding. CI draws the same examples every time, so
# that a red run can be repeated; `make soak` and local runs go on exploring.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
