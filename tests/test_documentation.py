"""README.md and docs/: every command, Python and config fragment is run, at small size.

Commands run as they are written, in a folder where ``configs/`` has the same names in small, and
data sets are digits; what a command needs that an earlier page makes is made by README's pipeline.
What cannot run here is in ``ELSEWHERE``, with the reason, and checked by its script and options.
"""

import argparse
import ast
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import COUNTED, NAMES, REPOSITORY
from fragments import PAGES, Fragment, fragments, inline_commands, script_of
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, Registry, init_default_scope
from shrink import narrow, shrink

from pinas_mm import registry
from pinas_mm.engine.config import read_config
from pinas_mm.export.subnet import network_config, network_configs
from pinas_mm.models import PiNASBackbone
from pinas_mm.registry import dicts

ALL = [fragment for page in PAGES for fragment in fragments(page)]
# By the beginning of a command, why it is only read here.
ELSEWHERE = {
    "make": "installs the whole stack, or trains for minutes: `.ci/run` and people run it",
    "source": "is of a shell that people sit at",
    "pip": "downloads",
    "createdb": "wants a database server; tests/search run with one where it is installed",
    "optuna-dashboard": "is a server that does not end",
    "sbatch": "wants Slurm",
    "tools/slurm_train.sh": "wants Slurm",
    "python benchmarks/": "measures for minutes to hours; tests/benchmarks run them at small size",
    "python examples/": "tests/examples run them",
}
# The same of single commands.
ONLY_READ = {
    "--storage postgresql": "wants a database server; tests/search run with one",
    "configs/coco/retinanet_pinas-supernet": "tests/test_any_task.py runs all of it",
    "retinanet_supernet.py": "tests/test_any_task.py runs all of it",
    "retinanet_winner": "tests/test_any_task.py runs all of it",
    "my_fcos.py": "the model is built and run; its data are the library's",
    "mmdet::retinanet": "the model is the library's, as are its data",
    "configs/demo/": "tests/configs run it",
    "ours.pth": "wants published weights: tests/convert makes some",
}
# What a small search takes less of, whatever a command says.
SMALLER = {"--trials": "2", "--workers": "1"}
SHORTER = dict(trials=2, images=2, partners=1, calibration_batches=1, max_epochs=1)
# What a command writes, which it refuses to do over what an earlier page's wrote.
WRITTEN = ("--out", "--onnx", "--torchscript", "--model-out")
# Of the paper's supernet, a sixteenth.
SPACE = dict(
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40)],
    depths=(1, 1, 1, 1),
    widths=(16, 32, 64, 128),
    strides=(1, 2, 2, 2),
    expansion=4,
    stem_widths=(8, 8, 16),
)


# Status of a command whose line was only read.
READ = 99


def of_kind(*kinds: str) -> list[Fragment]:
    return [fragment for fragment in ALL if fragment.kind in kinds]


