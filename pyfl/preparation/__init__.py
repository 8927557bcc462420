"""What peers must agree on about data that none of them shows: statistics that are exact sums, taken before round 1."""

from pyfl.preparation.classes import ClassCounts, Classes
from pyfl.preparation.moments import Moments, Normalisation
from pyfl.preparation.statistic import Ring, Statistic, combine
from pyfl.preparation.vocabulary import Vocabulary, Words
from pyfl.preparation.wire import from_wire, to_wire

__all__ = [
    "ClassCounts",
    "Classes",
    "Moments",
    "Normalisation",
    "Ring",
    "Statistic",
    "Vocabulary",
    "Words",
    "combine",
    "from_wire",
    "to_wire",
]
