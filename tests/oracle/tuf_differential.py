"""The verifier's TUF client and TUF's reference implementation (PyPI `tuf`) on the same repositories, step by step.

Each history begins with a repository of random keys, thresholds and delegations. In each step it changes, honestly or
by an attack; then both clients refresh and download a file. They must agree on whether each succeeds, on every trusted
version, and on the bytes of the file. Prints one JSON object, {"histories": N, "steps": N, "accepted": N, "refused": N,
"files": N, "changes": {NAME: N}, "differences": [TEXT, ...]}.

usage: tuf_differential.py CLIENT HISTORIES      CLIENT is the binary tuf-client
"""

import copy
import datetime
import hashlib
import http.server
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signature,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import FetcherInterface, Updater

STEPS = 8
TOP = ["timestamp", "snapshot", "targets"]
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
SOON, PAST = NOW + datetime.timedelta(days=9), NOW - datetime.timedelta(days=1)


class Signers:
    """A pool of keys of every kind that TUF names: RSA keys take long to make."""

    def __init__(self):
        makes = [CryptoSigner.generate_ed25519] * 8 + [CryptoSigner.generate_ecdsa] * 4
        self.all = [make() for make in makes] + [CryptoSigner.generate_rsa(size=2048) for _ in range(2)]

    def some(self, draw, count):
        return draw.sample(self.all, count)


class Repository:
    """Metadata, who signs it, and files."""

    def __init__(self, draw, pool):
        self.pool = pool
        self.root = Root(expires=SOON, consistent_snapshot=draw.random() < 0.7)
        self.signers, self.files, self.published = {}, {}, {}
        for role in ["root", *TOP]:
            self.set_keys(draw, role)
        self.targets = Targets(expires=SOON)
        self.roles = {}
        self.snapshot = Snapshot(expires=SOON, meta={"targets.json": MetaFile(1)})
        self.timestamp = Timestamp(expires=SOON)
        self.hashes = draw.random() < 0.5
        self.publish_root(self.signers["root"])

    def set_keys(self, draw, role):
        count = draw.randint(1, 3)
        for key in list(self.root.roles[role].keyids):
            self.root.revoke_key(key, role)
        self.signers[role] = self.pool.some(draw, count)
        for signer in self.signers[role]:
            self.root.add_key(signer.public_key, role)
        self.root.roles[role].threshold = draw.randint(1, count)

    def copied(self):
        """A copy that shares the keys, which cannot be copied."""
        keys = {id(self.pool): self.pool, **{id(one): one for one in self.pool.all}}
        return copy.deepcopy(self, keys)

    def publish_root(self, signers):
        self.published[f"{self.root.version}.root.json"] = signed(self.root, signers)

    def next_root(self, draw, role):
        before = self.signers["root"]
        self.root.version += 1
        self.set_keys(draw, role)
        self.publish_root(before + [one for one in self.signers["root"] if one not in before])

    def add_file(self, draw, path):
        data = draw.randbytes(draw.randint(0, 3000))
        self.files[path] = data
        role = self.targets
        for name, delegated in self.roles.items():
            if path.startswith(name + "/"):
                role = delegated
        role.targets[path] = TargetFile.from_data(path, data, ["sha256"])

    def delegate(self, draw, name):
        signer = draw.choice(self.pool.all)
        if self.targets.delegations is None:
            self.targets.delegations = Delegations({}, {})
        role = DelegatedRole(name, [], 1, draw.random() < 0.5, [name + "/*"])
        self.targets.delegations.roles[name] = role
        self.targets.add_key(signer.public_key, name)
        self.signers[name] = [signer]
        self.roles[name] = Targets(expires=SOON)
        self.snapshot.meta[name + ".json"] = MetaFile(1)

    def count_up(self):
        """The next state: what the roles say is pinned by the next snapshot, and that by the next timestamp."""
        for name, role in {"targets": self.targets, **self.roles}.items():
            role.version += 1
            self.snapshot.meta[name + ".json"] = MetaFile(role.version)
        self.snapshot.version += 1
        self.timestamp.version += 1

    def serve(self):
        """Every file by its path."""
        out = {"metadata/" + name: data for name, data in self.published.items()}
        prefix = (lambda version: f"{version}.") if self.root.consistent_snapshot else (lambda version: "")
        for name, role in {"targets": self.targets, **self.roles}.items():
            data = signed(role, self.signers[name])
            if self.hashes and self.snapshot.meta[name + ".json"].version == role.version:
                self.snapshot.meta[name + ".json"] = MetaFile.from_data(role.version, data, ["sha256"])
            out[f"metadata/{prefix(role.version)}{name}.json"] = data
        data = signed(self.snapshot, self.signers["snapshot"])
        pinned = self.timestamp.snapshot_meta
        if pinned.version <= self.snapshot.version and pinned.version != 0:
            pinned.version = self.snapshot.version
            if self.hashes:
                self.timestamp.snapshot_meta = MetaFile.from_data(pinned.version, data, ["sha256"])
        out[f"metadata/{prefix(self.snapshot.version)}snapshot.json"] = data
        out["metadata/timestamp.json"] = signed(self.timestamp, self.signers["timestamp"])
        for path, data in self.files.items():
            folder, _, name = path.rpartition("/")
            digest = hashlib.sha256(data).hexdigest() + "." if self.root.consistent_snapshot else ""
            out["targets/" + (folder + "/" if folder else "") + digest + name] = data
        return out


