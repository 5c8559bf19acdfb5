"""What every estimator inherits: settings, fitted attributes, labels, and a contract that is checked."""

import numpy as np
import pytest
from sklearn.base import clone

from quell.errors import InputError, UnknownNameError
from quell.mitigation import Center, CountTable, Estimated, Mitigator, Report


class Sharpen(Mitigator):
    """Raises probabilities to a power, and gives `share` of all to the string of ones, seen or not."""

    name = "sharpen"

    def __init__(self, power: float = 2.0, *, share: float = 0.0, inner: Mitigator | None = None) -> None:
        self.power = power
        self.share = share
        self.inner = inner

    def estimate(self, table: CountTable) -> Estimated:
        values = table.probabilities**self.power
        report = Report(self.name, True, "as told", table.num_bits, table.num_strings, table.shots)
        ones = np.ones((1, table.num_bits), dtype=np.uint8)
        new = np.array([self.share * values.sum() / (1 - self.share)])
        if self.share and table.find(ones)[0] < 0:
            return Estimated(values, report, {"power_": self.power}, ones, new)
        return Estimated(values, report, {"power_": self.power})


class Broken(Sharpen):
    """Gives the last string whatever it is told, possible or not."""

    def estimate(self, table: CountTable) -> Estimated:
        estimated = super().estimate(table)
        return Estimated(np.append(estimated.probabilities[1:], self.power), estimated.report)


def test_an_estimate_is_scaled_and_labelled_with_the_callers_keys() -> None:
    estimator = Sharpen()
    mitigated = estimator.mitigate({"00 1": 3, "01 0": 1, "11 0": 0})
    assert dict(mitigated) == pytest.approx({"00 1": 0.9, "01 0": 0.1, "11 0": 0.0})
    assert mitigated.raw == {"00 1": 0.75, "01 0": 0.25, "11 0": 0.0}
    assert estimator.power_ == 2.0


@pytest.mark.parametrize(
    ("counts", "options", "ones"),
    [
        ({"00 1": 3, "01 0": 1}, {}, "11 1"),
        ({"0x1": 3, "0x2": 1}, {"num_bits": 3}, "0x7"),
        ({1: 3, 2: 1}, {"num_bits": 3, "bit_order": "big"}, 7),
        ({(0, 0, 1): 3, (0, 1, 0): 1}, {}, (1, 1, 1)),
    ],
)
def test_an_answer_that_no_shot_gave_has_a_key_like_the_others(
    counts: dict[object, int], options: dict[str, object], ones: object
) -> None:
    mitigated = Sharpen(1.0, share=0.2).mitigate(counts, **options)
    assert mitigated[ones] == pytest.approx(0.2)
    assert mitigated.raw[ones] == 0.0
    assert sum(mitigated.values()) == pytest.approx(1, abs=1e-12)


def test_settings_are_scikit_learns() -> None:
    estimator = Sharpen(3.0, inner=Sharpen(share=0.1))
    assert estimator.get_params(deep=False) == {"power": 3.0, "share": 0.0, "inner": estimator.inner}
    assert estimator.get_params()["inner__share"] == 0.1
    cloned = clone(estimator)
    assert cloned.get_params()["inner__share"] == 0.1
    assert cloned.inner is not estimator.inner
    assert estimator.set_params(power=4.0, inner__share=0.3) is estimator
    assert (estimator.power, estimator.inner.share) == (4.0, 0.3)
    with pytest.raises(UnknownNameError, match="unknown parameter of Sharpen 'pwer': did you mean 'power'"):
        estimator.set_params(pwer=1.0)


def test_a_copy_has_the_settings_and_nothing_fitted() -> None:
    estimator = Sharpen(3.0)
    estimator.mitigate({"0": 1})
    copied = estimator.copy()
    assert copied.power == 3.0
    assert not hasattr(copied, "power_")


def test_repr_shows_what_is_not_the_default() -> None:
    assert repr(Sharpen()) == "Sharpen()"
    assert repr(Sharpen(3.0, share=0.0)) == "Sharpen(power=3.0)"
    assert repr(Sharpen(inner=Sharpen())) == "Sharpen(inner=Sharpen())"


@pytest.mark.parametrize("factor", [-1.0, np.inf, np.nan])
def test_an_estimator_that_breaks_the_contract_is_caught(factor: float) -> None:
    with pytest.raises(ArithmeticError, match="sharpen produced a negative or infinite probability"):
        Broken(factor).mitigate({"0": 3, "1": 1})


def test_bad_counts_are_refused_before_the_estimate() -> None:
    with pytest.raises(InputError, match="empty"):
        Sharpen().mitigate({})


def test_a_report_says_what_was_found() -> None:
    centers = tuple(Center(f"{i:04b}", 0.1) for i in range(10))
    report = Report("x", True, "why", 4, 12, 100, flip_rate=0.125, centers=centers, background=0.25, notes=("A note.",))
    text = str(report)
    for wanted in ("x: why", "100 shots of 4 bits, 12 distinct", "0.1250", "0.2500", "10 answers", "2 more"):
        assert wanted in text
    assert text.endswith("A note.")
    assert report.num_clusters == 10
    assert str(Report("x", False, "why", 4, 12, 100)).startswith("x: left alone; why")
