"""Tests of examples/python/airlock.py. test/examples/python.test.ts runs them, and starts the agents that some of them need.

What they need comes in variables: AIRLOCK_TEST_URL, AIRLOCK_TOKEN and AIRLOCK_TEST_ROOT (an agent), AIRLOCK_TEST_UNIX and
AIRLOCK_TEST_TLS (the addresses of two others), AIRLOCK_TEST_CERTIFICATES (ca, cert and key of a client, separated by colons).
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import socket
import struct
import sys
import tarfile
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "examples/python"))
sys.dont_write_bytecode = True

import airlock  # noqa: E402
from airlock import AirlockError, Client, Session, Tls  # noqa: E402


def vectors(name: str) -> Any:
    return json.loads((REPOSITORY / f"docs/vectors/{name}.json").read_text("utf-8"))


def bytes_of(value: Dict[str, Any]) -> bytes:
    fill = value.get("fill", {"hex": "", "times": 0})
    return bytes.fromhex(value["hex"]) + bytes.fromhex(fill["hex"]) * fill["times"]


# ---------------------------------------------------------------------------------------------------------------------
# The other side of a connection, by hand


class Peer:
    """A server's end of one WebSocket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def head(self) -> Dict[str, str]:
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.sock.recv(65536)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def upgrade(self, accept: Optional[str] = None, protocol: str = "airlock.v1", more: str = "") -> Dict[str, str]:
        headers = self.head()
        digest = hashlib.sha1(headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = base64.b64encode(digest).decode() if accept is None else accept
        self.raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n{more}\r\n".encode()
        )
        return headers

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def frame(self, first: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            self.raw(struct.pack(">BB", first, size) + payload)
        elif size < 65536:
            self.raw(struct.pack(">BBH", first, 126, size) + payload)
        else:
            self.raw(struct.pack(">BBQ", first, 127, size) + payload)

    def text(self, message: object) -> None:
        self.frame(0x81, json.dumps(message).encode())

    def next(self) -> Tuple[int, bytes]:
        """The next frame of the client: its first byte and its payload."""
        first, second = self.take(2)
        if not second & 0x80:
            raise ValueError("a frame of the client is not masked")
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.take(8))
        mask = self.take(4)
        return first, bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.take(size)))

    def request(self) -> Dict[str, Any]:
        first, payload = self.next()
        if first != 0x81:
            raise ValueError(f"a frame of another kind: {first:#x}")
        return dict(json.loads(payload))

    def hello(self) -> None:
        self.text({"jsonrpc": "2.0", "method": "hello", "params": {"protocol": "airlock.v1", "bootId": "b"}})

    def start(self) -> None:
        """Everything up to a started session."""
        self.upgrade()
        self.hello()
        request = self.request()
        self.text({"jsonrpc": "2.0", "id": request["id"], "result": {"at": {"bootId": "b", "seq": 0}, "resumed": True}})

    def closing(self) -> int:
        """The code with which the client closes."""
        while True:
            first, payload = self.next()
            if first == 0x88:
                return int(struct.unpack(">H", payload[:2])[0])


class Server:
    """Serves one connection after another, each by the next script."""

    def __init__(self, *scripts: Callable[[Peer], object]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.error: Optional[BaseException] = None
        self.values: List[object] = []
        self._thread = threading.Thread(target=self._serve, args=(scripts,), daemon=True)
        self._thread.start()

    def _serve(self, scripts: Tuple[Callable[[Peer], object], ...]) -> None:
        for script in scripts:
            sock, _ = self._listener.accept()
            sock.settimeout(30)
            with sock:
                try:
                    self.values.append(script(Peer(sock)))
                except BaseException as error:
                    self.error = error

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=30)
        self._listener.close()


