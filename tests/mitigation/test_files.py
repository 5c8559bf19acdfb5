"""Files of counts: the layouts people save, what we write ourselves, and files that are damaged."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quell.errors import DataError, InputError, QuellError, StorageError
from quell.mitigation import CountTable, MitigatedCounts, Report
from quell.mitigation.files import read_records, write_mitigated
from quell.mitigation.reading import read_counts, read_many
from quell.mitigation.result import Interval


def as_dict(table: CountTable) -> dict[object, float]:
    return dict(zip(table.keys, table.weights.tolist(), strict=True))


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def made_by_hand(table: CountTable) -> MitigatedCounts:
    """Mitigated counts that need no estimator: each string has its raw probability, the first gets one half more."""
    values = table.probabilities / 2
    values[0] += 0.5
    report = Report("by-hand", True, "to be written", table.num_bits, table.num_strings, table.shots)
    after = dict(zip(table.keys, values.tolist(), strict=True)) | dict.fromkeys(table.unseen_keys, 0.0)
    raw = dict(zip(table.keys, table.probabilities.tolist(), strict=True))
    return MitigatedCounts(after, raw, report, table=table, estimator=None)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.json", '{"01": 3, "11": 1}', {"01": 3, "11": 1}),
        ("a.json", '\ufeff {"01": 3, "11": 1.0}\n', {"01": 3, "11": 1}),
        ("a.json", '{"counts": {"01": 3}, "shots": 8, "backend": "any", "n": 2}', {"01": 3}),
        ("a.json", '[{"id": "x", "counts": {"01": 3}}]', {"01": 3}),
        ("a.json", '{"bell": {"01": 3}}', {"01": 3}),
        ("a.txt", ' {"0x1": 3}', {"0x1": 3}),
        ("a.csv", "bitstring,count\n01,3\n11,1\n", {"01": 3, "11": 1}),
        ("a.csv", "01,3\r\n11,1", {"01": 3, "11": 1}),
        ("a.csv", "\ufeffanything,at all\n01, 3\n\n11 ,1\n", {"01": 3, "11": 1}),
        ("a.csv", "0x1,3\n0x3,1\n", {"0x1": 3, "0x3": 1}),
        ("a.csv", '"01 1",3\n', {"01 1": 3}),
        ("a.csv", "Count,shots,State\n3,4,01\n1,4,11\n", {"01": 3, "11": 1}),
        ("a.txt", "01,3\n11,1\n", {"01": 3, "11": 1}),
    ],
)
def test_layouts_of_counts(tmp_path: Path, name: str, text: str, wanted: dict[str, int]) -> None:
    path = written(tmp_path, name, text)
    assert as_dict(read_counts(path)) == wanted
    assert as_dict(read_counts(str(path))) == wanted


def test_probabilities_in_files(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "0,0.25\n1,7.5e-1\n")
    assert as_dict(read_counts(path, shots=8)) == {"0": 2, "1": 6}
    with pytest.raises(DataError, match=r"a\.csv: .*pass shots="):
        read_counts(path)
    record = written(tmp_path, "a.json", '{"probabilities": {"0": 0.25, "1": 0.75}, "shots": 8}')
    assert as_dict(read_counts(record)) == {"0": 2, "1": 6}


def test_several_records(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '[{"id": "x", "counts": {"01": 3}}, {"1": 2}, {"y": {"0": 1}}]')
    assert [record.name for record in read_records(path)] == ["x", "", "y"]
    assert [as_dict(table) for table in read_many(path)] == [{"01": 3}, {"1": 2}, {"0": 1}]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "", "the file is empty"),
        ("a.csv", " \n \n", "the file is empty"),
        ("a.json", '{"01": 3, "11"', "this is not JSON, or it is cut off"),
        ("a.json", '{"01": 3, "11": 1}{', "this is not JSON"),
        ("a.json", "01,3\n", "this is not JSON"),
        ("a.json", b"\xff\xfe\x00", "no text in UTF-8"),
        ("a.json", "[" * 200_000, "nested too deeply"),
        ("a.json", '{"0": ' + "9" * 5000 + "}", "no file of counts"),
        ("a.json", "[]", "the list is empty"),
        ("a.json", "{}", "the counts are empty"),
        ("a.json", '{"counts": {}}', "the counts are empty"),
        ("a.json", "3", 'expected a dict of counts, a record with "counts", or a list of these, got 3'),
        ("a.json", "[[1, 2]]", "expected a dict of counts"),
        ("a.json", '{"01": 3, "01": 4}', "'01' stands there twice"),
        ("a.json", '{"01": NaN}', "got nan for '01'"),
        ("a.json", '{"01": -Infinity}', "got -inf for '01'"),
        ("a.json", '{"01": "3"}', "must be numbers, got '3', a str, for '01'"),
        ("a.json", '{"01": null}', "must be numbers"),
        ("a.json", '{"01": true}', "must be numbers"),
        ("a.json", '{"shots": 3, "results": [1]}', "must be numbers"),
        ("a.json", '{"5": 3, "11": 4}', "keys must have equal lengths|turn decimal keys into numbers"),
        ("a.csv", "01\n11\n", "expected two columns, bitstring,count"),
        ("a.csv", "000,1,2,3\n", "expected two columns, bitstring,count, or a header that names these, got 4"),
        ("a.csv", "key,first,second\n01,3,4\n", "expected two columns"),
        ("a.csv", "bitstring,count\n", "a header, but no counts"),
        ("a.csv", "01,3\n11\n", "line 2 has 1 columns where the first has 2: is it cut off"),
        ("a.csv", "01,3\n11,\n", "line 2: the count '' is no number"),
        ("a.csv", "01,\n11,3\n", "line 1: the count '' is no number"),
        ("a.csv", "01,3\n01,4\n", "line 2: '01' stands there twice"),
        ("a.csv", '01,3\n"11,4\n', "this is not CSV, or it is cut off"),
        ("a.csv", "01;3\n11;4\n", "expected two columns"),
        ("a.csv", "name,count\n2,3\n", "has the character '2'"),
    ],
)
def test_files_that_hold_no_counts(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(DataError, match=message) as caught:
        read_counts(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nowhere\.json: No such file"):
        read_counts(tmp_path / "nowhere.json")
    with pytest.raises(StorageError, match="Is a directory"):
        read_counts(tmp_path)


def test_every_cut_of_a_file_is_an_error_or_the_file(tmp_path: Path) -> None:
    text = '{"counts": {"01": 13, "11": 1}, "shots": 14}'
    for length in range(len(text)):
        with pytest.raises(QuellError):
            read_counts(written(tmp_path, "a.json", text[:length]))


def test_files_of_the_runtime_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.json", '{"__type__": "PrimitiveResult", "__value__": {"pub_results": []}}')
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    with pytest.raises(DataError, match="pip install qiskit-ibm-runtime"):
        read_counts(path)
    runtime = ModuleType("qiskit_ibm_runtime")

    class RuntimeDecoder(json.JSONDecoder):
        def decode(self, text: str) -> object:
            assert "PrimitiveResult" in text
            return [{"01": 3}, {"11": 2}]

    runtime.RuntimeDecoder = RuntimeDecoder
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", runtime)
    assert [as_dict(table) for table in read_many(path)] == [{"01": 3}, {"11": 2}]


@pytest.mark.parametrize(
    ("counts", "options", "texts"),
    [
        ({"00 1": 40, "01 1": 25, "11 0": 35, "11 1": 0}, {}, ["00 1", "01 1", "11 0"]),
        ({"001": 40, "011": 25, "110": 35}, {"bit_order": "big"}, ["001", "011", "110"]),
        ({"0x1": 40, "0x3": 25, "0x6": 35}, {"num_bits": 5}, ["0x1", "0x3", "0x6"]),
        ({1: 40, 3: 25, 6: 35}, {"num_bits": 5}, ["00001", "00011", "00110"]),
        ({(0, 0, 1): 40, (0, 1, 1): 25, (1, 1, 0): 35}, {}, ["001", "011", "110"]),
    ],
)
def test_what_is_written_can_be_read(
    tmp_path: Path, counts: dict[object, int], options: dict[str, object], texts: list[str]
) -> None:
    table = read_counts(counts, **options)
    mitigated = made_by_hand(table)
    intervals = {key: Interval(value / 2, value) for key, value in mitigated.items()}
    for name in ("a.json", "a.csv"):
        write_mitigated(tmp_path / name, mitigated, intervals, bit_order=table.bit_order)
    again = read_counts(tmp_path / "a.json")
    assert (again.bit_order, again.num_bits, again.shots) == (table.bit_order, table.num_bits, 100)
    assert again.bits.tolist() == table.bits.tolist()
    probabilities = [mitigated[key] for key in counts if counts[key]]
    assert as_dict(again) == pytest.approx(dict(zip(texts, 100 * np.array(probabilities), strict=True)))
    assert "mitigated before, with by-hand" in again.notes[0]
    # CSV has no place for the order and the width.
    again = read_counts(tmp_path / "a.csv", **options)
    assert again.bits.tolist() == table.bits.tolist()
    assert as_dict(again) == dict(zip(texts, [mitigated.counts()[key] for key in counts if counts[key]], strict=True))


def test_every_written_number_has_its_interval(tmp_path: Path) -> None:
    mitigated = made_by_hand(read_counts({"00": 400, "01": 250, "11": 350}))
    intervals = {key: Interval(value / 2, 0.5 + value / 2) for key, value in mitigated.items()}
    write_mitigated(tmp_path / "a.json", mitigated, intervals)
    value = json.loads((tmp_path / "a.json").read_text())
    assert value["confidence"] == 0.95
    for numbers, ends in (("probabilities", "intervals"), ("raw", "raw_intervals")):
        assert value[numbers].keys() == value[ends].keys() == set(mitigated)
        assert all(low <= value[numbers][key] <= high for key, (low, high) in value[ends].items())
    write_mitigated(tmp_path / "a.csv", mitigated, intervals)
    with (tmp_path / "a.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    # The most probable string stands first.
    assert [row["bitstring"] for row in rows] == ["00", "11", "01"]
    assert sum(int(row["count"]) for row in rows) == 1000
    for row in rows:
        assert float(row["low"]) == intervals[row["bitstring"]].low
        assert float(row["raw_low"]) < float(row["raw"]) < float(row["raw_high"])


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    mitigated = made_by_hand(read_counts({"0": 1}))
    intervals = {"0": Interval(0.0, 1.0)}
    with pytest.raises(InputError, match=r"its name must end with \.json or \.csv"):
        write_mitigated(tmp_path / "a.txt", mitigated, intervals)
    with pytest.raises(StorageError, match="No such file or directory"):
        write_mitigated(tmp_path / "nowhere" / "a.json", mitigated, intervals)
