#!/usr/bin/env python3
"""A client of an Airlock agent: one file, the standard library alone, Python 3.9 or newer.

It speaks ``airlock.v1`` as docs/protocol.md describes it, and is meant to be copied and changed.

    with Client("ws://127.0.0.1:7423", token) as client:
        installed = client.install("lint", "lint.tgz")
        print(installed["installId"], installed["reload"]["action"])

- :class:`Client` connects when it has to, connects again after a connection broke, and repeats what is safe to repeat.
- :class:`Session` is one connection, for programs that want to do that themselves.
- :class:`AirlockError` is the one class of errors: what went wrong, whether to try again, whether something happened.
- :func:`tree_digest` and :func:`list_tree` compute what the agent compares.

A client may be used by several threads. ``python3 airlock.py --help`` lists a few commands.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import re
import selectors
import socket
import ssl
import stat
import struct
import sys
import tarfile
import threading
import time
import uuid
import zlib
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import (
    IO,
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypedDict,
    TypeVar,
    Union,
    cast,
)
from urllib.parse import urlsplit

__all__ = [
    "ANY_VERSION",
    "AirlockError",
    "Client",
    "Session",
    "Tls",
    "bundle_tree",
    "decode_frame",
    "encode_frame",
    "is_counted",
    "list_tree",
    "new_operation_id",
    "tree_digest",
]

PROTOCOL = "airlock.v1"
CONNECT_PATH = "/v1/connect"
DEFAULT_PORT = 7423

#: The most bytes of one message, whole or in fragments.
FRAME_BYTES = 256 * 1024
#: The most data of one binary frame of a stream.
DATA_BYTES = 64 * 1024
#: So far the reader of a stream lets the agent run ahead.
WINDOW_BYTES = 1024 * 1024
REQUESTS_IN_FLIGHT = 64
#: An agent sends a ping every 15 s. After so long (seconds) without a byte the connection counts as dead.
DEAD_SECONDS = 45.0
#: So long the other side may take to end a connection that is being closed.
LINGER_SECONDS = 2.0
#: The time to connect and start a session.
CONNECT_SECONDS = 10.0
#: After so long without credit the sender of a bundle asks the agent for the reason.
STALL_SECONDS = 30.0
#: Events that wait for a slow reader. Beyond that the connection is given up, and continued later.
EVENTS_WAITING = 10_000


# ---------------------------------------------------------------------------------------------------------------------
# What answers hold. A newer agent may add fields; a reader ignores what it does not know.


class Position(TypedDict):
    """A place in the events of an agent: which start of the agent, and the number of the event."""

    bootId: str
    seq: int


class Event(Position):
    """One event. ``data`` depends on the type; docs/protocol.md lists them."""

    at: str
    type: str
    data: Dict[str, Any]


class Limits(TypedDict):
    frameBytes: int
    windowBytes: int
    requestsInFlight: int
    streamsInFlight: int
    packedBytes: int
    unpackedBytes: int
    entries: int


class Hello(TypedDict):
    """The first message of an agent."""

    agent: str
    workspace: Optional[str]
    runtime: Optional[str]
    bootId: str
    protocol: str
    capabilities: List[str]
    limits: Limits


class Strings(TypedDict):
    """The beginning of a list, and how long it is."""

    items: List[str]
    total: int


class Reason(TypedDict):
    path: str
    change: str
    why: str


class Reasons(TypedDict):
    items: List[Reason]
    total: int


class Reload(TypedDict):
    """What a change means for the runtime. ``action``: ``none``, ``hot`` or ``restart``."""

    kind: str
    action: str
    restarting: bool
    reasons: Reasons


class _InstalledAlways(TypedDict):
    status: str
    plugin: str
    pluginVersion: str
    installId: str
    bundle: str
    tree: str
    files: int
    bytes: int
    installedAt: str
    by: str
    replaced: Optional[str]
    reload: Reload
    warnings: Strings


class Installed(_InstalledAlways, total=False):
    """The answer to an install or a rollback: ``installed``, ``present`` or ``rolled-back``."""

    skipped: int
    source: str
    replacedVersion: Optional[str]


class _UninstalledAlways(TypedDict):
    plugin: str
    status: str
    installId: Optional[str]
    purged: bool
    reload: Reload


class Uninstalled(_UninstalledAlways, total=False):
    """The answer to an uninstall: ``removed`` or ``absent``, what the plugin had, and what could not be done."""

    skills: Strings
    rules: Strings
    hooks: Strings
    warnings: Strings


class Prevention(TypedDict, total=False):
    code: str
    detail: str
    hint: str


class Preventions(TypedDict):
    items: List[Prevention]
    total: int


class Adopted(TypedDict):
    """The answer to an adoption: ``planned``, ``adopted`` or ``present``, and what prevents a planned one."""

    plugin: str
    status: str
    pluginVersion: str
    installId: Optional[str]
    tree: str
    files: int
    bytes: int
    warnings: Strings
    prevents: Preventions


class _PluginAlways(TypedDict):
    name: str
    status: str


class Plugin(_PluginAlways, total=False):
    """One plugin of a list: ``admitted``, ``refused`` (with a reason and a hint) or ``absent``."""

    level: str
    reason: str
    detail: str
    hint: str
    version: str
    description: str
    trouble: Dict[str, str]
    held: str
    drift: int
    loaded: str
    pending: Dict[str, Any]
    kind: str
    installId: str
    bundle: str
    tree: str
    files: int
    bytes: int
    skipped: int
    installedAt: str
    source: str
    by: str
    replaced: Optional[str]


class _VerificationAlways(TypedDict):
    plugin: str
    verdict: str
    modified: Strings
    missing: Strings
    unlisted: Strings


class Verification(_VerificationAlways, total=False):
    """Whether live is what was installed: ``intact``, ``drifted``, ``unknown`` or ``refused``."""

    detail: str
    hint: str
    installId: str
    tree: str


class _ReconciledAlways(TypedDict):
    name: str
    state: str
    action: str


class Reconciled(_ReconciledAlways, total=False):
    """One plugin of a reconcile: what was found, what has to be done, and what was done (``fate``)."""

    detail: str
    installId: str
    version: str
    tree: str
    bundle: str
    source: str
    fate: str
    reload: Dict[str, Any]
    error: Dict[str, Any]


class History(TypedDict):
    """Lines of the history, the newest last, and the plugins that have one. ``broken`` only with ``verify``."""

    lines: List[Dict[str, Any]]
    plugins: List[Dict[str, Any]]
    broken: Optional[int]


class Exported(TypedDict):
    """The answer to an export."""

    plugin: str
    pluginVersion: str
    installId: Optional[str]
    tree: str
    files: int
    bytes: int


class FileEntry(TypedDict):
    """A file of a tree. ``mode`` is ``755`` if its owner may execute it, else ``644``."""

    path: str
    size: int
    mode: str
    sha256: str


class Loaded(TypedDict):
    """The version that counts as loaded: ``edited`` are files of which the runtime may have loaded something else."""

    kind: str
    why: Optional[str]
    generation: Optional[str]
    ignore: List[str]
    files: List[FileEntry]
    edited: List[str]


# ---------------------------------------------------------------------------------------------------------------------
# Errors


class AirlockError(Exception):
    """What went wrong. ``str(error)`` is for people; programs look at ``code``, ``retry`` and ``executed``."""

    #: One of the list in docs/protocol.md, such as ``CONFLICT``. A newer agent may have others.
    code: str
    #: The HTTP status with which a platform would answer.
    status: int
    title: str
    detail: str
    #: What to do about it.
    hint: Optional[str]
    #: ``never``: the same request fails again; ``same``: repeat it; ``later``: repeat it when something has changed.
    retry: str
    #: Whether the operation took effect: ``no``, ``maybe`` or ``yes``.
    executed: str
    #: In so many seconds another try makes sense; None if nobody knows.
    retry_after: Optional[int]
    #: What is wrong with an archive, at most the first hundred of ``total``.
    violations: List[Dict[str, Any]]
    total: int
    #: The id of the operation that a Client has given up. The same call with this id does not make it twice.
    operation_id: Optional[str] = None

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 500,
        title: str = "",
        hint: Optional[str] = None,
        retry: str = "never",
        executed: str = "no",
        retry_after: Optional[int] = None,
        violations: Sequence[Dict[str, Any]] = (),
        total: int = 0,
    ) -> None:
        super().__init__(f"{code}: {detail}" + (f" ({hint})" if hint else ""))
        self.code = code
        self.status = status
        self.title = title
        self.detail = detail
        self.hint = hint
        self.retry = retry
        self.executed = executed
        self.retry_after = retry_after
        self.violations = list(violations)
        self.total = total

    @classmethod
    def from_data(cls, data: object) -> AirlockError:
        """The error of an agent's ``error.data``."""
        if not isinstance(data, dict) or not isinstance(data.get("code"), str):
            return cls("INTERNAL", "The agent has sent an error that cannot be read", executed="maybe")
        violations = data.get("violations")
        hint = data.get("hint")
        return cls(
            data["code"],
            str(data.get("detail", "")),
            status=_whole(data.get("status"), 500),
            title=str(data.get("title", "")),
            hint=hint if isinstance(hint, str) else None,
            retry=str(data.get("retry", "never")),
            executed=str(data.get("executed", "maybe")),
            retry_after=_whole(data.get("retryAfter"), 0) or None,
            violations=[each for each in violations if isinstance(each, dict)] if isinstance(violations, list) else [],
            total=_whole(data.get("total"), 0),
        )

    @property
    def worth_another_try(self) -> bool:
        """Whether the same request, with the same operation id, may succeed a moment later.

        ``later`` means that something has to change first. A connection, a restart of the agent and a crowd pass by
        themselves; for anything else somebody has to do something. Bytes that differ from what was declared are sent
        again only by a caller who has looked at them.
        """
        if self.retry == "same":
            return self.code not in ("CANCELLED", "DIGEST_MISMATCH")
        return self.retry == "later" and self.code in ("UNREACHABLE", "DRAINING", "RATE_LIMITED")


