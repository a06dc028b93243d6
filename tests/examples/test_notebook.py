"""The notebook's cells run in their order, as a reader would run them."""

import ast
import json

from conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "first_search.ipynb"


def shown(source, names):
    """Runs a cell; what stands in its last line is what it shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    if last is not None:
        return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)
    return None


def test_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # The notebook sets it; monkeypatch takes it back.
    monkeypatch.setenv("PINAS_DATA", "nowhere")
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    names = {"__name__": "__main__"}
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    outputs = [shown(source, names) for source in sources]
    assert "10,000 architectures" in capsys.readouterr().out
    assert outputs[3] == (1, 64, 3, 3)
    findings = names["findings"]
    assert outputs[5] is findings
    assert findings._repr_html_().startswith("<table><caption>best 8 of 8</caption>")
    assert outputs[6]._repr_png_().startswith(b"\x89PNG")
    assert outputs[7] == [(1, 16, 6, 6), (1, 32, 3, 3), (1, 64, 3, 3)]
    assert (tmp_path / "work_dirs/notebook/search/search.html").is_file()
