"""Which URLs a survey accepts, where SQLite may be, and that no password is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import database
from scoft_hpc.human_eval.database import Database
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.study.paths import SurveyDir

KINDS = (
    *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "ceph", "fuse.ceph", "fuse.sshfs", "beegfs"),
    *("panfs", "wekafs", "orangefs", "pvfs2", "afs", "9p", "glusterfs", "fuse.glusterfs", "ocfs2", "gfs2"),
)


def mounted(tmp_path: Path, kind: str) -> tuple[Path, Path]:
    """A folder, and a table of mounts in which it lies on that file system."""
    folder = tmp_path / "shared disk"
    folder.mkdir()
    table = tmp_path / "mounts"
    point = str(folder).replace(" ", "\\040")
    table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {point} {kind} rw,relatime 0 0\n")
    return folder, table


@pytest.mark.parametrize("kind", KINDS)
def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    folder, mounts = mounted(tmp_path, kind)
    with pytest.raises(ConfigError) as caught:
        Database.at(f"sqlite:///{folder}/survey/answers.db", mounts)
    for message in (
        kind,
        "network file system",
        "sqlite:////local/disk/answers.db",
        "postgresql://",
        "$SCOFT_SURVEY_DATABASE",
    ):
        assert message in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_link_to_a_shared_disk_is_one(tmp_path: Path) -> None:
    folder, mounts = mounted(tmp_path, "lustre")
    (tmp_path / "answers.db").symlink_to(folder / "answers.db")
    with pytest.raises(ConfigError, match="lustre"):
        Database.at(f"sqlite:///{tmp_path}/answers.db", mounts)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs"])
def test_sqlite_on_a_local_disk_is_not(tmp_path: Path, kind: str) -> None:
    folder, mounts = mounted(tmp_path, kind)
    Database.at(f"sqlite:///{folder}/survey/answers.db", mounts).close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:hunter2@db/x",
        "hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "://hunter2",
        "oracle://a:hunter2@b",
        "",
    ],
)
def test_other_urls_are_refused_with_the_options_and_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        database.parse(url)
    assert "sqlite:////local/disk/answers.db or postgresql://USER:PASSWORD@HOST/NAME" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:hunter2@127.0.0.1:1/x",
        "postgresql+psycopg2://a:hunter2@127.0.0.1:1/x",
        "postgres://a:hunter2@127.0.0.1:1/x",
    ],
)
def test_a_server_that_does_not_answer_is_named_without_the_password(
    survey: Survey, pages: tuple[Page, ...], url: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Store.open(survey, pages, url)
    assert "hunter2" not in str(caught.value)
    assert "postgresql+psycopg://a:***@127.0.0.1:1/x cannot be used: " in str(caught.value)
    assert "database=URL" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_login_shows_no_password(survey: Survey, pages: tuple[Page, ...], postgres: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store.open(survey, pages, f"postgresql://nobody:hunter2@/postgres?host={postgres}")
    assert 'role "nobody" does not exist' in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_created_is_reported(
    survey: Survey, pages: tuple[Page, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        Store.open(survey, pages, f"sqlite:///{tmp_path}/file/answers.db")


def test_the_setting_has_precedence_over_the_environment_and_the_default_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SurveyDir(tmp_path / "survey")
    default_url = f"sqlite:///{tmp_path}/survey/answers.db"
    assert database.url_of(folder) == default_url
    monkeypatch.setenv("SCOFT_SURVEY_DATABASE", "postgresql://b/c")
    assert database.url_of(folder) == "postgresql://b/c"
    assert database.url_of(folder, "sqlite:////d") == "sqlite:////d"
    assert not database.exists(default_url)
    assert database.exists("postgresql://b/c")
