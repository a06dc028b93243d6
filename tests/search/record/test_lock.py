"""Nobody claims without the lock, and no file stands in for it."""

import errno
import fcntl

import pytest

from pinas_mm.errors import UserError


def test_a_disk_without_locks_is_refused(open_record, sqlite, monkeypatch):
    record = open_record(sqlite)

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)  # There is no such file system here.
        with pytest.raises(UserError, match=r"\.lock cannot be locked \(Function.*--storage"):
            record.claim(2)
    # Nothing is left that others, or this one, would wait for.
    assert len(record.claim(2)) == 2
