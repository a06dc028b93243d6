"""A small space, a small set of digits, and ways to run the tools."""

import functools
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# All tests compare what a CPU computes, to the bit; those of a GPU are marked so (make test-gpu).
# Before anything asks for a GPU.
GPU_TESTS = os.environ.get("PINAS_GPU_TESTS") == "1"
if not GPU_TESTS:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import mmcv.cnn.bricks.transformer  # noqa: F401  warns when it is first loaded, whoever asks
import mmengine.config.config
import pytest
import torch
from hypothesis import settings
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from pinas_mm.algorithms import PiNAS
from pinas_mm.data.digits import prepare
from pinas_mm.engine import launch
from pinas_mm.export.subnet import network_config
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

pytest_plugins = ["browser", "latencies", "records", "supernet_files"]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
CONFIGS = REPOSITORY / "tests" / "configs"
# mmengine keeps loggers and hubs by name; the names it makes up repeat within a second.
NAMES = (f"test{number}" for number in itertools.count())

# In the background of a shell Ctrl-C is ignored, which the tools that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# One thread gives the same sums on every machine, and the fastest steps on so small networks.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# What hypothesis draws is the same in every run, however long an example takes.
settings.register_profile("same", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("same")
# Laying out a config's text, once a checkpoint, takes longer than the steps of a small training.
mmengine.config.config.FormatCode = lambda text, **options: (text, False)


# Tests of whole tools, and those that train or start a tool, are slow; others are marked where they
# stand: what starts ranks, workers, servers or a browser.
SLOW_FOLDERS = ("tools", "examples", "benchmarks", "campaigns")
SLOW_FIXTURES = {"run_process", "train"}
# Of what a test records, the line that the summary shows.
COUNTED = "counted"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow ones, which `make test` leaves to `make test-all`."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.path.parent.name in SLOW_FOLDERS or SLOW_FIXTURES & fixtures:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what tests have counted, wherever they ran: xdist keeps what its processes print."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == COUNTED:
                terminalreporter.write_line(value)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Runs of other libraries' configs leave their scope behind; tests do not depend on order."""
    init_default_scope("mmpretrain")
    if item.get_closest_marker("gpu"):
        if not GPU_TESTS:
            pytest.skip("of a GPU: `make test-gpu` on a machine that has one")
        if not torch.cuda.is_available():
            pytest.skip("PyTorch sees no GPU here")


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Three choice blocks in two stages, four candidates: 64 architectures."""
    return SearchSpace.build(Config.fromfile(CONFIGS / "small_supernet.py").small_space.to_dict())


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A data folder with 16 + 8 images of digits in ImageNet's layout."""
    folder = tmp_path_factory.mktemp("digits")
    list(prepare(folder, ["imagenet"], train=16, val=8))
    return folder


@pytest.fixture(scope="session")
def layouts(tmp_path_factory) -> Path:
    """A data folder with 4 + 2 images of digits in each layout."""
    folder = tmp_path_factory.mktemp("layouts")
    list(prepare(folder, train=4, val=2))
    return folder


def pinas_model(**overrides) -> PiNAS:
    """The small algorithm, seeded and initialized; overrides are merged into its config."""
    config = Config.fromfile(CONFIGS / "small_supernet.py")
    config.merge_from_dict({f"model.{key}": value for key, value in overrides.items()})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    return model


def move_apart(model: torch.nn.Module) -> None:
    """Makes paths differ: they start equal, the last norm of every block at zero."""
    for name, weight in model.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.normal_(weight)


def save_model(config: str, file: Path) -> None:
    """Writes a checkpoint of a small config's model, seeded, whose paths differ."""
    cfg = Config.fromfile(CONFIGS / config)
    network_config(cfg).pop("init_cfg", None)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    move_apart(model)
    torch.save({"state_dict": model.state_dict()}, file)


@pytest.fixture(scope="session")
def build_pinas():
    """Builds the small algorithm; overrides are merged into its config."""
    return pinas_model


@pytest.fixture
def views():
    """Four views of a batch of three images of 32 pixels."""
    return list(torch.randn(4, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def tool(monkeypatch, capfd, digits):
    """Runs a tool in this process on the digits: (exit status, its output, its errors)."""
    monkeypatch.setenv("PINAS_DATA", str(digits))

    def run(name: str, *arguments) -> tuple[int, str, str]:
        spec = importlib.util.spec_from_file_location(f"tool_{name}", REPOSITORY / f"tools/{name}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capfd.readouterr()
        # A logger of this call: those before it write to streams that are closed by now.
        MMLogger.get_instance(next(NAMES))
        try:
            module.main()
        except SystemExit as end:
            return end.code, *capfd.readouterr()
        return 0, *capfd.readouterr()

    return run


@pytest.fixture
def printed(capfd):
    """What has been printed and logged since the last call, by a logger that capfd sees."""
    MMLogger.get_instance(next(NAMES))
    return lambda: "".join(capfd.readouterr())


@pytest.fixture
def at_iteration():
    """Publishes a seed and an iteration as a runner at work does."""

    def publish(seed: int, iteration: int) -> None:
        hub = MessageHub.get_instance(next(NAMES))
        hub.update_info("seed", seed)
        hub.update_info("iter", iteration)

    return publish


@pytest.fixture
def train(tool):
    """Trains in this process; returns the rows logged, one an iteration."""

    def run(config: str, work_dir: Path, *arguments, options: dict | None = None) -> list[dict]:
        options = {"experiment_name": next(NAMES), **(options or {})}
        settings = [f"{key}={value}" for key, value in options.items()]
        status, out, err = tool(
            "train.py",
            CONFIGS / config,
            "--work-dir",
            work_dir,
            *arguments,
            "--cfg-options",
            *settings,
        )
        assert status == 0, err or out
        return logged(work_dir)

    return run


@pytest.fixture
def runner(monkeypatch, digits, tmp_path):
    """Builds a runner of a small config for one epoch; overrides are merged into the config."""
    monkeypatch.setenv("PINAS_DATA", str(digits))

    def build(name: str = "small_supernet.py", **overrides) -> Runner:
        config = Config.fromfile(CONFIGS / name)
        short = {"train_cfg.max_epochs": 1, "work_dir": str(tmp_path / "work")}
        config.merge_from_dict({**short, "experiment_name": next(NAMES), **overrides})
        return launch.build_runner(config)

    return build


@pytest.fixture
def run_process(digits):
    """Starts a tool as a process on the digits and waits for its end."""

    def run(*command, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=cwd,
            env={**os.environ, "PINAS_DATA": str(digits)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def logged(work_dir: Path) -> list[dict]:
    """Rows of training iterations that the latest run in a work dir logged."""
    file = max(Path(work_dir).glob("*/vis_data/scalars.json"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if "loss" in row]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An HTTP server of a folder, and PyTorch's cache; returns the address and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