def why_only_read(command: str) -> str | None:
    words = " ".join(script_of(command))
    for beginning, reason in ELSEWHERE.items():
        if words.startswith(beginning):
            return reason
    return next((reason for part, reason in ONLY_READ.items() if part in command), None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Digits in all layouts, enough for the label-free score."""
    from pinas_mm.data.digits import prepare

    folder = tmp_path_factory.mktemp("images")
    list(prepare(folder, train=16, val=4))
    return folder


def linked(folder: Path, images: Path) -> None:
    """What a clone has, and folders of images as the guides have them."""
    for name in ("tools", "benchmarks", "examples", "docs"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "data").symlink_to(images)
    (folder / "labelled").symlink_to(images / "imagenet")
    for name, split in (("photos", "train"), ("photos_held_out", "val")):
        (folder / name).mkdir()
        for file in (images / "imagenet" / split).rglob("*.jpg"):
            shutil.copy(file, folder / name)


def small(config: Config) -> Config:
    """A config on the small space, at the smallest size."""
    config = shrink(config, 32)
    narrow(config.model)
    for network in network_configs(config):
        if network.type.endswith(("PiNASSupernet", "PiNASBackbone")):
            network.space = SPACE
            if "arch" in network:
                network.arch = "0-1-2-3"
    if "space" in config:
        config.space = SPACE
    if config.model.type == "pinas_mm.PiNAS":
        config.model.head.pair.update(dim=config.model.neck.out_channels, queue_size=16)
    # Shifts are measured on batches of four or more.
    config.train_dataloader.batch_size = 4
    return config


def shortened(text: str) -> str:
    """A config file's text with short searches."""
    for setting, value in SHORTER.items():
        text = re.sub(rf"\b{setting}=\d+", f"{setting}={value}", text)
    return text


@pytest.fixture(scope="module")
def work(images, tmp_path_factory, request):
    """The folder that commands run in: small configs, and what README's pipeline leaves."""
    folder = tmp_path_factory.mktemp("work")
    linked(folder, images)
    named = {
        word
        for fragment in ALL
        for word in re.findall(r"configs/[\w/.+-]+\.py", fragment.text)
        if fragment.kind in ("command", "file") and "configs/demo/" not in word
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PINAS_DATA", raising=False)
        patch.chdir(folder)
        for name in sorted(named):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            small(read_config(REPOSITORY / name)).dump(folder / name)
        readme = [f for f in ALL if f.page == "README.md" and "pinas_supernet.py" in f.text]
        for command in readme[0].commands():
            run(command)
    return folder


def run(command: str, only_read: bool = False) -> None:
    """Runs a command of ``tools/``, ``benchmarks/`` or ``examples/`` in this process.

    Args:
        command: a line of shell.
        only_read: ends where the command line is read.
    """
    reading = ["bash", "-c", f"printf '%s\\0' {command}"]
    words = subprocess.run(reading, check=True, capture_output=True, text=True).stdout.split("\0")
    words.pop()
    while re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[0] == "torchrun":
        words = ["python", *words[next(i for i, w in enumerate(words) if w.endswith(".py")) :]]
    if words[0] == "tools/dist_train.sh":
        assert words[2].isdecimal()
        words = ["python", "tools/train.py", words[1], *words[3:]]
    elif words[0] == "tools/slurm_train.sh":
        words = ["python", "tools/train.py", *words[3:]]
    assert words[0] == "python", command
    for option, value in SMALLER.items():
        if option in words:
            words[words.index(option) + 1] = value
    script = REPOSITORY / words[1]
    if not only_read:
        make_room(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words[1:])
        patch.syspath_prepend(str(script.parent))
        patch.syspath_prepend(os.getcwd())  # As PYTHONPATH=. does.
        if only_read:
            parse = argparse.ArgumentParser.parse_args

            def read(self, *arguments, **options):
                parse(self, *arguments, **options)
                raise SystemExit(READ)

            patch.setattr(argparse.ArgumentParser, "parse_args", read)
        MMLogger.get_instance(next(NAMES))
        module = imported(script)
        status = 0
        try:
            module.main()
        except SystemExit as end:
            status = end.code
        assert status == (READ if only_read else 0), command


def make_room(words: list[str]) -> None:
    """Removes what earlier pages left where a command writes."""
    for option in set(WRITTEN).intersection(words):
        written = Path(words[words.index(option) + 1])
        if written.is_dir():
            shutil.rmtree(written)
        written.unlink(missing_ok=True)
    if words[1] == "tools/train.py":
        shutil.rmtree(Path("work_dirs", Path(words[2]).stem), ignore_errors=True)


def imported(script: Path) -> types.ModuleType:
    """A script as a module; examples import each other, and register what they have once."""
    if script.parent.name == "examples":
        return importlib.import_module(script.stem)
    spec = importlib.util.spec_from_file_location(f"documented_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_count(record_property):
    counts = Counter(fragment.kind for fragment in ALL)
    commands = [c for fragment in of_kind("command", "console") for c in fragment.commands()]
    only_read = sum(why_only_read(command) is not None for command in commands)
    inline = sum(len(list(inline_commands(page))) for page in PAGES)
    record_property(
        COUNTED,
        f"{len(ALL)} fragments on {len(PAGES)} pages: "
        + ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        + f"; {len(commands)} commands, {only_read} of them only read, {inline} more in text",
    )
    # Nothing is left out by a fence that nobody knows.
    assert set(counts) <= {"command", "console", "python", "module", "config", "file", "text"}
    fences = sum(len(re.findall(r"^ *```\w", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert len(ALL) == fences


def test_reasons_are_of_commands():
    commands = [c for fragment in of_kind("command") for c in fragment.commands()]
    inline = [c for page in PAGES for c in inline_commands(page)]
    for beginning in ELSEWHERE:
        assert any(" ".join(script_of(c)).startswith(beginning) for c in (*commands, *inline)), (
            beginning
        )
    for part in ONLY_READ:
        assert any(part in command for command in (*commands, *inline)), part


def check_elsewhere(command: str) -> None:
    """That what is named is there and takes these options."""
    words = script_of(command)
    if words[0] == "make":
        # Nothing is made: -n prints.
        made = subprocess.run(
            [*words[:1], "-n", *words[1:]], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
    elif words[0] == "sbatch":
        inner = next(word for word in words if word.startswith("python "))
        run(inner.replace("$SLURM_ARRAY_TASK_ID", "1"), only_read=True)
    elif words[0] in ("python", "torchrun", "tools/dist_train.sh", "tools/slurm_train.sh"):
        run(command, only_read=True)
    else:
        assert words[0] in ("source", "pip", "createdb", "optuna-dashboard", "bash")


def test_commands_that_are_only_read(tmp_path, monkeypatch):
    best = tmp_path / "work_dirs/pinas_search/best.txt"
    best.parent.mkdir(parents=True)
    best.write_text("0-1-2-3\n")
    monkeypatch.chdir(tmp_path)
    fenced = [c for fragment in of_kind("command") for c in fragment.commands()]
    for command in fenced:
        if why_only_read(command):
            check_elsewhere(command)
    for page in PAGES:
        for command in inline_commands(page):
            check_elsewhere(command)


RUN = [page for page in PAGES if any(True for _ in fragments(page))]


@pytest.mark.parametrize("page", RUN, ids=[str(p.relative_to(REPOSITORY)) for p in RUN])
def test_page(page, work, tmp_path, monkeypatch, capfd):
    """Files are written, commands and Python run, in the page's order."""
    monkeypatch.delenv("PINAS_DATA", raising=False)
    # A folder of its own: other pages write files of the same names.
    own = shutil.copytree(work, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(own)
    names: dict = {}
    for fragment in fragments(page):
        if fragment.kind in ("file", "module"):
            Path(fragment.title).write_text(shortened(fragment.text))
        elif fragment.kind == "python":
            exec(compile(fragment.text, str(fragment), "exec"), names)
        elif fragment.kind == "console":
            capfd.readouterr()
            for command in fragment.commands():
                run(command)
            told = fragment.text.split("\n", 1)[1].strip()
            assert told in capfd.readouterr().out, fragment
        elif fragment.kind == "command" and not (
            page.name == "README.md" and "pinas_supernet.py" in fragment.text
        ):
            for command in fragment.commands():
                if not command.startswith("export ") and not why_only_read(command):
                    run(command)


@pytest.fixture(scope="module")
def clone(images, tmp_path_factory):
    """A folder where configs are as they are, with a winner of the paper's space."""
    folder = tmp_path_factory.mktemp("clone")
    linked(folder, images)
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    torch.manual_seed(0)
    backbone = PiNASBackbone("pinas_trans")
    meta = dict(arch=str(backbone.arch), space=backbone.space.to_dict())
    torch.save(dict(state_dict=backbone.state_dict(), meta=meta), folder / "winner.pth")
    for fragment in of_kind("file", "module"):
        (folder / fragment.title).write_text(fragment.text)
    return folder


@pytest.mark.parametrize("fragment", of_kind("file"), ids=str)
def test_config_file(fragment, clone, monkeypatch):
    """Whole config files: loaded, their models built and run up to what follows the backbone."""
    monkeypatch.chdir(clone)
    monkeypatch.syspath_prepend(str(clone))
    config = read_config(fragment.title)
    check_types(config, fragment)
    network = network_config(config)
    if network.type == "pinas_mm.PiNASSupernet":
        network.pop("init_cfg", None)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model).eval()
    channels = getattr(network, "in_channels", None) or 3
    x = torch.zeros(1, channels, 64, 64)
    if network.type == "pinas_mm.PiNASSupernet":
        feats = model.backbone(x, [0] * model.backbone.space.num_blocks)
        model = getattr(model, "model", model)
    else:
        feats = model.backbone(x)
    neck = getattr(model, "neck", None)
    feats = neck(feats) if neck is not None else feats
    if hasattr(model, "decode_head"):
        assert model.decode_head(feats).shape[1] == model.num_classes


@pytest.mark.parametrize("fragment", of_kind("config"), ids=str)
def test_config_part(fragment, monkeypatch):
    """Parts: every ``type`` is known, spaces and scores are built."""
    nodes = ast.parse(fragment.text).body
    names: dict = {}
    exec(fragment.text, names)
    for node in nodes:
        name = node.targets[0].id
        value = names[name]
        check_types(Config({name: value}), fragment)
        if name == "space":
            from pinas_mm.space import SearchSpace

            assert SearchSpace.build(value).size > 1


def check_types(config: Config, fragment: Fragment) -> None:
    """That something is registered under every ``type`` of ours."""
    registries = [r for r in vars(registry).values() if isinstance(r, Registry)]
    for node in dicts(config._cfg_dict):
        name = node.get("type")
        if isinstance(name, str) and name.startswith("pinas_mm."):
            bare = name.removeprefix("pinas_mm.")
            for each in registries:
                each.import_from_location()
            assert any(bare in each.module_dict for each in registries), (fragment, name)
