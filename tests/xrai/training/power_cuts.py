"""What a power cut leaves: the folder after each step of writing, with the content that was flushed by then."""

import os
from pathlib import Path

STEPS = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync")
Files = dict[str, bytes]


class PowerCuts:
    """Notes what the disk holds after every rename, deletion and flush below a folder.

    The model is ext4 with its default options: names change in order, and a file has the content of its last flush,
    or none where it was never flushed.
    """

    def __init__(self, folder, patch):
        self.folder, self.flushed, self.states = folder, {}, []
        for name in STEPS:
            patch.setattr(os, name, self._noting(getattr(os, name)))

    def _noting(self, real):
        def step(target, *arguments, **named):
            if real.__name__ == "fsync":
                ino = os.fstat(target).st_ino
                self.flushed[ino] = next((item[2] for item in self._now() if item[1] == ino), b"")
            result = real(target, *arguments, **named)
            self._note()
            return result

        return step

    def _now(self):
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                yield str(file.relative_to(self.folder)), file.stat().st_ino, file.read_bytes()

    def _note(self):
        now = list(self._now())
        self.flushed = {ino: content for ino, content in self.flushed.items() if ino in {item[1] for item in now}}
        state = {name: self._left(ino, content) for name, ino, content in now}
        if not self.states or state != self.states[-1]:
            self.states.append(state)

    def _left(self, ino, content):
        flushed = self.flushed.get(ino, b"")
        return flushed if content.startswith(flushed) else b""


def write_out(files: Files, folder: Path) -> Path:
    """A folder with those files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
