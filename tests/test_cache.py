"""A cache entry is made once, appears complete or not at all, and the oldest go first."""

import os
import threading
import time

import pytest

from prunus.sim.cache import Cache, default_folder, digest


def test_an_entry_is_made_once(tmp_path):
    cache, made = Cache("things", tmp_path), []

    def make(place):
        made.append(place)
        (place / "file").write_text("x")

    place, there = cache.get("k", make)
    assert not there
    assert (place / "file").read_text() == "x"
    assert cache.get("k", make) == (place, True)
    assert len(made) == 1


def test_a_failed_build_leaves_nothing(tmp_path):
    cache = Cache("things", tmp_path)

    def fail(place):
        (place / "half").touch()
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="^stopped$"):
        cache.get("k", fail)
    assert [path.name for path in cache.folder.iterdir() if path.is_dir()] == []
    assert cache.get("k", lambda place: None)[1] is False


def test_two_builders_of_one_key_build_once(tmp_path):
    cache, made = Cache("things", tmp_path), []
    first_is_inside = threading.Event()

    def make(place):
        made.append(place)
        first_is_inside.set()
        time.sleep(0.05)

    threads = [threading.Thread(target=cache.get, args=("k", make)) for _ in range(3)]
    threads[0].start()
    assert first_is_inside.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_the_least_recently_used_goes(tmp_path):
    cache = Cache("things", tmp_path, keep=2)
    for age, key in enumerate(["new", "middle", "old"]):
        place, _ = cache.get(key, lambda place: None)
        then = time.time() - 10_000 * (age + 1)
        os.utime(place, (then, then))
    cache.get("newest", lambda place: None)
    left = {path.name for path in cache.folder.iterdir() if path.is_dir()}
    assert left == {"new", "newest"}


def test_an_entry_in_use_stays(tmp_path):
    cache = Cache("things", tmp_path, keep=1)
    for key in "abc":
        cache.get(key, lambda place: None)
    assert {path.name for path in cache.folder.iterdir() if path.is_dir()} == {"a", "b", "c"}


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("PRUNUS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "prunus"


def test_digest_depends_on_content_alone():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest([1]) != digest(["1"])


def test_keep_is_checked(tmp_path):
    with pytest.raises(ValueError, match=r"^keep must be positive, not 0$"):
        Cache("things", tmp_path, keep=0)
