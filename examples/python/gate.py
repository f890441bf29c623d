"""The gate for one directory: what its marker, its manifest and the notes about it say. A runtime uses loader.py.

Python's standard library reads no YAML. So of YAML only the entries that decide are read (name, version, runtimes,
hot_reload), and only in the forms in which people write them. A decisive entry in another form refuses the plugin. Other
entries are passed over: the agent has judged them when it installed the plugin, and nobody acts on them here.
"""

import json
import os
import re
import stat
from datetime import datetime
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

NAME = r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,127}"
STAMP = "[0-9]{8}T[0-9]{9}Z-[0-9a-f]{8}"
MARKER_BYTES, NOTE_BYTES, MAX_BYTES = 1 << 16, 1 << 12, 1 << 20
FILES = ("plugin.yaml", "plugin.json", ".claude-plugin/plugin.json", "SKILL.md")
AGENT_PLUGINS = "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json"

# How json.dumps writes the values of an object. Every number is a float. A field with "?" may be absent.
LETTER = r'(?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])'
TEXT, VERSION, NUMBER = f'"{LETTER}*"', f'"{LETTER}{{0,256}}"', "-?[0-9][0-9.e+-]*"
RUNTIME = f'"(?![-+.0]|[0-9]+[.eE]){LETTER}*"'  # a number such as 3.10 has more than one spelling
DIGEST, COUNT, SOME = '"sha256:[0-9a-f]{64}"', r"[0-9]{1,15}\.0", r"[1-9][0-9]{0,14}\.0"
NEWER_FIELDS = {"version": rf"(?!1\.){SOME}", "plugin": f'"{NAME}"', "installId": f'"{STAMP}"'}
MARKER_FIELDS = {
    **NEWER_FIELDS,
    "version": r"1\.0",
    "pluginVersion": TEXT,
    "bundle": DIGEST,
    "bundleUnread?": "true",
    "tree": DIGEST,
    "files": COUNT,
    "bytes": COUNT,
    "skipped?": SOME,
    "installedAt": r'"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}(?:\.[0-9]+)?Z"',
    "source?": TEXT,
    "by": TEXT,
    "replaced": f'null|"{STAMP}"',
}
SWAP_FIELDS = {"plugin": f'"{NAME}"', "operationId": TEXT, "path": '"(?:rename|copy)"', "from": r"\{.*\}"}
NOTE_FIELDS = {"version": r"1\.0", "bootId": f'"{LETTER}+"'}
AGENT_FIELDS = {
    "name": r'(?!.*--|.*\.\.)"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?"',
    "version?": VERSION,
    **{f"{key}?": TEXT for key in ("description", "homepage", "repository", "license")},
    "author?": rf'\{{(?:"(?:name|email|url)": {TEXT}(?:, )?)*\}}',
    "keywords?": rf"\[(?:{TEXT}(?:, )?)*\]",
}
FIELDS = {"name": f'"{LETTER}{{1,128}}"|{NUMBER}', "version?": f"null|{VERSION}|{NUMBER}"}
YAML_FIELDS = {
    **FIELDS,
    "runtimes?": rf"null|{RUNTIME}|\[(?:{RUNTIME}(?:, )?){{0,100}}\]",
    "hot_reload?": "null|true|false",
}