def signed(role, signers):
    metadata = Metadata(role)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(JSONSerializer())


# Honest changes: they stay.


def new_file(repo, draw):
    repo.add_file(draw, draw.choice(["a.txt", "b c.bin", "d/x.txt", "e/y", "f/g/h"]))
    repo.count_up()


def new_delegation(repo, draw):
    name = draw.choice("de")
    last = repo.roles[name].version if name in repo.roles else 0
    repo.delegate(draw, name)
    repo.roles[name].version = last
    repo.count_up()


def new_timestamp(repo, draw):
    repo.timestamp.version += 1


def new_keys(repo, draw):
    repo.next_root(draw, draw.choice(["root", *TOP]))
    repo.count_up()


def several_roots(repo, draw):
    for _ in range(draw.randint(2, 4)):
        repo.next_root(draw, draw.choice(["root", *TOP]))
    repo.count_up()


def nothing(repo, draw):
    pass


# Attacks: on a copy, for one step.


def unsigned(repo, draw):
    repo.count_up()
    repo.signers[draw.choice(list(repo.signers))] = []


def other_signer(repo, draw):
    repo.count_up()
    repo.signers[draw.choice([*TOP, *repo.roles])] = repo.pool.some(draw, 1)


def older_timestamp(repo, draw):
    repo.timestamp.version = max(1, repo.timestamp.version - draw.randint(1, 3))


def older_snapshot(repo, draw):
    repo.timestamp.version += 1
    repo.snapshot.version = max(1, repo.snapshot.version - 1)
    repo.timestamp.snapshot_meta = MetaFile(repo.snapshot.version)


def older_targets(repo, draw):
    repo.count_up()
    repo.targets.version = max(1, repo.targets.version - 2)
    repo.snapshot.meta["targets.json"] = MetaFile(repo.targets.version)


def ended(repo, draw):
    repo.count_up()
    draw.choice([repo.timestamp, repo.snapshot, repo.targets, *repo.roles.values()]).expires = PAST


def ended_root(repo, draw):
    repo.root.expires = PAST
    repo.next_root(draw, "timestamp")


def roles_older(repo, draw):
    repo.count_up()
    for name, role in repo.roles.items():
        role.version = max(1, role.version - 3)
        repo.snapshot.meta[name + ".json"] = MetaFile(role.version)


def role_left_out(repo, draw):
    repo.count_up()
    if repo.roles:
        repo.snapshot.meta.pop(draw.choice(list(repo.roles)) + ".json", None)
        repo.hashes, repo.roles = False, {}


def wrong_pin(repo, draw):
    repo.count_up()
    repo.snapshot.meta["targets.json"] = MetaFile(repo.targets.version + draw.choice([1, 5]))


def root_skipped(repo, draw):
    repo.root.version += 1
    repo.next_root(draw, "timestamp")
    repo.count_up()


def root_by_one(repo, draw):
    repo.root.version += 1
    repo.set_keys(draw, "root")
    repo.publish_root(repo.signers["root"])


ATTACKS = [
    unsigned,
    other_signer,
    older_timestamp,
    older_snapshot,
    older_targets,
    ended,
    ended_root,
    role_left_out,
    roles_older,
    wrong_pin,
    root_skipped,
    root_by_one,
]
HONEST = [new_file, new_file, new_delegation, new_timestamp, new_keys, several_roots, nothing]


def spoilt_bytes(files, draw):
    """A file of metadata cut, changed or signed twice."""
    name = draw.choice([name for name in files if name.startswith("metadata/")])
    data = files[name]
    kind = draw.choice(["cut", "bit", "twice", "empty", "number", "type"])
    if kind == "cut":
        data = data[: draw.randrange(len(data))]
    elif kind == "bit":
        at = draw.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    elif kind == "empty":
        data = draw.choice([b"", b"{}", b"[]", b"null", b'{"signed":{},"signatures":[]}'])
    else:
        content = json.loads(data)
        if kind == "twice" and content["signatures"]:
            content["signatures"].append(content["signatures"][0])
        elif kind == "number":
            content["signed"]["version"] = draw.choice([0, -1, 1.5, "1", None])
        elif kind == "type":
            content["signed"]["_type"] = draw.choice(["root", "timestamp", "targets", "x"])
        data = json.dumps(content).encode()
    files[name] = data
    return f"spoilt {kind}"