def _unreachable(where: str, why: str) -> AirlockError:
    """Nobody answered, or the connection failed: that says nothing about the agent."""
    return AirlockError(
        "UNREACHABLE",
        f"Connecting to {where} failed: {why}",
        status=503,
        retry="later",
        hint="Check that the agent runs, and that the address is right",
    )


def _no_agent(where: str, why: str) -> AirlockError:
    """Something answers that is no agent."""
    return AirlockError(
        "UNREACHABLE",
        f"The server at {where} is not an Airlock agent: {why}",
        status=503,
        retry="never",
        hint="Check the address: host, port and path",
    )


K = TypeVar("K")


def _field(answer: Mapping[str, Any], name: str, kind: Type[K]) -> K:
    """A field of an answer. Raises AirlockError INTERNAL if it is missing or another thing."""
    value = answer.get(name)
    if not isinstance(value, kind):
        raise AirlockError("INTERNAL", f'The answer has no "{name}" that can be read', executed="maybe")
    return value


def _whole(value: object, fallback: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else fallback


# ---------------------------------------------------------------------------------------------------------------------
# Binary frames


class DataFrame(NamedTuple):
    """Data of a stream: ``offset`` is that of the first byte of ``data``."""

    stream: int
    offset: int
    fin: bool
    data: bytes


_HEADER = struct.Struct(">BBHIQ")


def encode_frame(frame: DataFrame) -> bytes:
    """The 16 bytes of the header, big-endian, and the data."""
    if len(frame.data) > DATA_BYTES:
        raise ValueError(f"A frame carries at most {DATA_BYTES} bytes, not {len(frame.data)}")
    return _HEADER.pack(1, 1 if frame.fin else 0, 0, frame.stream, frame.offset) + frame.data


def decode_frame(message: bytes) -> DataFrame:
    """The inverse of :func:`encode_frame`. Raises ValueError; then the connection is to be closed with 1002."""
    if len(message) < _HEADER.size:
        raise ValueError(f"a binary frame has {len(message)} bytes, its header alone needs {_HEADER.size}")
    if len(message) > _HEADER.size + DATA_BYTES:
        raise ValueError(f"a binary frame carries at most {DATA_BYTES} bytes")
    kind, flags, reserved, stream, offset = _HEADER.unpack_from(message)
    if kind != 1 or flags & ~1 or reserved:
        raise ValueError("a binary frame has an unknown type, flag or reserved field")
    if offset > 2**53 - 1:
        raise ValueError("the offset of a binary frame is beyond 2^53")
    return DataFrame(stream, offset, bool(flags & 1), message[_HEADER.size :])


# ---------------------------------------------------------------------------------------------------------------------
# Trees

MARKER = ".complete"
_IGNORED_DIRECTORIES = frozenset({"__pycache__", "__MACOSX"})
_IGNORED_NAMES = [
    re.compile(pattern, re.ASCII | flags)
    for pattern, flags in (
        (r"\.DS_Store", 0),
        (r"Thumbs\.db", re.IGNORECASE),
        (r"desktop\.ini", re.IGNORECASE),
        (r"\.nfs[0-9A-Fa-f]+", 0),
        (r"\.fuse_hidden[0-9A-Fa-f]+", 0),
        (r".*\.pyc", re.DOTALL),
        (r".*~", re.DOTALL),
        (r"\..*\.sw[a-p]", 0),
        (r"#.*#", 0),
        (r"\.#.*", re.DOTALL),
        (r"4913", 0),
    )
]
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def is_counted(path: str, ignore: Sequence[str] = ()) -> bool:
    """Whether a path below a plugin is part of its tree: neither the marker nor ignored.

    ``ignore``: the names that this agent ignores besides the built-in ones, each with at most one ``*`` at one end.
    """
    if path == MARKER:
        return False
    *above, name = path.split("/")
    is_ignored = any(pattern.fullmatch(name) for pattern in _IGNORED_NAMES)
    return not is_ignored and not any(_is_ignored_everywhere(each, ignore) for each in (*above, name))


def _is_ignored_everywhere(name: str, ignore: Sequence[str]) -> bool:
    """Whether the name also hides a directory with all that is in it."""
    return name in _IGNORED_DIRECTORIES or any(_matches(name, pattern) for pattern in ignore)


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def tree_digest(files: Iterable[FileEntry]) -> str:
    """The digest of a tree, from the files that count: ``sha256:`` and 64 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda each: each["path"].encode("utf-8")):
        line = f"{file['path']}\0{file['mode']}\0{file['size']}\0{file['sha256']}\n"
        digest.update(line.encode("utf-8"))
    return f"sha256:{digest.hexdigest()}"


def list_tree(directory: Union[str, "os.PathLike[str]"], ignore: Sequence[str] = ()) -> List[FileEntry]:
    """The files of a directory that count, sorted. Raises AirlockError INVALID_PARAMS for what is no file or directory."""
    root = os.fspath(directory)
    found: List[FileEntry] = []

    def walk(below: str) -> None:
        with os.scandir(os.path.join(root, below)) as scan:
            entries = list(scan)
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not _is_ignored_everywhere(entry.name, ignore):
                    walk(path)
            elif is_counted(path, ignore):
                if not entry.is_file(follow_symlinks=False):
                    raise AirlockError("INVALID_PARAMS", f'"{path}" is neither a file nor a directory', status=400)
                file = _list_file(entry.path, path)
                if file is not None:
                    found.append(file)

    walk("")
    return sorted(found, key=lambda each: each["path"].encode("utf-8"))


def bundle_tree(bundle: Union[str, "os.PathLike[str]"]) -> str:
    """The digest of the tree that a bundle holds. Raises AirlockError ARCHIVE_CORRUPT for what is no bundle of an agent."""
    files: List[FileEntry] = []
    try:
        with tarfile.open(bundle, "r:gz") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is None or not is_counted(entry.name):
                    continue
                digest = hashlib.sha256()
                for chunk in iter(lambda: content.read(DATA_BYTES), b""):
                    digest.update(chunk)
                mode = "755" if entry.mode & stat.S_IXUSR else "644"
                files.append({"path": entry.name, "size": entry.size, "mode": mode, "sha256": digest.hexdigest()})
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise AirlockError("ARCHIVE_CORRUPT", f"The bundle cannot be read: {error}", status=422) from error
    return tree_digest(files)


def _list_file(source: str, path: str) -> Optional[FileEntry]:
    """None for a file in which macOS keeps the attributes of another one."""
    digest = hashlib.sha256()
    size = 0
    with open(source, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        for chunk in iter(lambda: file.read(DATA_BYTES), b""):
            if size == 0 and os.path.basename(path).startswith("._") and chunk.startswith(_APPLE_DOUBLE):
                return None
            digest.update(chunk)
            size += len(chunk)
    is_executable = bool(mode & stat.S_IXUSR)
    return {"path": path, "size": size, "mode": "755" if is_executable else "644", "sha256": digest.hexdigest()}


# ---------------------------------------------------------------------------------------------------------------------
# The WebSocket (RFC 6455)

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES = 16 * 1024


@dataclass(frozen=True)
class Tls:
    """Certificates for ``wss:``, as paths of PEM files. The agent's certificate is always verified."""

    #: The authority of the agent's certificate; default: those of the system.
    ca: Optional[str] = None
    #: The certificate of this client and its key, for mutual TLS.
    cert: Optional[str] = None
    key: Optional[str] = None
    #: The name in the agent's certificate, if it is not the host of the address.
    server_name: Optional[str] = None

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class _Address(NamedTuple):
    """Where an agent is. ``unix``: the path of a socket, and then host and port do not matter."""

    label: str
    secure: bool
    host: str
    port: int
    path: str
    unix: Optional[str]

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        if self.unix is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _read_address(url: str) -> _Address:
    """Raises AirlockError INVALID_PARAMS, which does not quote what may hold a secret."""
    hint = "Give it as ws://host:port, wss://host:port or ws+unix:/path, and pass the token separately"

    def invalid(why: str) -> AirlockError:
        return AirlockError("INVALID_PARAMS", f"The address of the agent {why}", status=400, hint=hint)

    if url.startswith("ws+unix:"):
        path = url[len("ws+unix:") :]
        path = path[2:] if path.startswith("///") else path
        if not path.startswith("/") or path.startswith("//"):
            raise invalid("holds no absolute path")
        return _Address(f"ws+unix:{path}", False, "localhost", 0, CONNECT_PATH, path)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise invalid("is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise invalid("holds a user name or a password")
    if parts.query or parts.fragment:
        raise invalid("holds a query or a fragment, and addresses end up in logs")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise invalid("is not one of ws:, wss: or ws+unix:")
    secure = parts.scheme == "wss"
    number = port if port is not None else (443 if secure else 80)
    if not re.fullmatch(r"[\x21-\x7e]*", parts.path):
        raise invalid("holds characters that no path has")
    path = parts.path if parts.path not in ("", "/") else CONNECT_PATH
    return _Address(f"{parts.scheme}://{parts.netloc}", secure, parts.hostname, number, path, None)


class _Closed(Exception):
    """The connection has ended: the code and reason of the close frame, 1006 if there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _WebSocket:
    """One connection. One thread receives; any thread sends."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        # An SSL socket may not be read and written at the same time. Nobody waits while holding this.
        self._io = threading.Lock()
        # Frames do not interleave.
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self._ended = False
        self._closing = False

    @classmethod
    def connect(cls, address: _Address, token: Optional[str], tls: Tls, deadline: float) -> _WebSocket:
        """Raises AirlockError: what the agent refuses, or UNREACHABLE."""
        if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
            raise AirlockError("INVALID_PARAMS", "The token holds characters that no token has", status=400)
        try:
            sock = _dial(address, tls, deadline)
        except (OSError, ssl.SSLError) as error:
            raise _unreachable(address.label, str(error) or type(error).__name__) from error
        web = cls(sock)
        try:
            web._upgrade(address, token, deadline)
        except (_Closed, OSError) as error:
            web.release()
            raise _unreachable(address.label, str(error) or "the connection was closed") from error
        except BaseException:
            web.release()
            raise
        return web

    def _upgrade(self, address: _Address, token: Optional[str], deadline: float) -> None:
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {address.path} HTTP/1.1",
            f"Host: {address.authority}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode('ascii')}",
            f"Sec-WebSocket-Protocol: {PROTOCOL}",
        ]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        self._write("\r\n".join([*lines, "", ""]).encode("ascii"), deadline)
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _HEAD_BYTES:
                raise _no_agent(address.label, "its answer has no end")
            self._fill(deadline)
        end = self._buffer.index(b"\r\n\r\n")
        head = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        status = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: .*)?", head[0])
        if status is None:
            raise _no_agent(address.label, "it does not speak HTTP")
        headers: Dict[str, str] = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        if status[1] != "101":
            raise self._refusal(address, int(status[1]), headers, deadline)
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode("ascii")
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
            raise _no_agent(address.label, "it does not upgrade to a WebSocket")
        if headers.get("sec-websocket-accept") != accept:
            raise _no_agent(address.label, "its Sec-WebSocket-Accept is wrong")
        if headers.get("sec-websocket-protocol") != PROTOCOL or "sec-websocket-extensions" in headers:
            raise _no_agent(address.label, f"it does not speak {PROTOCOL}")

    def _refusal(self, address: _Address, status: int, headers: Mapping[str, str], deadline: float) -> AirlockError:
        """The agent says why in the body. A proxy may answer in its place."""
        length = headers.get("content-length", "")
        want = min(int(length), _HEAD_BYTES) if re.fullmatch(r"\d{1,9}", length) else 0
        try:
            while len(self._buffer) < want:
                self._fill(deadline)
            data = _parse_json(bytes(self._buffer[:want]))
            if isinstance(data, dict) and data.get("status") == status and isinstance(data.get("code"), str):
                return AirlockError.from_data(data)
        except (_Closed, OSError, ValueError):
            pass  # The status says enough.
        known = {401: "UNAUTHENTICATED", 403: "FORBIDDEN", 429: "RATE_LIMITED", 503: "DRAINING"}.get(status)
        if known is not None:
            detail = f"The agent at {address.label} refused the connection: HTTP {status}"
            after = headers.get("retry-after", "")
            return AirlockError(
                known,
                detail,
                status=status,
                retry="later" if status >= 429 else "never",
                retry_after=int(after) if re.fullmatch(r"\d{1,5}", after) else None,
            )
        if status >= 500:
            return _unreachable(address.label, f"HTTP {status}")
        return _no_agent(address.label, f"it answers HTTP {status}")

    # Sending

    def send(self, opcode: int, payload: bytes) -> None:
        """Sends one frame, masked. Raises _Closed or OSError."""
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
        mask = os.urandom(4)
        with self._sending:
            if self._closing and opcode != _CLOSE:
                raise _Closed(1006, "the connection is being closed")
            self._write(head + mask + _masked(payload, mask), time.monotonic() + DEAD_SECONDS)

    def close(self, code: int, reason: str) -> None:
        """Begins the end: says why, once. Whoever receives gets the answer of the other side."""
        if self._closing:
            return
        self._closing = True
        try:
            self.send(_CLOSE, struct.pack(">H", code) + reason.encode("utf-8")[:120])
        except (_Closed, OSError):
            self.abort()

    def abort(self) -> None:
        """Ends it at once. A thread that receives wakes up."""
        with self._io:
            if self._ended:
                return
            self._ended = True
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass  # The other side was faster.

    def release(self) -> None:
        """Frees the socket; called by the thread that receives, when it is done."""
        # Closed with bytes unread, it would be reset, and the other side might never read why.
        deadline = time.monotonic() + LINGER_SECONDS
        try:
            while self._closing and time.monotonic() < deadline:
                self._buffer.clear()
                self._fill(deadline)
        except (_Closed, OSError):
            pass
        self.abort()
        with self._sending, self._io:
            self._sock.close()

    # Receiving

    def receive(self) -> Tuple[int, bytes]:
        """The next message: _TEXT or _BINARY, and its bytes. Answers pings. Raises _Closed or OSError."""
        kind = _CONTINUATION
        message = bytearray()
        while True:
            opcode, fin, payload = self._frame(FRAME_BYTES - len(message))
            if opcode == _PING:
                self._answer_ping(payload)
            elif opcode == _CLOSE:
                raise self._answer_close(payload)
            elif opcode in (_TEXT, _BINARY, _CONTINUATION):
                if (opcode == _CONTINUATION) != (kind != _CONTINUATION):
                    raise self._broken(1002, "a fragment is missing, or comes without a beginning")
                kind = opcode if opcode != _CONTINUATION else kind
                message += payload
                if fin:
                    return kind, bytes(message)
            elif opcode != _PONG:
                raise self._broken(1002, f"a frame has the unknown opcode {opcode}")

    def _frame(self, room: int) -> Tuple[int, bool, bytes]:
        first, second = self._take(2)
        opcode, fin, size = first & 0x0F, bool(first & 0x80), second & 0x7F
        if first & 0x70:
            raise self._broken(1002, "a frame uses an extension that was not agreed on")
        if second & 0x80:
            raise self._broken(1002, "a frame of the server is masked")
        if opcode & 0x8 and (size > 125 or not fin):
            raise self._broken(1002, "a control frame is too long, or in fragments")
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        if not opcode & 0x8 and size > room:
            raise self._broken(1009, f"a message has more than {FRAME_BYTES} bytes")
        return opcode, fin, self._take(size)

    def _answer_ping(self, payload: bytes) -> None:
        if not self._closing:
            self.send(_PONG, payload)

    def _answer_close(self, payload: bytes) -> _Closed:
        if len(payload) == 1:
            return self._broken(1002, "a close frame is cut")
        code = struct.unpack(">H", payload[:2])[0] if payload else 1005
        self.close(1000 if code == 1005 else code, "")
        return _Closed(code, payload[2:].decode("utf-8", "replace"))

    def _broken(self, code: int, why: str) -> _Closed:
        """The other side breaks the rules: it is told, and not heard any more."""
        self.close(code, why)
        return _Closed(code, why)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill(time.monotonic() + DEAD_SECONDS)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _fill(self, deadline: float) -> None:
        while True:
            with self._io:
                if self._ended:
                    raise _Closed(1006, "the connection was closed")
                try:
                    data = self._sock.recv(DATA_BYTES)
                    break
                except (BlockingIOError, ssl.SSLWantReadError):
                    wanted = selectors.EVENT_READ
                except ssl.SSLWantWriteError:
                    wanted = selectors.EVENT_WRITE
            self._wait(wanted, deadline)
        if not data:
            raise _Closed(1006, "the connection was closed without a word")
        self._buffer += data

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            with self._io:
                if self._ended:
                    raise _Closed(1006, "the connection was closed")
                try:
                    view = view[self._sock.send(view) :]
                    continue
                except (BlockingIOError, ssl.SSLWantWriteError):
                    wanted = selectors.EVENT_WRITE
                except ssl.SSLWantReadError:
                    wanted = selectors.EVENT_READ
            self._wait(wanted, deadline)

    def _wait(self, wanted: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, wanted)
            if left <= 0 or not selector.select(left):
                raise _Closed(1006, "the other side was silent for too long")


