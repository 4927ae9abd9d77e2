"""`epipar reconstruct` and `epipar export` as a user runs them, over real processes."""

from __future__ import annotations

import json
import os
import pty
import signal
from pathlib import Path

import pytest

from .conftest import Epipar, events_of, read_until


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that is not below the scene's store."""
    folder = tmp_path / "else where"
    folder.mkdir()
    return folder


def seen_by_the_service(scene: Path) -> str:
    return str(json.loads((scene / "request.json").read_text())["input_uri"])


@pytest.mark.parametrize("name", ["clip.mp4", "Küche am Abend.mp4", "a;b $(c).mov"])
def test_an_input_from_elsewhere_is_staged_and_cleared_away(
    epipar: Epipar, elsewhere: Path, name: str
) -> None:
    (elsewhere / name).write_bytes(b"video")
    done = epipar.run("reconstruct", elsewhere / name, "-o", "out/my scene")
    assert done.returncode == 0, done.stderr
    assert "59 of 60 have a pose and depth" in done.stdout
    scene = epipar.folder / "out" / "my scene"
    assert seen_by_the_service(scene) == f".my scene.input/{name}"
    assert [entry.name for entry in scene.parent.iterdir()] == ["my scene"]
    assert (elsewhere / name).read_bytes() == b"video"
    assert list((epipar.folder / ".tmp").iterdir()) == []
    epipar.assert_all_services_ended()


