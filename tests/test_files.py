"""Files are written whole or not at all."""

import json

import pytest

from pinas_mm.files import write_json


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "new" / "file.json", {"a": 1.5})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": 1.5}
    with pytest.raises(TypeError):
        write_json(tmp_path / "new" / "file.json", {"a": object()})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": 1.5}
