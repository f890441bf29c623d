"""The loader of Airlock for Python 3.9 and newer: which plugins may be loaded. README.md explains it."""

import json
import os
import re
import time
import uuid
from datetime import datetime, timezone
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from gate import NAME, Judged, Refused, Rules, is_disabled, is_same, is_whole, judge, open_directory, swap_seconds

T = TypeVar("T")


class Plugin(NamedTuple):
    name: str
    root: str
    path: str
    found: Judged  # its level, marker, generation and manifest
    at: float  # when it was read, in seconds since the epoch


class Scan(NamedTuple):
    admitted: List[Plugin]
    refused: List[Refused]
    shadowed: List[Tuple[str, str, str]]  # a name, the root in which it is hidden, the root that hides it


class Loader:
    """The plugins below some roots: the workspace's own first, then shared ones."""

    def __init__(self, roots: Sequence[str], rules: Rules = Rules(), loaded_dir: Optional[str] = None) -> None:
        if rules.mode not in ("enforce", "warn") or rules.verify not in ("marker", "digest"):
            raise ValueError(f"{rules} names a mode or a way to verify that is not known here")
        self.roots, self.rules = [os.path.abspath(root) for root in roots], rules
        self.loaded_dir = loaded_dir or os.path.join(self.roots[0], ".loaded")

    def gate(self, name: str) -> Union[Plugin, Refused]:
        """Judges one plugin. The first root that admits it wins."""
        try:
            plugin, directory = self._open(name, [])
        except Refused as refused:
            return refused
        os.close(directory)
        return plugin

    def scan(self) -> Scan:
        """Judges all plugins in the roots. A refused one is reported also if a later root admits its name."""
        listed = {root: _names_in(root) for root in self.roots}
        found = Scan([], [], [])
        for name in sorted({name for names in listed.values() for name in names}):
            try:
                plugin, directory = self._open(name, found.refused)
            except Refused:
                continue
            os.close(directory)
            found.admitted.append(plugin)
            later = self.roots[self.roots.index(plugin.root) + 1 :]
            found.shadowed.extend((name, root, plugin.root) for root in later if name in listed[root])
        return found

    def read(self, name: str, reader: Callable[[str, str], T]) -> T:
        """Calls reader(root, generation). What it reads below root is of that version. It may be called three times."""
        for _ in range(3):
            plugin, directory = self._open(name, [])
            try:
                pin = f"/proc/self/fd/{directory}"
                path = plugin.path if not os.path.isdir(f"{pin}/.") else None
                try:
                    result = reader(path or pin, plugin.found.generation)
                except Exception:
                    if is_whole(directory, plugin.name, plugin.found.generation, path):
                        raise
                    continue  # what it missed may be missing only because its version is gone
                if is_whole(directory, plugin.name, plugin.found.generation, path):
                    return result
            finally:
                os.close(directory)
        raise Refused("in-transition", "It was replaced three times while it was read", name, self.roots[0])

    def loaded(self, plugin: str, generation: str, at: float) -> None:
        """Reports durably what the runtime has loaded. at: when it was read; later edits do not count as loaded."""
        if not re.fullmatch(NAME, plugin) or not 0 < len(generation) <= 256:
            raise ValueError(f"The name {plugin!r} or the generation {generation!r} is not valid")
        moment = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        report = json.dumps({"version": 1, "generation": generation, "at": moment}, separators=(",", ":"))
        os.makedirs(self.loaded_dir, exist_ok=True)
        draft = os.path.join(self.loaded_dir, f".{plugin}.{uuid.uuid4()}.tmp")
        with open(draft, "x", encoding="utf-8") as file:
            file.write(f"{report}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, os.path.join(self.loaded_dir, f"{plugin}.json"))
        directory = os.open(self.loaded_dir, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def _open(self, name: str, refused: List[Refused]) -> Tuple[Plugin, int]:
        """The plugin and its open directory. Raises the first refusal; all of them are added to the list."""
        first, disabled, is_name = len(refused), False, re.fullmatch(NAME, name)
        for root in self.roots if is_name else []:
            disabled = disabled or is_disabled(root, name)
            begun, absent = time.monotonic(), 0
            while absent < 3:  # a swap may end between the look at the plugin and the look at its intent
                try:
                    return self._judge(root, name, disabled)
                except Refused as refusal:
                    refused.append(refusal.of(name, root))
                    break
                except FileNotFoundError:
                    wait = swap_seconds(root, name)
                    if time.monotonic() - begun < wait:
                        absent = 0
                        time.sleep(0.02)
                    elif wait > 1:
                        refused.append(Refused("in-transition", "It is absent, and its swap does not end", name, root))
                        break
                    else:
                        absent += 1
        why = "There is nothing of that name" if is_name else "No plugin can have this name"
        raise refused[first] if refused[first:] else Refused("not-a-directory", why, name, self.roots[0])

    def _judge(self, root: str, name: str, disabled: bool) -> Tuple[Plugin, int]:
        """Judges one directory and leaves it open. Raises Refused, and FileNotFoundError if it is absent."""
        path, at = os.path.join(root, name), time.time()
        directory = open_directory(path, disabled)
        try:
            return Plugin(name, root, path, judge(directory, root, name, self.rules), at), directory
        except Refused:
            swapped = not is_same(directory, path)
            os.close(directory)
            if not swapped:
                raise
        return self._judge(root, name, disabled)


def _names_in(root: str) -> List[str]:
    try:
        return [name for name in os.listdir(root) if re.fullmatch(NAME, name)]
    except OSError:
        return []
