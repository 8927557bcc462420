"""`pyfl simulate`: swarms in virtual time under every fault, from seeds or from a scenario, and what they break."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyfl.cli.observe import AsJson

if TYPE_CHECKING:
    from pyfl.simulation.drawing import Size

__all__ = ["simulate"]


def simulate(
    seeds: Annotated[str, typer.Option(help="The first and the last seed: 0..999; one of them: 17..17.")] = "0..99",
    faults: Annotated[str, typer.Option(help="all, none, or kinds: kill,wipe,partition. With a wrong one, all are named.")] = "all",
    peers: Annotated[str, typer.Option(help="How many peers are drawn: 5 or 3..7; empty for the size's own.")] = "",
    size: Annotated[str, typer.Option(help="standard: 3-7 peers, 5 rounds, 2-4 segments; wide: 3-9 peers, 25 segments.")] = "standard",
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    scenario: Annotated[Path | None, typer.Option(help="Play this text scenario instead of seeds.")] = None,
    write: Annotated[Path, typer.Option(help="Where the scenarios of failing seeds are written.")] = Path("scenarios"),
    shrink: Annotated[bool, typer.Option(help="Shrink the first failing seeds to minimal stories.")] = True,
    as_json: AsJson = False,
) -> None:
    """Play swarms in virtual time under faults drawn from seeds, and check every promise of the protocol.

    Ends with 1 if one was broken. A failing seed is shrunk to a minimal scenario, which `--scenario` plays again.
    """
    from pyfl.cli.simulate_run import play_scenario, play_seeds

    if scenario is not None:
        violations = play_scenario(scenario, as_json=as_json)
    else:
        violations = play_seeds(
            _range(seeds, "--seeds"), _size(size, peers), _kinds(faults), jobs, write if shrink else None, as_json=as_json
        )
    if violations:
        raise typer.Exit(1)


def _range(text: str, option: str) -> range:
    from pyfl.errors import ConfigError

    first, _, last = text.partition("..")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
        raise ConfigError(f"{option} {text!r} is no range; expected FIRST..LAST, such as 0..999.")
    return range(int(first), int(last or first) + 1)


def _kinds(text: str) -> tuple[str, ...]:
    from pyfl.errors import ConfigError
    from pyfl.overlay.simulated.faults import FAULT_KINDS

    if text in ("all", "none"):
        return FAULT_KINDS if text == "all" else ()
    kinds = tuple(filter(None, (kind.strip() for kind in text.split(","))))
    unknown = [kind for kind in kinds if kind not in FAULT_KINDS]
    if unknown or not kinds:
        raise ConfigError(f"--faults {text!r}: {', '.join(unknown) or 'nothing'} is no kind of fault; there are all, none, "
                          f"{', '.join(FAULT_KINDS)}.")  # fmt: skip
    return kinds


def _size(name: str, peers: str) -> Size:
    from dataclasses import replace

    from pyfl.errors import ConfigError
    from pyfl.simulation.drawing import SIZES
    from pyfl.simulation.scenario import MOST_PEERS

    if name not in SIZES:
        raise ConfigError(f"--size {name!r} is unknown; expected {' or '.join(SIZES)}.")
    if not peers:
        return SIZES[name]
    wanted = _range(peers, "--peers")
    if not 1 <= wanted[0] <= wanted[-1] <= MOST_PEERS:
        raise ConfigError(f"--peers {peers!r}: expected from 1 to {MOST_PEERS}.")
    return replace(SIZES[name], peers=(wanted[0], wanted[-1]))
