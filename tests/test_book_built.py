"""The built book: every page opens quietly, every link leads somewhere, every slider moves.

`make check-book` names in $FLUXLENS_BOOK the folder that `make book` has filled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import browser
import pytest

BOOK = Path(os.environ.get("FLUXLENS_BOOK") or "no-book").resolve()
LARGEST = 3_000_000  # bytes of a page, its pictures included
# The page of a book of Jupyter Book 1 that has no thebe and no stored theme says so, harmlessly.
OF_THE_THEME = re.compile(r"THEBE_JS_URL|invalid theme mode")
# From the disk a browser denies the theme its font of icons; the icons are drawn by a script then.
FROM_THE_DISK = re.compile(rf"{OF_THE_THEME.pattern}|Access to font|preload|net::ERR_FAILED$")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
pytestmark = pytest.mark.skipif(
    not (BOOK / "index.html").is_file(), reason="no built book: `make book`, then `make check-book`"
)


@dataclass
class Read(HTMLParser):
    """What a page names: its anchors, what it links to, what it loads, its pictures' words."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    alts: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := has.get(key))}
        if tag == "a" and has.get("href"):
            self.links.append(str(has["href"]))
        if tag in LOADED and has.get(LOADED[tag]):
            self.loads.append(str(has[LOADED[tag]]))
        if tag == "img":
            self.alts[(has.get("src") or "")[:80]] = has.get("alt")


@cache
def read(path: Path) -> Read:
    page = Read()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def pages() -> list[Path]:
    return sorted(p for p in BOOK.rglob("*.html") if "_static" not in p.parts)


def _each(found: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", found, ids=lambda p: p.relative_to(BOOK).as_posix())


FRONT = BOOK / "index.html"  # which only leads on to the preface
every = _each(pages())
every_read = _each([page for page in pages() if page != FRONT])


# --- without a browser --------------------------------------------------------------------------


def leads_nowhere(page: Path, link: str) -> str | None:
    """What is wrong with a link inside the book; None for a good one and for one that leads out."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file() or not target.is_relative_to(BOOK):
        return f"{link}: there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in read(target).anchors:
        return f"{link}: there is no such place on that page"
    return None


@every
def test_every_link_inside_the_book_leads_somewhere(page: Path) -> None:
    found = read(page)
    broken = [why for link in found.links + found.loads if (why := leads_nowhere(page, link))]
    assert broken == []


@every
def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    outside = [url for url in read(page).loads if re.match(r"(https?:)?//", url)]
    assert outside == []


@every
def test_every_picture_says_what_it_shows(page: Path) -> None:
    silent = [
        src for src, alt in read(page).alts.items() if not alt or re.search(r"\.(png|svg)$", alt)
    ]
    assert silent == []


@every
def test_a_page_is_small_enough_for_a_phone(page: Path) -> None:
    pictures = {
        (page.parent / unquote(src)).resolve() for src in read(page).loads if "_images" in src
    }
    size = page.stat().st_size + sum(path.stat().st_size for path in pictures if path.is_file())
    assert size < LARGEST


# --- in a browser -------------------------------------------------------------------------------

SLIDERS = """Array.from(document.querySelectorAll(".fluxlens-explorer")).map((root) => {
  const all = (tag) => Array.from(root.querySelectorAll(tag)).filter((e) => e.offsetParent);
  const choose = (element, value) => {
    element.value = value;
    for (const kind of ["input", "change"]) {
      element.dispatchEvent(new Event(kind, { bubbles: true }));
    }
  };
  const shown = () => all("img").map((img) => img.src).join(" ");
  const moved = [];
  const slide = () => all("input[type=range]").forEach((slider) => {
    const seen = new Set();
    for (let n = Number(slider.min || 0); n <= Number(slider.max); n += 1) {
      choose(slider, String(n));
      seen.add(shown());
    }
    moved.push([Number(slider.max) - Number(slider.min || 0) + 1, seen.size]);
  });
  const lists = all("select");
  const recipes = lists.length ? lists[lists.length - 1] : null;
  if (!recipes) slide();
  else Array.from(recipes.options).forEach((o) => { choose(recipes, o.value); slide(); });
  return moved;
})"""
FOUND = """new Promise((done) => {
  const end = Date.now() + 30000;
  const look = () => {
    const hits = Array.from(document.querySelectorAll("#search-results li a"), (a) => a.href);
    const over = /found|matching|did not/i.test(
      (document.querySelector("#search-results .search-summary") || {}).textContent || "");
    if ((over && hits.length) || Date.now() > end) done(hits); else setTimeout(look, 100);
  };
  look();
})"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The book's address on a server of this machine."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(BOOK))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    if browser.find() is None:
        pytest.skip("no Chromium here: install one, or name it in $CHROMIUM")
    with browser.Browser.start() as running:
        yield running


def ours(page: browser.Page, theme: re.Pattern[str] = OF_THE_THEME) -> list[str]:
    return [text for text in page.problems() if not theme.search(text)]


@contextmanager
def opened(chromium: browser.Browser, url: str, width: int = 1000) -> Iterator[browser.Page]:
    tab = chromium.page(width=width)
    tab.open(url)
    yield tab
    tab.close()


@every_read
def test_every_page_opens_quietly_and_asks_for_nothing_outside(
    chromium: browser.Browser, site: str, page: Path
) -> None:
    with opened(chromium, site + page.relative_to(BOOK).as_posix()) as tab:
        assert tab.evaluate("document.title")
        assert ours(tab) == []
        assert [url for url in tab.requests() if not url.startswith(site)] == []


@every_read
def test_a_page_fits_a_phone_and_opens_from_the_disk(chromium: browser.Browser, page: Path) -> None:
    with opened(chromium, page.as_uri(), width=360) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert ours(tab, FROM_THE_DISK) == []
        assert [url for url in tab.requests() if not url.startswith(BOOK.as_uri())] == []


def test_the_front_leads_to_the_preface() -> None:
    (found,) = re.findall(r'http-equiv="Refresh" content="0; url=([^"]+)"', FRONT.read_text())
    assert found == "book/intro.html"
    assert (BOOK / found).is_file()


def test_every_slider_moves_its_pictures(chromium: browser.Browser) -> None:
    explored = [page for page in pages() if 'class="fluxlens-explorer' in page.read_text()]
    assert explored, "no page has an explorer"
    for page in explored:
        with opened(chromium, page.as_uri()) as tab:
            for moved in tab.evaluate(SLIDERS):
                assert moved, f"{page.name}: an explorer without a slider"
                assert all(settings > 1 and seen > 1 for settings, seen in moved), page.name
            assert ours(tab, FROM_THE_DISK) == []


def test_search_finds_padding_with_no_network(chromium: browser.Browser) -> None:
    with opened(chromium, (BOOK / "search.html").as_uri() + "?q=padding") as tab:
        hits = tab.evaluate(FOUND)
    assert any("/book/notation.html" in hit for hit in hits), hits
    assert all(hit.startswith(BOOK.as_uri()) for hit in hits)
