"""Files to write are refused before work is done for them."""

import pytest

from pinas_mm.errors import UserError
from pinas_mm.export import check_targets


def test_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_targets(["a.pth", None, "b.onnx"], ["c.pth", None])
    for targets, sources, said in (
        ([None, None], [], "nothing to write: give at least one of --out"),
        ([str(tmp_path)], [], "is a folder"),
        (["a", "./a"], [], "is to be written twice"),
        (["a"], [None, str(tmp_path / "a")], "a is to be read and written"),
    ):
        with pytest.raises(UserError, match=said):
            check_targets(targets, sources)