def test_an_input_beside_the_scene_is_read_where_it_is(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    assert epipar.run("reconstruct", "clip.mp4", "-o", "scene").returncode == 0
    assert seen_by_the_service(epipar.folder / "scene") == "clip.mp4"


def test_a_name_that_no_store_key_can_hold_gets_a_plain_one(
    epipar: Epipar, elsewhere: Path
) -> None:
    (elsewhere / "a\\b\n.mp4").write_bytes(b"video")
    assert epipar.run("reconstruct", elsewhere / "a\\b\n.mp4", "-o", "out/s").returncode == 0
    assert seen_by_the_service(epipar.folder / "out" / "s") == ".s.input/input.mp4"


def test_a_folder_of_photos_with_links_in_it_is_staged_as_files(
    epipar: Epipar, elsewhere: Path
) -> None:
    photos = epipar.folder / "photos"
    photos.mkdir()
    (elsewhere / "0.jpg").write_bytes(b"jpeg")
    (photos / "0.jpg").symlink_to(elsewhere / "0.jpg")
    (photos / ".DS_Store").write_bytes(b"")
    assert epipar.run("reconstruct", photos, "-o", "scene").returncode == 0
    assert seen_by_the_service(epipar.folder / "scene") == ".scene.input/photos"


def test_json_gives_one_object_a_line_and_the_result_last(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", "clip.mp4", "-o", "scene", "--json")
    events = events_of(done.stdout)
    assert done.stderr == ""
    assert {event["event"] for event in events[:-1]} == {"progress"}
    assert events[-1]["event"] == "result"
    assert events[-1]["path"] == str(epipar.folder / "scene")
    assert events[-1]["registered_frames"] == 59


def test_a_typed_failure_is_one_clear_line_and_leaves_nothing(
    epipar: Epipar, elsewhere: Path
) -> None:
    (elsewhere / "split.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", elsewhere / "split.mp4", "-o", "out/scene")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "epipar: SPLIT_MODEL: 31 of 60 frames registered in the largest part; 80 % are needed"
    )
    assert done.stdout == ""
    assert list((epipar.folder / "out").iterdir()) == []
    as_json = epipar.run("reconstruct", elsewhere / "split.mp4", "-o", "out/scene", "--json")
    last = events_of(as_json.stdout)[-1]
    assert (last["event"], last["reason"]) == ("error", "SPLIT_MODEL")
    assert last["metadata"] == {"registered": "31", "frames": "60"}


def test_a_missing_input_is_not_found(epipar: Epipar) -> None:
    done = epipar.run("reconstruct", "nothing.mp4", "-o", "scene")
    assert done.returncode == 4
    assert "epipar: NOT_FOUND: 'nothing.mp4' does not exist" in done.stderr


def test_names_that_are_no_unicode_are_read_and_refused_in_order(epipar: Epipar) -> None:
    name = os.fsdecode(b"clip-\xff.mp4")
    (epipar.folder / name).write_bytes(b"video")
    assert epipar.run("reconstruct", name, "-o", "scene").returncode == 0
    assert seen_by_the_service(epipar.folder / "scene") == ".scene.input/input.mp4"
    refused = epipar.run("reconstruct", name, "-o", os.fsdecode(b"scene-\xff"))
    assert refused.returncode == 3
    assert "epipar: BAD_REQUEST: output_uri is" in refused.stderr


def test_other_content_under_the_scenes_name_is_kept_and_told(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    (epipar.folder / "scene").mkdir()
    (epipar.folder / "scene" / "diary.txt").write_text("mine")
    done = epipar.run("reconstruct", "clip.mp4", "-o", "scene")
    assert done.returncode == 5
    assert "epipar: OUTPUT_EXISTS:" in done.stderr
    assert (epipar.folder / "scene" / "diary.txt").read_text() == "mine"


def test_a_parent_that_is_a_file_is_told(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", "clip.mp4", "-o", "clip.mp4/scene")
    assert done.returncode == 5
    assert done.stderr.startswith("epipar: OUTPUT_EXISTS:")


@pytest.mark.parametrize(
    ("number", "code", "mood"),
    [(signal.SIGINT, 130, ""), (signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "stubborn")],
)
def test_stopping_the_command_ends_its_service_too(
    epipar: Epipar, elsewhere: Path, number: signal.Signals, code: int, mood: str
) -> None:
    (elsewhere / "forever.mp4").write_bytes(b"video")
    arguments = ("reconstruct", elsewhere / "forever.mp4", "-o", "out/s", "--json")
    with epipar.popen(*arguments, env={"FAKE_MOOD": mood}) as process:
        read_until(process, "progress", stage="sweeping")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert (events_of(out)[-1]["event"], err) == ("stopped", "")
    assert list((epipar.folder / "out").iterdir()) == []
    epipar.assert_all_services_ended(timeout_s=0)


def test_a_killed_command_leaves_no_service_and_its_successor_goes_on(
    epipar: Epipar, elsewhere: Path
) -> None:
    (elsewhere / "forever.mp4").write_bytes(b"video")
    arguments = ("reconstruct", elsewhere / "forever.mp4", "-o", "out/s", "--json")
    with epipar.popen(*arguments) as process:
        read_until(process, "progress", stage="sweeping")
        process.kill()
    epipar.assert_all_services_ended()
    assert (epipar.folder / "out" / ".s.input" / "forever.mp4").exists()

    (elsewhere / "clip.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", elsewhere / "clip.mp4", "-o", "out/s")
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in (epipar.folder / "out").iterdir()] == ["s"]


def test_a_second_command_for_the_same_scene_is_told_and_harms_nothing(
    epipar: Epipar, elsewhere: Path
) -> None:
    (elsewhere / "forever.mp4").write_bytes(b"video")
    arguments = ("reconstruct", elsewhere / "forever.mp4", "-o", "out/s", "--json")
    with epipar.popen(*arguments) as process:
        read_until(process, "progress", stage="sweeping")
        second = epipar.run(*arguments)
        assert second.returncode == 5
        assert events_of(second.stdout)[-1]["reason"] == "OUTPUT_BUSY"
        assert (epipar.folder / "out" / ".s.input" / "forever.mp4").exists()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_service_that_crashes_is_told_with_its_log(epipar: Epipar) -> None:
    (epipar.folder / "crash.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", "crash.mp4", "-o", "s", "--json")
    last = events_of(done.stdout)[-1]
    assert done.returncode == 1
    assert last["reason"] == "WORKER_DIED"
    assert "ended with status 3: depth serves (log: " in last["message"]
    assert Path(last["message"].partition("(log: ")[2][:-1]).exists()


def test_a_service_that_refuses_to_start_is_told_with_its_reason(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    done = epipar.run("reconstruct", "clip.mp4", "-o", "s", FAKE_MOOD="depth refuses to start")
    assert done.returncode == 7
    assert "ended with status 2 before it was ready: EPIPAR_DEPTH_NONSENSE" in done.stderr


def test_an_export_goes_into_the_scene_or_where_it_is_told_to(epipar: Epipar) -> None:
    scene = epipar.folder / "scenes" / "kitchen"
    scene.mkdir(parents=True)
    (scene / "scene.json").write_text("{}")
    assert epipar.run("export", "scenes/kitchen").returncode == 0
    assert (scene / "exports" / "default" / "export.json").exists()
    done = epipar.run("export", "scenes/kitchen", "-o", "web/kitchen", "--drop", "20,10,3")
    assert done.returncode == 0, done.stderr
    assert (epipar.folder / "web" / "kitchen" / "export.json").exists()
    assert "invented" in done.stdout


def test_a_codec_that_does_not_exist_is_one_clear_line(epipar: Epipar) -> None:
    done = epipar.run("export", "scene", "--codec", "zip")
    assert done.returncode == 3
    assert done.stderr == (
        "epipar: CODEC_UNKNOWN: codec is 'zip'; it must be one of meshopt, draco, none\n"
    )


def test_an_export_of_nothing_is_not_found(epipar: Epipar) -> None:
    done = epipar.run("export", "nothing")
    assert done.returncode == 4
    assert "is not a folder" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("reconstruct", "clip.mp4"),
        ("export", "s", "--drop", "many"),
        ("export", "s", "--drop", "1,2"),
        ("reconstruct", "a"),
        ("reconstruct", "a", "-o", "b", "--address", "ftp://x"),
        ("complete", "a", "--intent", "remove"),
        ("complete", "a", "--box", "1,2,3"),
        ("masks", "a", "--sphere", "a,b,c,d"),
        ("complete", "a", "--mask-set", "x", "--address", "127.0.0.1:1"),
        ("up", "--port", "70000"),
        ("jobs", "watch"),
        ("reconstruct", "a", "-o", "b", "--address", "127.0.0.1:1", "--cert", "only.pem"),
        ("reconstruct", "a", "-o", "b", "--address", "127.0.0.1:1", "--timeout", "-1"),
    ],
)
def test_a_wrong_command_line_is_code_2(epipar: Epipar, arguments: tuple[str, ...]) -> None:
    done = epipar.run(*arguments)
    assert done.returncode == 2
    assert "epipar" in done.stderr


def test_a_suite_that_does_not_answer_is_code_7(epipar: Epipar) -> None:
    done = epipar.run("export", "scenes/a", "--address", "127.0.0.1:1")
    assert done.returncode == 7
    assert "127.0.0.1:1 does not answer" in done.stderr


def test_a_terminal_sees_a_bar_for_every_stage(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    ours, theirs = pty.openpty()
    with epipar.popen(
        "reconstruct",
        "clip.mp4",
        "-o",
        "s",
        stderr=theirs,
        env={"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"},
    ) as process:
        os.close(theirs)
        shown = bytearray()
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # Linux tells the end of a terminal as EIO
            pass
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    for counts in ("reading", "4/4 frames", "matching", "6/6 frames", "sweeping", "3/3 frames"):
        assert counts in text
    assert "59 of 60" in out
