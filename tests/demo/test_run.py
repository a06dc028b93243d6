"""Which demo a work dir is of. What a demo does is not run here."""

import dataclasses
import json

import pytest

from pinas_mm.demo import run, settings, transfer
from pinas_mm.demo.run import Demo
from pinas_mm.errors import UserError


@pytest.fixture(autouse=True)
def broken_off(monkeypatch):
    """Every demo is broken off as it begins with its images, and a finished one shows nothing."""

    def prepare(data):
        raise RuntimeError("broken off")

    monkeypatch.setattr(run, "prepare", prepare)
    monkeypatch.setattr(Demo, "_draw", lambda self, found: None)
    monkeypatch.setattr(Demo, "_show", lambda self, console, found: None)


@pytest.fixture
def plain(tmp_path):
    """What ``tools/demo.py`` runs."""
    return Demo(
        work_dir=tmp_path / "work",
        seeds=[0],
        supernet="configs/demo/digits_supernet.py",
        linear="configs/demo/digits_linear.py",
        data=tmp_path / "data",
        collapse="configs/demo/digits_no_negatives.py",
    )


# What differs of other demos in the same work dir, --full among them; and what is said of it.
OTHERS = [
    (dict(seeds=[0, 1]), r"work was begun with seeds 0: for seeds 0 1 give another --work-dir, or"),
    (
        dict(supernet="configs/demo/digits_supernet_full.py"),
        r"begun with supernet \S+/digits_supernet.py .*: for supernet \S+/digits_supernet_full.py",
    ),
    (dict(collapse=None), r"begun with collapse \S+/digits_no_negatives.py .*: for collapse none"),
    (
        dict(transfer_weights=(transfer.PRETRAINED, transfer.RANDOM)),
        r"begun with weights pre-trained: for weights pre-trained and random weights give",
    ),
]


@pytest.mark.parametrize(
    ("other", "said"), OTHERS, ids=["seeds", "supernet", "collapse", "weights"]
)
def test_a_demo_goes_on_and_is_shown_with_its_own_settings_only(plain, other, said):
    other = dataclasses.replace(plain, **other)
    with pytest.raises(RuntimeError, match="broken off"):
        plain.run()
    with pytest.raises(UserError, match=said):
        other.run()
    with pytest.raises(RuntimeError, match="broken off"):
        dataclasses.replace(plain, data=plain.data / "elsewhere").run()

    found = dict(seeds={"0": {}}, minutes=1)
    (plain.work_dir / "results.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=said):
        other.run()
    assert plain.run() == found


@pytest.mark.parametrize("left", ["results.json", "times.json"])
def test_a_work_dir_that_does_not_say_of_which_demo_is_refused(plain, left):
    plain.work_dir.mkdir()
    (plain.work_dir / left).write_text("{}")
    with pytest.raises(UserError, match="work does not say with which settings it was begun: give"):
        plain.run()


def test_a_supernet_that_another_demo_trained_is_taken_if_it_is_the_same(plain):
    supernet = plain.folder(0) / "supernet"
    (job,) = plain._trainings()[0]
    settings.sign(supernet, job.settings)
    full = dataclasses.replace(plain, supernet="configs/demo/digits_supernet_full.py")
    with pytest.raises(UserError, match=r"seed0/supernet was begun with command \S+train.py"):
        full.run()
    # That left nothing.
    with pytest.raises(RuntimeError, match="broken off"):
        plain.run()


def test_seeds_in_another_order_make_no_other_demo(tool, monkeypatch):
    ran = []
    monkeypatch.setattr(Demo, "run", lambda self: ran.append(self.seeds))
    assert tool("demo.py", "--seeds", "2", "0", "2")[0] == 0
    assert ran == [[0, 2]]