class Handler(http.server.BaseHTTPRequestHandler):
    files = {}

    def do_GET(self):
        from urllib.parse import unquote

        data = Handler.files.get(unquote(self.path.lstrip("/")))
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Fetcher(FetcherInterface):
    def _fetch(self, url):
        from urllib.parse import unquote

        data = Handler.files.get(unquote(url.removeprefix("http://x/")))
        if data is None:
            raise DownloadHTTPError("not there", 404)
        return iter([data])


class Reference:
    def __init__(self, folder, root):
        self.folder, self.root = folder, root
        (folder / "files").mkdir(parents=True)

    def step(self, path):
        """Whether it refreshed; the file's bytes, or None."""
        updater = None
        try:
            at, files = str(self.folder / "md"), str(self.folder / "files")
            updater = Updater(at, "http://x/metadata/", files, "http://x/targets/", Fetcher(), bootstrap=self.root)
            self.root = None
            updater.refresh()
        except Exception:
            self.root = self.root if updater is None else None
            return False, None
        try:
            info = updater.get_targetinfo(path)
            return True, pathlib.Path(updater.download_target(info)).read_bytes() if info else None
        except Exception:
            return True, None

    def versions(self):
        return versions(self.folder / "md")


class Ours:
    def __init__(self, folder, root, client, base):
        self.md, self.to, self.client, self.base = folder / "md", folder / "files", client, base
        self.md.mkdir(parents=True)
        self.to.mkdir()
        (folder / "root.json").write_bytes(root)
        self.run("init", str(folder / "root.json"))

    def run(self, *words):
        command = [self.client, "--metadata-dir", str(self.md), "--metadata-url", self.base + "metadata/", *words]
        return subprocess.run(command, capture_output=True).returncode == 0

    def step(self, path):
        if not self.run("refresh"):
            return False, None
        for old in self.to.iterdir():
            old.unlink()
        where = ["--target-name", path, "--target-base-url", self.base + "targets/", "--target-dir", str(self.to)]
        if not self.run(*where, "download"):
            return True, None
        return True, next(self.to.iterdir()).read_bytes()

    def versions(self):
        return versions(self.md)


def versions(folder):
    held = {}
    for role in ["root", *TOP]:
        path = folder / f"{role}.json"
        held[role] = json.loads(path.read_bytes())["signed"]["version"] if path.exists() else None
    return held


def main():
    client, histories = sys.argv[1], int(sys.argv[2])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}/"
    pool, tally = Signers(), {"steps": 0, "accepted": 0, "refused": 0, "files": 0}
    changes, differences = {}, []
    for history in range(histories):
        draw = random.Random(history)
        repo = Repository(draw, pool)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            root = repo.published["1.root.json"]
            both = Reference(folder / "reference", root), Ours(folder / "ours", root, client, base)
            told = []
            for step in range(STEPS):
                kind, spoilt = draw.random(), None
                if step == 0 or kind < 0.5:
                    change = draw.choice(HONEST)
                    change(repo, draw)
                    files, what = repo.serve(), change.__name__
                elif kind < 0.8:
                    change, spoilt = draw.choice(ATTACKS), repo.copied()
                    change(spoilt, draw)
                    files, what = spoilt.serve(), change.__name__
                else:
                    files = repo.serve()
                    what = spoilt_bytes(files, draw)
                Handler.files = files
                path = draw.choice(["a.txt", "b c.bin", "d/x.txt", "e/y", "f/g/h", "none"])
                (expected, data), (found, ours) = (one.step(path) for one in both)
                if spoilt and expected:
                    # It did no harm, and is what both clients know now.
                    repo = spoilt
                elif spoilt:
                    # Two different files of one version are no honest repository's.
                    repo.count_up()
                    repo.count_up()
                told.append(what)
                changes[what] = changes.get(what, 0) + 1
                tally["steps"] += 1
                tally["accepted" if expected else "refused"] += 1
                tally["files"] += data is not None
                versions_now = [one.versions() for one in both]
                if expected != found or data != ours or versions_now[0] != versions_now[1]:
                    differences.append(
                        f"history {history}, after {' > '.join(told)}: the reference {expected} {versions_now[0]}"
                        f" file {data is not None}, ours {found} {versions_now[1]} file {ours is not None}"
                    )
                    break
    print(json.dumps({"histories": histories, **tally, "changes": changes, "differences": differences}))


main()
