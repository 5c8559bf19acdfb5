"""Patches: small sets of detectors, and how likely faults of given rates make each pattern of events on them.

A patch is the detectors of a fault that is no part of a larger one, so that each fault lies in one. What is seen on a
patch depends on each fault only by which of the patch's detectors it flips. With W(T) the sum of the rates of all
faults that flip all of T, the parity of A has the mean exp(-y_A), y_A = sum over nonempty T within A of
(-2)^(|T|-1) W(T), and the patterns' probabilities are the Walsh-Hadamard transform of these means.
"""

import functools
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from quell.decoders.noise_learning.parity_counts import ParitySets
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["Patches"]

# Below these, the transforms are nothing but rounding.
_LEAST_PROBABILITY = 1e-15
_LEAST_SHARE = 1e-12

Step = tuple[tuple[float, float], tuple[float, float]]  # by what two values are replaced
_HADAMARD: Step = ((1.0, 1.0), (1.0, -1.0))
_SUBSETS: Step = ((1.0, 0.0), (1.0, 1.0))  # at each mask, the sum over the masks within it
_SUPERSETS: Step = ((1.0, 1.0), (0.0, 1.0))
_BITS_AT_ONCE = 6


class Patches:
    """The patches of a structure.

    Args:
        structure: The faults.
        sets: The sets of detectors whose parities are counted.

    Attributes:
        members: For the patches of each size k, int64 (P, 2^k): the set for each mask over the patch's detectors, and
            the number of sets, where the mask is 0.
        weights: For each size, float64 (P, 1): how much a patch counts.

    Examples:
        One fault flips both detectors, another one the first.

        >>> import stim, torch
        >>> from quell.decoders.noise_learning.parity_counts import ParitySets
        >>> from quell.decoders.noise_learning.patches import Patches
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1"))
        >>> patches = Patches(structure, ParitySets.of(structure))
        >>> means = [torch.exp(-y) for y in patches.parities(torch.from_numpy(structure.nominal))]
        >>> patches.probabilities_of(means)[0].numpy().round(2).tolist()
        [[0.72, 0.08, 0.02, 0.18]]
    """

    def __init__(self, structure: FaultStructure, sets: ParitySets) -> None:
        self.num_sets, self.num_faults = len(sets.sets), structure.num_faults
        subsets, sizes, width = sets.subsets, structure.sizes, structure.detectors.shape[1]
        largest = _no_parts_of_others(subsets, sizes)
        often = np.bincount(structure.detectors[largest].ravel() + 1, minlength=structure.num_detectors + 1)[1:]
        self.members: list[torch.Tensor] = []
        self.weights: list[torch.Tensor] = []
        self._touching: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        places = np.asarray(2.0 ** np.arange(width), dtype=np.float64)
        flips = _incidence(structure.detectors, np.ones(width), structure.num_detectors)
        for size in np.unique(sizes[largest]).tolist():
            chosen = largest[sizes[largest] == size]
            rows = subsets[chosen, : 1 << size].astype(np.int64)
            rows[:, 0] = self.num_sets
            self.members.append(torch.from_numpy(rows))
            # A detector of many patches is seen in each of them; together they are to count it about once.
            shares = (1 / often[structure.detectors[chosen, :size]]).mean(axis=1, keepdims=True)
            self.weights.append(torch.from_numpy(shares))
            bits = _incidence(structure.detectors[chosen], places, structure.num_detectors)
            seen = (bits @ flips.T).tocoo()
            touching = seen.row.astype(np.int64), seen.col.astype(np.int64), seen.data.astype(np.int64)
            self._touching.append(
                (torch.from_numpy(touching[0]), torch.from_numpy(touching[1]), torch.from_numpy(touching[2]))
            )
        faults, masks = np.nonzero(subsets >= 0)
        signs = (-2.0) ** ((sets.sets >= 0).sum(axis=1) - 1)
        within = subsets[faults, masks]
        # One row more, for the empty set, which stays zero.
        sums = sparse.csr_array((signs[within], (within, faults)), shape=(self.num_sets + 1, self.num_faults))
        self._signed_sums, self._signed_sums_back = _as_tensor(sums), _as_tensor(sums.T.tocsr())

    def parities(self, rates: torch.Tensor) -> list[torch.Tensor]:
        """Returns y of all subsets of all patches, for each size float64 (P, 2^k); linear in the rates.

        Args:
            rates: float64 (F,).
        """
        sums = self._signed_sums @ rates
        return [_transformed(sums[members], _SUBSETS) for members in self.members]

    def pulled_back(self, slopes: list[torch.Tensor]) -> torch.Tensor:
        """Returns slopes by the rates, float64 (F,), from those by `parities`: its transpose.

        Args:
            slopes: For each size, float64 (P, 2^k).
        """
        sums = torch.zeros(self.num_sets + 1, dtype=torch.float64)
        for members, slope in zip(self.members, slopes, strict=True):
            sums.index_add_(0, members.ravel(), _transformed(slope, _SUPERSETS).ravel())
        return self._signed_sums_back @ sums

    def probabilities_of(self, means: list[torch.Tensor]) -> list[torch.Tensor]:
        """Returns the probabilities of all patterns, for each size float64 (P, 2^k), bit k for the k-th detector.

        Args:
            means: exp(-y) of all subsets of all patches, for each size float64 (P, 2^k).
        """
        return [(hadamard(mean) / mean.shape[-1]).clamp_min(_LEAST_PROBABILITY) for mean in means]

    def information(self, probabilities: list[torch.Tensor]) -> torch.Tensor:
        """Returns Fisher's information of each rate by itself, from one shot and all patches, float64 (F,).

        Args:
            probabilities: As `probabilities_of` has them.
        """
        found = torch.zeros(self.num_faults, dtype=torch.float64)
        for model, weight, (patch, fault, flipped) in zip(probabilities, self.weights, self._touching, strict=True):
            of_patches = torch.zeros_like(model)
            places = torch.arange(model.shape[1])
            for mask in np.unique(flipped.numpy()).tolist():
                # A fault turns a pattern into the one that differs by what it flips, half as fast as its rate.
                change = (model[:, places ^ mask] - model) / 2
                of_patches[:, mask] = (change**2 / model).sum(dim=1)
            found.index_add_(0, fault, (weight * of_patches)[patch, flipped])
        return found

    def shares(self, odd: NDArray[np.float64], shots: float) -> list[torch.Tensor]:
        """Returns how often each pattern was seen, for each size float64 (P, 2^k), as a share of the shots.

        Args:
            odd: float64 (A,): shots in which a set of detectors had an odd number of events.
            shots: All of them.
        """
        means = torch.from_numpy(np.append(1 - 2 * odd / shots, 1.0))
        found = [hadamard(means[rows]) / rows.shape[-1] for rows in self.members]
        return [torch.where(each > _LEAST_SHARE, each, 0.0) for each in found]


