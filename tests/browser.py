"""A real browser without a network, and what it is asked of pages."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# CSS pixels of a telephone's width.
PHONE = 390

# Put before a page's own scripts and styles are done with.
ASK = """<script>
window.onerror = (message) => { document.body.dataset.fault = message; };
SCRIPT
addEventListener("load", () => {
  document.body.dataset.answer = JSON.stringify(ACTIONS);
  parent.postMessage(document.body.dataset.answer, "*");
});
</script></body>"""
# A window without a screen is never as narrow as a telephone; a frame in it is.
FRAME = """<body><iframe src="INNER" style="width: WIDTHpx; height: 800px; border: 0"></iframe>
<script>
addEventListener("message", (event) => { document.body.dataset.answer = event.data; });
</script></body>"""

# What holds of every page; an answer of :meth:`Browser.ask`.
WHOLE = """({
  fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
  broken: [...document.images].filter((image) => !image.naturalWidth).length,
  twice: [...document.querySelectorAll("[id]")].map((e) => e.id)
    .filter((id, place, ids) => ids.indexOf(id) !== place),
  width: innerWidth,
  wide: document.documentElement.scrollWidth,
  dark: getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).every((c) => c < 60),
  figures: [...document.querySelectorAll("figure svg")].filter((svg) => svg.checkVisibility())
    .map((svg) => ({
      of: svg.closest("div").className,
      width: svg.getBoundingClientRect().width,
      height: svg.getBoundingClientRect().height,
      alt: svg.getAttribute("aria-label"),
    })),
  cut: [...document.querySelectorAll("main *")]
    .filter((e) => e.checkVisibility() && !e.parentElement.closest("svg"))
    .filter((e) => (e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      || e.getBoundingClientRect().right > innerWidth)
    .map((e) => e.outerHTML.slice(0, 90)),
})"""


class Browser:
    """Chromium.

    Args:
        folder: for its own files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, page: Path, *arguments: str, dark: bool = False) -> str:
        """Opens a page that must not complain; its standard output."""
        alone = ["unshare", "-n"]
        if subprocess.run([*alone, "true"], capture_output=True).returncode:
            alone = []
        command = [
            *alone,
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={self._folder / 'profile'}",
            "--virtual-time-budget=4000",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
            *arguments,
            f"file://{page}",
        ]
        home = {**os.environ, "HOME": str(self._folder)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=home)
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        # Not of the browser's own pages, which miss a network.
        complaints = [n for n in lines if "CONSOLE" in n and "source: chrome://" not in n]
        assert not complaints, complaints
        return done.stdout

    def ask(
        self, page: Path, actions: str, script: str = "", width: int | None = None, **options: bool
    ) -> object:
        """The value of a JavaScript expression in an opened page.

        Args:
            page: the file.
            actions: the expression.
            script: run before, with what the expression uses.
            width: of the page in CSS pixels; None is a desktop's.
            options: as for :meth:`open`.
        """
        ask = ASK.replace("SCRIPT", script).replace("ACTIONS", actions)
        asked = self._folder / "asked.html"
        asked.write_text(page.read_text().replace("</body>", ask))
        if width is not None:
            frame = self._folder / "frame.html"
            frame.write_text(FRAME.replace("INNER", asked.name).replace("WIDTH", str(width)))
            asked = frame
        dom = self.open(asked, "--dump-dom", **options)
        body = re.search(r"<body[^>]*>", dom).group()
        assert "data-fault" not in body, body
        answer = re.search(r'data-answer="([^"]*)"', body)
        assert answer, body
        return json.loads(html.unescape(answer.group(1)))


@pytest.fixture
def browser(tmp_path) -> Browser:
    """Chromium; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed here: bash tools/install_debian.sh")
    folder = tmp_path / "browser"
    folder.mkdir()
    return Browser(folder)


def assert_alone(page: Path) -> None:
    """A page fetches nothing, and what it leads to lies beside it."""
    text = page.read_text()
    assert not re.search(r"https?:|//cdn|@import|url\(\s*['\"]?(?!#)", text)
    assert not re.search(r"<(link|iframe|object|embed|base)\b", text)
    assert all(source.startswith("data:") for source in re.findall(r'\bsrc="([^"]*)', text))
    ids = set(re.findall(r'\bid="([^"]*)', text))
    for target in re.findall(r'\bhref="([^"]*)', text):
        inside = target.startswith("data:") or (target.startswith("#") and target[1:] in ids)
        assert inside or (page.parent / html.unescape(target)).is_file(), target[:90]
    assert "default-src 'none'" in text