class Cable:
    """Between a client and an agent: the first connection is cut behind so many bytes to the agent."""

    def __init__(self, url: str, cut_after: Optional[int] = None) -> None:
        host, _, port = url.rpartition("//")[2].partition(":")
        self._far = (host, int(port))
        self._cut_after = cut_after
        self._open: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._far)
            limit, self._cut_after = self._cut_after, None
            self._open += [near, far]
            threading.Thread(target=self._pass, args=(near, far, limit), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, None), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, limit: Optional[int]) -> None:
        try:
            while True:
                data = source.recv(65536 if limit is None else min(65536, limit))
                target.sendall(data)
                limit = None if limit is None else limit - len(data)
                if not data or limit == 0:
                    break
        except OSError:
            pass
        for sock in (source, target):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self) -> None:
        """Cuts what is connected now. Who connects again comes through."""
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()
        self.cut()
        for sock in self._open:
            sock.close()


def bundle(name: str, version: str, padding: int = 0) -> bytes:
    files = {
        "plugin.yaml": f"name: {name}\nversion: {version}\n".encode(),
        "skills/one/SKILL.md": f"---\nname: one\ndescription: Version {version}\n---\n\nDo it.\n".encode(),
        "rules/a.md": b"A rule\n",
    }
    if padding:
        files["data.bin"] = os.urandom(padding)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


# ---------------------------------------------------------------------------------------------------------------------


class Bundles(http.server.BaseHTTPRequestHandler):
    """Serves one bundle."""

    def do_GET(self) -> None:
        data = bundle("pulled", "1.0.0")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Vectors(unittest.TestCase):
    def test_frames(self) -> None:
        for case in vectors("frames")["good"]:
            with self.subTest(case["name"]):
                frame = airlock.DataFrame(case["stream"], case["offset"], case["fin"], bytes_of(case["data"]))
                self.assertEqual(airlock.encode_frame(frame), bytes_of(case["frame"]))
                self.assertEqual(airlock.decode_frame(bytes_of(case["frame"])), frame)
        for case in vectors("frames")["bad"]:
            with self.subTest(case["name"]), self.assertRaises(ValueError):
                airlock.decode_frame(bytes_of(case["frame"]))

    def test_trees(self) -> None:
        for case in vectors("trees")["trees"]:
            with self.subTest(case["name"]), tempfile.TemporaryDirectory() as directory:
                for file in case["files"]:
                    path = Path(directory, file["path"])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(base64.b64decode(file["base64"]))
                    path.chmod(int(file["mode"], 8))
                found = airlock.list_tree(directory)
                self.assertEqual(airlock.tree_digest(reversed(found)), case["digest"])

    def test_paths(self) -> None:
        for case in vectors("trees")["paths"]:
            with self.subTest(case["path"]):
                self.assertEqual(airlock.is_counted(case["path"], case.get("ignore", ())), case["counts"])

    def test_uploads(self) -> None:
        """The client sends the frames of the vectors, byte for byte; the agent's come from the vectors."""
        known = vectors("uploads")
        bundles = {name: base64.b64decode(each["base64"]) for name, each in known["bundles"].items()}
        for number, data in ((1, bundles["first"]), (4, bundles["first"]), (5, bundles["second"])):
            conversation = known["conversations"][number]
            with self.subTest(conversation["name"]):
                scripts, operation = self._scripts(conversation["steps"])
                with Server(*scripts) as server:
                    client = Client(server.url, name="vectors", first_pause=0.01)
                    installed = client.install("greeting", data, operation_id=operation)
                    client.close()
                self.assertIsNone(server.error)
                self.assertEqual(installed, self._expected(conversation["steps"]))

    def _expected(self, steps: List[Dict[str, Any]]) -> object:
        return next(step for step in reversed(steps) if step.get("agent") == "sends")["text"]["result"]

    def _scripts(self, steps: List[Dict[str, Any]]) -> Tuple[List[Callable[[Peer], object]], str]:
        starts = [i for i, step in enumerate(steps) if step.get("client") == "connects"]
        parts = [steps[start + 1 : end] for start, end in zip(starts, [*starts[1:], len(steps)])]
        begin = next(step for step in steps if step.get("text", {}).get("method") == "install.begin")
        return [lambda peer, part=part: self._play(peer, part) for part in parts], begin["text"]["params"]["operationId"]

    def _play(self, peer: Peer, steps: List[Dict[str, Any]]) -> None:
        peer.upgrade()
        sent: List[bytes] = []
        for step in steps:
            if step.get("agent") == "sends":
                message = json.loads(json.dumps(step["text"]).replace('"$seq"', "1"))
                peer.text(message)
            elif step.get("client") == "disconnects":
                return
            elif "text" in step:
                self.assertEqual(peer.request(), step["text"])
            elif not self._is_bare_end(step["hex"]):
                # A client may put the end into the last frame with data, as this one does, or behind it.
                frame = airlock.decode_frame(bytes.fromhex(step["hex"]))
                got = airlock.decode_frame(self._binary(peer, frame))
                self.assertEqual(got._replace(fin=False), frame._replace(fin=False))
                sent.append(got.data)
        self.assertEqual(peer.closing(), 1000)
        peer.frame(0x88, struct.pack(">H", 1000))

    def _is_bare_end(self, frame: str) -> bool:
        return len(frame) == 32

    def _binary(self, peer: Peer, expected: airlock.DataFrame) -> bytes:
        """One frame, though a client that is to be cut off may have sent more at once."""
        first, payload = peer.next()
        self.assertEqual(first, 0x82)
        return payload[: 16 + len(expected.data)]


