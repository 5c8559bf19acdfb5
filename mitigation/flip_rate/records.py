"""Circuits that were run and whose answers are known: what a flip-rate model learns from."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation.flip_rate.features import circuit_features, effective_flip_rate
from quell.mitigation.reading import read_counts
from quell.mitigation.table import BitOrder

__all__ = ["FlipRateRecord"]


@dataclass(frozen=True, eq=False)
class FlipRateRecord:
    """One run of one circuit on one device.

    Attributes:
        features: The eight features, float64 of shape (8,), in the order of `FEATURE_NAMES`.
        p_eff: The effective flip rate.
        circuit: What the circuit is called. Rows with one name are never split between training and testing.
        machine: What the device is called.
    """

    features: NDArray[np.float64]
    p_eff: float
    circuit: str
    machine: str = "device"

    @classmethod
    def measured(
        cls,
        circuit: Any,
        device: object,
        counts: object,
        ideal: Mapping[Hashable, float],
        *,
        name: str,
        machine: str = "device",
        bit_order: BitOrder | None = None,
    ) -> Self:
        """Returns the record of a run, with the flip rate that its most probable ideal answer shows.

        Args:
            circuit: The `qiskit.QuantumCircuit` that was run, transpiled for the device.
            device: Whatever `read_calibration` reads.
            counts: Whatever `quell.mitigation.read_counts` reads.
            ideal: Probabilities without noise, under keys like those of the counts. Of several equally probable
                answers, all count alike.
            name: What to call the circuit.
            machine: What to call the device.
            bit_order: As in `read_counts`.

        Raises:
            InputError: If no shot gave the answer, or `ideal` is empty; and as in `circuit_features`.

        Examples:
            >>> from qiskit import QuantumCircuit
            >>> from quell.mitigation.flip_rate import FlipRateRecord
            >>> device = {"qubits": [[{"name": "readout_error", "value": 0.02}]], "gates": [
            ...     {"gate": "x", "qubits": [0], "parameters": [{"name": "gate_error", "value": 0.001}]}]}
            >>> circuit = QuantumCircuit(1, 1)
            >>> _ = circuit.x(0), circuit.measure(0, 0)
            >>> record = FlipRateRecord.measured(circuit, device, {"0": 30, "1": 970}, {"1": 1.0}, name="one")
            >>> round(record.p_eff, 3)
            0.03
        """
        if not ideal or not all(0 <= share <= 1 for share in ideal.values()):
            raise InputError(f"ideal must hold probabilities by key, got {dict(list(ideal.items())[:3])!r}")
        table = read_counts(counts, bit_order=bit_order)
        found = circuit_features(circuit, device)
        best = max(ideal.values())
        answers = [key for key, share in ideal.items() if share > best * (1 - 1e-4)]
        seen = dict(zip(table.keys, table.probabilities.tolist(), strict=True))
        noisy = sum(seen.get(key, 0.0) for key in answers) / len(answers)
        rate = effective_flip_rate(noisy, best, found.measured)
        return cls(found.with_counts(table), rate, name, machine)
