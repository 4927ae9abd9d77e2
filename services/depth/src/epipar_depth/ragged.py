"""Lists of numbers of unequal length, one after another in one array, which may be a mapped file.

A thousand frames see a million points: as a list of arrays every process would hold them all; so
it holds the pages of the file that its own frame needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from epipar_scene.arrays import I64

I32: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Lists of numbers.

    Attributes:
        values: (V,) all lists, one after another.
        ends: (L,) where each list ends in values.
    """

    values: I32
    ends: I64

    def __post_init__(self) -> None:
        held = int(self.ends[-1]) if len(self.ends) else 0
        if held != len(self.values):
            raise ValueError(f"lists end at {held}, but there are {len(self.values)} values")

    @classmethod
    def of(cls, lists: Sequence[I32]) -> Ragged:
        """Put lists one after another."""
        ends = np.cumsum([len(each) for each in lists], dtype=np.int64)
        return cls(np.concatenate([np.zeros(0, np.int32), *lists]), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> I32:
        if not 0 <= number < len(self.ends):
            raise IndexError(f"list {number} is asked for; there are {len(self.ends)}")
        start = self.ends[number - 1] if number else 0
        return self.values[start : self.ends[number]]

    def __iter__(self) -> Iterator[I32]:
        return (self[number] for number in range(len(self)))

    def gathered(self, numbers: I32) -> tuple[I32, I32]:
        """Return the values of some lists, and beside each the number of its list.

        Args:
            numbers: of the lists, in the order in which they are wanted.
        """
        ends = self.ends[numbers]
        starts = np.where(numbers > 0, self.ends[numbers - 1], 0)
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
        return self.values[places], np.repeat(numbers, lengths)

    def inverted(self, count: int) -> Ragged:
        """Return for each number below ``count`` the lists that hold it, ascending, each once."""
        lengths = np.diff(self.ends, prepend=0)
        holders = np.repeat(np.arange(len(self), dtype=np.int32), lengths)
        order = np.argsort(self.values, kind="stable")
        values, holders = self.values[order], holders[order]
        first = np.ones(len(values), bool)
        first[1:] = (values[1:] != values[:-1]) | (holders[1:] != holders[:-1])
        ends = np.cumsum(np.bincount(values[first], minlength=count), dtype=np.int64)
        return Ragged(holders[first], ends)