# The forms of an entry: a word, words in brackets, or lines with one word each.
KEY = "[A-Za-z_][A-Za-z0-9_-]*"
END = r" *(?:(?<= )#.*)?(?:\n *(?:#.*)?(?=\n|\Z))*"  # a comment, and lines with nothing else
PLAIN = r"[^\s'\"\[\]{},&*!|>%@`#?:-](?: *(?:[^ \t\n:#]|:(?=[^ \t\n])|(?<! )#))*"
WORD = rf"""(?:'(?:[^'\n]|'')*'|"[^"\\\n]*"|{PLAIN})"""
ITEM = r"""(?:'(?:[^'\n]|'')*'|"[^"\\\n]*"|[\w./][\w./@+-]*(?: +[\w./@+-]+)*)"""
ONE = re.compile(rf" *({WORD})?{END}")
BRACKETS = re.compile(rf" +\[ *((?:{ITEM} *(?:, *{ITEM} *)*,? *)?)\]{END}")
LINES = re.compile(rf"{END}\n( *)(?:-|{KEY}:) +{WORD}{END}(?:\n\1(?:-|{KEY}:) +{WORD}{END})*")
# A whole map: entries at the left edge, and lines that belong to the entry above them.
MAP = re.compile(
    rf"(?: *(?:#.*)?\n)*(?:---\n(?: *(?:#.*)?\n)*)?"
    rf"(?:{KEY}:(?:[ \t].*)?(?:\n|\Z)(?:(?:[ \t].*|-[ \t].*|#.*)(?:\n|\Z)|\n)*)+"
)
UNREADABLE = re.compile("[\0-\b\v-\x1f\x7f\ufeff]")
CONSTANTS: Dict[str, Any] = {
    **dict.fromkeys(("~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Refused(Exception):
    """Why a plugin is not admitted. ``reason``: one of docs/loader.md."""

    def __init__(self, reason: str, detail: str, name: str = "", root: str = "") -> None:
        super().__init__(reason, detail, name, root)
        self.reason, self.detail, self.name, self.root = reason, detail, name, root

    def of(self, name: str, root: str) -> "Refused":
        return Refused(self.reason, self.detail, name, root)


class Rules(NamedTuple):
    runtime: Optional[str] = None
    mode: str = "enforce"  # "warn" admits plugins without a marker
    verify: str = "marker"  # "digest" compares every byte with what was installed
    manifest: str = "required"  # or "optional"
    ignore: Sequence[str] = ()  # what AIRLOCK_IGNORE adds


class Manifest(NamedTuple):
    version: str
    runtimes: List[str]  # empty: all


class Judged(NamedTuple):
    level: str  # verified, unverified (an empty marker) or unmarked (none, in mode "warn")
    marker: Optional[Dict[str, Any]]  # None also for one of a newer format
    generation: str
    manifest: Optional[Manifest]


def read_text(path: str, most: int, directory: Optional[int] = None) -> str:
    """The text of a regular file of at most so many bytes. Raises OSError for anything else; it follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(fd)
    if len(data) > most or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise OSError(f"{path} has more than {most} bytes, or is UTF-16")
    return data[3 if data[:3] == b"\xef\xbb\xbf" else 0 :].decode("utf-8", "replace")


def read_json(text: str) -> Any:
    """Raises ValueError for what is no JSON, and for JSON that is nested too deeply for Python."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text, parse_int=float, parse_constant=no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def fits(value: Any, fields: Mapping[str, str]) -> bool:
    """Whether a value is an object with these fields."""

    def has(key: str, form: str) -> bool:
        name = key.rstrip("?")
        return bool(re.fullmatch(form, json.dumps(value[name]))) if name in value else name != key

    return isinstance(value, dict) and all(has(key, form) for key, form in fields.items())


def _word(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return CONSTANTS.get(text, text)


def _value(entry: str) -> Any:
    word, brackets, lines = ONE.fullmatch(entry), BRACKETS.fullmatch(entry), LINES.fullmatch(entry)
    if word:
        return _word(word[1] or "~")
    if brackets:
        return [_word(item) for item in re.findall(ITEM, brackets[1])]
    rows = re.findall(rf"^ *(?:-|({KEY}):) +({WORD})", entry, re.MULTILINE) if lines else []
    keys = {key for key, _ in rows}
    if keys == {""}:
        return [_word(item) for _, item in rows]
    if not keys or "" in keys or len(keys) < len(rows):
        raise ValueError("it has YAML that is not read here")
    return {key: _word(item) for key, item in rows}


def read_yaml(text: str, *keys: str) -> Dict[str, Any]:
    """Some entries of a map. Raises ValueError for what is no map, and if one of these entries is not read here."""
    text = text.replace("\r\n", "\n")
    if UNREADABLE.search(text) or not MAP.fullmatch(text):
        raise ValueError("it is no map of YAML that is read here")
    parts = re.split(rf"^({KEY}):(?=[ \t\n]|\Z)", text, flags=re.MULTILINE)
    entries = dict(zip(parts[1::2], parts[2::2]))
    if len(entries) < len(parts) // 2:
        raise ValueError("it has a key twice")
    return {key: _value(entries[key]) for key in keys if key in entries}


def _read(file: str, text: str) -> Manifest:
    """Raises ValueError if it is not valid."""
    fields = FIELDS
    if file == "plugin.yaml":
        found, fields = read_yaml(text, "name", "version", "runtimes", "hot_reload"), YAML_FIELDS
    elif file == "SKILL.md":
        head = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL)
        found = read_yaml(head[1] if head else "", "name", "version", "metadata")
    else:
        found = read_json(text)
        if file == "plugin.json":
            fields = AGENT_FIELDS
    if not fits(found, fields):
        raise ValueError("its name, its version or another field that decides is not valid")
    version, runtimes = found.get("version"), found.get("runtimes")
    if file == ".claude-plugin/plugin.json" and isinstance(version, float):
        version = json.loads(text, parse_int=str, parse_float=str)["version"]  # as it is written
    inner = found.get("metadata") if file == "SKILL.md" else None
    if isinstance(inner, dict) and inner.get("version") is not None:
        if not fits(inner, {"version": VERSION}):
            raise ValueError("its version is not valid")
        version = inner["version"]
    if file != "plugin.yaml" or runtimes is None:
        runtimes = []
    return Manifest("0.0.0" if version is None else version, [runtimes] if isinstance(runtimes, str) else runtimes)


def read_manifest(directory: int) -> Optional[Manifest]:
    """The first manifest of an open directory; None if there is none.

    Raises OSError if it cannot be read, ValueError if it is not valid or in a form that is not read here.
    """
    for file in FILES:
        try:
            text = read_text(file, MAX_BYTES, directory)
            above = os.stat(file.split("/")[0], dir_fd=directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            if file == "plugin.json":  # that of another tool
                continue
            raise
        if stat.S_ISLNK(above.st_mode):
            raise OSError(f"{file} is behind a link")
        if file != "plugin.json" or _is_agent_plugin(text):
            return _read(file, text)
    return None


def _is_agent_plugin(text: str) -> bool:
    """Many tools have a plugin.json, so this one must say what it is."""
    try:
        found = read_json(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("$schema") == AGENT_PLUGINS


def read_marker(directory: int, name: str) -> Tuple[str, Optional[Dict[str, Any]], str]:
    """Level, marker and generation of an open directory. Raises Refused, and OSError if the marker cannot be read."""
    here = changed = os.fstat(directory)
    text: Optional[str] = None
    try:
        text = read_text(".complete", MARKER_BYTES, directory)
        changed = os.stat(".complete", dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        pass
    if not text:
        generation = f"dir-{here.st_dev}-{here.st_ino}-{changed.st_ctime_ns}"
        return "unmarked" if text is None else "unverified", None, generation
    try:
        marker = read_json(text)
        is_full = fits(marker, MARKER_FIELDS) and bool(datetime.fromisoformat(marker["installedAt"][:19]))
    except ValueError as error:
        raise Refused("marker-invalid", f"Its .complete is not a marker: {error}") from error
    if not is_full and not fits(marker, NEWER_FIELDS):
        raise Refused("marker-invalid", "Its .complete is not a marker: a field is not as it must be")
    if marker["plugin"] != name:
        raise Refused("marker-foreign", f'Its .complete belongs to "{marker["plugin"]}"')
    return "verified", marker if is_full else None, marker["installId"]


def is_disabled(root: str, name: str) -> bool:
    """A state that cannot be read may say that the plugin is disabled."""
    try:
        state = read_json(read_text(os.path.join(root, ".state", f"{name}.json"), MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return isinstance(state, dict) and state.get("disabled") is True


def is_unsynced(root: str) -> bool:
    """Whether the root was written without syncs before this start of the machine: an empty marker may have been full."""
    note = os.path.join(root, ".volatile")
    try:
        said = read_json(read_text(note, NOTE_BYTES))
        boot = read_text("/proc/sys/kernel/random/boot_id", NOTE_BYTES).strip()
        return not fits(said, NOTE_FIELDS) or said["bootId"] != boot
    except (OSError, ValueError):
        return os.path.lexists(note)


def swap_seconds(root: str, name: str) -> float:
    """How long an absent plugin may take to come back, as the intents of its changes say. 0: it is not expected."""
    staging = os.path.join(root, ".staging")
    try:
        entries = [entry for entry in os.listdir(staging) if re.fullmatch(rf"{re.escape(name)}\.{STAMP}\.json", entry)]
        for entry in entries:
            intent = read_json(read_text(os.path.join(staging, entry), MAX_BYTES))
            is_removed = intent.get("op") == "remove" and intent.get("goal") != "back"
            if fits(intent, SWAP_FIELDS) and intent["plugin"] == name and not is_removed:
                return 2.0
    except PermissionError:
        return 0.1  # whether there is an intent is not known
    except (OSError, ValueError):
        pass
    return 0.0


def open_directory(path: str, disabled: bool = False) -> int:
    """Raises Refused, and FileNotFoundError if there is nothing."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise Refused("symlink", "It is a symbolic link")
        if not stat.S_ISDIR(mode):
            raise Refused("not-a-directory", "It is not a directory")
        if disabled:
            raise Refused("disabled", "It is disabled")
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused("unreadable", str(error)) from error


def judge(directory: int, root: str, name: str, rules: Rules) -> Judged:
    """Judges an open directory. Raises Refused."""
    try:
        level, marker, generation = read_marker(directory, name)
        if level == "unmarked" and rules.mode != "warn":
            raise Refused("no-marker", "It has no .complete: it may be half-copied")
        if level == "unverified" and is_unsynced(root):
            raise Refused("marker-invalid", "Its .complete is empty, perhaps because its content was lost in a power cut")
        manifest = read_manifest(directory)
        if manifest is None and rules.manifest != "optional":
            raise Refused("manifest-missing", "It has no manifest")
        runtime = (rules.runtime or "external").replace("-", "_").lower()
        runtimes = [each.replace("-", "_").lower() for each in manifest.runtimes] if manifest else []
        if runtimes and runtime != "external" and runtime not in runtimes:
            raise Refused("runtime-unsupported", f"It runs on {', '.join(runtimes)}, but this runtime is {runtime}")
        if rules.verify == "digest" and marker:
            compare(os.path.join(root, name), marker["tree"], rules.ignore)
    except OSError as error:
        raise Refused("unreadable", str(error)) from error
    except ValueError as error:
        raise Refused("manifest-invalid", str(error)) from error
    return Judged(level, marker, generation, manifest)


def compare(path: str, tree: str, ignore: Sequence[str]) -> None:
    """Raises Refused if the files are not those of a tree."""
    from airlock import AirlockError, list_tree, tree_digest  # only here, because it is large

    try:
        found = tree_digest(list_tree(path, ignore))
    except AirlockError as error:
        raise Refused("digest-mismatch", str(error)) from error
    if found != tree:
        raise Refused("digest-mismatch", f'Its files have the tree digest "{found}", its marker says "{tree}"')


def is_same(directory: int, path: str) -> bool:
    """Whether an open directory is still at a path."""
    try:
        return os.path.samestat(os.fstat(directory), os.lstat(path))
    except OSError:
        return False


def is_whole(directory: int, name: str, generation: str, path: Optional[str]) -> bool:
    """Whether an open directory is still that version, at that path if one is given. A removal begins with the marker."""
    try:
        return read_marker(directory, name)[2] == generation and (path is None or is_same(directory, path))
    except (OSError, Refused):
        return False
