"""What an executable removes at its start, and what it must leave alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from netpulse.cli import frozen


def folder(parent: Path, name: str, *, old: bool = True, ours: bool = True) -> Path:
    made = parent / name
    (made / ("netpulse" if ours else "other")).mkdir(parents=True)
    if old:
        os.utime(made, (1, 1))
    return made


def test_only_abandoned_folders_of_ours_go(tmp_path: Path) -> None:
    own = folder(tmp_path, "_MEIown")
    abandoned = folder(tmp_path, "_MEIabandoned")
    young = folder(tmp_path, "_MEIyoung", old=False)
    foreign = folder(tmp_path, "_MEIforeign", ours=False)
    unrelated = folder(tmp_path, "elsewhere")
    running = folder(tmp_path, "_MEIrunning")
    with (running / ".netpulse-in-use").open("w") as held:
        os.utime(running, (1, 1))
        fcntl.flock(held, fcntl.LOCK_SH)
        assert frozen.sweep(tmp_path, own) == [abandoned]
        for kept in (own, young, foreign, unrelated, running):
            assert kept.is_dir()
        assert not abandoned.exists()


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    target = folder(tmp_path, "target")
    (tmp_path / "_MEIlink").symlink_to(target)
    assert frozen.sweep(tmp_path, tmp_path / "_MEIown") == []
    assert target.is_dir()


def test_nothing_happens_from_source() -> None:
    assert not frozen.is_frozen()
    frozen.settle()
