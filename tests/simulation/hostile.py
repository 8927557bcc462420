"""Members that lie, one way each. They run the real machine; what leaves them is changed on its way out."""

from __future__ import annotations

import contextlib
import itertools
import random

from msgspec.structs import replace

from pyfl.errors import NoSuchPeer, OverlayArgument, OverlayFull
from pyfl.rounds import messages
from pyfl.rounds.actions import Action, Place, PostSend, Say, SegmentTag
from pyfl.rounds.driver import TAG, Driver
from pyfl.rounds.machine import Input
from pyfl.rounds.messages import Held, PullOffer, PullWant, Ready, Report

__all__ = ["HOSTILE", "Liar"]


class Liar(Driver):
    """Changes what it says."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, Say):
            for message in self.lies(action.message):
                super()._do(Say(action.peer, message))
            return None
        return super()._do(action)

    def lies(self, message: messages.Message) -> list[messages.Message]:
        """What is said instead."""
        if isinstance(message, Report):
            return [replace(message, ready=message.ready and self.ready(message.ready), held=message.held and self.held(message.held))]
        return [message]

    def ready(self, ready: Ready) -> Ready:
        """An update as it is announced."""
        return ready

    def held(self, held: Held) -> Held:
        """A result as it is announced."""
        return held


class WrongNumberOfTensors(Liar):
    """Announces exponents of a tensor too many."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, exponents=(*ready.exponents, 3))


class NoTensors(Liar):
    """Announces no exponents."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, exponents=(), weight_exponents=())


class AbsurdExponents(Liar):
    """Announces values that no float32 has."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, exponents=(2**40,) * len(ready.exponents))


class AbsurdWeights(Liar):
    """Says that the base model has exponents that it has not."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, weight_exponents=(-(2**50),) * len(ready.weight_exponents))


class NoSamples(Liar):
    """Counts for nothing."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, samples=0)


class LessThanNoSamples(Liar):
    """Counts negatively."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, samples=-7)


class EverySample(Liar):
    """Claims more samples than there are."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, samples=2**62)


class NoTime(Liar):
    """Trained for NaN seconds."""

    def ready(self, ready: Ready) -> Ready:
        return replace(ready, train_s=float("nan"), loss=float("inf"))


class WrongDigest(Liar):
    """Holds another model than everyone."""

    def held(self, held: Held) -> Held:
        return replace(held, model="f" * 64)


class NoDigest(Liar):
    """Holds something without a name."""

    def held(self, held: Held) -> Held:
        return replace(held, model="", state="")


class NotFinite(Liar):
    """Says that everyone's result is not finite."""

    def held(self, held: Held) -> Held:
        return replace(held, finite=False)


class EarlyHolder(Liar):
    """Says that it holds a result as soon as a reduce begins, and another for each epoch."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        record = self.machine.view.round
        if isinstance(message, Report) and record and record.number and record.phase == "reduce":
            return [replace(message, held=Held(record.number, record.epoch, f"{record.epoch:064x}", "e" * 64))]
        return [message]


class Garbage(Liar):
    """Says random bytes as well, to everyone."""

    _random = random.Random(5)

    def lies(self, message: messages.Message) -> list[messages.Message]:
        for peer in self.net.peers():
            noise = self._random.randbytes(self._random.randint(0, 200))
            for payload in (noise, messages.encode(message)[: self._random.randint(0, 60)], b"\xdf\xff\xff\xff\xff" + noise):
                try:
                    self.net.message(peer.peer, TAG, payload)
                except (NoSuchPeer, OverlayFull):
                    continue
        return [message]


class Accuser(Liar):
    """Accuses everyone, strangers too, of every link."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        record = self.machine.view.round
        if not record:
            return [message]
        whom = [*(p.peer for p in self.net.peers()), self.net.me, "nobody", ""]
        return [message, *(messages.Accuse(record.number, record.epoch, peer, "lies") for peer in whom)]


class WildWants(Liar):
    """Wants segments that do not exist, of pulls that do, and of pulls that do not."""

    _pulls = itertools.count(1)

    def lies(self, message: messages.Message) -> list[messages.Message]:
        have = self.machine.member.have
        pull = next(self._pulls)
        parts = tuple(itertools.product((-1, 0, 1, 2**31, 2**63), (-1, 0, 24, 25, 2**40)))
        return [message, messages.PullOpen(pull, have.round, have.model, have.state), PullWant(pull, parts), PullWant(pull + 10**6, parts)]


class WrongOffers(Liar):
    """Offers digests that do not make the model's."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        if isinstance(message, PullOffer) and message.ok:
            return [replace(message, vectors=tuple(tuple(bytes(32) for _ in vector) for vector in message.vectors))]
        return [message]


class SplitOffers(Liar):
    """Offers digests that make the model's when joined, cut in the wrong places."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        if isinstance(message, PullOffer) and message.ok:
            joined = [b"".join(vector) for vector in message.vectors]
            return [replace(message, vectors=tuple(tuple(whole[i : i + 1] for i in range(len(whole))) for whole in joined))]
        return [message]


class UnaskedOffers(Liar):
    """Offers what nobody asked for."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        return [message, *(PullOffer(pull, True, ((b"",),)) for pull in range(1, 40))]


class OutOfBounds(Driver):
    """Sends partials beyond what was announced."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, PostSend) and action.tag.kind == "u":
            self._memory.view(action.place)[:] = bytes([127]) * self._memory.view(action.place).nbytes
        return super()._do(action)


class WrongBytes(Driver):
    """Serves other bytes than it offered."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, PostSend) and action.tag.kind == "p":
            wrong = memoryview(bytearray(self._memory.view(action.place).nbytes))
            self.net.send(action.peer, action.tag.encode(self._run.run), wrong)
            return None
        return super()._do(action)


class WrongTags(Driver):
    """Sends segments of rounds, epochs and pulls that do not exist as well."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, PostSend):
            for tag in (SegmentTag("u", 99, 1, 0), SegmentTag("d", 1, 99, 3), SegmentTag("p", 5, 0, 1, 7), SegmentTag("x", 0, 0, 0)):
                with contextlib.suppress(OverlayArgument):  # posted already, and nobody ever receives it
                    super()._do(PostSend(action.peer, tag, Place("base", 0)))
        return super()._do(action)


HOSTILE: tuple[type[Driver], ...] = (
    WrongNumberOfTensors, NoTensors, AbsurdExponents, AbsurdWeights, NoSamples, LessThanNoSamples, EverySample, NoTime, WrongDigest,
    NoDigest, NotFinite, EarlyHolder, Garbage, Accuser, WildWants, WrongOffers, SplitOffers, UnaskedOffers, OutOfBounds, WrongBytes,
    WrongTags,
)  # fmt: skip
