"""Reading, grouping and printing statistics."""

import json
from collections.abc import Iterable

import numpy as np
import pytest
import sinter

from quell.errors import DataError, InputError
from quell.qec.analysis import format_table, group_stats, merge_stats, table_rows
from quell.qec.analysis.points import read_points


def row(
    d: object = 3, p: object = 0.01, *, shots: int = 100, errors: int = 1, decoder: str = "any", **more: object
) -> sinter.TaskStats:
    metadata = {"d": d, "p": p, **more}
    return sinter.TaskStats(
        strong_id=more.get("id") or f"{decoder}{json.dumps(metadata)}",  # type: ignore[arg-type]
        decoder=decoder,
        json_metadata=metadata,
        shots=shots,
        errors=errors,
    )


def test_rows_of_one_task_are_added_up() -> None:
    rows = [row(errors=2), row(errors=3), row(d=5, errors=1)]
    assert [(r.shots, r.errors) for r in merge_stats(rows)] == [(200, 5), (100, 1)]
    points = read_points(rows)
    assert points.distance.tolist() == [3, 5]
    assert points.shots.tolist() == [200, 100]
    assert points.errors.tolist() == [5, 1]


def test_a_file_of_sinter_is_read_back(tmp_path: object) -> None:
    path = f"{tmp_path}/stats.csv"
    with open(path, "w") as file:
        print(sinter.CSV_HEADER, file=file)
        for r in [row(r=3), row(r=3), row(d=5, r=5, errors=0)]:
            print(r.to_csv_line(), file=file)
    points = read_points(sinter.read_stats_from_csv_files(path))
    assert points.errors.tolist() == [2, 0]
    assert points.rounds.tolist() == [3, 5]


def test_groups_are_decoder_and_metadata() -> None:
    rows = [row(b="X", r=3), row(d=5, b="X", r=5), row(b="Z"), row(b="Z", decoder="other")]
    groups = group_stats(rows)
    assert list(groups) == ["decoder=any, b=X", "decoder=any, b=Z", "decoder=other, b=Z"]
    assert len(groups["decoder=any, b=X"]) == 2
    assert list(group_stats(rows, ignore=["b"])) == ["decoder=any", "decoder=other"]


def test_points_without_kept_shots_are_left_out() -> None:
    discarded = sinter.TaskStats(strong_id="z", decoder="any", json_metadata={"d": 7, "p": 0.01}, shots=10, discards=10)
    assert read_points([row(), discarded]).distance.tolist() == [3]
    with pytest.raises(DataError, match="not one shot"):
        read_points([discarded])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([row(), row(d=5, b="X")], "mix 2 groups: decoder=any; decoder=any, b=X"),
        ([row(), row(id="other")], "mix 2 groups"),
        ([row(d="three")], "number under 'd'"),
        ([row(p=None)], "number under 'p'"),
        ([row(d=True)], "number under 'd'"),
        ([row(d=0)], "distance >= 1"),
        ([row(p=1.5)], "between 0 and 1"),
        ([row(r=0)], "rounds must be"),
    ],
)
def test_bad_rows_are_named(rows: list[sinter.TaskStats], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_points(rows)


def test_two_tasks_at_one_place_are_refused() -> None:
    with pytest.raises(DataError, match=r"two different tasks have d=3 and p=0\.01"):
        read_points([row(r=3), row(r=9)])
    with pytest.raises(DataError, match="must be a dict"):
        read_points([sinter.TaskStats(strong_id="a", decoder="any", json_metadata=[1], shots=1)])
    with pytest.raises(InputError, match="must differ"):
        read_points([row()], distance_key="p")


def rates_of(entry: dict[str, object]) -> Iterable[object]:
    return (entry[key] for key in ("error_rate", "error_rate_per_round", "discard_rate"))


def test_every_rate_in_a_table_has_its_interval() -> None:
    rows = table_rows([row(r=3), row(r=3), row(d=5, p=0.02, r=5, errors=0), row(decoder="other", r=1)])
    again = json.loads(json.dumps(rows, allow_nan=False))
    assert [(r["d"], r["p"], r["shots"]) for r in again] == [(3, 0.01, 200), (5, 0.02, 100), (3, 0.01, 100)]
    for entry in again:
        for rate in rates_of(entry):
            low, high = rate["interval"]  # type: ignore[index]
            assert low <= rate["value"] <= high  # type: ignore[index]
    first = again[0]["error_rate"]
    fit = sinter.fit_binomial(num_shots=200, num_hits=2, max_likelihood_factor=np.exp(1.9207))
    assert first["interval"] == pytest.approx([fit.low, fit.high], abs=1e-4)


def test_a_table_is_aligned_and_grouped() -> None:
    text = format_table([row(d=11, r=11, errors=10), row(r=3), row(decoder="other", shots=0, errors=0)])
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("decoder")] == ["decoder=any", "decoder=other"]
    assert len({len(line) for line in lines[1:4]}) == 1
    assert lines[2].split()[:4] == ["3", "0.01", "3", "100"]
    assert lines[-1].split()[-1] == "-"
    assert format_table([]) == ""


def test_a_table_takes_any_metadata() -> None:
    [entry] = table_rows([sinter.TaskStats(strong_id="a", decoder="any", json_metadata=None, shots=5)])
    assert entry["d"] is None
    assert entry["error_rate_per_round"] is None
    with pytest.raises(InputError, match="confidence"):
        table_rows([], confidence=0)
