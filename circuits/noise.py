"""Noise models: immutable descriptions of noise that can be put on any noiseless Stim circuit.

Each constructor of `NoiseModel` states its formulas. Where channels go is the same for all of them: flips
stand after preparations and before measurements, gate noise after gates, idle noise at the end of a layer
(what stands between two TICKs), data noise before a round. Fowler, Mariantoni, Martinis
and Cleland, arXiv:1208.0928, is the usual reference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import stim

from quell.circuits.noise_backend import QubitMap, backend_rules
from quell.circuits.noise_channels import (
    biased_rates,
    check_bias,
    check_channel_rates,
    check_rate,
    check_rates,
    depolarize1,
    depolarize2,
    independent_flips,
    pauli_channel_1,
    pauli_channel_2,
)
from quell.circuits.noise_placement import Placed, place
from quell.circuits.noise_report import NoiseReport, report
from quell.circuits.noise_rules import RateRules, Rules
from quell.errors import InputError, check_integer

__all__ = ["NoiseModel"]

_DEPOLARIZE1 = "DEPOLARIZE1 is uniform at 3/4 and cannot pass it"
_PAULI25_GATES = frozenset({"CX", "M", "MX", "MR", "MRX", "R", "RX"})
_WAYS_OF_TWO = 15


@dataclass(frozen=True)
class NoiseModel:
    """Noise that can be put on any noiseless circuit; made by the constructors below, never by hand.

    Models that were made with the same values are equal. Models are picklable and hashable.

    A *layer* is what stands between two TICKs; models with idle noise refuse a circuit that uses a qubit twice and has
    no TICK. A qubit is *idle* in a layer if no instruction touches it there, it was used before, and its next use
    needs its state: an ancilla between its measurement and its next reset is not idle, and neither is a qubit
    that is never used again. Empty layers count; an explicit I is a gate. Classically controlled Paulis are
    updates of a frame in software: no noise, and the qubit stays idle. Joint measurements (MPP, MXX, MYY, MZZ)
    report a wrong result with the measurement rate; they and SPP leave on their qubits the two-qubit channel
    if these are two, and else the one-qubit channel on each.

    An instruction tagged `[noiseless]`, alone or in a list such as `[T,noiseless]`, gets no noise, on purpose; `report`
    lists it. Its qubits are busy, not idle, unless it is X, Y or Z: a correction, like those that are controlled. It is
    part of its round like any other: where it begins the round, the data noise stands before it.

    *Data qubits*, where a model needs them, are those that the circuit's last measurements read and that nothing
    else measures; `data_qubits=` overrides. A *round* begins at each `TICK[round]`, and nowhere else, if the circuit
    has that tag. If not, it lasts until a check (an ancilla, or a Pauli product measured jointly) which it has measured
    is begun again, so X and Z checks in separate layers make one round. What could be read in two ways is refused
    (`noise_rounds` has the rules), and `report` says which qubits and how many rounds were found.

    Examples:
        >>> import stim
        >>> from quell.circuits import NoiseModel
        >>> noise = NoiseModel.uniform_depolarizing(0.125)
        >>> noise.apply(stim.Circuit("R 0 1 \\n TICK \\n H 0 \\n TICK \\n CX 0 1"))
        stim.Circuit('''
            R 0 1
            X_ERROR(0.125) 0 1
            TICK
            H 0
            DEPOLARIZE1(0.125) 0 1
            TICK
            CX 0 1
            DEPOLARIZE2(0.125) 0 1
        ''')
    """

    name: str
    _parameters: tuple[tuple[str, Any], ...]
    _rules: Rules
    _data_qubits: tuple[int, ...] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, by name; finite numbers, tuples and strings, fit for JSON."""
        return dict(self._parameters)

    def __repr__(self) -> str:
        """The constructor call that makes this model; in angle brackets if a calibration cannot be written so."""
        given = ", ".join(f"{key}={value!r}" for key, value in self._parameters)
        call = f"NoiseModel.{self.name}({given})"
        return f"<{call}>" if self.name == "from_backend" else call

    def apply(self, circuit: stim.Circuit) -> stim.Circuit:
        """Returns a copy of `circuit` with this noise on it.

        REPEAT blocks stay; an iteration whose noise differs from the others (often the first or the last) is
        written out beside its block. `apply(circuit).without_noise()` is the circuit again, up to such
        unrolling.

        Raises:
            CircuitError: The circuit holds noise, or an instruction that this model has no noise for; or layers,
                data qubits or rounds are needed and cannot be found.
        """
        return self._place(circuit).circuit

    def report(self, circuit: stim.Circuit) -> NoiseReport:
        """Returns what `apply` puts on `circuit`, by channel, and what it leaves without noise on purpose."""
        return report(circuit, self._place(circuit), self._rules)

    def _place(self, circuit: stim.Circuit) -> Placed:
        if not isinstance(circuit, stim.Circuit):
            raise InputError(f"circuit must be a stim.Circuit, got {type(circuit).__name__}")
        return place(circuit, self._rules, self._data_qubits)

    @classmethod
    def code_capacity(cls, p: float, *, data_qubits: Iterable[int] | None = None) -> "NoiseModel":
        """Errors on data qubits alone, before a single round: X with p and, independently, Z with p on each.

        Everything else is perfect. A circuit with a second round is refused: take `phenomenological`.

        Examples:
            >>> from quell.circuits import NoiseModel, rotated_surface_memory
            >>> NoiseModel.code_capacity(0.1).report(rotated_surface_memory(5, 1)).sites
            {'X_ERROR': 25, 'Z_ERROR': 25}
        """
        p = check_rate("p", p)
        rules = RateRules(round_channels=independent_flips(p), single_round=True)
        data = _numbers(data_qubits)
        return cls("code_capacity", (("p", p), *_named(data)), rules, data)

    @classmethod
    def phenomenological(cls, p: float, *, data_qubits: Iterable[int] | None = None) -> "NoiseModel":
        """Code-capacity noise before every round, and ancilla measurements that flip with p.

        Each data qubit gets X with p and, independently, Z with p. Preparations, gates and the final measurement of a
        data qubit, after which nothing uses it, are perfect; earlier measurements of data flip with p too.

        Examples:
            >>> from quell.circuits import NoiseModel, rotated_surface_memory
            >>> noise = NoiseModel.phenomenological(0.01)
            >>> noise.report(rotated_surface_memory(5, 10, gate_set="stim")).sites
            {'X_ERROR': 490, 'Z_ERROR': 250}
        """
        p = check_rate("p", p)
        rules = RateRules(round_channels=independent_flips(p), measurement_flips=(p, p, p), perfect_data_readout=True)
        data = _numbers(data_qubits)
        return cls("phenomenological", (("p", p), *_named(data)), rules, data)

    @classmethod
    def uniform_depolarizing(cls, p: float) -> "NoiseModel":
        """One rate for everything, at most 3/4.

        Flip p after each preparation and before each measurement; DEPOLARIZE2(p) after each two-qubit gate;
        DEPOLARIZE1(p) after each one-qubit gate and on each idle qubit in each layer.

        Examples:
            >>> import stim
            >>> from quell.circuits import NoiseModel
            >>> NoiseModel.uniform_depolarizing(0.01).report(stim.Circuit("RX 0 \\n TICK \\n TICK \\n MX 0")).sites
            {'DEPOLARIZE1': 1, 'Z_ERROR': 2}
        """
        p = check_rate("p", p, maximum=0.75, because=_DEPOLARIZE1)
        one = depolarize1(p)
        rules = RateRules(
            (p, p, p), (p, p, p), one_qubit=one, two_qubit=depolarize2(p), idle_channel=one, idle_spam=one
        )
        return cls("uniform_depolarizing", (("p", p),), rules)

    @classmethod
    def si1000(cls, p: float) -> "NoiseModel":
        """The superconducting-inspired model of Gidney, Newman, Fowler and Broughton, arXiv:2108.10457.

        Preparation flip 2p; measurement flip 5p; DEPOLARIZE2(p) after two-qubit gates; DEPOLARIZE1(p/10)
        after one-qubit gates and on idle qubits; in a layer with any preparation or measurement, idle qubits
        get DEPOLARIZE1(2p) instead of p/10. The authors' later code puts both on them, and 2p also on qubits
        that a gate keeps busy meanwhile. p is at most 1/5.

        Examples:
            >>> import stim
            >>> from quell.circuits import NoiseModel
            >>> NoiseModel.si1000(0.01).apply(stim.Circuit("M 0"))
            stim.Circuit('''
                X_ERROR(0.05) 0
                M 0
            ''')
        """
        p = check_rate("p", p, maximum=0.2, because="si1000 flips measurements with 5p")
        rules = RateRules(
            (2 * p, 2 * p, 2 * p),
            (5 * p, 5 * p, 5 * p),
            one_qubit=depolarize1(p / 10),
            two_qubit=depolarize2(p),
            idle_channel=depolarize1(p / 10),
            idle_spam=depolarize1(2 * p),
        )
        return cls("si1000", (("p", p),), rules)

    @classmethod
    def biased(cls, p: float, eta: float | str) -> "NoiseModel":
        """Uniform noise whose Pauli errors favour Z by eta = p_Z / (p_X + p_Y); `math.inf` is pure Z,
        written `"inf"` in parameters, since JSON has no infinity.

        In each channel of total p, errors made of I and Z alone (Z; IZ, ZI, ZZ) have the weight 2·eta and all
        others 1: p_Z = p·eta/(eta + 1), p_X = p_Y = p/(2·eta + 2) on one qubit, 2·eta·p/(6·eta + 12) and
        p/(6·eta + 12) on two. eta = 1/2 is uniform depolarising noise. Preparation and measurement flips are
        p in every basis, without bias. Stim needs `approximate_disjoint_errors=True` to make a detector error
        model of it.

        Examples:
            >>> import stim
            >>> from quell.circuits import NoiseModel
            >>> NoiseModel.biased(0.11, eta=10).apply(stim.Circuit("H 0"))
            stim.Circuit('''
                H 0
                PAULI_CHANNEL_1(0.005, 0.005, 0.1) 0
            ''')
        """
        p = check_rate("p", p)
        eta = check_bias(eta)
        pairs = [first + second for first in "IXYZ" for second in "IXYZ"][1:]
        one = pauli_channel_1(biased_rates(p, eta, [False, False, True]))
        two = pauli_channel_2(biased_rates(p, eta, [not set(pair) & set("XY") for pair in pairs]))
        rules = RateRules((p, p, p), (p, p, p), one_qubit=one, two_qubit=two, idle_channel=one, idle_spam=one)
        return cls("biased", (("p", p), ("eta", "inf" if eta == float("inf") else eta)), rules)

    @classmethod
    def pauli25(
        cls,
        *,
        preparation: Sequence[float],
        measurement: Sequence[float],
        idle_cx: Sequence[float],
        idle_spam: Sequence[float],
        cx: Sequence[float],
    ) -> "NoiseModel":
        """The 25-parameter circuit noise of arXiv:2604.12841, for circuits of CX, R, RX, M and MX.

        Stim needs `approximate_disjoint_errors=True` to make a detector error model of it, unless the rates of every
        channel are equal, or an idle channel has a single one.

        Args:
            preparation: 2 flips, after R and after RX.
            measurement: 2 flips, before M and before MX.
            idle_cx: 3 rates (X, Y, Z) of a qubit idle in a layer without preparations and measurements.
            idle_spam: 3 rates (X, Y, Z) of a qubit idle over a *window*: the longest run of consecutive
                layers, each with a preparation or a measurement in it, through which it is idle. One channel
                for a window, however many layers; a qubit that is idle only in part of such a run (data that
                waits for the ancillas and is then read itself) gets it once as well.
            cx: 15 rates after a CX, control first, in Stim's order IX, IY, IZ, XI, …, ZZ.

        Raises:
            InputError: A wrong number of rates, a rate outside [0, 1], or a channel whose rates sum to more
                than 1.

        Examples:
            >>> from quell.circuits import NoiseModel, rotated_surface_memory
            >>> rates = {"preparation": (0.001, 0.002), "measurement": (0.003, 0.004), "cx": [0.0001] * 15}
            >>> noise = NoiseModel.pauli25(**rates, idle_cx=(0.001, 0, 0), idle_spam=(0, 0, 0.01))
            >>> noise.report(rotated_surface_memory(3, 2)).sites
            {'DEPOLARIZE2': 48, 'X_ERROR': 74, 'Z_ERROR': 34}
        """
        groups = {
            "preparation": check_rates("preparation", preparation, 2),
            "measurement": check_rates("measurement", measurement, 2),
            "idle_cx": check_channel_rates("idle_cx", idle_cx, 3),
            "idle_spam": check_channel_rates("idle_spam", idle_spam, 3),
            "cx": check_channel_rates("cx", cx, _WAYS_OF_TWO),
        }
        after_r, after_rx = groups["preparation"]
        before_m, before_mx = groups["measurement"]
        rules = RateRules(
            (after_rx, 0.0, after_r),
            (before_mx, 0.0, before_m),
            two_qubit=pauli_channel_2(groups["cx"]),
            idle_channel=pauli_channel_1(groups["idle_cx"]),
            idle_spam=pauli_channel_1(groups["idle_spam"]),
            idle_once_per_window=True,
            only=_PAULI25_GATES,
        )
        return cls("pauli25", tuple(groups.items()), rules)

    @classmethod
    def pauli25_from_uniform(cls, p: float) -> "NoiseModel":
        """The 25 rates that arXiv:2604.12841 uses for its figures, from one p of at most 3/4.

        Flips 2p/3; p/3 for each Pauli of an idle qubit in a CX layer; p/15 for each of a CX; a window of
        preparation and measurement as two such idle steps, (2p - 4p²/3)/3 for each Pauli.

        Examples:
            >>> import stim
            >>> from quell.circuits import NoiseModel
            >>> NoiseModel.pauli25_from_uniform(0.75).apply(stim.Circuit("M 0"))
            stim.Circuit('''
                X_ERROR(0.5) 0
                M 0
            ''')
        """
        p = check_rate("p", p, maximum=0.75, because=_DEPOLARIZE1)
        window = (2 * p - 4 * p**2 / 3) / 3
        model = cls.pauli25(
            preparation=(2 * p / 3,) * 2,
            measurement=(2 * p / 3,) * 2,
            idle_cx=(p / 3,) * 3,
            idle_spam=(window,) * 3,
            cx=(p / _WAYS_OF_TWO,) * _WAYS_OF_TWO,
        )
        return replace(model, name="pauli25_from_uniform", _parameters=(("p", p),))

    @classmethod
    def stim_memory(
        cls,
        p: float,
        *,
        after_clifford_depolarization: float | None = None,
        before_round_data_depolarization: float | None = None,
        before_measure_flip_probability: float | None = None,
        after_reset_flip_probability: float | None = None,
        data_qubits: Iterable[int] | None = None,
    ) -> "NoiseModel":
        """The four rates of `stim.Circuit.generated`, all p unless given, placed as Stim places them.

        DEPOLARIZE1 or DEPOLARIZE2 after each gate (at most 3/4), DEPOLARIZE1 on each data qubit before each
        round (at most 3/4), a flip before each measurement and after each reset. Idle qubits get nothing.

        Examples:
            >>> import stim
            >>> from quell.circuits import NoiseModel
            >>> theirs = stim.Circuit.generated("surface_code:rotated_memory_z", distance=3, rounds=9)
            >>> NoiseModel.stim_memory(0.01).report(theirs).sites
            {'DEPOLARIZE1': 153, 'DEPOLARIZE2': 216, 'X_ERROR': 170}
        """
        p = check_rate("p", p)
        given = {
            "after_clifford_depolarization": after_clifford_depolarization,
            "before_round_data_depolarization": before_round_data_depolarization,
            "before_measure_flip_probability": before_measure_flip_probability,
            "after_reset_flip_probability": after_reset_flip_probability,
        }
        rates = {}
        for name, rate in given.items():
            limit, because = (0.75, _DEPOLARIZE1) if "depolarization" in name else (1.0, "")
            shown, value = ("p", p) if rate is None else (name, rate)
            rates[name] = check_rate(shown, value, maximum=limit, because=because)
        clifford, before_round, measure, reset = rates.values()
        rules = RateRules(
            (reset,) * 3,
            (measure,) * 3,
            one_qubit=depolarize1(clifford),
            two_qubit=depolarize2(clifford),
            round_channels=tuple(c for c in [depolarize1(before_round)] if c is not None),
        )
        overrides = [(name, rates[name]) for name, rate in given.items() if rate is not None]
        data = _numbers(data_qubits)
        return cls("stim_memory", (("p", p), *overrides, *_named(data)), rules, data)

    @classmethod
    def from_backend(cls, backend: Any, qubit_map: QubitMap | None = None) -> "NoiseModel":
        """Noise from the calibration of a device.

        Readout error: measurement flip. Reset error and time: those of the reset, of the readout where a reset has
        none. Average gate infidelity r: depolarising 3r/2 after one-qubit and 5r/4 after two-qubit gates. A pair gate
        is the native gate of its own name (CX: cx, CZ: cz) if the pair has that, and else the first of ecr, cx, cz that
        it has, in either direction. S, S_DAG and Z are frame changes, free and instantaneous; `report` lists them. X
        and Y take the error of `x`, I that of `id`, all other one-qubit gates that of one `sx`. Idle: every qubit waits
        for t, the time of the longest chain of operations on one qubit in the layer less the time of its own, and gets
        the Pauli twirl of T1 and T2 over t, p_X = p_Y = (1 - exp(-t/T1))/4 and p_Z = (1 - exp(-t/T2))/2 - p_X, T2 cut
        at 2·T1 (Ghosh, Fowler and Geller, arXiv:1210.5799). That is no sum of independent errors: Stim needs
        `approximate_disjoint_errors=True` to make a detector error model of it. Preparation and measurement in X or Y
        take the Z rates: write the H out (`gate_set="stim"`) to have its error too. Gates that need more than one
        native pair gate (SWAP, ISWAP), Pauli products (SPP) and joint measurements are refused.

        Args:
            backend: A Qiskit backend, a Qiskit Target, or the path of an IBM calibration CSV. A CSV without
                one-qubit gate lengths means 60 ns.
            qubit_map: Circuit qubit -> device qubit, a dict or a list; None takes the same numbers.

        Raises:
            InputError: Not a backend, or a map that is not one to one.
            DataError: A calibration file without the needed columns.
            StorageError: A calibration file that cannot be read.
            CircuitError: From `apply`, for a qubit or pair which the map or the device does not have, or whose
                error rate or time the circuit needs and the calibration lacks. What a circuit does not use may be
                broken.

        Examples:
            >>> from quell.circuits import NoiseModel
            >>> NoiseModel.from_backend("no_such_file.csv")
            Traceback (most recent call last):
            quell.errors.StorageError: cannot read the calibration file no_such_file.csv: ...
        """
        rules, source = backend_rules(backend, qubit_map)
        parameters = (("backend", source), ("qubit_map", rules.qubit_map))
        return cls("from_backend", parameters, rules)


def _numbers(data_qubits: Iterable[int] | None) -> tuple[int, ...] | None:
    if data_qubits is None:
        return None
    if isinstance(data_qubits, str) or not isinstance(data_qubits, Iterable):
        raise InputError(f"data_qubits must be a list of qubits or None, got {data_qubits!r}")
    numbers = tuple(sorted({check_integer("data_qubits", qubit, minimum=0) for qubit in data_qubits}))
    if not numbers:
        raise InputError("data_qubits must hold at least one qubit, or be None, got none")
    return numbers


def _named(data_qubits: tuple[int, ...] | None) -> tuple[tuple[str, Any], ...]:
    return () if data_qubits is None else (("data_qubits", data_qubits),)
