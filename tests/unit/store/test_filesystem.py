from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from litequeue.exceptions import UnsafeFilesystem
from litequeue.store import filesystem
from litequeue.store.filesystem import (
    UNSAFE,
    check,
    create_private,
    filesystem_of,
    side_directory,
)

HOST = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
30 22 0:40 / /mnt/nas rw shared:5 master:3 - nfs4 nas:/export rw,vers=4.2
31 30 8:2 / /mnt/nas/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/my\\040share rw - cifs //server/share rw
33 22 0:42 / /mnt/back\\134slash rw - virtiofs tag rw
34 22 0:43 / /mnt/tab\\011bed rw - 9p tag rw
35 22 0:44 / /var/lib/app rw - fuse.sshfs host:/ rw
36 35 0:45 / /var/lib/app rw - tmpfs tmpfs rw
"""
CONTAINER = """\
600 500 0:100 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b
601 600 0:101 / /proc rw - proc proc rw
610 600 8:1 /var/lib/docker/volumes/q/_data /data rw - ext4 /dev/sda1 rw
611 600 0:60 / /code rw - virtiofs mount0 rw
612 600 0:61 /jobs.sqlite /srv/jobs.sqlite rw - fuse.grpcfuse grpcfuse rw
"""


def mounts(tmp_path: Path, table: str) -> str:
    path = tmp_path / "mountinfo"
    path.write_text(table)
    return str(path)


@pytest.mark.parametrize(
    ("table", "directory", "kind"),
    [
        (HOST, "/", "ext4"),
        (HOST, "/home/me", "ext4"),
        (HOST, "/mnt/nas", "nfs4"),
        (HOST, "/mnt/nas/deep/down", "nfs4"),
        (HOST, "/mnt/nasty", "ext4"),
        (HOST, "/mnt/nas/local/q", "xfs"),
        (HOST, "/mnt/nas/locals", "nfs4"),
        (HOST, "/mnt/my share/q", "cifs"),
        (HOST, "/mnt/back\\slash", "virtiofs"),
        (HOST, "/mnt/tab\tbed", "9p"),
        (HOST, "/var/lib/app", "tmpfs"),
        (CONTAINER, "/app", "overlay"),
        (CONTAINER, "/data", "ext4"),
        (CONTAINER, "/code/src", "virtiofs"),
        (CONTAINER, "/srv/jobs.sqlite", "fuse.grpcfuse"),
        (CONTAINER, "/srv/other.sqlite", "overlay"),
    ],
)
def test_the_innermost_and_latest_mount_decides(
    tmp_path: Path, table: str, directory: str, kind: str
) -> None:
    assert filesystem_of(directory, mounts(tmp_path, table)) == kind


def test_where_there_is_no_table_nothing_is_known(tmp_path: Path) -> None:
    assert filesystem_of("/", str(tmp_path / "nosuch")) is None


def test_a_table_with_bytes_that_are_no_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mountinfo"
    path.write_bytes(HOST.encode() + b"40 22 0:50 / /mnt/\xff rw - nfs x rw\n")
    assert filesystem_of("/mnt/nas", str(path)) == "nfs4"
    assert filesystem_of(os.fsdecode(b"/mnt/\xff/q"), str(path)) == "nfs"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "virtiofs", "9p", "fuse.sshfs", "vboxsf"])
def test_network_and_cross_vm_filesystems_are_unsafe(kind: str) -> None:
    assert kind in UNSAFE


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs"])
def test_local_ones_are_not(kind: str) -> None:
    assert kind not in UNSAFE


def test_check_refuses_what_is_mounted_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    table = f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:1 / {far} rw - nfs4 nas:/ rw\n"
    monkeypatch.setattr(filesystem, "MOUNTS", mounts(tmp_path, table))
    check(str(near / "jobs.sqlite"))
    with pytest.raises(UnsafeFilesystem, match=r"is on nfs4, .* local disk"):
        check(str(far / "jobs.sqlite"))


def test_check_follows_links_to_where_the_file_really_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / "far"
    far.mkdir()
    table = f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:1 / {far} rw - nfs4 nas:/ rw\n"
    monkeypatch.setattr(filesystem, "MOUNTS", mounts(tmp_path, table))
    (tmp_path / "linked").symlink_to(far)
    (tmp_path / "jobs.sqlite").symlink_to(far / "jobs.sqlite")
    for path in (tmp_path / "linked" / "jobs.sqlite", tmp_path / "jobs.sqlite"):
        with pytest.raises(UnsafeFilesystem):
            check(str(path))


def test_check_sees_a_file_that_is_mounted_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "jobs.sqlite"
    table = f"1 0 8:1 / / rw - overlay o rw\n2 1 0:1 /q {file} rw - fuse.grpcfuse g rw\n"
    monkeypatch.setattr(filesystem, "MOUNTS", mounts(tmp_path, table))
    with pytest.raises(UnsafeFilesystem):
        check(str(file))


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_private(str(tmp_path / "q"))
        directory = side_directory(str(tmp_path / "q"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "q").stat().st_mode) == 0o600
    assert directory is not None
    assert stat.S_IMODE(Path(directory).stat().st_mode) == 0o700


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "q"
    file.write_text("content")
    file.chmod(0o640)
    create_private(str(file))
    assert file.read_text() == "content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_side_directory_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "q")
    assert side_directory(path) == path + ".bell"
    assert side_directory(path) == path + ".bell"
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert side_directory(path) is None


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_side_directory_that_is_none_is_not_used(tmp_path: Path, what: str) -> None:
    bell = tmp_path / "q.bell"
    if what == "file":
        bell.touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        bell.symlink_to(tmp_path / "elsewhere")
    assert side_directory(str(tmp_path / "q")) is None


def test_where_no_directory_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert side_directory(str(tmp_path / "nosuch" / "q")) is None