class Servers(unittest.TestCase):
    """What no agent does."""

    def test_no_agent(self) -> None:
        answers: Dict[str, Callable[[Peer], object]] = {
            "a wrong accept key": lambda peer: peer.upgrade(accept="x" * 28),
            "another subprotocol": lambda peer: peer.upgrade(protocol="chat"),
            "an extension": lambda peer: peer.upgrade(more="Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "no upgrade": lambda peer: (peer.head(), peer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")),
            "a redirect": lambda peer: (peer.head(), peer.raw(b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n")),
            "another protocol": lambda peer: (peer.head(), peer.raw(b"220 mail\r\n\r\n")),
            "a head without an end": lambda peer: (peer.head(), peer.raw(b"HTTP/1.1 101 " + b"x" * 20_000)),
        }
        for name, script in answers.items():
            with self.subTest(name), Server(script) as server:
                with self.assertRaises(AirlockError) as raised:
                    Session(server.url, "t" * 32)
                self.assertEqual((raised.exception.code, raised.exception.retry), ("UNREACHABLE", "never"))

    def test_broken_conversations(self) -> None:
        def frames(*frames: Tuple[int, bytes]) -> Callable[[Peer], object]:
            return lambda peer: [peer.start(), *(peer.frame(*each) for each in frames), peer.closing()][-1]

        def raw(data: bytes) -> Callable[[Peer], object]:
            return lambda peer: [peer.start(), peer.raw(data), peer.closing()][-1]

        cases: Dict[str, Tuple[Callable[[Peer], object], int]] = {
            "a text larger than a frame may be": (frames((0x81, b"x" * (airlock.FRAME_BYTES + 1))), 1009),
            "a text that says it is of 2^62 bytes": (raw(b"\x81\x7f" + struct.pack(">Q", 1 << 62)), 1009),
            "fragments without an end": (frames((0x01, b"x" * 200_000), (0x00, b"x" * 100_000)), 1009),
            "a continuation of nothing": (frames((0x80, b"x")), 1002),
            "a text inside a text": (frames((0x01, b"x"), (0x81, b"x")), 1002),
            "a masked frame": (raw(b"\x81\x81abcdx"), 1002),
            "a bit of an extension": (frames((0xC1, b"{}")), 1002),
            "an unknown opcode": (frames((0x83, b"{}")), 1002),
            "a ping in fragments": (frames((0x09, b"")), 1002),
            "a ping that is too long": (raw(b"\x89\x7e" + struct.pack(">H", 126) + b"x" * 126), 1002),
            "a text that is not UTF-8": (frames((0x81, b"\xff\xfe")), 1007),
            "no JSON": (frames((0x81, b"hello")), 1002),
            "JSON that is nested too deeply": (frames((0x81, b"[" * 200_000)), 1002),
            "a number that is none": (frames((0x81, b'{"jsonrpc":"2.0","id":"9","result":NaN}')), 1002),
            "an id that is a number": (frames((0x81, b'{"jsonrpc":"2.0","id":9,"result":{}}')), 1002),
            "a window without numbers": (frames((0x81, b'{"jsonrpc":"2.0","method":"window","params":[]}')), 1002),
            "a data frame that is cut": (frames((0x82, b"\x01\x00\x00")), 1002),
            "garbage": (raw(b"\xff" * 64), 1002),
        }
        before = threading.active_count()
        for name, (script, code) in cases.items():
            with self.subTest(name), Server(script) as server:
                session = Session(server.url)
                with self.assertRaises(AirlockError) as raised:
                    session.call("plugin.list", {})
                    session.call("plugin.list", {})
                self.assertEqual((raised.exception.code, raised.exception.executed), ("UNREACHABLE", "maybe"))
                session.close()
            self.assertEqual((server.error, server.values), (None, [code]), name)
        self.assertEqual(threading.active_count(), before)

    def test_endings(self) -> None:
        for code, expected in ((1001, "DRAINING"), (4401, "UNAUTHENTICATED"), (1011, "UNREACHABLE")):
            script = lambda peer, code=code: (peer.start(), peer.frame(0x88, struct.pack(">H", code)), peer.closing())
            with self.subTest(code), Server(script) as server:
                with Session(server.url) as session, self.assertRaises(AirlockError) as raised:
                    session.call("plugin.list", {})
                    session.call("plugin.list", {})
                self.assertEqual(raised.exception.code, expected)

    def test_pings_and_fragments(self) -> None:
        def script(peer: Peer) -> None:
            peer.start()
            number = peer.request()["id"]
            text = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"à": "ü"}}, ensure_ascii=False).encode()
            # In the middle of a character, with a ping in between.
            cut = text.index("ü".encode()) + 1
            peer.frame(0x01, text[:cut])
            peer.frame(0x89, b"alive?")
            self.assertEqual(peer.next(), (0x8A, b"alive?"))
            peer.frame(0x80, text[cut:])
            peer.closing()

        with Server(script) as server:
            with Session(server.url) as session:
                self.assertEqual(session.call("anything", {}), {"à": "ü"})
        self.assertIsNone(server.error)

    def test_a_reader_that_stops_cancels(self) -> None:
        def script(peer: Peer) -> List[Dict[str, Any]]:
            peer.start()
            window = peer.request()
            frame = airlock.DataFrame(1, 0, False, b"x" * 1000)
            peer.frame(0x82, airlock.encode_frame(frame))
            return [window, peer.request(), {"closed": peer.closing()}]

        with Server(script) as server:
            with Session(server.url) as session:
                for chunk in session.receive(1):
                    self.assertEqual(len(chunk), 1000)
                    break
        limit = {"stream": 1, "offset": 0, "limit": airlock.WINDOW_BYTES}
        window, cancel, end = server.values[0]  # type: ignore[misc]
        self.assertEqual((window["method"], window["params"]), ("window", limit))
        self.assertEqual((cancel["method"], cancel["params"]), ("cancel", {"stream": 1}))
        self.assertEqual(end, {"closed": 1000})

    def test_a_stream_may_fail_before_it_is_read(self) -> None:
        def script(peer: Peer) -> None:
            peer.start()
            peer.text({"jsonrpc": "2.0", "id": peer.request()["id"], "result": {"stream": 1}})
            error = {"code": "DEADLINE", "status": 504, "detail": "No credit", "retry": "same", "executed": "no"}
            peer.text({"jsonrpc": "2.0", "method": "reset", "params": {"stream": 1, "error": error}})
            peer.text({"jsonrpc": "2.0", "id": peer.request()["id"], "result": {}})
            peer.closing()

        with Server(script) as server:
            with Session(server.url) as session:
                stream = session.call("plugin.files", {})["stream"]
                session.call("status", {})
                with self.assertRaises(AirlockError) as raised:
                    list(session.receive(stream))
            self.assertEqual(raised.exception.code, "DEADLINE")

    def test_a_stream_beyond_its_credit_fails(self) -> None:
        def script(peer: Peer) -> None:
            peer.start()
            peer.request()
            for offset in range(0, airlock.WINDOW_BYTES + 1, airlock.DATA_BYTES):
                peer.frame(0x82, airlock.encode_frame(airlock.DataFrame(1, offset, False, b"x" * airlock.DATA_BYTES)))
            peer.closing()

        with Server(script) as server:
            with Session(server.url) as session:
                stream = session.receive(1)
                next(stream)
                with self.assertRaises(AirlockError) as raised:
                    # Nothing is read meanwhile, so no further credit is given.
                    while session._incoming[1].failure is None:
                        time.sleep(0.01)
                    list(stream)
                self.assertEqual(raised.exception.code, "INTERNAL")

    def test_waits_as_it_is_told(self) -> None:
        def refuse(peer: Peer) -> None:
            peer.head()
            body = json.dumps({"code": "RATE_LIMITED", "status": 429, "retry": "later", "retryAfter": 1}).encode()
            peer.raw(b"HTTP/1.1 429 Refused\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        def proxy(peer: Peer) -> None:
            peer.head()
            peer.raw(b"HTTP/1.1 404 Not Found\r\n\r\n")

        def answer(peer: Peer) -> None:
            peer.start()
            peer.text({"jsonrpc": "2.0", "id": peer.request()["id"], "result": {}})

        pauses: List[Tuple[str, bool]] = []
        told = lambda error, pause: pauses.append((error.code, pause >= 1))
        with Server(refuse, answer, proxy, answer) as server:
            with Client(server.url, first_pause=0.01, on_retry=told) as client:
                self.assertEqual(client.status(), {})
                # The connection is gone, and then another program answers for a while.
                while client._open is not None and client._open.lost is None:
                    time.sleep(0.01)
                self.assertEqual(client.status(), {})
        self.assertEqual(pauses, [("RATE_LIMITED", True), ("UNREACHABLE", False)])

    def test_addresses(self) -> None:
        for url in ("http://h:1", "ws://u:secret@h", "ws://h/?token=secret", "ws+unix:relative", "ws://h:99999", ""):
            with self.subTest(url), self.assertRaises(AirlockError) as raised:
                Client(url)
            self.assertEqual(raised.exception.code, "INVALID_PARAMS")
            self.assertNotIn("secret", str(raised.exception))
        with self.assertRaises(AirlockError) as raised:
            Session("ws://127.0.0.1:1", "a token\r\nX: y")
        self.assertNotIn("a token", str(raised.exception))
        with self.assertRaises(AirlockError) as raised:
            Client("ws://127.0.0.1:1", tries=0).status()
        self.assertEqual((raised.exception.code, raised.exception.retry), ("UNREACHABLE", "later"))


class Agents(unittest.TestCase):
    """Real ones."""

    url = os.environ.get("AIRLOCK_TEST_URL", "")
    token = os.environ.get("AIRLOCK_TOKEN", "")

    def client(self, url: str = "", **options: Any) -> Client:
        client = Client(url or self.url, self.token, first_pause=0.01, **options)
        self.addCleanup(client.close)
        return client

    def cable(self, cut_after: Optional[int] = None) -> Cable:
        cable = Cable(self.url, cut_after)
        self.addCleanup(cable.close)
        return cable

    def test_everything(self) -> None:
        client = self.client()
        first, second = bundle("all", "1.0.0"), bundle("all", "2.0.0")
        with tempfile.NamedTemporaryFile(suffix=".tgz") as file:
            file.write(first)
            file.flush()
            old = client.install("all", file.name, source="a test", expect=None)
        self.assertEqual((old["status"], old["pluginVersion"], old["files"]), ("installed", "1.0.0", 3))
        self.assertEqual(client.install("all", first)["status"], "present")
        new = client.install("all", second, expect=old["installId"], restart=False)
        self.assertEqual((new["replaced"], new["reload"]["kind"]), (old["installId"], "cold"))
        back = client.rollback("all", expect=new["installId"])
        self.assertEqual((back["status"], back["tree"]), ("rolled-back", old["tree"]))
        with self.assertRaises(AirlockError) as raised:
            client.install("all", second)
        self.assertEqual((raised.exception.code, raised.exception.status), ("HELD", 409))
        self.assertEqual(client.get("all")["version"], "1.0.0")
        self.assertIn("all", [plugin["name"] for plugin in client.list(verify="digest")])
        self.assertEqual(client.verify("all")["verdict"], "intact")
        self.assertIsInstance(client.restarted()["pending"], dict)
        loaded = client.files("all")
        self.assertEqual((loaded["kind"], airlock.tree_digest(loaded["files"])), ("tree", old["tree"]))
        self.assertEqual(client.classify("all", loaded["files"])["kind"], "identical")
        client.hold("all", "a test")
        self.assertEqual(client.get("all")["held"], "a test")
        client.release("all")
        client.disable("all")
        self.assertEqual(client.get("all")["reason"], "disabled")
        client.disable("all", False)
        self.assertGreaterEqual(client.status()["plugins"]["admitted"], 1)
        self.assertEqual(client.recover()["failed"]["total"], 0)
        self.assertEqual(client.sweep()["failed"]["total"], 0)
        declared = [{"name": "all", "tree": old["tree"]}, {"name": "missing", "version": "1.0.0"}]
        self.assertEqual([each["state"] for each in client.reconcile(declared)[:2]], ["present", "missing"])
        self.assertEqual(client.reconcile(declared, apply=True)[1]["fate"], "wanted")
        while not client.history("all", verify=True)["lines"]:
            time.sleep(0.01)  # A line is written after the answer.
        self.assertEqual(client.history("all")["lines"][0]["op"], "install")
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory, "all.tgz")
            exported = client.export("all", target)
            self.assertEqual((exported["tree"], airlock.bundle_tree(target)), (old["tree"], old["tree"]))
            self.assertEqual(client.install("all", target, tree=old["tree"])["status"], "present")
            target.write_bytes(target.read_bytes()[:-100])
            with self.assertRaises(AirlockError):
                airlock.bundle_tree(target)
            with self.assertRaises(AirlockError) as raised:
                client.export("nothing", Path(directory, "nothing.tgz"))
            self.assertEqual((raised.exception.code, os.listdir(directory)), ("NOT_FOUND", ["all.tgz"]))
        Path(os.environ["AIRLOCK_TEST_ROOT"], "copied").mkdir()
        Path(os.environ["AIRLOCK_TEST_ROOT"], "copied/plugin.yaml").write_text("name: copied\n")
        plan = client.adopt("copied", plan=True)
        self.assertEqual((plan["status"], plan["prevents"]["items"]), ("planned", []))
        self.assertEqual(client.adopt("copied", tree=plan["tree"])["status"], "adopted")
        with http.server.HTTPServer(("127.0.0.1", 0), Bundles) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            pulled = client.pull("pulled", f"http://127.0.0.1:{server.server_port}/pulled.tgz")
            server.shutdown()
        self.assertEqual(pulled["status"], "installed")
        operation = airlock.new_operation_id()
        gone = client.uninstall("all", operation_id=operation)
        self.assertEqual((gone["status"], gone["skills"]["items"]), ("removed", ["one"]))
        self.assertEqual(client.uninstall("all", operation_id=operation), gone)

    def test_an_install_goes_on_where_its_connection_broke(self) -> None:
        cable = self.cable(cut_after=1_500_000)
        client = self.client(cable.url)
        sent: List[int] = []
        operation = airlock.new_operation_id()
        data = bundle("cut", "1.0.0", 3_000_000)
        installed = client.install("cut", data, operation_id=operation, on_progress=lambda at, total: sent.append(at))
        self.assertEqual((installed["status"], client.verify("cut")["verdict"]), ("installed", "intact"))
        # The second connection begins where the progress goes back, or stands still.
        again = [now for before, now in zip(sent, sent[1:]) if now <= before]
        self.assertEqual(len(again), 1)
        self.assertGreater(again[0], 0)
        self.assertEqual(sent[-1], len(data))
        self.assertEqual(client.install("cut", data, operation_id=operation), installed)

    def test_events_go_on_where_their_connection_broke(self) -> None:
        cable = self.cable()
        client, other = self.client(cable.url), self.client()
        came: List[airlock.Event] = []
        events = client.events()
        done = threading.Event()
        reached = threading.Event()

        def read() -> None:
            for event in events:
                came.append(event)
                reached.set()
                if event["type"] == "plugin.removed":
                    break
            events.close()  # type: ignore[attr-defined]
            done.set()

        threading.Thread(target=read, daemon=True).start()
        number = 0
        while not reached.is_set():
            # Until the connection is there, its events have not begun.
            number += 1
            other.install("told", bundle("told", f"1.0.{number}"))
        cable.cut()
        other.install("told", bundle("told", "2.0.0"))
        other.uninstall("told")
        self.assertTrue(done.wait(60))
        numbers = [event["seq"] for event in came]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        self.assertIn("2.0.0", [event["data"].get("version") for event in came])
        # A new process goes on after an event that an earlier one has seen.
        later = client.events(["plugin.removed"], resume={"bootId": came[0]["bootId"], "seq": came[-1]["seq"] - 1})
        self.assertEqual(next(later), came[-1])
        later.close()  # type: ignore[attr-defined]

    def test_errors(self) -> None:
        client = self.client()
        cases: Dict[str, Tuple[Callable[[], object], str, str]] = {
            "no such plugin": (lambda: client.get("nothing"), "NOT_FOUND", "never"),
            "no such method": (lambda: client.call("plugin.paint"), "NOT_FOUND", "never"),
            "an unknown field": (lambda: client.call("plugin.get", {"plugin": "a", "x": 1}), "INVALID_PARAMS", "never"),
            "another version": (lambda: client.rollback("nothing", expect=None), "NOT_FOUND", "never"),
            "no archive": (lambda: client.install("bad", b"no archive"), "ARCHIVE_CORRUPT", "never"),
            "too large": (lambda: client.call("plugin.get", {"plugin": "x" * 300_000}), "TOO_LARGE", "never"),
            "half a character": (lambda: client.get("\ud800"), "INVALID_PARAMS", "never"),
        }
        for name, (ask, code, retry) in cases.items():
            with self.subTest(name), self.assertRaises(AirlockError) as raised:
                ask()
            error = raised.exception
            self.assertEqual((error.code, error.retry, error.executed), (code, retry, "no"), name)
        with self.assertRaises(AirlockError) as raised:
            client.install("bad", b"no archive")
        self.assertEqual(raised.exception.violations[0]["code"], "ARCHIVE_CORRUPT")
        self.assertEqual(len(raised.exception.operation_id or ""), 36)

    def test_a_wrong_token(self) -> None:
        for ask in (lambda wrong: wrong.list(), lambda wrong: next(wrong.events())):
            with self.assertRaises(AirlockError) as raised:
                ask(Client(self.url, "x" * 40))
            self.assertEqual((raised.exception.code, raised.exception.status), ("UNAUTHENTICATED", 401))

    def test_streams_that_nobody_reads_are_cancelled(self) -> None:
        self.client().install("slow", bundle("slow", "1.0.0"))
        with Session(self.url, self.token) as session:
            ask = lambda: int(session.call("plugin.files", {"plugin": "slow"})["stream"])
            streams = [ask() for _ in range(8)]
            with self.assertRaises(AirlockError) as raised:
                ask()
            self.assertEqual(raised.exception.code, "RATE_LIMITED")
            session.cancel(streams[0])
            self.assertGreater(len(b"".join(session.receive(ask()))), 100)

    def test_other_transports(self) -> None:
        ca, cert, key = (os.environ.get("AIRLOCK_TEST_CERTIFICATES") or "::").split(":")
        tls = os.environ.get("AIRLOCK_TEST_TLS")
        if tls:
            client = self.client(tls, tls=Tls(ca, cert, key))
            client.install("big", bundle("big", "1.0.0", 2_000_000))
            self.assertEqual(client.verify("big")["verdict"], "intact")
            for bad in (Tls(), Tls(ca)):
                with self.assertRaises(AirlockError) as raised:
                    self.client(tls, tls=bad, tries=0).list()
                self.assertEqual(raised.exception.code, "UNREACHABLE")
        with Client(os.environ["AIRLOCK_TEST_UNIX"]) as local:
            self.assertEqual(local.list(), [])


if __name__ == "__main__":
    unittest.main()
