"""Every page has its pictures, in each window and theme, and no picture is of a page that is gone."""

from __future__ import annotations

from netpulse.web.routes import ROUTES
from tests.browser.gallery import FOLDER, LOOKS, NO_PICTURE, PICTURES, every, index

HOW = "name it in tests/browser/gallery.py, and take it: make screenshots ARGS='--only NAME'"


def routes() -> set[str]:
    return {
        path
        for route in ROUTES
        for path in route.paths
        if "GET" in route.http_methods and not path.startswith("/v1/")
    }


def test_every_page_has_pictures() -> None:
    known = set(PICTURES) | set(NO_PICTURE)
    assert routes() - known == set(), f"a page without a picture: {HOW}"
    assert known - routes() == set(), "a picture of a page that is not there any more"
    assert set(PICTURES) & set(NO_PICTURE) == set()


def test_names_are_each_used_once() -> None:
    names = [picture.name for picture in every()]
    assert len(names) == len(set(names)) > 60


def test_the_pictures_are_there() -> None:
    wanted = {f"{look.folder}/{picture.name}.webp" for look in LOOKS for picture in every()}
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.webp")}
    assert wanted - found == set(), f"a page without a picture: {HOW}"
    assert found - wanted == set(), "pictures of pages that are gone: delete them"


def test_they_do_not_weigh_much() -> None:
    sizes = {str(path): path.stat().st_size for path in FOLDER.rglob("*.webp")}
    assert sum(sizes.values()) < 12_000_000
    assert max(sizes.values()) < 250_000, max(sizes, key=lambda name: sizes[name])


def test_the_index_has_them_all() -> None:
    found = (FOLDER.parent / "README.md").read_text("utf-8")
    assert found == index(), "write it again: python -m tests.browser.gallery"
