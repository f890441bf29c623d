"""Tests of examples/python/loader.py. test/examples/python.test.ts runs them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "examples/python"))
sys.dont_write_bytecode = True

from gate import Refused, Rules  # noqa: E402
from loader import Loader, Plugin  # noqa: E402

TABLE: Dict[str, Any] = json.loads((REPOSITORY / "docs/vectors/gate.json").read_text("utf-8"))
NOBODY = 65_534


def make_file(place: str, entry: Dict[str, Any]) -> None:
    if entry["path"].endswith("/"):
        os.makedirs(place, exist_ok=True)
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if "link" in entry:
        os.symlink(entry["link"], place)
        return
    content = base64.b64decode(entry["base64"]) if "base64" in entry else entry.get("text", "").encode("utf-8", "surrogatepass")
    with open(place, "wb") as file:
        file.write(content * entry.get("times", 1))
    if "mode" in entry:
        os.chmod(place, int(entry["mode"], 8))


def make_case(directory: str, files: List[Dict[str, Any]]) -> None:
    os.chmod(directory, 0o755)
    for entry in files:
        make_file(f"{directory}/{entry['path']}", entry)
    for entry in files:  # last, so that the files in them could be made
        if entry["path"].endswith("/") and "mode" in entry:
            os.chmod(f"{directory}/{entry['path']}", int(entry["mode"], 8))


def generation_of_directory(plugin: Plugin) -> str:
    here = os.lstat(plugin.path)
    marked = here if plugin.found.level == "unmarked" else os.lstat(f"{plugin.path}/.complete")
    return f"dir-{here.st_dev}-{here.st_ino}-{marked.st_ctime_ns}"


class Table(unittest.TestCase):
    maxDiff = None

    def answer_of(self, directory: str, answer: object) -> Dict[str, Any]:
        """An answer in the form of the table."""
        if isinstance(answer, Refused):
            return {"admitted": False, "root": os.path.relpath(answer.root, directory), "reason": answer.reason}
        assert isinstance(answer, Plugin)
        found = answer.found
        return {
            "admitted": True,
            "root": os.path.relpath(answer.root, directory),
            "level": found.level,
            "generation": "directory" if found.generation == generation_of_directory(answer) else found.generation,
            "version": found.manifest.version if found.manifest else None,
        }

    def run_case(self, case: Dict[str, Any], directory: str) -> None:
        loader = Loader([f"{directory}/{root}" for root in case["roots"]], Rules(**case["options"]))
        said = {name: self.answer_of(directory, loader.gate(name)) for name in case["gate"]}
        instead = case.get("orElse", {})
        expected = {
            name: instead[name] if name in instead and said[name] == instead[name] else answer
            for name, answer in case["gate"].items()
        }
        self.assertEqual(said, expected)
        scan = loader.scan()

        def below(root: str) -> str:
            return os.path.relpath(root, directory)

        refused = [{"name": each.name, "root": below(each.root), "reason": each.reason} for each in scan.refused]
        if "scan" in case:
            self.assertEqual([{"name": each.name, "root": below(each.root)} for each in scan.admitted], case["scan"]["admitted"])
            self.assertEqual(refused, case["scan"]["refused"])
            hidden = [{"name": name, "root": below(root), "by": below(by)} for name, root, by in scan.shadowed]
            self.assertEqual(hidden, case["scan"]["shadowed"])
            return
        self.assertEqual([each.name for each in scan.admitted], sorted(name for name in said if said[name]["admitted"]))
        for name, answer in said.items():
            if not answer["admitted"] and answer["reason"] != "in-transition":
                if "\0" not in name and os.path.lexists(f"{directory}/{answer['root']}/{name}"):
                    self.assertIn({"name": name, "root": answer["root"], "reason": answer["reason"]}, refused)

    def test_agrees_with_the_table(self) -> None:
        judged = 0
        for case in TABLE["cases"]:
            if case["options"].get("verify") == "stat":
                continue  # an option that this loader does without
            with self.subTest(case["name"]), tempfile.TemporaryDirectory() as directory:
                other = case.get("user") == "other" and os.geteuid() == 0
                make_case(directory, case["files"])
                if other:
                    os.setegid(NOBODY)
                    os.seteuid(NOBODY)
                try:
                    self.run_case(case, directory)
                finally:
                    if other:
                        os.seteuid(0)
                        os.setegid(0)
                judged += len(case["gate"])
        self.assertGreater(judged, 400)
        print(f"{judged} plugins judged")

    def test_reports_what_is_loaded_as_the_table_says(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            loader = Loader([directory])
            for row in TABLE["loaded"]:
                if row["file"] is None:
                    with self.assertRaises(ValueError):
                        loader.loaded(row["plugin"], row["generation"], row["at"] / 1000)
                    continue
                loader.loaded(row["plugin"], row["generation"], row["at"] / 1000)
                self.assertEqual(Path(directory, ".loaded", f"{row['plugin']}.json").read_text("utf-8"), row["file"])
            good = {f"{row['plugin']}.json" for row in TABLE["loaded"] if row["file"] is not None}
            self.assertEqual(set(os.listdir(f"{directory}/.loaded")), good)


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.loader = Loader([self.root])
        self.installs = 0

    def install(self, words: str, keep: bool = True) -> str:
        """Puts a version in the place of the one before, and removes that one unless it is kept. Returns its generation."""
        self.installs += 1
        stamp = f"20260508T1415301{self.installs:02}Z-9f86d081"
        staged, live, previous = (f"{self.root}/{name}" for name in (f".{stamp}", "lint", f".before.{stamp}"))
        for file, text in {"a.txt": words, "b.txt": words, "plugin.yaml": "name: lint\nversion: 1.0.0\n"}.items():
            make_file(f"{staged}/{file}", {"path": file, "text": text})
        marker = {"version": 2, "plugin": "lint", "installId": stamp}
        make_file(f"{staged}/.complete", {"path": ".complete", "text": json.dumps(marker)})
        if os.path.exists(live):
            os.rename(live, previous)
        os.rename(staged, live)
        if not keep:
            os.remove(f"{previous}/.complete")  # first, as an agent does it
            shutil.rmtree(previous)
        return stamp

    def test_reads_one_version_also_while_it_is_replaced(self) -> None:
        first = self.install("one")

        def read(root: str, generation: str) -> List[str]:
            words = [generation, Path(root, "a.txt").read_text("utf-8")]
            self.install("two")
            return [*words, Path(root, "b.txt").read_text("utf-8")]

        self.assertEqual(self.loader.read("lint", read), [first, "one", "one"])

    def test_reads_again_what_was_removed_meanwhile(self) -> None:
        self.install("one")
        seen: List[str] = []

        def read(root: str, generation: str) -> List[str]:
            seen.append(generation)
            words = [Path(root, "a.txt").read_text("utf-8")]
            if len(seen) == 1:
                self.install("two", keep=False)
            return [*words, Path(root, "b.txt").read_text("utf-8")]

        self.assertEqual(self.loader.read("lint", read), ["two", "two"])
        self.assertEqual(len(seen), 2)

    def test_gives_up_a_plugin_that_is_replaced_each_time(self) -> None:
        self.install("one")
        with self.assertRaises(Refused) as caught:
            self.loader.read("lint", lambda root, generation: self.install("more", keep=False))
        self.assertEqual(caught.exception.reason, "in-transition")
        self.assertEqual(self.installs, 4)

    def test_passes_on_what_the_reader_raises(self) -> None:
        self.install("one")
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        with self.assertRaises(ZeroDivisionError):
            self.loader.read("lint", lambda root, generation: 1 // 0)
        with self.assertRaises(Refused) as caught:
            self.loader.read("none", lambda root, generation: 1)
        self.assertEqual(caught.exception.reason, "not-a-directory")
        if before:
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
