"""The finite-size scaling law of a threshold, fitted to many data sets and windows at once.

Wang, Harrington and Preskill (quant-ph/0207088): near the threshold the logical error rate is
P = A + B x + C x^2 + D d^(-1/mu) with x = (p - p_th) d^(1/nu). Given p_th, nu and mu the law is linear in A,
B, C and D, so only p_th and nu are searched for (variable projection, Golub and Pereyra 1973), with the
weights of the binomial likelihood renewed in every step (Fisher scoring).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError, check_integer, check_probability
from quell.qec.analysis.intervals import per_round_probability

if TYPE_CHECKING:
    import sinter
    from numpy.typing import NDArray

    from quell.qec.analysis.points import Points

__all__ = ["BatchFit", "fit_batch", "sample_scaling_law"]

NUM_STEPS = 40
# 1/nu between these: every threshold in use lies far inside.
EXPONENT_RANGE = (0.1, 4.0)


@dataclass(frozen=True, eq=False)
class BatchFit:
    """Fits of one law to G selections of N points.

    Attributes:
        p_th: Thresholds, shape (G,).
        inverse_nu: 1/nu, shape (G,).
        coefficients: A, B, C and, with a correction, D, in the units of the law; shape (G, 3 or 4).
        covariance: Of p_th and 1/nu, shape (G, 2, 2).
        chi2: Pearson's chi-square over the selected points, shape (G,).
        rate: Fitted probability of an error per shot, shape (G, N).
        converged: Whether the search came to rest inside its limits, shape (G,).
    """

    p_th: NDArray[np.float64]
    inverse_nu: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    chi2: NDArray[np.float64]
    rate: NDArray[np.float64]
    converged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Data:
    """What does not change during a search. `rounds` is None where the law is that of the rate per shot."""

    log_distance: NDArray[np.float64]
    p: NDArray[np.float64]
    p_scale: float
    log_reference: float
    rounds: NDArray[np.float64] | None
    shots: NDArray[np.float64]
    observed: NDArray[np.float64]
    mask: NDArray[np.float64]
    omega: NDArray[np.float64] | None

    def shot_rate(self, rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability per shot, kept off 0 and 1 by half an error so that weights stay finite."""
        per_shot = rate if self.rounds is None else -np.expm1(self.rounds * np.log1p(-2 * rate)) / 2
        return np.clip(per_shot, 0.5 / self.shots, 1 - 0.5 / self.shots)

    def clip(self, rate: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(rate, 1e-12, 1 - 1e-12 if self.rounds is None else 0.5 - 1e-9)

    def working(self, rate: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Working responses and weights of Fisher scoring at the present fit, each (G, N)."""
        per_shot = self.shot_rate(rate)
        weight = self.mask * self.shots / (per_shot * (1 - per_shot))
        if self.rounds is None:
            return self.observed, weight
        slope = self.rounds * (1 - 2 * rate) ** (self.rounds - 1)
        return np.asarray(rate + (self.observed - per_shot) / slope), np.asarray(weight * slope**2)

    def design(
        self, p_th: NDArray[np.float64], inverse_nu: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Columns of the linear part (G, N, K), the scaling variable x and its scale, both (G, N)."""
        scale = np.exp(inverse_nu[:, None] * self.log_distance)
        x = (self.p - p_th[:, None]) / self.p_scale * scale
        columns: list[NDArray[np.float64]] = [np.ones_like(x), x, x * x]
        if self.omega is not None:
            columns.append(np.exp(-self.omega[:, None] * self.log_distance))
        return np.stack(columns, axis=-1), x, scale


def _normal_equations(
    columns: NDArray[np.float64], weight: NDArray[np.float64], response: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solves weighted least squares for each selection; also returns the normal matrices."""
    weighted = np.swapaxes(columns * weight[..., None], 1, 2)
    matrix = weighted @ columns
    # A trace of ridge keeps selections that determine nothing solvable; their errors stay huge.
    diagonal = np.einsum("gkk->gk", matrix)
    diagonal += 1e-11 * diagonal + 1e-300
    solution = np.linalg.solve(matrix, weighted @ response[..., None])[..., 0]
    return np.asarray(solution, dtype=np.float64), np.asarray(matrix)


def _jacobian(
    data: _Data,
    columns: NDArray[np.float64],
    x: NDArray[np.float64],
    scale: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> NDArray[np.float64]:
    slope = beta[:, 1, None] + 2 * beta[:, 2, None] * x
    by_p_th = -slope * scale / data.p_scale
    return np.concatenate([columns, by_p_th[..., None], (slope * x * data.log_distance)[..., None]], axis=-1)


def _prepare(
    points: Points,
    errors: NDArray[np.float64],
    mask: NDArray[np.bool_],
    omega: NDArray[np.float64] | None,
    per_round: bool,
) -> _Data:
    log_distance = np.log(points.distance)
    reference = float(log_distance.mean())
    return _Data(
        log_distance=log_distance - reference,
        p=points.p,
        p_scale=float(np.ptp(points.p)),
        log_reference=reference,
        rounds=points.rounds if per_round else None,
        shots=points.shots,
        observed=errors / points.shots,
        mask=mask.astype(np.float64),
        omega=omega,
    )


def fit_batch(
    points: Points,
    errors: NDArray[np.float64],
    mask: NDArray[np.bool_],
    omega: NDArray[np.float64] | None,
    start: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    per_round: bool = False,
) -> BatchFit:
    """Fits the scaling law by maximum binomial likelihood.

    Args:
        points: The N points; their own errors are not used.
        errors: Errors of G data sets, shape (G, N).
        mask: Which points each fit uses, shape (G, N).
        omega: 1/mu of the correction, shape (G,), or None to fit without it.
        start: Where the search for p_th and 1/nu begins, each of shape (G,).
        per_round: Whether the law is that of the rate per round.
    """
    data = _prepare(points, errors, mask, omega, per_round)
    p_th, inverse_nu = start[0].copy(), start[1].copy()
    smoothed = (errors + 0.5) / (points.shots + 1)
    rate = data.clip(per_round_probability(smoothed, points.rounds) if per_round else smoothed)
    response, weight = data.working(rate)
    lowest, highest = points.p.min() - data.p_scale, points.p.max() + data.p_scale
    converged = np.zeros(len(p_th), dtype=bool)
    for _ in range(NUM_STEPS):
        columns, x, scale = data.design(p_th, inverse_nu)
        beta, _ = _normal_equations(columns, weight, response)
        predicted = np.einsum("gnk,gk->gn", columns, beta)
        jacobian = _jacobian(data, columns, x, scale, beta)
        step, _ = _normal_equations(jacobian, weight, response - predicted)
        # Far from the optimum the full step can leave the region in which the law makes sense.
        move_p = np.clip(step[:, -2], -0.25 * data.p_scale, 0.25 * data.p_scale)
        move_exponent = np.clip(step[:, -1], -0.3, 0.3)
        p_th = np.clip(p_th + move_p, lowest, highest)
        inverse_nu = np.clip(inverse_nu + move_exponent, *EXPONENT_RANGE)
        response, weight = data.working(data.clip(predicted))
        converged = (np.abs(step[:, -2]) < 1e-6 * data.p_scale) & (np.abs(step[:, -1]) < 1e-5)
        if converged.all():
            break
    return _finish(data, p_th, inverse_nu, response, weight, converged)


def _finish(
    data: _Data,
    p_th: NDArray[np.float64],
    inverse_nu: NDArray[np.float64],
    response: NDArray[np.float64],
    weight: NDArray[np.float64],
    converged: NDArray[np.bool_],
) -> BatchFit:
    columns, x, scale = data.design(p_th, inverse_nu)
    beta, _ = _normal_equations(columns, weight, response)
    predicted = np.einsum("gnk,gk->gn", columns, beta)
    jacobian = _jacobian(data, columns, x, scale, beta)
    _, matrix = _normal_equations(jacobian, weight, response - predicted)
    norm = np.sqrt(np.einsum("gkk->gk", matrix))
    covariance = np.linalg.pinv(matrix / (norm[:, :, None] * norm[:, None, :]), hermitian=True)
    covariance /= norm[:, :, None] * norm[:, None, :]
    per_shot = data.shot_rate(data.clip(predicted))
    pearson = data.mask * data.shots * (data.observed - per_shot) ** 2 / (per_shot * (1 - per_shot))
    unit = data.p_scale * np.exp(inverse_nu * data.log_reference)
    law = [beta[:, 0], beta[:, 1] / unit, beta[:, 2] / unit**2]
    if data.omega is not None:
        law.append(beta[:, 3] * np.exp(data.omega * data.log_reference))
    inside = (inverse_nu > EXPONENT_RANGE[0]) & (inverse_nu < EXPONENT_RANGE[1])
    return BatchFit(
        p_th=p_th,
        inverse_nu=inverse_nu,
        coefficients=np.stack(law, axis=-1),
        covariance=covariance[:, -2:, -2:],
        chi2=pearson.sum(axis=1),
        rate=per_shot,
        converged=converged & inside,
    )


def sample_scaling_law(
    *,
    threshold: float,
    nu: float,
    coefficients: Sequence[float],
    distances: Sequence[int],
    ps: Sequence[float],
    shots: int,
    correction: tuple[float, float] | None = None,
    seed: int,
) -> list[sinter.TaskStats]:
    """Samples statistics from a known scaling law, to try a fit on data whose threshold is known.

    Args:
        threshold: p_th of the law.
        nu: Its critical exponent.
        coefficients: A, B and C of P = A + B x + C x^2.
        distances: Code distances to sample.
        ps: Physical error rates to sample.
        shots: Shots for each distance and rate.
        correction: D and mu of the term D d^(-1/mu), or None for none.
        seed: Seed of the random numbers.

    Returns:
        One row for each distance and rate, with `d` and `p` in its metadata.

    Raises:
        InputError: The law leaves [0, 1] at one of the points, or a number is out of range.

    Examples:
        >>> from quell.qec.analysis import sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9], ps=[0.1],
        ...     shots=1000, seed=1)
        >>> [(row.json_metadata, row.shots) for row in rows]
        [({'d': 5, 'p': 0.1}, 1000), ({'d': 9, 'p': 0.1}, 1000)]
    """
    import sinter

    check_integer("shots", shots, minimum=1)
    check_probability("threshold", threshold)
    if len(coefficients) != 3 or not nu > 0:
        raise InputError(f"need three coefficients A, B, C and nu > 0, got {coefficients!r} and nu={nu!r}")
    rng = np.random.default_rng(seed)
    rows = []
    for distance in distances:
        for p in ps:
            x = (p - threshold) * distance ** (1 / nu)
            rate = coefficients[0] + coefficients[1] * x + coefficients[2] * x * x
            if correction is not None:
                rate += correction[0] * distance ** (-1 / correction[1])
            check_probability(f"the law's rate at d={distance}, p={p:g}", rate)
            rows.append(
                sinter.TaskStats(
                    strong_id=f"scaling-law:d={distance},p={p!r}",
                    decoder="scaling_law",
                    json_metadata={"d": distance, "p": p},
                    shots=shots,
                    errors=int(rng.binomial(shots, rate)),
                )
            )
    return rows
