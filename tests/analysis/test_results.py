"""Tables of results in all their forms, and what is wrong with others."""

import json

import numpy as np
import pytest

from pinas_mm.analysis.results import Results, in_common, read_results
from pinas_mm.errors import UserError

# Of the small space, 00-0 to 33-3: three architectures, two seeds.
ROWS = [
    dict(arch=arch, seed=seed, top1=top1 + seed)
    for arch, top1 in (("01-2", 50.0), ("31-0", 60.0), ("22-2", 70.0))
    for seed in (0, 1)
]
MATRIX = [[50, 51], [60, 61], [70, 71]]


def written(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


CSV = "\n".join(["arch,seed,top1", *(f"{r['arch']},{r['seed']},{r['top1']}" for r in ROWS)])
FORMS = {
    "rows.csv": CSV,
    "bom.csv": "\ufeff" + CSV.replace("\n", "\r\n").replace(",", ", ") + "\r\n\r\n",
    "rows.json": ROWS,
    "results.json": dict(command="run.py", machine={"cores": 2}, results=ROWS),
    "lists.json": {"01-2": [50, 51], "31-0": [60, 61], "22-2": [70, 71]},
    "written otherwise.json": {"012": [50, 51], "3,1,0": [60, 61], "22 2": [70, 71]},
    "indices.json": [{**row, "arch": [int(c) for c in row["arch"] if c != "-"]} for row in ROWS],
    "lists.yml": "012: [50, 51]\n31-0: [60, 61]\n22-2: [70, 71]\n",
    "indices.yml": "".join(
        f"- {{arch: {list(map(int, row['arch'].replace('-', '')))}, "
        f"seed: {row['seed']}, top1: {row['top1']}}}\n"
        for row in ROWS
    ),
    "rows.yaml": json.dumps(ROWS),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("knows", [True, False], ids=["space", "any text"])
def test_forms(name, knows, space, tmp_path):
    found = read_results(written(tmp_path, name, FORMS[name]), None, space if knows else None)
    keys = ["01-2", "31-0", "22-2"] if knows else ["012", "310", "222"]
    assert list(found.values) == keys
    np.testing.assert_array_equal(found.matrix(keys), MATRIX)
    assert not found.costs


def test_a_list_of_indices_is_one_architecture_in_any_form(tmp_path):
    found = [
        read_results(written(tmp_path, f"two_digits.{kind}", text)).values
        for kind, text in (
            ("json", [{"arch": [10, 1], "top1": 5}]),
            ("yml", "- {arch: [10, 1], top1: 5}\n"),
        )
    ]
    assert found == [{"a1": {"": 5.0}}] * 2


def test_one_of_several_metrics_and_costs(tmp_path):
    path = written(tmp_path, "wide.csv", "arch,top1,params,macs,loss\na:1,5,2,30,1\nb:1,6,3,20,2")
    found = read_results(path, "loss")
    assert found.values == {"a:1": {"": 1.0}, "b:1": {"": 2.0}}
    assert found.costs["b:1"] == dict(params=3.0, macs=20.0)
    assert read_results(path, "macs").values["a:1"] == {"": 30.0}
    rows = {"a:1": {"top1": 5, "loss": 1}, "b:1": {"top1": 6, "loss": 2}}
    again = read_results(written(tmp_path, "wide.json", rows), "loss")
    assert (again.values, again.costs) == (found.values, {})


BAD = {
    "nothing.csv": ("", "is empty"),
    "header.csv": ("arch,top1\n", "is empty"),
    "empty.json": ([], "is empty"),
    "picture.png": ("arch,top1\na,1", "is no table: give a file of .csv, .json, .yml, .yaml"),
    "broken.json": ('{"01-2": 1', "delimiter: line 1"),
    "broken.yml": ("[1, 2", "while parsing a flow"),
    "text.json": ("5", "neither a list of rows nor a dict"),
    "mixed.json": ([dict(arch="01-2", top1=1), 5], "neither a list of rows nor a dict"),
    "quotes.csv": ('arch,top1\n"01-2,5', "unexpected end of data"),
    "no arch.csv": ("network,top1\n01-2,5", "has no column arch: it has network, top1"),
    "no metric.csv": ("arch,seed\n01-2,5", "has no metric"),
    "which.csv": ("arch,top1,top5\n01-2,5,6", "has the columns top1, top5: say which"),
    "ragged.csv": ("arch,top1\n01-2,5\n310,1,2", "line 3 has 3 columns, the header 2"),
    "columns.csv": ("arch,top1,top1\n01-2,5,5", "have the same name"),
    "nan.csv": ("arch,top1\n01-2,5\n310,nan", "line 3: top1 is 'nan', no finite number"),
    "nan.json": ('{"01-2": NaN}', "entry 01-2: value is nan, no finite number"),
    "infinite.json": ('{"01-2": 1e999}', "value is inf"),
    "missing.csv": ("arch,top1\n01-2,", "line 2: top1 is missing"),
    "null.json": ([dict(arch="01-2", top1=None)], "row 1: top1 is missing"),
    "sparse.json": ([dict(arch="01-2", top1=1), dict(arch="310")], "row 2: top1 is missing"),
    "text.csv": ("arch,top1\n01-2,good", "top1 is 'good', no finite number"),
    "truth.json": ({"01-2": True}, "value is True, no finite number"),
    "nested.json": ({"01-2": {"top1": [1]}}, r"top1 is \[1\], no finite number"),
    "no name.csv": ("arch,top1\n,5", "line 2: there is no architecture"),
    "number.json": ([dict(arch=12, top1=1)], "architecture 12 "),
    "negative.json": (
        [dict(arch="012", top1=1), dict(arch=[0, -1, 2], top1=1)],
        r"row 2: architecture \[0, -1, 2\] has -1 at block 1: allowed are whole numbers from 0 to",
    ),
    "negative.yml": ("- {arch: [0, -1, 2], top1: 1}\n", "row 1: .* has '-1' at block 1"),
    "large.json": ([dict(arch=[36, 0], top1=1)], "row 1: .* has 36 at block 0"),
    "truths.json": ([dict(arch=[True, False], top1=1)], "row 1: .* has True at block 0"),
    "truths.yml": ("- {arch: [true, false], top1: 1}\n", "row 1: .* has 'true' at block 0"),
    "fractions.json": ([dict(arch=[1.0, 0.0], top1=1)], "row 1: .* has 1.0 at block 0"),
    "by stage.json": ([dict(arch=[[0, 1], [2]], top1=1)], r"row 1: .* has \[0, 1\] at block 0"),
    "nobody.csv": ("arch,top1\n01-2,5\n-,5", "line 3: architecture '-' names no candidate"),
    "nobody.json": ([dict(arch=[], top1=1)], "row 1: architecture '' names no candidate"),
    "list.yml": ("012: 1\n[3, 1, 0]: 2\n", r"\['3', '1', '0'\] is a key.* line 2, column 1"),
    "dict.yml": ("? {a: 1}\n: 2\n", "is a key, which must be a text.* line 1"),
    "deep.json": ("[" * 10**5, "recursion"),
    "twice.csv": (
        "arch,top1\n01-2,5\n310,6\n01-2,5",
        "line 4: architecture 01-2 is in line 2 too: leave one out; of several seeds a column seed",
    ),
    "twice otherwise.csv": (
        "arch,top1\n01-2,5\n310,6\n012,5",
        "line 4: architecture 012, there 01-2, is in line 2 too",
    ),
    "twice in a seed.csv": (
        "arch,seed,top1\n01-2,0,5\n01-2,1,6\n01-2,1,7",
        "line 4: architecture 01-2 is in line 3 too with seed 1: leave one out$",
    ),
    "twice.json": ('{"01-2": 1, "01-2": 2}', "01-2 stands there twice"),
    "twice.yml": ("01-2: 1\n01-2: 2\n", "01-2 stands there twice"),
    "costs.csv": (
        "arch,seed,top1,macs\n01-2,0,5,1\n01-2,1,5,2",
        "line 3: architecture 01-2 has other costs before",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(name, tmp_path):
    content, expected = BAD[name]
    path = written(tmp_path, name, content)
    with pytest.raises(UserError, match=expected) as raised:
        read_results(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


OF_ANOTHER_SPACE = {
    "01-20": "line 2: architecture 01-20 is too long: 4 blocks, this space has 3",
    "01-4": "line 2: architecture 01-4 has 4 at block 2: allowed are candidates 0 to 3",
    "pinas_cls": "line 2: architecture pinas_cls is of the paper's search space",
    "16:16:8": "line 2: architecture 16:16:8 is too long",
}


@pytest.mark.parametrize("arch", OF_ANOTHER_SPACE)
def test_tables_of_another_space(arch, space, tmp_path):
    path = written(tmp_path, "other.csv", f"arch,top1\n{arch},5")
    with pytest.raises(UserError, match=OF_ANOTHER_SPACE[arch]):
        read_results(path, None, space)


def test_bytes_and_missing_files(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"arch,top1\n\xff\xfe,1")
    for name, expected in (("bytes.csv", "it is no text"), ("none.csv", "No such file")):
        with pytest.raises(UserError, match=expected):
            read_results(tmp_path / name)
    path = written(tmp_path, "a.csv", "arch,top1\n01-2,5")
    with pytest.raises(UserError, match="has no column top5: it has top1"):
        read_results(path, "top5")


def test_numbers_that_are_computed_several_times_or_are_none():
    found = {"012": [1.0, 2.0], "310": [np.nan], "222": [np.inf, 5.0], "333": [7.0]}
    made = Results.of_numbers("search.db", "loss", found, {})
    assert made.values == {"012": {"": 1.5}, "222": {"": 5.0}, "333": {"": 7.0}}
    assert made.left_out == ("310",)
    assert list(made.texts) == list(made.values)


def test_in_common(tmp_path):
    one = read_results(written(tmp_path, "one.json", {"012": 1, "310": 2, "222": 3}))
    few = read_results(written(tmp_path, "few.json", {"22-2": 1, "01-2": 2}))
    more = read_results(written(tmp_path, "more.json", {"01-2": 1, "310": 2, "222": 3, "33-3": 4}))
    other = read_results(written(tmp_path, "other.json", {"8:8:16": 1}))
    assert in_common(one, few, some=True) == ["012", "222"]
    with pytest.raises(UserError, match=r"one.json has 1 architectures that .*few.json does not"):
        in_common(one, few)
    with pytest.raises(UserError, match=r"more.json has 1 architectures .* know, as 33-3: --comm"):
        in_common(one, more)
    with pytest.raises(UserError, match="no architecture in common, as 012 and 8:8:16"):
        in_common(one, other, some=True)
