"""`pyfl demo`: a swarm of processes on this machine, watched."""

from __future__ import annotations

import contextlib
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyfl.cli.observe import AsJson

if TYPE_CHECKING:
    from pyfl.cli.dashboard_process import DashboardProcess
    from pyfl.cli.demo_views import View
    from pyfl.cli.swarm_model import SwarmModel
    from pyfl.peer.herd import Herd
    from pyfl.peer.settings import PeerSettings

__all__ = ["demo", "peer_names"]

ANIMALS = (
    "otter", "heron", "lynx", "badger", "finch", "marten", "ibex", "plover", "dormouse", "kestrel", "newt", "hare",
    "puffin", "stoat", "osprey", "vole", "gecko", "wren", "beaver", "crane", "tapir", "swift", "quokka", "robin",
)  # fmt: skip
LEAVE_S = 2.5  # within 3 s everything has ended
WITHOUT_FRAMEWORK = {"linear", "onehot"}


def demo(
    peers: Annotated[int, typer.Option(min=2, max=200, help="Processes to start.")] = 6,
    app: Annotated[str, typer.Option(help="What they learn: digits, mnist, cifar10, or package.module:name.")] = "digits",
    model: Annotated[str | None, typer.Option(help="Which of the app's models: for cifar10 original or niid.")] = None,
    partition: Annotated[
        str | None, typer.Option(help="How the data is divided: iid, dirichlet:0.5, pathological:6, shard:2, linear...")
    ] = None,
    data: Annotated[str | None, typer.Option(help="The app's data, an .npz with x_train, y_train, x_test, y_test.", metavar="FILE")] = None,
    limit_samples: Annotated[int | None, typer.Option(min=0, help="Each peer trains on so many samples at most.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many times they agree on a model.")] = 10,
    strategy: Annotated[str | None, typer.Option(help="fedavg, fedavgm, fedadam; with arguments.")] = None,
    tiers: Annotated[str | None, typer.Option(help="rotated:4, tree:4, star, chain.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the run; default: by chance.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the peers keep their data; default: a temporary directory.", metavar="DIR")
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show it in a browser as well; the peers stay after the last round, until Ctrl-C.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the temporary directory.")] = False,
    as_json: AsJson = False,
) -> None:
    """A swarm on this machine: six processes, each with its own part of the data, learn one model together."""
    from pyfl.cli.demo_dashboard import demo_dashboard
    from pyfl.cli.demo_summary import exit_code
    from pyfl.cli.demo_views import choose_view
    from pyfl.cli.swarm_model import SwarmModel

    names = peer_names(peers)
    swarm = SwarmModel(names, rounds, time.monotonic())
    data_and_model = {"app": app, "model": model, "partition": partition, "data": data, "limit_samples": limit_samples}
    # The seed is known to all, so that joiners build while the founder does.
    all_know: dict[str, Any] = {**data_and_model, "seed": secrets.randbits(31) if seed is None else seed}
    founder_knows: dict[str, Any] = {"rounds": rounds, "strategy": strategy, "tiers": tiers}
    with _directory(data_dir, keep) as directory, contextlib.ExitStack() as stack:
        settings = _settings(names, directory, all_know, founder_knows, http=dashboard)
        shown = stack.enter_context(demo_dashboard(settings, directory, as_json)) if dashboard else None
        view = stack.enter_context(choose_view(swarm, app, as_json))
        interrupted = _watch(settings, app, swarm, view, shown)
    if interrupted:
        raise typer.Exit(128 + interrupted)
    if keep or data_dir is not None:
        typer.echo(f"data: {directory}", err=True)
    raise typer.Exit(exit_code(swarm))


def peer_names(count: int) -> list[str]:
    """A name for each, none twice."""
    return [ANIMALS[i % len(ANIMALS)] + (f"-{i // len(ANIMALS) + 1}" if i >= len(ANIMALS) else "") for i in range(count)]


@contextlib.contextmanager
def _directory(given: Path | None, keep: bool) -> Generator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
    elif keep:
        yield Path(tempfile.mkdtemp(prefix="pyfl-demo-"))
    else:
        with tempfile.TemporaryDirectory(prefix="pyfl-demo-", ignore_cleanup_errors=True) as directory:
            yield Path(directory)


def _settings(
    names: list[str], directory: Path, all_know: dict[str, Any], founder_knows: dict[str, Any], *, http: bool
) -> list[PeerSettings]:
    """A founder that knows the run, and joiners that know the founder and enough of the run to build its model meanwhile."""
    from pyfl.overlay.free_port import free_ports
    from pyfl.peer.settings import PeerSettings
    from pyfl.peer.swarm_key import new_swarm_key, write_secret

    key = directory / "swarm.key"
    write_secret(key, new_swarm_key() + "\n")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2 * len(names))]
    return [
        PeerSettings(
            listen=addresses[i], join=() if i == 0 else (addresses[0],), name=name, data_dir=str(directory / name), swarm_key=str(key),
            index=i, of=len(names), http=addresses[len(names) + i] if http else "", stay=http,
            min_peers=len(names) if i == 0 else None, **all_know, **(founder_knows if i == 0 else {}),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip


def _watch(settings: list[PeerSettings], app: str, model: SwarmModel, view: View, shown: DashboardProcess | None) -> int:
    """Run them all to their end; returns the signal that ended them, or 0. With a dashboard they end by a signal only."""
    from pyfl.cli.demo_dashboard import say_how_to_end
    from pyfl.peer.herd import Herd

    herd = Herd(settings, framework=app.partition(":")[0] not in WITHOUT_FRAMEWORK)
    interrupts, told = _Interrupts(herd, shown), False
    with contextlib.suppress(_InterruptedEarly), interrupts, herd:
        interrupts.all_started = True
        for happened in herd.events():
            if happened is not None:
                index, stamped = happened
                commit = model.apply(index, stamped)
                view.event(index, stamped)
                if commit is not None:
                    view.committed(commit.round)
            _take_endings(herd, model, view, interrupts.received)
            if shown is not None and not told and _all_done(model):
                told = True
                view.finish(time.monotonic() - model.began, 0)
                say_how_to_end(shown)
            interrupts.enforce()
        _take_endings(herd, model, view, interrupts.received)  # the last peer may end after the last event
    if not told:
        view.finish(time.monotonic() - model.began, interrupts.received)
    return interrupts.received


def _all_done(model: SwarmModel) -> bool:
    """The run is over, and whoever is still there has said so."""
    done = [line.phase == "done" for line in model.lines]
    return any(done) and all(over or line.ended for over, line in zip(done, model.lines, strict=True))


def _take_endings(herd: Herd, model: SwarmModel, view: View, interrupted: int) -> None:
    for index, ending in enumerate(herd.endings):
        if ending is not None and not model.lines[index].ended:
            model.end(index, 128 + interrupted if interrupted else ending.code, ending.why)
            view.ended(index)


class _InterruptedEarly(BaseException):
    """Ctrl-C before all peers were started: there is no loop yet that would see them leave."""


class _Interrupts:
    """Ctrl-C asks every peer to leave; a second one, or peers that do not leave in time, ends them at once."""

    def __init__(self, herd: Herd, shown: DashboardProcess | None = None) -> None:
        self._herd, self._shown = herd, shown
        self.received = 0
        self.all_started = False
        self._deadline = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, _: FrameType | None) -> None:
        again = bool(self.received)
        self.received = self.received or number
        self._deadline = self._deadline or time.monotonic() + LEAVE_S
        if self._shown is not None:
            self._shown.ask_to_end()
        if not self.all_started:
            if not again:
                raise _InterruptedEarly
            return
        for index in range(len(self._herd.pids)):
            if again:
                self._herd.kill(index)
            else:
                self._herd.signal(index, signal.SIGINT)

    def enforce(self) -> None:
        """Kill what is still there after the time to leave."""
        if self._deadline and time.monotonic() > self._deadline:
            for index in range(len(self._herd.pids)):
                self._herd.kill(index)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
