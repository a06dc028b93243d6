"""Images that all workers of a machine have in memory once."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import mmap
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import torch

from pinas_mm.search.evaluation.images import Batches

# Of each tensor's place in the file, as large as any number's and a cache line.
ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class SharedBatches:
    """Batches whose pixels lie in a file that has no name, and so is gone with its last user.

    Args:
        file: its descriptor, in each of the processes.
        rest: all but the pixels.
    """

    file: int
    rest: bytes

    def batches(self) -> dict[str, Batches]:
        """The batches by name, whose pixels take no memory of this process.

        What writes to them writes to a copy of its own.
        """
        content = _Unpickler(self.rest, self.file).load()
        return {name: Batches.of(kept, metainfo) for name, (kept, metainfo) in content.items()}


@contextlib.contextmanager
def share(batches: Mapping[str, Batches]) -> Iterator[SharedBatches]:
    """While open, batches that are kept in memory lie in a file that other processes can inherit.

    Args:
        batches: by name; those that are not kept are left out.

    Raises:
        OSError: there is no room in the folder of temporary files.
    """
    content = {n: (b.kept, b.metainfo) for n, b in batches.items() if b.kept is not None}
    with tempfile.TemporaryFile() as file:
        rest = io.BytesIO()
        _Pickler(rest, file).dump(content)
        file.flush()
        yield SharedBatches(file.fileno(), rest.getvalue())


class _Pickler(pickle.Pickler):
    """Leaves tensors in a file; goes to a process of ours through a pipe, and to no disk."""

    def __init__(self, rest: IO[bytes], file: IO[bytes]) -> None:
        super().__init__(rest, protocol=pickle.HIGHEST_PROTOCOL)
        self._file = file

    def persistent_id(self, value: Any) -> Any:
        """Pickle's method."""
        if type(value) is not torch.Tensor or not value.numel() or value.device.type != "cpu":
            return None
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        place = self._file.tell()
        content = value.detach().contiguous()
        self._file.write(content.flatten().view(torch.uint8).numpy().data)
        return place, value.dtype, tuple(value.shape)


class _Unpickler(pickle.Unpickler):
    def __init__(self, rest: bytes, file: int) -> None:
        super().__init__(io.BytesIO(rest))
        self._memory: mmap.mmap | None = None
        self._file = file

    def persistent_load(self, where: Any) -> torch.Tensor:
        """Pickle's method."""
        place, dtype, shape = where
        if self._memory is None:
            self._memory = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        number = torch.Size(shape).numel()
        return torch.frombuffer(self._memory, dtype=dtype, count=number, offset=place).view(shape)
