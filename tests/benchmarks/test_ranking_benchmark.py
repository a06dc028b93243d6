"""The ranking benchmark: architectures alone in groups, what follows, and all of it once."""

import dataclasses
import io
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path += [str(REPOSITORY), str(REPOSITORY / "benchmarks" / "ranking")]

from alone import Classifiers, top1, train_alone, trained
from contenders import CONFIGS, CONTENDERS, Contest
from digits import write_images
from evidence import Truth, candidate_ranks, difference, measured, noise, scored
from images import Images
from report import Page, rewritten
from run import Scale, joined, make_table, read_earlier, recipe, space
from table import Table, spread_over_accuracy, spread_over_cost

from pinas_mm.data.annotations import check_data_sets
from pinas_mm.data.digits.fragments import SIDE
from pinas_mm.engine.config import read_config
from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import DATASETS
from pinas_mm.search.report.figures import to_png

# Every candidate, the attention and the skip among them.
ARCHS = ["00-11-22", "33-44-20", "12-34-40"]


@pytest.mark.parametrize("arch", ARCHS)
def test_a_group_computes_what_each_seed_does_alone(arch):
    together = Classifiers(space(), arch, [3, 5], 10).to(memory_format=torch.channels_last)
    alone = [Classifiers(space(), arch, [seed], 10) for seed in (3, 5)]
    images = torch.randn(6, 2, 3, SIDE, SIDE)
    out = together(images)
    parts = [net(images[:, [index]]) for index, net in enumerate(alone)]
    torch.testing.assert_close(out, torch.cat(parts, dim=1), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(out[:, 0], out[:, 1])
    out.square().sum().backward()
    sum(part.square().sum() for part in parts).backward()
    for group, *own in zip(
        together.parameters(), *(net.parameters() for net in alone), strict=True
    ):
        expected = torch.cat([parameter.grad for parameter in own])
        torch.testing.assert_close(group.grad, expected, rtol=1e-3, atol=1e-4)
    together.eval(), alone[1].eval()
    torch.testing.assert_close(
        together(images)[:, [1]], alone[1](images[:, [1]]), rtol=1e-4, atol=1e-5
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    splits = dict(train=320, val=40, test=60)
    return write_images(tmp_path_factory.mktemp("ranking") / "images", splits)


def test_a_seed_trains_alike_in_any_company(folder):
    images = Images(folder)
    start = Classifiers(space(), ARCHS[2], [1], images.num_classes)
    one, two = (trained(space(), ARCHS[2], s, images, recipe(6)) for s in ([1], [0, 1]))
    moved = []
    for before, alone, both in zip(*(n.parameters() for n in (start, one, two)), strict=True):
        other, own = both.chunk(2)
        # Grouped kernels round differently.
        torch.testing.assert_close(own, alone, rtol=1e-2, atol=1e-3)
        moved.append(float((alone - before).abs().max()))
        assert before.ndim == 1 or not torch.allclose(other, own, atol=1e-3)
    assert max(moved) > 0.05
    assert top1(two, images) == train_alone(space(), ARCHS[2], [0, 1], images, recipe(6))


def test_a_table_goes_on_and_takes_nothing_trained_otherwise(folder, tmp_path):
    archs = [space().arch(arch) for arch in ARCHS[:2]]
    make = partial(Table, space(), archs, (0, 1), images=folder, folder=tmp_path / "alone")
    table = make(recipe=recipe(2))
    for arch in archs:
        table.train(arch)
    made = table.make()
    assert [(row["arch"], row["seed"]) for row in made["rows"]] == [
        (str(arch), seed) for arch in archs for seed in (0, 1)
    ]
    # All are there: nothing is trained.
    assert table.make() == made
    with pytest.raises(UserError, match="by another recipe"):
        make(recipe=recipe(3)).make()


def test_longer_trainings_are_added_to_a_table_that_has_none(folder, tmp_path):
    rows = [dict(arch=a, seed=0, accuracy=v) for a, v in zip(ARCHS[:2], (50.0, 60.0), strict=True)]
    given = tmp_path / "alone.json"
    given.write_text(json.dumps(dict(command="earlier", rows=rows)))
    scale = Scale(steps=1, seeds=(0,), longer=(2,), retrained=2)
    file = make_table(scale, tmp_path / "work", folder, given)
    found = json.loads(file.read_text())
    assert (found["command"], found["rows"]) == ("earlier", rows)
    (longer,) = found["longer"]
    assert longer["steps"] == 2
    assert [row["arch"] for row in longer["rows"]] == ARCHS[:2]
    # What has them is left as it is.
    again = make_table(scale, tmp_path / "again", folder, file)
    assert json.loads(again.read_text()) == found
    assert not (tmp_path / "again" / "alone_2").exists()
    # Still longer ones come to those that there are.
    more = make_table(dataclasses.replace(scale, longer=(2, 3)), tmp_path / "work", folder, None)
    more = json.loads(more.read_text())["longer"]
    assert more[0] == longer
    assert [one["steps"] for one in more] == [2, 3]
    assert not (tmp_path / "work" / "alone").exists()


def test_splits_share_no_digit_and_a_folder_is_written_once(folder, tmp_path):
    images = Images(folder)
    assert images.train.shape == (320, 3, SIDE, SIDE)
    assert images.num_classes == 10
    assert len({image.numpy().tobytes() for image in (*images.train, *images.test)}) == 380
    same = write_images(tmp_path / "again", dict(train=320, val=40, test=60))
    for file in sorted(folder.rglob("*.png")):
        assert (same / file.relative_to(folder)).read_bytes() == file.read_bytes()
    before = (folder / "meta" / "train.txt").stat().st_mtime_ns
    write_images(folder)
    assert (folder / "meta" / "train.txt").stat().st_mtime_ns == before


def test_architectures_are_spread_evenly_over_cost():
    archs = spread_over_cost(space(), 150)
    assert len(set(archs)) == 150
    costs = count_costs(space(), SIDE)
    macs = np.sort(costs["macs"].of(np.array(archs)))
    low, high = costs["macs"].bounds()
    even = np.linspace(low, high, 150)
    assert np.abs(macs - even).max() < 0.1 * (high - low)
    assert spread_over_cost(space(), 150) == archs


def test_architectures_are_spread_evenly_over_accuracy():
    accuracies = dict(zip(ARCHS, (70.0, 10.0, 40.0), strict=True))
    rows = [dict(arch=a, accuracy=value + s) for a, value in accuracies.items() for s in (-5, 5)]
    assert list(map(str, spread_over_accuracy(space(), rows, 2))) == [ARCHS[1], ARCHS[0]]
    assert list(map(str, spread_over_accuracy(space(), rows, 3))) == [ARCHS[i] for i in (1, 2, 0)]


def made_results(archs=60):
    """A table of known truth; one contender that knows it, one that errs, one that says nothing."""
    rng = np.random.default_rng(0)
    names = [str(arch) for arch in spread_over_cost(space(), archs)]
    true = rng.normal(70, 10, archs)
    rows = [
        dict(arch=a, seed=s, accuracy=t + rng.normal(0, 1), params=100 + i, macs=1000 - i)
        for i, (a, t) in enumerate(zip(names, true, strict=True))
        for s in range(3)
    ]

    def run(error, seed):
        noisy = true + np.random.default_rng(seed).normal(0, error, archs)
        place = dict(mean=error, std=0.0, comparisons=1)
        names_of = ("feature/cosine", "feature/cka", "parameter/cosine", "parameter/conflict")
        shift = dict(
            overall=dict.fromkeys(names_of, error),
            places=dict(output=dict.fromkeys(names_of, place)),
        )
        scores = dict(zip(names, noisy if error < 99 else np.ones(archs), strict=True))
        return dict(
            scores={"own accuracy/top1": scores, "probe1 accuracy/top1": scores}, shifts=shift
        )

    contest = dict(
        pinas={str(s): run(3.0, s) for s in range(3)},
        spos={str(s): run(20.0, s) for s in range(3)},
        pinas_no_negatives={str(s): run(99.0, s) for s in range(3)},
    )
    longer = [row | dict(accuracy=row["accuracy"] + 1) for row in rows[:30]]
    table = dict(rows=rows, recipe=dict(steps=10), longer=[dict(steps=30, rows=longer)])
    return dict(table=table, contest=contest)


def test_what_follows_from_made_results():
    results = made_results()
    truth = Truth.of(results["table"]["rows"], tuned=10)
    assert len(truth.archs) == 50
    assert truth.accuracy.shape == (50, 3)
    best, other, nothing = [
        s for s in scored(results, truth, 100) if s.score == "own accuracy/top1"
    ]
    assert measured(best.taus).low > 0.6
    assert 0.2 < other.taus[0] < 0.6
    assert best.taus[0] == pytest.approx(np.mean(best.single))
    gap = difference(best, other)
    assert gap.value == pytest.approx(best.taus[0] - other.taus[0])
    assert gap.low > 0
    # Pairs of the same resamples tell a difference better than two intervals do.
    assert gap.high - gap.low < np.ptp(np.quantile(other.taus, [0.025, 0.975])) * 1.3
    assert set(nothing.taus) == {0.0}
    assert nothing.rankings == ()
    assert best.mean("regret", 10) == 0
    assert 0.5 < noise(results, truth, 100)["probes of two supernets"].value < 1


def test_what_values_make_of_candidates():
    archs, values = ("01-1", "10-0", "12-1"), np.array([0.1, 0.3, 0.2])
    # Relative ranks 1/3, 1, 2/3; candidates of the first two blocks.
    found = candidate_ranks(archs, values, 2)
    assert found == pytest.approx({"0": (1 / 3 + 1) / 2, "1": (1 / 3 + 1 + 2 / 3) / 3, "2": 2 / 3})


def test_a_page_gets_its_tables_and_keeps_its_text():
    page = Page(made_results(archs=100), resamples=20)
    tables = page.tables()
    assert "60; 3" in tables["benchmark"]
    assert "10 architectures with 30 steps: they gain | 1.0 to 1.0 points |" in tables["benchmark"]
    assert "Kendall tau with the table | 1.000 |" in tables["benchmark"]
    results = made_results(archs=100)
    del results["table"]["longer"]
    assert "they gain" not in Page(results, resamples=20).tables()["benchmark"]
    text = "before\n<!-- table shifts -->\nold\n<!-- end -->\nafter"
    made = rewritten(text, tables)
    assert made.startswith("before\n<!-- table shifts -->\n| supernet |")
    assert "old" not in made
    assert made.endswith("<!-- end -->\nafter")
    assert rewritten(made, tables) == made
    with pytest.raises(UserError, match="there are benchmark, contenders"):
        rewritten("<!-- table nothing --><!-- end -->", tables)
    assert set(page.figures()) == {"taus", "scatter", "shifts"}


def test_the_committed_pages_are_what_the_report_makes(tmp_path):
    docs = REPOSITORY / "docs"
    page = Page(json.loads((docs / "ranking.json").read_text()))
    text, readme = (file.read_text() for file in (docs / "ranking.md", REPOSITORY / "README.md"))
    tables = page.tables()
    assert rewritten(text, tables) == text
    assert rewritten(readme, tables) == readme
    assert tables["ranking"] in readme
    for name, figure in page.figures().items():
        assert f"(ranking_{name}.png)" in text
        made, kept = (
            np.asarray(Image.open(file).convert("RGB"), dtype=float)
            for file in (io.BytesIO(to_png(figure)), docs / f"ranking_{name}.png")
        )
        assert made.shape == kept.shape
        # Letters may be drawn by another version of a library.
        assert np.abs(made - kept).mean() < 2


def test_the_whole_of_it_on_a_sample(tmp_path):
    """Tables, supernets, probes, scores and shifts, by the command that a reader would run."""
    tool = REPOSITORY / "benchmarks" / "ranking"
    out = tmp_path / "results.json"
    command = [sys.executable, tool / "run.py", "--reduced", "--work-dir", tmp_path, "--out", out]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = json.loads(out.read_text())
    assert set(results["contest"]) == {"pinas", "spos", "pinas_labels", "zero_cost"}
    archs = {row["arch"] for row in results["table"]["rows"]}
    assert len(archs) == 12
    assert len(results["table"]["rows"]) == 24
    (longer,) = results["table"]["longer"]
    assert longer["steps"] == 180
    assert len({row["arch"] for row in longer["rows"]} & archs) == 3
    for runs in results["contest"].values():
        for values in runs["0"]["scores"].values():
            assert set(values) == archs
            assert np.isfinite(list(values.values())).all()
    made = subprocess.run(
        [sys.executable, str(tool / "report.py"), str(out)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert "| Pi-NAS | without labels |" in made.stdout


def test_contenders_are_added_to_results_that_lack_them():
    earlier = dict(command="earlier", machine={}, table={}, contest=dict(zero_cost=1, pinas=2))
    made = joined(earlier, dict(longer=[]), dict(spos=3))
    assert made["table"] == dict(longer=[])
    assert list(made["contest"].items()) == [("pinas", 2), ("spos", 3), ("zero_cost", 1)]
    assert made["command"] == "earlier"
    assert set(made["added"]) == {"spos"}
    assert set(joined(made, {}, dict(fairnas=4))["added"]) == {"spos", "fairnas"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "cannot be read as JSON of a run"),
        ("{", "cannot be read as JSON of a run"),
        ('{"rows": []}', "has rows: results of a whole run have table and contest"),
        (None, "cannot be read as JSON of a run"),
    ],
)
def test_what_is_no_earlier_run_is_refused(tmp_path, text, said):
    file = tmp_path / "results.json"
    if text:
        file.write_text(text)
    with pytest.raises(UserError, match=said):
        read_earlier(file)


def test_a_contender_needs_the_one_that_it_starts_from():
    after = [one for one in CONTENDERS if one.after]
    with pytest.raises(UserError, match="pinas_labels starts from pinas, which is not trained"):
        Contest(after, (0,), Path("table.json"), Path("work"))


def test_turned_images_are_labelled_by_their_turns(folder, monkeypatch):
    monkeypatch.setenv("PINAS_DATA", str(folder))
    cfg = read_config(CONFIGS / "spos_rotations.py")
    check_data_sets(cfg, ["train", "val", "test"])
    turned = DATASETS.build(cfg.train_dataloader.dataset)
    plain = turned.dataset
    turns = [int(turned[index]["data_samples"].gt_label) for index in range(80)]
    assert turns == [turn for turn in (0, 1, 2, 3) * 2 for _ in range(10)]
    for index in (3, 14, 25, 36):
        image = plain[index]["inputs"].numpy()
        expected = np.rot90(image, turns[index], axes=(1, 2))
        assert np.array_equal(turned[index]["inputs"].numpy(), expected)
        # What is kept stays as it was.
        assert np.array_equal(turned[index]["inputs"].numpy(), expected)
