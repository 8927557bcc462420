"""What this peer would train: the founder's run record from its settings, and a joiner's check that it was told nothing else."""

from __future__ import annotations

import secrets
from pathlib import Path

from pyfl.aggregation import Strategy
from pyfl.aggregation.strategy import parse as parse_strategy
from pyfl.apps import App, load_app
from pyfl.apps.warm_start import WarmStarted, starting_weights
from pyfl.errors import AppError, RefusedBySwarm
from pyfl.peer.settings import PeerSettings
from pyfl.preparation.plan import asked_of, numbers
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.early_stopping import parse as parse_early_stopping
from pyfl.rounds.records import RunRecord
from pyfl.tiers import Tiers
from pyfl.tiers import parse as parse_tiers
from pyfl.training.trainer import FlatTrainer
from pyfl.wire import digests

__all__ = ["RunPlan"]

DEFAULT_APP = "digits"
DEFAULT_ROUNDS = 10
DEFAULT_RESIDUALS = False
TRAINER = "trainer"  # the app of runs whose trainer was handed over as an object


class RunPlan:
    """Raises `PyflError`s for settings that cannot be understood, as soon as it is made."""

    def __init__(
        self,
        settings: PeerSettings,
        trainer: FlatTrainer | None,
        strategy: Strategy | None = None,
        tiers: Tiers | None = None,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        """`strategy`, `tiers` and `early_stopping` as values are used instead of the settings' texts."""
        self._settings, self._trainer = settings, trainer
        self._options = settings.app_options()
        self._app: App | None = load_app(settings.app).with_options(self._options) if settings.app and trainer is None else None
        self._strategy = strategy or (parse_strategy(settings.strategy) if settings.strategy else None)
        self._tiers = tiers or (parse_tiers(settings.tiers) if settings.tiers else None)
        self._early_stopping = early_stopping or (parse_early_stopping(settings.early_stopping) if settings.early_stopping else None)
        self._me = ""
        self._begins = ""
        """Digest of the model to start from, once it was read."""
        self._guess: FlatTrainer | None = None

    def prepare(self, me: str, *, founding: bool) -> tuple[RunRecord | None, FlatTrainer | None]:
        """(the run to found, the trainer) for a founder.

        A joiner learns the run first; one that was told app and seed builds meanwhile what the swarm most likely trains.
        """
        self._me = me
        if not founding:
            if self._trainer is None and self._app is not None and self._settings.seed is not None:
                self._guess = self._make(self._app, self._settings.seed)
            return None, None
        seed = self._settings.seed if self._settings.seed is not None else secrets.randbits(31)
        if self._trainer is not None:
            return self._record(None, self._trainer, seed), self._trainer
        app = self._app or load_app(DEFAULT_APP).with_options(self._options)
        trainer = self._make(app, seed)
        return self._record(app, trainer, seed), trainer

    def _make(self, app: App, seed: int) -> FlatTrainer:
        trainer = app.build(self._settings.index, self._settings.of, seed, peer=self._me)
        path = self._settings.start_from
        if not path:
            return trainer
        weights = starting_weights(Path(path), trainer.layout)
        self._begins = digests.combine(digests.of_vector(weights))
        return WarmStarted(trainer, weights)

    def _record(self, app: App | None, trainer: FlatTrainer, seed: int) -> RunRecord:
        settings = self._settings
        strategy = self._strategy or parse_strategy("fedavg")
        prepare = asked_of(trainer)
        buffers = Buffers(trainer.layout, strategy, numbers(prepare))
        trainer.initial(buffers.base)
        model, state = buffers.seal_base()
        return RunRecord(
            run=secrets.token_hex(8),
            app=app.name if app else TRAINER,
            options={name: str(value) for name, value in app.record().items()} if app else {},
            layout=trainer.layout,
            model=model,
            state=state,
            strategy=strategy,
            tiers=self._tiers or parse_tiers("rotated:4"),
            rounds=settings.rounds if settings.rounds is not None else DEFAULT_ROUNDS,
            min_peers=settings.min_peers if settings.min_peers is not None else 2,
            min_contributors=settings.min_contributors or 0,
            voters=settings.voters,
            seed=seed,
            deadlines=settings.deadlines,
            early_stopping=self._early_stopping,
            prepare=prepare,
            residuals=settings.residuals if settings.residuals is not None else DEFAULT_RESIDUALS,
        )

    def build(self, run: RunRecord) -> FlatTrainer:
        """Make the trainer for the swarm's run. Raises `RefusedBySwarm` where an explicit setting differs from it."""
        differences = self._differences(run)
        if differences:
            raise self._refusal(run, differences)
        if self._trainer is not None:
            return self._trainer
        app = self._app_as_told(run)
        guess, self._guess = self._guess, None
        if guess is not None and {name: str(value) for name, value in app.record().items()} == run.options:
            return guess  # `_differences` has found app and seed to be the run's
        trainer = self._make(app.with_options(run.options), run.seed)
        if self._begins and self._begins != run.model:
            raise self._refusal(run, [f"from {self._settings.start_from} here, model {run.model[:12]} there"])
        return trainer

    def _refusal(self, run: RunRecord, differences: list[str]) -> RefusedBySwarm:
        rounds = self._settings.rounds
        longer = (
            f" A run's last round is fixed when it is founded: to go on after round {run.rounds}, found a new run in another data "
            "directory with --from and the last checkpoint of this one."
            if rounds is not None and rounds > run.rounds
            else ""
        )
        return RefusedBySwarm(
            f"This peer was told something else than the swarm of run {run.run} trains: {'; '.join(differences)}. "
            f"Leave these settings out, or join another swarm.{longer}"
        )

    def app(self, run: RunRecord) -> App:
        """The app of the run, with this peer's own options. Raises `AppError` for a trainer that was handed over as an object."""
        if run.app == TRAINER:
            raise AppError(
                f"Run {run.run} trains a model that was handed over as an object; no app says how it is built again to be asked. "
                "Start the run with --app package.module:name, or fetch the weights from /v1/model."
            )
        return self._app_as_told(run).with_options(run.options)

    def _app_as_told(self, run: RunRecord) -> App:
        """The app of the run with what this peer was told of it, and nothing of the run's options yet."""
        return self._app or load_app(run.app).with_options(self._options)

    def _differences(self, run: RunRecord) -> list[str]:
        settings = self._settings
        given: dict[str, tuple[object, object]] = {
            "app": (self._app and self._app.name, run.app),
            "strategy": (self._strategy, run.strategy),
            "tiers": (self._tiers, run.tiers),
            "rounds": (settings.rounds, run.rounds),
            "min-peers": (settings.min_peers, run.min_peers),
            "min-contributors": (settings.min_contributors, run.min_contributors),
            "seed": (settings.seed, run.seed),
            "early-stopping": (self._early_stopping, run.early_stopping),
            "residuals": (settings.residuals, run.residuals),
        }
        lines = [f"{name} {ours} here, {theirs} there" for name, (ours, theirs) in given.items() if ours is not None and ours != theirs]
        if self._trainer is None and (self._app is None or self._app.name == run.app):
            app = self._app_as_told(run)
            lines += [
                f"option {name} {value} here, {run.options[name]} there"
                for name, value in app.chosen.items()
                if name in run.options and run.options[name] != str(value)
            ]
        return lines