def _dial(address: _Address, tls: Tls, deadline: float) -> socket.socket:
    def left() -> float:
        return max(0.001, deadline - time.monotonic())

    if address.unix is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(left())
            sock.connect(address.unix)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((address.host, address.port), timeout=left())
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.secure:
            sock.settimeout(left())
            return tls.context().wrap_socket(sock, server_hostname=tls.server_name or address.host)
        return sock
    except BaseException:
        sock.close()
        raise


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Each byte with the mask, as one large number: a loop over the bytes would take a hundred times as long."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def _parse_json(data: bytes) -> object:
    """Raises ValueError for what is no JSON of UTF-8."""

    def constant(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    try:
        parsed: object = json.loads(data.decode("utf-8"), parse_constant=constant)
        return parsed
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# ---------------------------------------------------------------------------------------------------------------------
# A session


class _Window:
    """The credit of a stream to the agent. Numbers are absolute, so a late or repeated window changes nothing."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.failure: Optional[AirlockError] = None


class _Incoming:
    """A stream from the agent."""

    def __init__(self) -> None:
        self.chunks: Deque[bytes] = deque()
        self.received = 0
        self.limit = 0
        self.ended = False
        self.failure: Optional[AirlockError] = None


class _Answer:
    def __init__(self) -> None:
        self.done = False
        self.result: object = None
        self.failure: Optional[AirlockError] = None


class Session:
    """One connection to an agent whose session has been started. :meth:`close` ends it; so does leaving ``with``."""

    #: The agent's first message.
    hello: Hello
    #: The newest event when the session began. The events of this session come after it, or after ``resume``.
    at: Position
    #: Whether all events since ``resume`` are sent. If not, a ``snapshot`` event comes instead.
    resumed: bool

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        *,
        client: str = "airlock.py",
        tls: Tls = Tls(),
        events: Union[str, Sequence[str]] = (),
        resume: Optional[Position] = None,
        on_event: Optional[Callable[[Event], None]] = None,
        on_lost: Optional[Callable[[AirlockError], None]] = None,
        timeout: float = CONNECT_SECONDS,
    ) -> None:
        """Connects and starts the session.

        ``events``: ``"all"`` or a list of types. ``resume``: the last event that was seen. ``on_event`` is called in the
        thread that reads the socket, also before this returns; it must not wait. ``on_lost`` is called once, when the
        connection has ended.

        Raises AirlockError as the agent refuses (UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, DRAINING), or UNREACHABLE.
        """
        address = _read_address(url)
        deadline = time.monotonic() + timeout
        self._label = address.label
        self._on_event = on_event
        self._on_lost = on_lost
        self._changed = threading.Condition()
        self._greeting: Optional[Hello] = None
        self._answers: Dict[str, _Answer] = {}
        self._slots = threading.BoundedSemaphore(REQUESTS_IN_FLIGHT)
        self._last = 0
        self._outgoing: Dict[int, _Window] = {}
        self._incoming: Dict[int, _Incoming] = {}
        self._failure: Optional[AirlockError] = None
        self._web = _WebSocket.connect(address, token, tls, deadline)
        self._reader = threading.Thread(target=self._read, name="airlock-session", daemon=True)
        self._reader.start()
        try:
            with self._changed:
                self._await(lambda: self._greeting is not None, deadline)
                if self._greeting is None:
                    raise self._failure or _unreachable(self._label, f"no hello within {timeout:g} s")
                self.hello = self._greeting
            params: Dict[str, Any] = {"client": client, "events": events if events == "all" else list(events)}
            if resume is not None:
                params["resume"] = {"bootId": resume["bootId"], "seq": resume["seq"]}
            started = self.call("session.start", params, timeout=max(0.001, deadline - time.monotonic()))
            self.at = cast(Position, _field(started, "at", dict))
            self.resumed = started.get("resumed") is True
        except BaseException as error:
            self.close()
            if isinstance(error, AirlockError) and error.code == "CANCELLED":
                raise _unreachable(self._label, f"no session within {timeout:g} s") from None
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def lost(self) -> Optional[AirlockError]:
        """Why the connection has ended; None while it is open."""
        return self._failure

    def call(self, method: str, params: Mapping[str, Any], timeout: Optional[float] = None) -> Dict[str, Any]:
        """Calls a method and waits for its answer, at most ``timeout`` seconds.

        Raises AirlockError: that of the agent's answer; UNREACHABLE (retry ``same``, executed ``maybe``) if the
        connection breaks before the answer; CANCELLED if the time is up, which does not undo what the agent does.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._slots.acquire(timeout=timeout):
            raise AirlockError("CANCELLED", f'"{method}" was not sent in time', status=499, retry="same")
        answer = _Answer()
        with self._changed:
            if self._failure is not None:
                self._slots.release()
                raise self._failure
            self._last += 1
            number = str(self._last)
            self._answers[number] = answer
        try:
            self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        except AirlockError:
            with self._changed:
                if self._answers.pop(number, None) is not None:
                    self._slots.release()
            raise
        with self._changed:
            self._await(lambda: answer.done, deadline)
            if not answer.done:
                # The agent counts it until it has answered, and so does this.
                detail = f'"{method}" was not answered in time'
                raise AirlockError("CANCELLED", detail, status=499, retry="same", executed="maybe")
        if answer.failure is not None:
            raise answer.failure
        if not isinstance(answer.result, dict):
            raise AirlockError("INTERNAL", f'The answer to "{method}" is no object', executed="maybe")
        return answer.result

    def receive(self, stream: int) -> Iterator[bytes]:
        """The bytes of a stream that an answer has announced. To stop early cancels the stream.

        The agent sends at most a window ahead of what was read. Raises AirlockError of a reset; UNREACHABLE.
        """
        with self._changed:
            incoming = self._incoming.setdefault(stream, _Incoming())
            if self._failure is not None:
                incoming.failure = incoming.failure or self._failure
        taken = 0
        try:
            self._grant(stream, incoming, taken)
            while True:
                with self._changed:
                    self._await(lambda: bool(incoming.chunks or incoming.ended or incoming.failure), None)
                    if incoming.chunks:
                        chunk = incoming.chunks.popleft()
                    elif incoming.failure is not None:
                        raise incoming.failure
                    elif incoming.ended:
                        return
                    else:
                        raise self._failure or AirlockError("INTERNAL", "The stream has ended without a reason")
                yield chunk
                taken += len(chunk)
                if not incoming.ended and incoming.limit - taken <= WINDOW_BYTES // 2:
                    self._grant(stream, incoming, taken)
        finally:
            with self._changed:
                self._incoming.pop(stream, None)
                is_over = incoming.ended or incoming.failure is not None or self._failure is not None
            if not is_over:
                self.cancel(stream)

    def cancel(self, stream: int) -> None:
        """Tells the agent that nobody reads the rest of a stream. For one that has ended it has no effect."""
        self._notify("cancel", {"stream": stream})

    def send_bundle(
        self, opened: Mapping[str, Any], bundle: _Bundle, on_progress: Optional[Callable[[int, int], None]] = None
    ) -> None:
        """Sends the bytes of a bundle from where ``install.begin`` says, never beyond the agent's credit.

        Returns when all are sent, or when the agent gave no credit for too long: its answer to the commit has the
        reason. Raises AirlockError of a reset; UNREACHABLE.
        """
        stream, offset = _field(opened, "stream", int), _field(opened, "offset", int)
        window = self._outgoing.get(stream)
        if window is None:
            raise self._failure or AirlockError("INTERNAL", f"The agent has opened no stream {stream}")
        try:
            tell = on_progress or (lambda sent, total: None)
            tell(offset, bundle.size)
            # After a connection broke nobody knows whether the last frame had arrived. It may be sent again, empty.
            is_first = True
            while offset < bundle.size or is_first:
                is_first = False
                with self._changed:
                    self._await(
                        lambda: window.failure is not None or offset < window.limit or offset == bundle.size,
                        time.monotonic() + STALL_SECONDS,
                    )
                    if window.failure is not None:
                        raise window.failure
                    if self._failure is not None:
                        raise self._failure
                    room = window.limit - offset
                if room <= 0 and offset < bundle.size:
                    return
                data = bundle.read(offset, min(DATA_BYTES, room, bundle.size - offset))
                fin = offset + len(data) == bundle.size
                self._send_bytes(encode_frame(DataFrame(stream, offset, fin, data)))
                offset += len(data)
                tell(offset, bundle.size)
        finally:
            with self._changed:
                self._outgoing.pop(stream, None)

    def close(self) -> None:
        """Ends the connection. Calls that wait fail with UNREACHABLE."""
        self._web.close(1000, "done")
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout=LINGER_SECONDS)
            if self._reader.is_alive():
                self._web.abort()
                self._reader.join(timeout=LINGER_SECONDS)

    # Sending

    def _send(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        try:
            payload = text.encode("utf-8")
        except UnicodeEncodeError:
            raise AirlockError("INVALID_PARAMS", "A text holds half a character", status=400) from None
        if len(payload) > FRAME_BYTES:
            detail = f"A request is larger than a frame may be ({FRAME_BYTES} bytes)"
            raise AirlockError("TOO_LARGE", detail, status=413)
        self._send_payload(_TEXT, payload)

    def _send_bytes(self, frame: bytes) -> None:
        self._send_payload(_BINARY, frame)

    def _send_payload(self, opcode: int, payload: bytes) -> None:
        try:
            self._web.send(opcode, payload)
        except (_Closed, OSError) as error:
            if threading.current_thread() is not self._reader:
                # The agent may have said why it has ended the connection.
                self._reader.join(timeout=LINGER_SECONDS)
            self._web.abort()
            raise self._fail(1006, str(error)) from error

    def _notify(self, method: str, params: Mapping[str, Any]) -> None:
        """A notification that is lost with its connection does no harm."""
        try:
            self._send({"jsonrpc": "2.0", "method": method, "params": params})
        except AirlockError:
            pass

    def _grant(self, stream: int, incoming: _Incoming, taken: int) -> None:
        incoming.limit = taken + WINDOW_BYTES
        self._notify("window", {"stream": stream, "offset": taken, "limit": incoming.limit})

    # Receiving, in a thread of its own

    def _read(self) -> None:
        try:
            while True:
                kind, payload = self._web.receive()
                if kind == _TEXT:
                    self._on_text(payload)
                else:
                    self._on_frame(payload)
        except _Closed as closed:
            self._fail(closed.code, closed.reason)
        except (OSError, ssl.SSLError) as error:
            self._fail(1006, str(error))
        except Exception as error:  # Such as one of on_event: no thread of its own tells it to anybody.
            self._fail(1006, f"{type(error).__name__}: {error}")
        finally:
            self._web.release()

    def _malformed(self, why: str) -> _Closed:
        self._web.close(1002, why)
        return _Closed(1002, why)

    def _on_text(self, payload: bytes) -> None:
        try:
            message = _parse_json(payload)
        except UnicodeDecodeError:
            self._web.close(1007, "a text frame is not UTF-8")
            raise _Closed(1007, "a text frame is not UTF-8") from None
        except ValueError:
            raise self._malformed("a text frame is not JSON") from None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise self._malformed("a text frame is not JSON-RPC 2.0")
        method, number = message.get("method"), message.get("id")
        if isinstance(method, str) and "id" not in message:
            self._on_notification(method, message.get("params"))
        elif isinstance(method, str):
            error = {"code": -32601, "message": "A client answers no requests"}
            self._send({"jsonrpc": "2.0", "id": number, "error": error})
        elif isinstance(number, str) and ("result" in message or isinstance(message.get("error"), dict)):
            self._on_answer(number, message)
        else:
            raise self._malformed("a text frame is neither a notification nor an answer")

    def _on_answer(self, number: str, message: Dict[str, Any]) -> None:
        with self._changed:
            answer = self._answers.pop(number, None)
            if answer is None:
                return
            self._slots.release()
            if "error" in message:
                answer.failure = AirlockError.from_data(message["error"].get("data"))
            else:
                answer.result = message["result"]
                self._register(message["result"])
            answer.done = True
            self._changed.notify_all()

    def _register(self, result: object) -> None:
        """A window or a reset may come right behind the answer that opens a stream."""
        if not isinstance(result, dict) or "stream" not in result:
            return
        stream, offset, limit = (result.get(name) for name in ("stream", "offset", "limit"))
        if result.get("status") != "open":
            if isinstance(stream, int):
                self._incoming[stream] = _Incoming()
        else:
            if not all(isinstance(each, int) and each >= 0 for each in (stream, offset, limit)):
                raise self._malformed("an answer opens a stream without numbers")
            self._outgoing[cast(int, stream)] = _Window(cast(int, limit))

    def _on_notification(self, method: str, params: object) -> None:
        if method == "hello":
            if not isinstance(params, dict) or params.get("protocol") != PROTOCOL or "bootId" not in params:
                raise self._malformed("the hello is not one of airlock.v1")
            with self._changed:
                self._greeting = cast(Hello, params)
                self._changed.notify_all()
        elif method == "event":
            if not isinstance(params, dict) or not isinstance(params.get("seq"), int) or "type" not in params:
                raise self._malformed("an event cannot be read")
            if self._on_event is not None:
                self._on_event(cast(Event, params))
        elif method in ("window", "reset"):
            if not isinstance(params, dict) or not isinstance(params.get("stream"), int):
                raise self._malformed(f"a {method} cannot be read")
            self._on_stream(method, params["stream"], params)
        # A newer agent may send other notifications.

    def _on_stream(self, method: str, stream: int, params: Dict[str, Any]) -> None:
        with self._changed:
            window, incoming = self._outgoing.get(stream), self._incoming.get(stream)
            if method == "reset":
                failure = AirlockError.from_data(params.get("error"))
                if window is not None:
                    window.failure = window.failure or failure
                if incoming is not None:
                    incoming.failure = incoming.failure or failure
            elif not isinstance(params.get("limit"), int):
                raise self._malformed("a window cannot be read")
            elif window is not None:
                window.limit = max(window.limit, params["limit"])
            self._changed.notify_all()

    def _on_frame(self, payload: bytes) -> None:
        try:
            frame = decode_frame(payload)
        except ValueError as error:
            raise self._malformed(str(error)) from None
        with self._changed:
            incoming = self._incoming.get(frame.stream)
            # Bytes may still come for a stream whose reader has stopped.
            if incoming is None or incoming.failure is not None:
                return
            if incoming.ended or frame.offset != incoming.received or frame.offset + len(frame.data) > incoming.limit:
                detail = f"Stream {frame.stream} of the agent has a gap, an end before its end, or more than its credit"
                incoming.failure = AirlockError("INTERNAL", detail)
            else:
                incoming.received += len(frame.data)
                incoming.ended = frame.fin
                if frame.data:
                    incoming.chunks.append(frame.data)
            self._changed.notify_all()

    # Waiting

    def _await(self, ready: Callable[[], bool], deadline: Optional[float]) -> None:
        """Waits, with the lock held, until something is so, the connection has ended, or the time is up."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._changed.wait_for(lambda: ready() or self._failure is not None, timeout)

    def _fail(self, code: int, why: str) -> AirlockError:
        """The connection has ended: everything that waits gets the reason."""
        with self._changed:
            if self._failure is not None:
                return self._failure
            failure = self._failure = _failure_of(self._label, code, why)
            for answer in self._answers.values():
                answer.done, answer.failure = True, failure
                self._slots.release()
            self._answers.clear()
            for window in self._outgoing.values():
                window.failure = window.failure or failure
            for incoming in self._incoming.values():
                incoming.failure = incoming.failure or failure
            self._changed.notify_all()
        if self._on_lost is not None:
            self._on_lost(failure)
        return failure


def _failure_of(label: str, code: int, why: str) -> AirlockError:
    """What the code of a close frame means."""
    if code == 1001:
        detail = f"The agent at {label} is shutting down"
        return AirlockError("DRAINING", detail, status=503, retry="later", executed="maybe")
    if code == 4401:
        return AirlockError("UNAUTHENTICATED", f"The agent at {label} no longer accepts this token", status=401)
    if code == 4429:
        return AirlockError("RATE_LIMITED", f"The agent at {label} has too many connections", status=429, retry="later")
    return AirlockError(
        "UNREACHABLE",
        f"The connection to {label} broke: {why or 'it was closed'} ({code})",
        status=503,
        retry="same",
        executed="maybe",
        hint="Ask again with the same operation id: an operation that is done is not repeated",
    )


# ---------------------------------------------------------------------------------------------------------------------
# A client


class _AnyVersion:
    """See ANY_VERSION."""


#: The default of ``expect``: whatever is live. None means that nothing may be live.
ANY_VERSION = _AnyVersion()

Expect = Union[str, None, _AnyVersion]
BundleSource = Union[bytes, str, "os.PathLike[str]"]
T = TypeVar("T")


class _Bundle:
    """The bytes of a bundle, in memory or in a file that stays open meanwhile."""

    def __init__(self, source: BundleSource) -> None:
        self._bytes = source if isinstance(source, bytes) else None
        self._file: Optional[IO[bytes]] = None
        digest = hashlib.sha256()
        if isinstance(source, bytes):
            self.size = len(source)
            digest.update(source)
        else:
            try:
                self._file = open(source, "rb")
                self.size = 0
                for chunk in iter(lambda: self._read_file(DATA_BYTES), b""):
                    digest.update(chunk)
                    self.size += len(chunk)
            except OSError as error:
                self.close()
                detail = f"The bundle cannot be read: {error.strerror}: {os.fspath(source)}"
                raise AirlockError("INVALID_PARAMS", detail, status=400) from error
        self.sha256 = digest.hexdigest()

    def _read_file(self, size: int) -> bytes:
        return b"" if self._file is None else self._file.read(size)

    def read(self, offset: int, size: int) -> bytes:
        if self._bytes is not None:
            return self._bytes[offset : offset + size]
        if self._file is not None:
            self._file.seek(offset)
        data = self._read_file(size)
        if len(data) < size:
            raise AirlockError("INVALID_PARAMS", f"The bundle no longer holds its {self.size} bytes", status=400)
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def new_operation_id() -> str:
    """A new id for an operation. With the same id, the same request is safe to repeat."""
    return str(uuid.uuid4())


class Client:
    """Calls the methods of one agent. It connects when it has to, and again after its connection broke.

    Every change gets an operation id that stays the same while it is repeated, so it happens once. Pass your own
    ``operation_id`` to go on with an operation of an earlier process.
    """

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        *,
        name: str = "airlock.py",
        tls: Tls = Tls(),
        tries: int = 5,
        first_pause: float = 0.5,
        longest_pause: float = 8.0,
        on_retry: Optional[Callable[[AirlockError, float], None]] = None,
    ) -> None:
        """``url``: ``ws://host:port``, ``wss://host:port`` or ``ws+unix:/path``; a Unix socket needs no token.

        ``name`` is for the log of the agent. ``tries``: how often to try again, at most, without progress; the pauses
        between tries double. ``on_retry`` is called before each pause with the reason and the seconds.
        """
        _read_address(url)
        self._url = url
        self._token = token
        self._name = name
        self._tls = tls
        self._tries = tries
        self._pauses = (first_pause, longest_pause)
        self._on_retry = on_retry or (lambda error, pause: None)
        self._lock = threading.Lock()
        self._open: Optional[Session] = None
        self._reached = False

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. The client can still be used: it connects again."""
        with self._lock:
            session, self._open = self._open, None
        if session is not None:
            session.close()

    def session(self) -> Session:
        """The open session; connects if there is none."""
        with self._lock:
            if self._open is None or self._open.lost is not None:
                self._open = Session(self._url, self._token, client=self._name, tls=self._tls)
                self._reached = True
            return self._open

    def call(self, method: str, params: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
        """Calls any method; see docs/protocol.md. The same request is repeated while that may help.

        A change needs an ``operationId`` of yours among its parameters, so the repetition is safe.
        """
        return self._insist(lambda session: session.call(method, {} if params is None else params))

    # Installs

    def install(
        self,
        plugin: str,
        bundle: BundleSource,
        *,
        operation_id: Optional[str] = None,
        tree: Optional[str] = None,
        source: Optional[str] = None,
        expect: Expect = ANY_VERSION,
        pin: Optional[str] = None,
        links: Optional[str] = None,
        restart: Optional[bool] = None,
        force: Optional[bool] = None,
        on_progress: Optional[Callable[[int, int], None]] = None,
    ) -> Installed:
        """Installs a bundle (a ``.tgz``, as bytes or as the path of a file). When it returns, the install is durable.

        If the connection breaks, it connects again and continues the same operation, from the byte that the agent names.
        ``on_progress`` is called with the bytes that were sent and the size; first for where each connection begins.

        Raises AirlockError of the agent; UNREACHABLE if all tries are used up, and then ``executed`` may be ``maybe``.
        """
        data = _Bundle(bundle)
        params = _given(
            operationId=operation_id or new_operation_id(),
            plugin=plugin,
            bundle={"size": data.size, "sha256": data.sha256},
            tree=tree,
            source=source,
            expect=_expected(expect),
            pin=pin,
            links=links,
            restart=restart,
            force=force,
        )
        furthest = 0

        def tell(sent: int, total: int) -> None:
            nonlocal furthest
            furthest = max(furthest, sent)
            if on_progress is not None:
                on_progress(sent, total)

        def once(session: Session) -> Dict[str, Any]:
            begun = session.call("install.begin", params)
            if begun.get("status") != "open":
                return begun
            session.send_bundle(begun, data, tell)
            return session.call("install.commit", {"operationId": params["operationId"]})

        try:
            return cast(Installed, self._insist(once, lambda: furthest))
        except AirlockError as error:
            error.operation_id = params["operationId"]
            raise
        finally:
            data.close()

    def abort(self, operation_id: str) -> bool:
        """Aborts an install of this or another connection. False: it was too late, or there is none."""
        return self.call("install.abort", {"operationId": operation_id}).get("aborted") is True

    def pull(
        self,
        plugin: str,
        url: str,
        *,
        operation_id: Optional[str] = None,
        sha256: Optional[str] = None,
        size: Optional[int] = None,
        tree: Optional[str] = None,
        expect: Expect = ANY_VERSION,
        pin: Optional[str] = None,
        links: Optional[str] = None,
        restart: Optional[bool] = None,
        force: Optional[bool] = None,
    ) -> Installed:
        """Lets the agent fetch a bundle from a URL and install it. ``sha256``, if it is known, must be that of the bundle.

        UNREACHABLE with executed ``no`` is about the server of the URL.
        """
        params = _given(
            plugin=plugin,
            url=url,
            bundle=None if sha256 is None else _given(sha256=sha256, size=size),
            tree=tree,
            expect=_expected(expect),
            pin=pin,
            links=links,
            restart=restart,
            force=force,
        )
        return cast(Installed, self._change("plugin.pull", operation_id, **params))

    def adopt(
        self,
        plugin: str,
        *,
        plan: Optional[bool] = None,
        tree: Optional[str] = None,
        force: Optional[bool] = None,
        operation_id: Optional[str] = None,
    ) -> Adopted:
        """Gives a directory that was put there without Airlock a full marker. With ``plan`` it only says what prevents it.

        ``tree``: refused unless the files are still those of the plan.
        """
        params = _given(plugin=plugin, plan=plan, tree=tree, force=force)
        return cast(Adopted, self._change("plugin.adopt", operation_id, **params))

    def rollback(
        self,
        plugin: str,
        *,
        to: Optional[str] = None,
        expect: Expect = ANY_VERSION,
        restart: Optional[bool] = None,
        force: Optional[bool] = None,
        operation_id: Optional[str] = None,
    ) -> Installed:
        """Brings back the version before, or the one of the installId ``to``."""
        more = _given(to=to, expect=_expected(expect), restart=restart, force=force)
        return cast(Installed, self._change("plugin.rollback", operation_id, plugin=plugin, **more))

    def uninstall(
        self,
        plugin: str,
        *,
        expect: Expect = ANY_VERSION,
        purge: Optional[bool] = None,
        restart: Optional[bool] = None,
        force: Optional[bool] = None,
        operation_id: Optional[str] = None,
    ) -> Uninstalled:
        """Removes a plugin. A rollback brings it back. ``purge`` also removes the data of the plugin."""
        more = _given(expect=_expected(expect), purge=purge, restart=restart, force=force)
        return cast(Uninstalled, self._change("plugin.uninstall", operation_id, plugin=plugin, **more))

    def hold(self, plugin: str, why: Optional[str] = None, *, operation_id: Optional[str] = None) -> None:
        """Refuses changes of a plugin unless they are forced."""
        self._change("plugin.hold", operation_id, plugin=plugin, **_given(why=why))

    def release(self, plugin: str, *, operation_id: Optional[str] = None) -> None:
        """Ends a hold."""
        self._change("plugin.hold", operation_id, plugin=plugin, release=True)

    def disable(self, plugin: str, disabled: bool = True, *, operation_id: Optional[str] = None) -> None:
        """Makes the gate refuse a plugin from the next scan on, or admit it again. Its files stay."""
        self._change("plugin.disable", operation_id, plugin=plugin, disabled=disabled)

    # Questions

    def list(self, *, mode: Optional[str] = None, verify: Optional[str] = None) -> List[Plugin]:
        """All plugins, however many there are."""

        def once(session: Session) -> List[Plugin]:
            answer = session.call("plugin.list", _given(all=True, mode=mode, verify=verify))
            return cast(List[Plugin], _whole_list(session, answer, "plugins"))

        return self._insist(once)

    def get(self, plugin: str) -> Plugin:
        """One plugin. Raises AirlockError NOT_FOUND."""
        return cast(Plugin, self.call("plugin.get", {"plugin": plugin}))

    def verify(self, plugin: str) -> Verification:
        """Hashes what is live and compares it with what was installed."""
        return cast(Verification, self.call("plugin.verify", {"plugin": plugin}))

    def classify(self, plugin: str, files: Sequence[FileEntry], hot_reload: Optional[bool] = None) -> Reload:
        """What an install of these files (at most 1,000; see :func:`list_tree`) would mean for the runtime."""
        params = _given(plugin=plugin, list=[*files], hotReload=hot_reload)
        return cast(Reload, _field(self.call("plugin.classify", params), "reload", dict))

    def files(self, plugin: str) -> Loaded:
        """The files of the version that counts as loaded."""

        def once(session: Session) -> Loaded:
            answer = session.call("plugin.files", {"plugin": plugin})
            stream = _field(answer, "stream", int) if "stream" in answer else None
            lines = [] if stream is None else list(_lines(session.receive(stream)))
            return {
                "kind": _field(answer, "kind", str),
                "why": answer.get("why"),
                "generation": answer.get("generation"),
                "ignore": answer.get("ignore", []),
                "files": [cast(FileEntry, line) for line in lines if "path" in line],
                "edited": [str(line["edited"]) for line in lines if "edited" in line],
            }

        return self._insist(once)

    def history(
        self,
        plugin: Optional[str] = None,
        *,
        limit: Optional[int] = None,
        verify: Optional[bool] = None,
        head: Optional[str] = None,
    ) -> History:
        """The newest lines of the history of one plugin or of all, and with ``verify`` whether it is whole."""
        params = _given(plugin=plugin, limit=limit, verify=verify, head=head)

        def once(session: Session) -> History:
            answer = session.call("plugin.history", params)
            lines = _whole_list(session, answer, "lines")
            return {
                "lines": lines,
                "plugins": _field(_field(answer, "plugins", dict), "items", list),
                "broken": answer.get("broken"),
            }

        return self._insist(once)

    def export(
        self,
        plugin: str,
        target: Union[str, "os.PathLike[str]"],
        *,
        version: Optional[str] = None,
        drifted: Optional[bool] = None,
    ) -> Exported:
        """Writes an installed version to a file, as a bundle whose tree has been checked. Without an error it is whole.

        ``version``: the installId of a snapshot; default: what is live.
        """
        part = f"{os.fspath(target)}.part"

        def once(session: Session) -> Exported:
            answer = session.call("plugin.export", _given(plugin=plugin, version=version, drifted=drifted))
            stream = _field(answer, "stream", int)
            with open(part, "wb") as file:
                for chunk in session.receive(stream):
                    file.write(chunk)
            if bundle_tree(part) != answer.get("tree"):
                raise AirlockError("DIGEST_MISMATCH", f'The export of "{plugin}" has another tree', status=422, retry="same")
            return cast(Exported, answer)

        try:
            exported = self._insist(once)
            os.replace(part, target)
            return exported
        finally:
            if os.path.exists(part):
                os.remove(part)

    def status(self, quick: bool = False) -> Dict[str, Any]:
        """The state of the agent, and what only an operator can repair."""
        return self.call("status", _given(quick=quick or None))

    # House-keeping

    def reconcile(
        self,
        declared: Sequence[Mapping[str, Any]],
        *,
        apply: bool = False,
        repair: Optional[bool] = None,
        restart: Optional[bool] = None,
        operation_id: Optional[str] = None,
    ) -> List[Reconciled]:
        """Compares declared plugins (``name``, and ``version``, ``tree``, ``bundle``, ``source``) with the live ones.

        With ``apply`` the agent makes it so, as far as it can; what it answers as ``wanted`` has to be pushed.
        """
        params = _given(
            declared=[dict(each) for each in declared],
            mode="apply" if apply else "plan",
            operationId=(operation_id or new_operation_id()) if apply else None,
            repair=repair,
            restart=restart,
            all=True,
        )

        def once(session: Session) -> List[Reconciled]:
            return cast(List[Reconciled], _whole_list(session, session.call("reconcile", params), "plugins"))

        return self._insist(once)

    def restarted(self, at: Optional[str] = None, *, operation_id: Optional[str] = None) -> Dict[str, Any]:
        """Reports a restart of the runtime: what was live when it began (``at``) counts as loaded from now on."""
        return self._change("runtime.restarted", operation_id, **_given(at=at))

    def recover(self, plugin: Optional[str] = None, *, operation_id: Optional[str] = None) -> Dict[str, Any]:
        """Finishes or undoes what a crash has left."""
        return self._change("recover", operation_id, **_given(plugin=plugin))

    def sweep(self, *, operation_id: Optional[str] = None) -> Dict[str, Any]:
        """Removes what is no longer needed."""
        return self._change("sweep", operation_id)

    # Events

    def events(
        self, types: Union[str, Sequence[str]] = "all", *, resume: Optional[Position] = None
    ) -> Iterator[Event]:
        """The events of the agent, each once and in order, over a connection of its own, for ever.

        When the connection is lost, it connects again and continues after the last event that it has given. If the
        agent no longer has the missed ones, a ``snapshot`` event comes instead. ``resume``: an event of an earlier
        process, to continue after it. Raises AirlockError if the first connection fails, and later for what another try
        cannot change, such as UNAUTHENTICATED.
        """
        seen = resume
        session: Optional[Session] = None
        failures = 0
        while True:
            queue = _EventQueue()
            try:
                session = Session(
                    self._url,
                    self._token,
                    client=self._name,
                    tls=self._tls,
                    events=types,
                    resume=seen,
                    on_event=queue.put,
                    on_lost=queue.end,
                )
                failures = 0
                seen = seen or session.at
                for event in queue.take():
                    seen = {"bootId": event["bootId"], "seq": event["seq"]}
                    yield event
                lost = queue.lost
            except AirlockError as error:
                if session is None:
                    raise
                lost = error
            finally:
                if session is not None:
                    session.close()
            # Another program may answer at the address of an agent while the agent is restarted.
            if not lost.worth_another_try and lost.code != "UNREACHABLE":
                raise lost
            failures += 1
            self._pause(failures, lost)

    # Trying again

    def _change(self, method: str, operation_id: Optional[str], **params: Any) -> Dict[str, Any]:
        operation_id = operation_id or new_operation_id()
        try:
            return self.call(method, {"operationId": operation_id, **params})
        except AirlockError as error:
            error.operation_id = operation_id
            raise

    def _insist(self, once: Callable[[Session], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Tries until it works, until another try cannot help, or until all tries without progress are used up."""
        failures = 0
        before = progress()
        while True:
            try:
                return once(self.session())
            except AirlockError as error:
                # While an agent is restarted, a proxy may answer in its place.
                if not error.worth_another_try and not (self._reached and error.code == "UNREACHABLE"):
                    raise
                failures = 1 if progress() > before else failures + 1
                before = progress()
                if failures > self._tries:
                    raise
                self._pause(failures, error)

    def _pause(self, failures: int, why: AirlockError) -> None:
        """Half of a pause is chance, so that many clients do not come back at once. The agent may ask for a longer one."""
        first, longest = self._pauses
        pause = min(longest, first * 2.0 ** min(failures - 1, 30)) * (0.5 + random.random() / 2)
        pause = max(pause, float(why.retry_after or 0))
        self._on_retry(why, pause)
        time.sleep(pause)


class _EventQueue:
    """Events on their way from the thread that reads the socket to the caller."""

    #: Why no more events come.
    lost: AirlockError

    def __init__(self) -> None:
        self._events: Deque[Event] = deque()
        self._ended = False
        self._there = threading.Condition()

    def put(self, event: Event) -> None:
        with self._there:
            if len(self._events) >= EVENTS_WAITING:
                # The agent keeps events for a while, and the memory here has an end.
                raise BufferError("the reader of the events is too slow")
            self._events.append(event)
            self._there.notify()

    def end(self, lost: AirlockError) -> None:
        with self._there:
            self.lost = lost
            self._ended = True
            self._there.notify()

    def take(self) -> Iterator[Event]:
        """The events, until the last one that came."""
        while True:
            with self._there:
                self._there.wait_for(lambda: self._events or self._ended)
                if not self._events:
                    return
                event = self._events.popleft()
            yield event


def _given(**params: Any) -> Dict[str, Any]:
    """The parameters that are not None."""
    return {name: value for name, value in params.items() if value is not None}


def _expected(expect: Expect) -> Optional[Dict[str, Optional[str]]]:
    return None if isinstance(expect, _AnyVersion) else {"installId": expect}


def _whole_list(session: Session, answer: Mapping[str, Any], name: str) -> List[Dict[str, Any]]:
    """The list in an answer; if it was cut there, the one on the stream."""
    if "stream" in answer:
        return list(_lines(session.receive(_field(answer, "stream", int))))
    return _field(_field(answer, name, dict), "items", list)


def _lines(chunks: Iterator[bytes]) -> Iterator[Dict[str, Any]]:
    """JSON lines of a stream, each an object."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > FRAME_BYTES:
            raise AirlockError("INTERNAL", "A line of a stream has no end")
        yield from (_line(line) for line in whole if line)
    if rest:
        yield _line(rest)


def _line(line: bytes) -> Dict[str, Any]:
    try:
        parsed = _parse_json(line)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AirlockError("INTERNAL", "A line of a stream is no JSON object")
    return parsed


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def _command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airlock.py",
        description="Talks to an Airlock agent. The token comes from AIRLOCK_TOKEN.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 usage, 3 unreachable, 4 unauthenticated.",
    )
    parser.add_argument("--to", default=f"ws://127.0.0.1:{DEFAULT_PORT}", metavar="URL", help="default: %(default)s")
    parser.add_argument("--ca", metavar="FILE", help="the authority of the agent's certificate")
    parser.add_argument("--cert", metavar="FILE", help="the certificate of this client, for mutual TLS")
    parser.add_argument("--key", metavar="FILE", help="its key")
    parser.add_argument("--tries", type=int, default=5, help="how often to try again; default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the plugins")
    install = commands.add_parser("install", help="install a bundle")
    install.add_argument("plugin")
    install.add_argument("bundle", help="a .tgz")
    install.add_argument("--source", help="where it comes from, for the marker")
    install.add_argument("--operation", metavar="ID", help="the id of an earlier try whose end is not known")
    install.add_argument("--no-restart", action="store_true", help="suppress the restart")
    install.add_argument("--force", action="store_true", help="also if it is live already, or held")
    rollback = commands.add_parser("rollback", help="bring the version before back")
    rollback.add_argument("plugin")
    rollback.add_argument("--to-install", dest="install_id", metavar="INSTALLID", help="which version")
    events = commands.add_parser("events", help="print events as JSON lines, until Ctrl-C")
    events.add_argument("--after", metavar="BOOTID:SEQ", help="continue after this event")
    events.add_argument("--count", type=int, default=0, metavar="N", help="end after so many")
    call = commands.add_parser("call", help="call any method and print its answer")
    call.add_argument("method")
    call.add_argument("params", nargs="?", default="{}", help="JSON; default: %(default)s")
    return parser


def _run(client: Client, options: argparse.Namespace) -> None:
    if options.command == "list":
        for plugin in client.list():
            version, reason = plugin.get("version", "-"), plugin.get("reason")
            print(plugin["name"], version, plugin["status"] + (f": {reason}" if reason else ""), sep="\t")
    elif options.command == "install":
        installed = client.install(
            options.plugin,
            options.bundle,
            operation_id=options.operation,
            source=options.source,
            restart=False if options.no_restart else None,
            force=True if options.force else None,
        )
        _print_installed(installed)
    elif options.command == "rollback":
        _print_installed(client.rollback(options.plugin, to=options.install_id))
    elif options.command == "events":
        boot, _, seq = (options.after or "").rpartition(":")
        resume: Optional[Position] = {"bootId": boot, "seq": int(seq)} if boot else None
        for count, event in enumerate(client.events(resume=resume), 1):
            print(json.dumps(event, ensure_ascii=False), flush=True)
            if count == options.count:
                return
    else:
        print(json.dumps(client.call(options.method, json.loads(options.params)), indent=2, ensure_ascii=False))


def _print_installed(installed: Installed) -> None:
    what = f"{installed['status']}  {installed['plugin']} {installed['pluginVersion']}"
    print(f"{what} ({installed['files']} files, {installed['installId']}; {installed['reload']['action']})")
    for warning in installed["warnings"]["items"]:
        print(f"warning: {warning}", file=sys.stderr)


def main(words: Optional[Sequence[str]] = None) -> int:
    """The program. Returns its exit code."""
    parser = _command_line()
    options = parser.parse_args(words)

    def on_retry(error: AirlockError, pause: float) -> None:
        print(f"{error.detail}; trying again in {pause:.1f} s", file=sys.stderr)

    try:
        with Client(
            options.to,
            os.environ.get("AIRLOCK_TOKEN"),
            tls=Tls(options.ca, options.cert, options.key),
            tries=options.tries,
            on_retry=on_retry,
        ) as client:
            _run(client, options)
        return 0
    except AirlockError as error:
        print(f"airlock.py: {error}", file=sys.stderr)
        if error.executed == "maybe" and error.operation_id is not None:
            print(f"It may have been done. Ask again with this operation id: {error.operation_id}", file=sys.stderr)
        return {"UNREACHABLE": 3, "UNAUTHENTICATED": 4}.get(error.code, 1)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads this has seen enough. Nothing more is written, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
