"""What only the real overlay can get wrong: forks, configurations, handles, buffers."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pyfl.errors import AddressInUse, OverlayClosed, OverlayConfigError, OverlayForked, OverlayFull
from pyfl.overlay.protocol import Message, PeerUp, Received, Wake

if TYPE_CHECKING:
    from pyfl.overlay.real import RealOverlay

real = pytest.importorskip("pyfl.overlay.real", reason="the overlay's library is not built: run `make build`", exc_type=ImportError)
pytestmark = pytest.mark.real

KEY = "5a" * 32
PATIENCE_S = 60.0


def opened(**settings: object) -> RealOverlay:
    return real.RealOverlay({"listen": "127.0.0.1:0", "swarm_key": KEY, **settings})


def numbers() -> tuple[int, int]:
    """Count the library's open handles and goroutines."""
    from pyfl.overlay import _p2plib

    handles, goroutines = _p2plib.ffi.new("int64_t *"), _p2plib.ffi.new("int64_t *")
    _p2plib.lib.p2p_debug(handles, goroutines)
    return handles[0], goroutines[0]


def await_event(overlay: RealOverlay, kind: type) -> object:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        event = overlay.next_event(0.5)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def drain(overlay: RealOverlay) -> None:
    """Read what a closed overlay still has."""
    try:
        while True:
            overlay.next_event(0.0)
    except OverlayClosed:
        return


def fill(overlay: RealOverlay, peer: str) -> int:
    """Send to a peer that reads nothing until no more is taken; how many were."""
    for sent in range(100_000):
        try:
            overlay.message(peer, b"%d" % sent, bytes(100_000))
        except OverlayFull:
            return sent
    raise AssertionError("ten gigabytes were taken for a peer that reads nothing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_gets_an_error_and_does_not_hang() -> None:
    with opened() as overlay:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"no error"
            try:
                overlay.message("0" * 32, b"t", b"")
            except OverlayForked:
                answer = b"forked"
            finally:
                os.write(writer, answer)
                os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        assert os.read(reader, 100) == b"forked"
        os.close(reader)


def test_handles_and_goroutines_are_given_back() -> None:
    gc.collect()
    handles, _ = numbers()
    one = opened(found=True)
    two = opened(join=[one.address])
    await_event(two, PeerUp)
    one.close()
    two.close()
    for overlay in (one, two):
        drain(overlay)
    del one, two, overlay
    gc.collect()
    assert numbers()[0] == handles


def test_a_configuration_that_is_wrong_names_the_key() -> None:
    for settings in ({"listen": "nowhere"}, {"swarm_key": "short"}, {"voters": -1}, {"listne": ""}):
        with pytest.raises(OverlayConfigError, match=next(iter(settings))):
            opened(**settings)


def test_a_taken_address_says_so() -> None:
    with opened() as overlay, pytest.raises(AddressInUse, match=overlay.address):
        opened(listen=overlay.address)


def test_large_events_fit_whatever_the_buffer() -> None:
    with opened() as overlay:
        payload = bytes(range(256)) * 4096
        overlay.wake(payload)
        event = await_event(overlay, Wake)
        assert isinstance(event, Wake)
        assert event.payload == payload


def test_a_posted_buffer_lives_until_its_event() -> None:
    with opened(found=True) as one, opened(join=[one.address]) as two:
        await_event(two, PeerUp)
        await_event(one, PeerUp)
        two.receive(one.me, b"t", memoryview(bytearray(1_000_000)))  # nobody else refers to it
        gc.collect()
        one.send(two.me, b"t", memoryview(bytes(1_000_000)))
        event = await_event(two, Received)
        assert isinstance(event, Received)
        assert event.ok


def test_a_peer_that_reads_nothing_fills_its_sender() -> None:
    with opened(found=True, inbox=4) as one, opened(join=[one.address]) as two:
        await_event(two, PeerUp)
        sent = fill(two, one.me)
        for expected in range(sent):
            event = await_event(one, Message)
            assert isinstance(event, Message)
            assert event.tag == b"%d" % expected


def test_ctrl_c_reaches_a_process_that_waits_for_an_event() -> None:
    program = (
        "import signal\n"
        "from pyfl.overlay.real import RealOverlay\n"
        # a shell's background job is deaf to Ctrl-C, and so would be what this test starts
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"overlay = RealOverlay({{'listen': '127.0.0.1:0', 'swarm_key': '{KEY}'}})\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        overlay.next_event(60)\n"
        "except KeyboardInterrupt:\n"
        "    overlay.close()\n"
        "    print('interrupted')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert output == "interrupted\n"
    assert process.returncode == 0
