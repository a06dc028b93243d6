"""What a config says once is what all tools use; what cannot be read is named with its line."""

import argparse

import pytest
from conftest import CONFIGS, NAMES
from mmengine.config import Config
from mmengine.logging import MMLogger

from pinas_mm.commands.options import CfgOptions
from pinas_mm.data.annotations import check_data_sets
from pinas_mm.engine.config import read_config
from pinas_mm.engine.run_search import search_loaders
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import network_config

SMALL = CONFIGS / "small_supernet.py"
DEPTHS = (2, 2)


@pytest.fixture
def notices(tmp_path):
    """Lines of the log that have a word in them."""
    file = tmp_path / "notices.log"
    name = next(NAMES)
    MMLogger.get_instance(name, logger_name=name, log_file=str(file))
    return lambda word: [line for line in file.read_text().splitlines() if word in line]


@pytest.fixture
def config(tmp_path):
    """Writes a config that inherits from another one; returns its file."""

    def write(text, base="configs/pinas_supernet.py", name="child.py"):
        base = base if str(base).startswith("/") else CONFIGS.parents[1] / base
        file = tmp_path / name
        file.write_bytes(f"_base_ = [{str(base)!r}]\n{text}".encode())
        return file

    return write


def options(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=CfgOptions)
    return parser.parse_args(["--cfg-options", *words]).cfg_options


@pytest.mark.parametrize("where", ["top", "network", "options", "option of the network"])
def test_a_search_space_is_said_once(config, where):
    given = {}
    if where == "top":
        file = config("space = dict(depths=(1, 2, 1, 1))")
    elif where == "network":
        file = config("model = dict(backbone=dict(space=dict(depths=(1, 2, 1, 1))))")
    else:
        file = config("")
        key = "space.depths" if where == "options" else "model.backbone.space.depths"
        given = options(f"{key}=(1,2,1,1)")
    cfg = read_config(file, given)
    assert tuple(cfg.space.depths) == tuple(cfg.model.backbone.space.depths) == (1, 2, 1, 1)
    assert cfg.model.backbone.space.candidates == cfg.space.candidates


def test_a_base_s_own_space_and_another_one_are_refused(config):
    file = config("space = dict(depths=(3, 3))", SMALL)
    said = r" model\.backbone\.space is .*: say it once.* and leave out model\.backbone\.space"
    with pytest.raises(UserError, match=said):
        read_config(file)
    given = options("space.depths=(1,1)", "model.backbone.space.depths=(2,2)")
    with pytest.raises(UserError, match="set space alone"):
        read_config(SMALL, given)


def test_options_of_a_config_with_its_own_space_reach_the_network():
    cfg = read_config(SMALL, options("space.depths=(2,2)"))
    assert tuple(cfg.model.backbone.space.depths) == DEPTHS


@pytest.mark.parametrize("name", ["digits_supernet.py", "digits_linear.py", "digits_search.py"])
def test_a_space_of_ones_own_takes_the_place_of_the_demos(config, name):
    base = f"configs/demo/{name}"
    space = read_config(config("", base)).demo_space
    for text, depths in (("", (2, 2, 2)), ("space = dict(depths=(1, 2, 1))", (1, 2, 1))):
        cfg = read_config(config(text, base))
        network = network_config(cfg)
        assert network["space"] == cfg.space == {**space, "depths": depths}


def test_what_is_no_name_of_a_file_is_refused():
    for wrong in (dict(model=None), Config(), None, 3):
        with pytest.raises(UserError, match=rf"a {type(wrong).__name__}: give a file, .*mmengine"):
            read_config(wrong)


@pytest.mark.parametrize(
    ("key", "kind", "left"),
    [
        ("model.teacher", "pinas_mm.SelfTeacher", {"type"}),
        ("model.head.pair", "pinas_mm.PiModelHead", {"type"}),
        ("model.paths", "pinas_mm.UniformPaths", {"type", "num_paths"}),
        ("optim_wrapper.optimizer", "Adam", {"type", "lr", "weight_decay", "fused"}),
    ],
)
def test_another_type_drops_what_it_does_not_take(notices, key, kind, left):
    cfg = read_config(SMALL, options(f"{key}.type={kind}"))
    part = cfg
    for name in key.split("."):
        part = part[name]
    assert set(part) == left
    assert len(notices(f"{key} is {kind} now: left out ")) == ("num_paths" not in left)


def test_settings_given_with_the_type_stay_for_its_class_to_judge():
    given = options("optim_wrapper.optimizer.type=Adam", "optim_wrapper.optimizer.momentum=0.5")
    assert read_config(SMALL, given).optim_wrapper.optimizer.momentum == 0.5


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("data/my images/", "data/my images/"),
        ("[a b, c]", ["a b", "c"]),
        ("( 1, 2 )", (1, 2)),
        ("3", 3),
        ("0.5\r", 0.5),
        (" 312 \r\n", 312),
        ("[(1, 2), [a, b]]", [(1, 2), ["a", "b"]]),
        ("None", None),
    ],
)
def test_values_of_options(word, value):
    assert options(f"key={word}") == {"key": value}


@pytest.mark.parametrize("arch", ["0123", "1e2", "312", "31-2"])
def test_an_architecture_is_a_text(arch):
    assert options(f"model.backbone.arch={arch}\r") == {"model.backbone.arch": arch}
    assert options(f"model.backbone.arch='{arch}'") == {"model.backbone.arch": arch}