def _incidence(rows: NDArray[np.int32], values: NDArray[np.float64], num_detectors: int) -> sparse.csr_array:
    """float64 (rows, D): at the detectors of each row, the values."""
    row, column = np.nonzero(rows >= 0)
    return sparse.csr_array((values[column], (row, rows[row, column])), shape=(len(rows), num_detectors))


def _no_parts_of_others(subsets: NDArray[np.int32], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The faults whose detectors are not among those of a larger one."""
    whole = subsets[np.arange(len(subsets)), (1 << sizes) - 1]
    proper = subsets.copy()
    proper[np.arange(len(subsets)), (1 << sizes) - 1] = -1
    return np.flatnonzero(~np.isin(whole, proper[proper >= 0]))


def _as_tensor(matrix: sparse.csr_array) -> torch.Tensor:
    """The same matrix in torch's form, which says of itself that it may still change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pointers, columns = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
        return torch.sparse_csr_tensor(pointers, columns, torch.from_numpy(matrix.data), size=matrix.shape)


def hadamard(values: torch.Tensor) -> torch.Tensor:
    """Returns the sums of the values with the signs (-1)^(bits that both places have), along the last axis.

    Args:
        values: float64 (P, 2^k).

    Examples:
        >>> import torch
        >>> from quell.decoders.noise_learning.patches import hadamard
        >>> hadamard(torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)).tolist()
        [[10.0, -2.0, -4.0, 0.0]]
    """
    return _transformed(values, _HADAMARD)


def _transformed(values: torch.Tensor, step: Step) -> torch.Tensor:
    """Replaces the values, float64 (P, 2^k), at each two masks that differ in one bit, for one bit after another."""
    bits = values.shape[1].bit_length() - 1
    low = min(bits, _BITS_AT_ONCE)
    found = values.view(-1, 1 << low) @ _kronecker_power(step, low).T
    if bits > low:
        found = _kronecker_power(step, bits - low) @ found.view(len(values), -1, 1 << low)
    return found.reshape(values.shape)


@functools.cache
def _kronecker_power(step: Step, bits: int) -> torch.Tensor:
    """A step on each of some bits, float64 (2^bits, 2^bits)."""
    found = np.ones((1, 1))
    for _ in range(bits):
        found = np.kron(np.array(step), found)
    return torch.from_numpy(found)