@pytest.mark.parametrize(
    ("word", "arch"), [("[0, 1,2]", [0, 1, 2]), ("(0,1,2)", (0, 1, 2)), ("0,1,2", "0,1,2")]
)
def test_an_architecture_may_be_a_list(word, arch, space):
    assert options(f"model.backbone.arch={word}") == {"model.backbone.arch": arch}
    assert space.arch(arch) == (0, 1, 2)


@pytest.mark.parametrize("word", ["key", "key=", "=3", "key=[1,2"])
def test_options_that_are_none(word):
    with pytest.raises(UserError, match="--cfg-options"):
        options(word)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("modle.type=PiNAS", "the config has no modle: did you mean model"),
        ("optim_wraper.type=X", "did you mean optim_wrapper"),
        ("param_scheduler.7.T_max=3", "Index 7 exceeds"),
        ("model.teacher.momentum.x=3", "Cannot|not"),
    ],
)
def test_options_that_name_nothing(given, said):
    with pytest.raises(UserError, match=said):
        read_config(SMALL, options(given))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", "child.py, line 2: SyntaxError"),
        ("x = undefined\n", "child.py, line 2: NameError: name 'undefined'"),
        ("x = {{_base_.nothing}}\n", "child.py: .*nothing"),
        ("import no_such_module\n", "child.py.*no_such_module|read_base"),
        ("custom_imports = dict(imports=['no_such_module'])\n", "No module named 'no_such_module'"),
        ("train_cfg = dict(type='X', 3)\n", "SyntaxError"),
    ],
)
def test_a_config_that_cannot_be_read_is_named_with_its_line(config, text, said):
    with pytest.raises(UserError, match=said) as raised:
        read_config(config(text))
    assert "\n" not in str(raised.value)


def test_a_base_that_is_not_there(config):
    with pytest.raises(UserError, match=r"child\.py.*nowhere\.py"):
        read_config(config("", "/nowhere.py"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("binary.py", b"\x80\x02\x00\x01", "binary.py"),
        ("text.txt", b"model = dict()", "Only py/yml/yaml/json"),
        ("broken.json", b"{", "broken.json"),
        ("marked.py", b"\xef\xbb\xbfmodel = 3", "marked.py, line 1: SyntaxError.*FEFF"),
    ],
)
def test_files_that_are_no_config(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_config(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("configs", "is a folder"),
        ("nothing.py", "does not exist"),
        ("nothing::x.py", "there is no package nothing here"),
        ("mmdet::nothing/x.py", "mmdet::nothing/x.py"),
    ],
)
def test_names_of_no_config(name, said):
    with pytest.raises(UserError, match=said):
        read_config(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "optim_wraper = dict(type='OptimWrapper')",
            "nothing reads optim_wraper as it is set now: did",
        ),
        ("data_root = '/my/images'", "nothing reads data_root as it is set now"),
        ("train_dataloader = dict(batch_size=3)", ""),
        ("mine = 'x/y'\ntrain_dataloader = dict(dataset=dict(data_root=mine))", ""),
    ],
)
def test_a_setting_that_nothing_reads_is_said(config, notices, text, said):
    read_config(config(text))
    lines = notices("nothing reads")
    assert [said in line for line in lines] == [True] * bool(said), lines


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "data/coco/", "coco/"),
        (
            "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py",
            "data/ade/ADEChallengeData2016",
            "ADEChallengeData2016",
        ),
        ("mmpretrain::resnet/resnet50_8xb32_in1k.py", "data/imagenet", "imagenet"),
    ],
)
def test_a_library_s_config_follows_pinas_data(
    layouts, monkeypatch, tmp_path, notices, name, before, after
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PINAS_DATA", raising=False)
    assert read_config(name).train_dataloader.dataset.data_root == before
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    cfg = read_config(name)
    assert cfg.train_dataloader.dataset.data_root == f"{layouts}/{after}"
    (said,) = notices("by PINAS_DATA")
    assert f"{before.rstrip('/')} of the config is {layouts / after}, by" in said
    check_data_sets(cfg, ["train", "val"])
    if "coco" in before:
        assert cfg.val_evaluator.ann_file.startswith(f"{layouts}/coco/annotations/")
    # What is here is what the config says.
    (tmp_path / before).mkdir(parents=True)
    assert read_config(name).train_dataloader.dataset.data_root == before


def test_carriage_returns_in_a_config_are_no_fault(config):
    assert read_config(config("train_cfg = dict(max_epochs=3)\r\n")).train_cfg.max_epochs == 3


def test_what_a_config_of_classes_says(tmp_path):
    file = tmp_path / "new.py"
    file.write_text(
        "from mmengine.optim import OptimWrapper\nfrom torch.optim import SGD\n"
        "optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))\n"
    )
    cfg = read_config(file)
    assert isinstance(cfg, Config)
    assert cfg.optim_wrapper.type.__name__ == "OptimWrapper"


def test_a_search_takes_the_loaders_that_the_config_validates_with():
    cfg = read_config(
        CONFIGS / "small_search.py",
        options(
            "val_dataloader.batch_size=3",
            "val_cfg.calibration_dataloader.batch_size=5",
            "search.dataloader.num_workers=1",
        ),
    )
    loaders = search_loaders(cfg)
    assert loaders["dataloader"].batch_size == 3
    assert loaders["dataloader"].num_workers == 1
    assert loaders["dataloader"].dataset == cfg.val_dataloader.dataset
    assert loaders["calibration_dataloader"].batch_size == 5
    cfg.search.dataloader = dict(batch_size=7, dataset=dict(type="ImageNet"))
    assert "dataloader" not in search_loaders(cfg)  # It has a whole one.
    label_free = read_config(CONFIGS / "small_search_label_free.py")
    assert search_loaders(label_free)["calibration_dataloader"] == label_free.train_dataloader
