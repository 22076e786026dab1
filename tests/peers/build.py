"""Writes TUF repositories, good and bad, for several clients to judge.

Usage: build.py OUTPUT

OUTPUT becomes one JSON document: `blobs`, the files by the SHA-256 of their content, in base64; `cases`, each with
the root that the client pins, the steps that it takes one after the other with one cache, and the targets that it
asks for at the end of each; and `kinds`, the names of all kinds of key that the Python libraries can sign with.

Good repositories come from python-tuf's Metadata API. Bad ones are made from the documents of a good one, changed
and signed again, or from its files, changed after they were signed.
"""

import base64
import copy
import hashlib
import json
import sys
from datetime import datetime, timezone

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

TIME = "2030-01-01T00:00:00Z"
EXPIRES = datetime(2035, 1, 1, tzinfo=timezone.utc)
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")

# ---------------------------------------------------------------------------------------------------------------
# Keys


def seed(name):
    return hashlib.sha256(name.encode()).digest()


def ed25519(name):
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed(name)))


def renamed(signer, keyid, **changes):
    """The same secret key under another keyid, its public half described in another way."""
    key = signer.public_key.to_dict()
    key.update(changes)
    public = SSlibKey(keyid, key["keytype"], key["scheme"], key["keyval"])
    other = copy.copy(signer)
    other._public_key = public
    return other


def ecdsa_of_type(scheme):
    """A key of the old kind, whose type is named like its scheme."""
    signer = CryptoSigner.generate_ecdsa(scheme=scheme)
    public = SSlibKey(signer.public_key.keyid[::-1], scheme, scheme, signer.public_key.keyval)
    return CryptoSigner(signer._private_key, public)


RSA_SCHEMES = [
    f"{padding}-sha{bits}" for padding in ("rsassa-pss", "rsa-pkcs1v15") for bits in (224, 256, 384, 512)
]

#: Every kind of key that CryptoSigner can sign with, by a name for it.
KINDS = {
    "ed25519": lambda: ed25519("kind"),
    "ecdsa-p256": lambda: CryptoSigner.generate_ecdsa(scheme="ecdsa-sha2-nistp256"),
    "ecdsa-p384": lambda: CryptoSigner.generate_ecdsa(scheme="ecdsa-sha2-nistp384"),
    "ecdsa-p521": lambda: CryptoSigner.generate_ecdsa(scheme="ecdsa-sha2-nistp521"),
    "old-ecdsa-p256": lambda: ecdsa_of_type("ecdsa-sha2-nistp256"),
    "old-ecdsa-p384": lambda: ecdsa_of_type("ecdsa-sha2-nistp384"),
    "old-ecdsa-p521": lambda: ecdsa_of_type("ecdsa-sha2-nistp521"),
    "ml-dsa-44": lambda: CryptoSigner(MLDSA44PrivateKey.from_seed_bytes(seed("kind"))),
    "ml-dsa-65": lambda: CryptoSigner(MLDSA65PrivateKey.from_seed_bytes(seed("kind"))),
    "ml-dsa-87": lambda: CryptoSigner(MLDSA87PrivateKey.from_seed_bytes(seed("kind"))),
    **{
        scheme: (lambda scheme=scheme: CryptoSigner.generate_rsa(scheme=scheme, size=2048))
        for scheme in RSA_SCHEMES
    },
}

# ---------------------------------------------------------------------------------------------------------------
# Repositories by the Metadata API


def meta(version, data, pinned):
    return MetaFile.from_data(version, data, ["sha256"]) if pinned else MetaFile(version)


def api_repository(signers, threshold=1, consistent=True, pinned=True, files=None, delegations=None, delegated=None):
    """The files of a repository whose top-level roles all have the same keys.

    Many signatures are too long for a timestamp, of which clients read 16 KiB: then it has one key of its own.
    """
    files = files or {"file.txt": b"file", "dir/a.txt": b"a"}
    delegated = delegated or {}
    extra = {"x-unknown": {"b": [1, None, True], "a": "\u00e9\U0001f37a\"\\\n"}}

    of_timestamp = (signers, threshold) if len(signers) <= 2 else ([ed25519("timestamp")], 1)

    def signed(document):
        document.unrecognized_fields = copy.deepcopy(extra)
        metadata = Metadata(document)
        for signer in of_timestamp[0] if isinstance(document, Timestamp) else signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    root = Root(expires=EXPIRES, consistent_snapshot=consistent)
    for role in TOP_LEVEL:
        keys, root.roles[role].threshold = of_timestamp if role == "timestamp" else (signers, threshold)
        for signer in keys:
            root.add_key(signer.public_key, role)
        root.roles[role].unrecognized_fields = copy.deepcopy(extra)
    targets = Targets(expires=EXPIRES, delegations=delegations)
    named = set().union(*(names for names in delegated.values()))
    for path, data in files.items():
        if path not in named:
            targets.targets[path] = TargetFile.from_data(path, data, ["sha256", "sha512"])
            targets.targets[path].unrecognized_fields["custom"] = copy.deepcopy(extra)
    snapshot = Snapshot(expires=EXPIRES, meta={})
    documents = {}
    for name, paths in delegated.items():
        role = Targets(expires=EXPIRES)
        for path in paths:
            role.targets[path] = TargetFile.from_data(path, files[path])
        documents[name] = signed(role)
    documents["targets"] = signed(targets)
    for name, data in documents.items():
        snapshot.meta[f"{name}.json"] = meta(1, data, pinned)
    documents["snapshot"] = signed(snapshot)
    timestamp = Timestamp(expires=EXPIRES, snapshot_meta=meta(1, documents["snapshot"], pinned))
    metadata = {"1.root.json": signed(root), "timestamp.json": signed(timestamp)}
    for name, data in documents.items():
        metadata[f"1.{name}.json" if consistent else f"{name}.json"] = data
    return Built(metadata, published(files, consistent))


def published(files, consistent):
    """Target files under the names at which clients ask for them, whichever hash they take.

    The last component has the hash before it; tough asks with the hash before the whole path.
    """
    found = {}
    for path, data in files.items():
        directory, slash, name = path.rpartition("/")
        if not consistent:
            found[path] = data
        for algorithm in ("sha256", "sha384", "sha512", "md5") if consistent else ():
            digest = hashlib.new(algorithm, data).hexdigest()
            found[f"{directory}{slash}{digest}.{name}"] = data
            found[f"{digest}.{path}"] = data
    return found


class Built:
    """Files, ready to be served."""

    def __init__(self, metadata, targets):
        self.metadata = metadata
        self.targets = targets

    def build(self):
        return self


def delegation(name, signers, paths=None, prefixes=None, terminating=False, threshold=1):
    keyids = [signer.public_key.keyid for signer in signers]
    return DelegatedRole(name, keyids, threshold, terminating, paths, prefixes)


# ---------------------------------------------------------------------------------------------------------------
# Repositories made of documents that can be changed


class Repository:
    """A good repository of plain documents, to be spoilt."""

    def __init__(self, pinned=True, consistent=True):
        self.pinned = pinned
        self.signers = {role: [ed25519(role)] for role in ("timestamp", "snapshot", "targets", "one", "two")}
        self.root_signers = [[ed25519("root"), ed25519("root-2")]]
        self.files = {name: name.encode() for name in ("file.txt", "dir/a.txt", "dir/b.txt", "other.txt")}
        root = Root(expires=EXPIRES, consistent_snapshot=consistent)
        for signer in self.root_signers[0]:
            root.add_key(signer.public_key, "root")
        for role in TOP_LEVEL[1:]:
            root.add_key(self.signers[role][0].public_key, role)
        self.roots = [root.to_dict()]
        roles = [
            delegation("one", self.signers["one"], paths=["dir/*"]),
            delegation("two", self.signers["two"], prefixes=[""]),
        ]
        keys = {
            signer.public_key.keyid: signer.public_key for role in ("one", "two") for signer in self.signers[role]
        }
        targets = Targets(expires=EXPIRES, delegations=Delegations(keys, {role.name: role for role in roles}))
        self.documents = {
            "timestamp": Timestamp(expires=EXPIRES).to_dict(),
            "snapshot": Snapshot(expires=EXPIRES, meta={}).to_dict(),
            "targets": targets.to_dict(),
            "one": Targets(expires=EXPIRES).to_dict(),
            "two": Targets(expires=EXPIRES).to_dict(),
        }
        for role, path in (("targets", "file.txt"), ("one", "dir/a.txt"), ("two", "other.txt"), ("two", "dir/b.txt")):
            self.name(role, path)
        #: What is done to documents that name others, once they do.
        self.adjusted = {}
        #: What is done to lists of signatures.
        self.signatures = {}
        #: What is done to a file before others name its hash.
        self.rewritten = {}
        #: What is done to files at the very end; returning None takes the file away.
        self.spoilt = {}

    def name(self, role, path, hashes=("sha256",)):
        data = self.files[path]
        self.documents[role]["targets"][path] = {
            "length": len(data),
            "hashes": {algorithm: hashlib.new(algorithm, data).hexdigest() for algorithm in hashes},
        }

    def delegated(self, name):
        return next(role for role in self.documents["targets"]["delegations"]["roles"] if role["name"] == name)

    def next_root(self):
        """Adds a copy of the newest root as the next version and returns it."""
        root = copy.deepcopy(self.roots[-1])
        root["version"] += 1
        self.roots.append(root)
        self.root_signers.append(list(self.root_signers[-1]))
        return root

    def add_key(self, signer, role, root=-1):
        key = signer.public_key
        self.roots[root]["keys"][key.keyid] = key.to_dict()
        self.roots[root]["roles"][role]["keyids"].append(key.keyid)

    def newer(self, *roles):
        """A copy in which these documents, and those that name them, are one version higher."""
        other = copy.deepcopy(self)
        for role in (*roles, "snapshot", "timestamp"):
            other.documents[role]["version"] += 1
        return other

    def _file(self, role, document, signers):
        if role in self.adjusted:
            self.adjusted[role](document)
        payload = encode_canonical(document).encode()
        signatures = [{"keyid": signer.public_key.keyid, "sig": signer.sign(payload).signature} for signer in signers]
        if role in self.signatures:
            signatures = self.signatures[role](signatures)
        data = json.dumps({"signatures": signatures, "signed": document}, separators=(",", ":")).encode()
        return self.rewritten[role](data) if role in self.rewritten else data

    def build(self):
        documents = copy.deepcopy(self.documents)
        metadata = {}
        for root, signers in zip(copy.deepcopy(self.roots), self.root_signers):
            metadata[f"{len(metadata) + 1}.root.json"] = self._file("root", root, signers)
        consistent = bool(self.roots[-1].get("consistent_snapshot"))

        def put(role, names):
            document = documents[role]
            data = self._file(role, document, self.signers.get(role, []))
            version = document["version"]
            entry = {"version": version}
            if self.pinned:
                entry.update(length=len(data), hashes={"sha256": hashlib.sha256(data).hexdigest()})
            documents[names]["meta"][f"{role}.json"] = entry
            data = self.spoilt[role](data) if role in self.spoilt else data
            metadata[f"{version}.{role}.json" if consistent else f"{role}.json"] = data

        for role in [role for role in documents if role not in TOP_LEVEL] + ["targets"]:
            put(role, "snapshot")
        put("snapshot", "timestamp")
        data = self._file("timestamp", documents["timestamp"], self.signers["timestamp"])
        metadata["timestamp.json"] = self.spoilt["timestamp"](data) if "timestamp" in self.spoilt else data
        if "root" in self.spoilt:
            newest = f"{len(self.roots)}.root.json"
            metadata[newest] = self.spoilt["root"](metadata[newest])
        metadata = {name: data for name, data in metadata.items() if data is not None}
        return Built(metadata, published(self.files, consistent))


# ---------------------------------------------------------------------------------------------------------------
# Cases


class Cases:
    def __init__(self):
        self.blobs = {}
        self.cases = []

    def blob(self, data):
        name = hashlib.sha256(data).hexdigest()
        self.blobs[name] = base64.b64encode(data).decode()
        return name

    def add(self, group, name, *steps, ask=None, ours=None, times=(), plain=False):
        """Adds a case. `ours` says what this project wants of the last refresh: "taken" or "refused"."""
        built = [step.build() for step in steps]
        times = list(times) + [TIME] * (len(steps) - len(times))
        self.cases.append(
            {
                "group": group,
                "name": name,
                "title": name if group == "tampered" else f"{group}: {name}",
                "root": self.blob(built[0].metadata["1.root.json"]),
                "ask": ask or ["file.txt", "dir/a.txt", "absent.txt"],
                "ours": ours,
                "plain": plain,
                "steps": [
                    {
                        "time": time,
                        "metadata": {file: self.blob(data) for file, data in step.metadata.items()},
                        "targets": {file: self.blob(data) for file, data in step.targets.items()},
                    }
                    for time, step in zip(times, built)
                ],
            }
        )


def kinds_of_keys(cases):
    """One repository for each kind of key, some with all of them, and the shapes that repositories have."""
    signers = {kind: make() for kind, make in KINDS.items()}
    for kind, signer in signers.items():
        plain = kind in ("ed25519", "ecdsa-p256", "rsassa-pss-sha256")
        cases.add("kind", kind, api_repository([signer], consistent=True), plain=plain)
    everyone = list(signers.values())
    for threshold in range(1, len(everyone) + 1):
        cases.add("all-kinds", str(threshold), api_repository(everyone, threshold))
    readable = [signer for kind, signer in signers.items() if not kind.endswith("sha224")]
    cases.add("readable-kinds", "all", api_repository(readable, len(readable)))
    for kind in ("rsassa-pss-sha224", "rsa-pkcs1v15-sha224"):
        both = [signers[kind], signers["ed25519"]]
        cases.add("with-sha224", f"{kind} or another", api_repository(both, 1), ours="taken")
        cases.add("with-sha224", f"{kind} and another", api_repository(both, 2), ours="refused")

    keys = [ed25519("delegate")]
    known = {signer.public_key.keyid: signer.public_key for signer in keys}
    files = {f"dir/{number}.txt": str(number).encode() for number in range(12)} | {"file.txt": b"file"}

    def delegating(rule, delegated, **options):
        roles = {"succinct_roles": rule} if isinstance(rule, SuccinctRoles) else {"roles": rule}
        return api_repository(keys, files=files, delegations=Delegations(known, **roles), delegated=delegated, **options)

    def digest(path):
        return hashlib.sha256(path.encode()).hexdigest()

    in_directory = [path for path in files if path.startswith("dir/")]
    prefixed = {f"bin-{nibble}": [path for path in in_directory if digest(path)[0] == nibble] for nibble in "0123456789abcdef"}
    by_prefix = {name: delegation(name, keys, prefixes=[name[-1]]) for name in prefixed}
    bins = SuccinctRoles([keys[0].public_key.keyid], 1, 5, "hash")
    in_bins = {name: [path for path in in_directory if bins.get_role_for_target(path) == name] for name in bins.get_roles()}
    shapes = {
        name: delegating({role: delegation(role, keys, paths=["dir/*.txt"])}, {role: in_directory})
        for name, role in (("paths", "in-dir"), ("a space in a name", "in dir"))
    } | {
        "prefixes": delegating(by_prefix, prefixed),
        "bins": delegating(bins, in_bins),
    }
    ask = list(files) + ["dir/x/y.txt", "dir/12.txt"]
    for name, repository in shapes.items():
        cases.add("shape", name, repository, ask=ask, ours="taken", plain=name == "paths")
    for consistent in (True, False):
        for pinned in (True, False):
            words = f"{'consistent' if consistent else 'unprefixed'} {'with' if pinned else 'without'} hashes"
            repository = api_repository(keys, consistent=consistent, pinned=pinned)
            cases.add("shape", words, repository, ask=["file.txt", "dir/a.txt"], ours="taken", plain=True)


def good_changes(cases):
    """What changes, and stays good."""
    for pinned in (True, False):
        cases.add("good", f"base, hashes: {pinned}", Repository(pinned), ours="taken", plain=True)
        base = Repository(pinned)
        cases.add("good", f"update, hashes: {pinned}", base, base.newer("targets", "one"), ours="taken")
    cases.add("good", "nothing new", base, base, ours="taken")
    changed = Repository()
    changed.next_root()["consistent_snapshot"] = False
    cases.add("good", "no longer consistent", Repository(), changed.newer("targets"), ours="taken")


def refused(cases, name, change, **options):
    repository = Repository(pinned=False)
    change(repository)
    cases.add("tampered", name, repository, ours=options.pop("ours", "refused"), **options)


def taken(cases, name, change, **options):
    refused(cases, name, change, ours="taken", **options)


def replace(old, new, count=1):
    """Changes the bytes of a file, and insists that there was something to change."""
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))

    def changed(data):
        assert old in data, (old, data)
        return data.replace(old, new, count)

    return changed


def text_of_json(cases):
    """What the bytes of a signed document may be."""
    for role in ("root", "timestamp", "snapshot", "targets"):

        def with_text(old_value, new_text, role=role):
            """The member `x` is signed with one value, and stands there with another text."""

            def change(repository):
                document = repository.roots[0] if role == "root" else repository.documents[role]
                document["x"] = old_value
                repository.rewritten[role] = replace('"x":' + json.dumps(old_value, separators=(",", ":")), new_text)

            return change

        for name, value, text, result in [
            ("a float", 1, '"x":1.0', refused),
            ("an exponent", 100, '"x":1e2', refused),
            ("not a number", 1, '"x":NaN', refused),
            ("a key twice", 2, '"x":1,"x":2', refused),
            ("a key twice, once escaped", 2, '"x":1,"\\u0078":2', refused),
            ("a key twice, the same value", 2, '"x":2,"x":2', refused),
            ("a lone surrogate", "y", '"x":"\\ud800"', refused),
            ("surrogates the wrong way round", "y", '"x":"\\udf7a\\ud83c"', refused),
            ("a control character", "\t", '"x":"\t"', refused),
            ("an unknown escape", "y", '"x":"\\y"', refused),
            ("a leading zero", 1, '"x":01', refused),
            ("a plus sign", 1, '"x":+1', refused),
            ("a trailing comma", 1, '"x":1,,"y":2', refused),
            ("a comment", 1, '"x":/* */1', refused),
            ("single quotes", "y", "\"x\":'y'", refused),
            ("minus zero", 0, '"x":-0', taken),
            ("escapes that need not be", "a/b\u00e9", '"x":"\\u0061\\/b\\u00E9"', taken),
            ("a surrogate pair", "\U0001f37a", '"x":"\\uD83c\\uDf7a"', taken),
            ("white space", 1, '\r\n\t "x" :\n1', taken),
            ("a negative number", -5, '"x":-5', taken),
            ("2^64 - 1", 2**64 - 1, '"x":18446744073709551615', taken),
            ("-2^63", -(2**63), '"x":-9223372036854775808', taken),
            ("2^64", 2**64, '"x":18446744073709551616', refused),
            ("a number of forty digits", 10**39, '"x":1' + "0" * 39, refused),
            ("nesting 100 deep", json.loads("[" * 100 + "]" * 100), '"x":' + "[" * 100 + "]" * 100, taken),
            ("nesting 200 deep", json.loads("[" * 200 + "]" * 200), '"x":' + "[" * 200 + "]" * 200, refused),
            ("keys beyond the basic plane", {"\U0001f37a": 1, "\uff5e": 2, "\u0001": 3, '"': 4, "#": 5, "\\": 6}, None, taken),
        ]:
            if text is None:
                def change(repository, role=role, value=value):
                    document = repository.roots[0] if role == "root" else repository.documents[role]
                    document["x"] = value
            else:
                change = with_text(value, text)
            result(cases, f"{role}: {name}", change)

        for name, end, result in [
            ("trailing bytes", b"x", refused),
            ("a second document", b"{}", refused),
            ("a trailing zero byte", b"\0", refused),
            ("trailing white space", b" \r\n\t", taken),
            ("a trailing form feed", b"\x0c", refused),
        ]:
            result(cases, f"{role}: {name}", lambda r, role=role, end=end: r.rewritten.update({role: lambda data: data + end}))
        for name, rewrite in [
            ("a byte order mark", lambda data: b"\xef\xbb\xbf" + data),
            ("UTF-16", lambda data: data.decode().encode("utf-16")),
            ("not UTF-8", lambda data: data.replace(b'"_type"', b'"\xff":1,"_type"')),
            ("an overlong encoding", lambda data: data.replace(b'"_type"', b'"\xc0\xaf":1,"_type"')),
            ("an encoded surrogate", lambda data: data.replace(b'"_type"', b'"\xed\xa0\x80":1,"_type"')),
            ("nothing", lambda data: b""),
            ("null", lambda data: b"null"),
            ("an array", lambda data: b"[" + data + b"]"),
            ("half of it", lambda data: data[: len(data) // 2]),
            ("no signatures", lambda data: data.replace(b'"signatures"', b'"signaturez"')),
            ("the field signatures twice", lambda data: data.replace(b'"signatures"', b'"signatures":[],"signatures"')),
            ("the field signed twice", lambda data: data.replace(b'"signed"', b'"signed":{},"signed"')),
        ]:
            refused(cases, f"{role}: {name}", lambda r, role=role, rewrite=rewrite: r.rewritten.update({role: rewrite}))


def fields(cases):
    """What the fields of documents may hold."""
    def set_root(**values):
        return lambda r: r.roots[0].update(values)

    def set_in(role, **values):
        return lambda r: r.documents[role].update(values)

    def dropped(role, field):
        def change(repository):
            del (repository.roots[0] if role == "root" else repository.documents[role])[field]
        return change

    for role in ("root", "timestamp", "snapshot", "targets"):
        put = set_root if role == "root" else (lambda role=role, **values: set_in(role, **values))
        for field in ("_type", "spec_version", "version", "expires"):
            if (role, field) == ("root", "version") or field != "version":
                refused(cases, f"{role}: no {field}", dropped(role, field))
        refused(cases, f"{role}: another type", put(_type="Root" if role == "root" else "root"))
        refused(cases, f"{role}: specification version 2", put(spec_version="2.0.0"))
        refused(cases, f"{role}: specification version of four numbers", put(spec_version="1.0.0.0"))
        refused(cases, f"{role}: specification version in words", put(spec_version="1.x"))
        refused(cases, f"{role}: specification version as a number", put(spec_version=1))
        taken(cases, f"{role}: specification version 1", put(spec_version="1"))
        taken(cases, f"{role}: specification version 1.9", put(spec_version="1.9"))
        for name, expires, result in [
            ("an offset of nothing", "2035-01-01T00:00:00+00:00", taken),
            ("an offset", "2030-01-01T01:00:00-06:00", taken),
            ("an offset that makes it late", "2030-01-01T01:00:00+06:00", refused),
            ("a fraction", "2035-01-01T00:00:00.5Z", taken),
            ("no zone", "2035-01-01T00:00:00", refused),
            ("no time", "2035-01-01", refused),
            ("month 13", "2035-13-01T00:00:00Z", refused),
            ("a number", 2051222400, refused),
            ("the past", "2029-12-31T23:59:59Z", refused),
            ("exactly the time", TIME, refused),
            ("one second more", "2030-01-01T00:00:01Z", taken),
            ("the year 9999", "9999-12-31T23:59:59Z", taken),
        ]:
            result(cases, f"{role}: expires with {name}", put(expires=expires))
        def odd_version(value, role=role):
            def change(repository):
                if role == "root":
                    repository.roots[0]["version"] = value
                elif role == "timestamp":
                    repository.documents[role]["version"] = value
                else:
                    repository.adjusted[role] = lambda document: document.update(version=value)
            return change
        for name, version in [("0", 0), ("-1", -1), ("text", "1"), ("true", True), ("null", None)]:
            refused(cases, f"{role}: version {name}", odd_version(version))

    taken(cases, "root: no consistent_snapshot", dropped("root", "consistent_snapshot"))
    refused(cases, "root: consistent_snapshot null", set_root(consistent_snapshot=None))
    refused(cases, "root: consistent_snapshot 1", set_root(consistent_snapshot=1))
    for role in TOP_LEVEL:
        def drop_role(repository, role=role):
            del repository.roots[0]["roles"][role]
        refused(cases, f"root: no role {role}", drop_role)
    taken(cases, "root: a role that is not of the specification",
          lambda r: r.roots[0]["roles"].update(mirrors={"keyids": [], "threshold": 1}))
    for field in ("targets",):
        refused(cases, f"targets: no {field}", dropped("targets", field))
    taken(cases, "targets: no delegations", dropped("targets", "delegations"))
    refused(cases, "targets: delegations null", set_in("targets", delegations=None))
    refused(cases, "timestamp: no meta", lambda r: r.adjusted.update(timestamp=lambda d: d.pop("meta")))
    refused(cases, "timestamp: no snapshot", lambda r: r.adjusted.update(timestamp=lambda d: d["meta"].clear()))
    taken(cases, "timestamp: names another file",
          lambda r: r.adjusted.update(timestamp=lambda d: d["meta"].update({"x.json": {"version": 1}})))
    refused(cases, "snapshot: no targets", lambda r: r.adjusted.update(snapshot=lambda d: d["meta"].pop("targets.json")))
    taken(cases, "snapshot: a delegated role is missing", lambda r: r.adjusted.update(snapshot=lambda d: d["meta"].pop("one.json")))
    taken(cases, "snapshot: names roles that nobody delegates to",
          lambda r: r.adjusted.update(snapshot=lambda d: d["meta"].update({"x.json": {"version": 7}, "y": {"version": 1}})))

    # What a document says about the file of another.
    for by, of in (("timestamp", "snapshot"), ("snapshot", "targets"), ("snapshot", "one")):
        result = taken if of == "one" else refused
        def about(change, by=by, of=of):
            return lambda r: r.adjusted.update({by: lambda d: change(d["meta"][f"{of}.json"])})
        digest = "0" * 64
        for name, change in [
            ("another version", lambda m: m.update(version=2)),
            ("version 0", lambda m: m.update(version=0)),
            ("a version that is text", lambda m: m.update(version="1")),
            ("one byte less", lambda m: m.update(length=m["length"] - 1)),
            ("one byte more", lambda m: m.update(length=m["length"] + 1)),
            ("length 0", lambda m: m.update(length=0)),
            ("a negative length", lambda m: m.update(length=-1)),
            ("another hash", lambda m: m.update(hashes={"sha256": digest})),
            ("a short hash", lambda m: m.update(hashes={"sha256": m["hashes"]["sha256"][:-2]})),
            ("no hash in hashes", lambda m: m.update(hashes={})),
            ("a second hash that is wrong", lambda m: m["hashes"].update(sha512=digest * 2)),
            ("only a hash that nobody knows", lambda m: m.update(hashes={"x": digest})),
            ("hashes that are a list", lambda m: m.update(hashes=[m["hashes"]["sha256"]])),
        ]:
            repository = Repository(pinned=True)
            about(change)(repository)
            # What is wrong with a field of the snapshot spoils all of it; what is wrong with a role's file only that.
            shape = name in ("version 0", "a version that is text", "a negative length", "a short hash",
                             "no hash in hashes", "only a hash that nobody knows", "hashes that are a list")
            ours = "taken" if of == "one" and not shape else "refused"
            cases.add("tampered", f"{by}: {of} with {name}", repository, ours=ours)
        for name, change in [
            ("a hash in capitals", lambda m: m["hashes"].update(sha256=m["hashes"]["sha256"].upper())),
            ("a second hash that nobody knows", lambda m: m["hashes"].update(x=digest)),
            ("a length only", lambda m: m.pop("hashes")),
            ("a hash only", lambda m: m.pop("length")),
            ("an unknown field", lambda m: m.update(x={"y": 1})),
        ]:
            repository = Repository(pinned=True)
            about(change)(repository)
            cases.add("tampered", f"{by}: {of} with {name}", repository, ours="taken")

    # What targets metadata says about a target.
    digest = hashlib.sha256(b"file.txt").hexdigest()
    for name, change in [
        ("one byte less", lambda t: t.update(length=t["length"] - 1)),
        ("one byte more", lambda t: t.update(length=t["length"] + 1)),
        ("another hash", lambda t: t.update(hashes={"sha256": "0" * 64})),
        ("a hash in capitals", lambda t: t.update(hashes={"sha256": digest.upper()})),
        ("a second hash that is wrong", lambda t: t["hashes"].update(sha512="0" * 128)),
        ("a second hash that nobody knows", lambda t: t["hashes"].update(x="0")),
        ("sha384 only", lambda t: t.update(hashes={"sha384": hashlib.sha384(b"file.txt").hexdigest()})),
        ("sha512 only", lambda t: t.update(hashes={"sha512": hashlib.sha512(b"file.txt").hexdigest()})),
        ("sha512 before sha256", lambda t: t.update(hashes={"sha512": hashlib.sha512(b"file.txt").hexdigest(), "sha256": digest})),
        ("md5 only", lambda t: t.update(hashes={"md5": hashlib.md5(b"file.txt").hexdigest()})),
        ("no hashes", lambda t: t.pop("hashes")),
        ("empty hashes", lambda t: t.update(hashes={})),
        ("no length", lambda t: t.pop("length")),
        ("a negative length", lambda t: t.update(length=-1)),
        ("a length that is text", lambda t: t.update(length="8")),
        ("custom data", lambda t: t.update(custom={"a": [1, {"b": None}]})),
    ]:
        # The entry that is spoilt is looked up, and another one of the same document as well.
        def spoil(repository, change=change):
            repository.name("targets", "other.txt")
            change(repository.documents["targets"]["targets"]["file.txt"])
        taken(cases, f"target: {name}", spoil, ask=["file.txt", "other.txt"])


def signatures(cases):
    """Who signed, and how."""
    foreign = ed25519("foreign")
    for role in ("root", "timestamp", "snapshot", "targets"):
        def change_list(change, role=role):
            return lambda r: r.signatures.update({role: change})
        def valid(s):
            return s[0]["sig"]
        for name, change, result in [
            ("none", lambda s: [], refused),
            ("null", lambda s: None, refused),
            ("empty", lambda s: [{**x, "sig": ""} for x in s], refused),
            ("not hexadecimal", lambda s: [{**x, "sig": "zz" * 64} for x in s], refused),
            ("one digit short", lambda s: [{**x, "sig": x["sig"][:-1]} for x in s], refused),
            ("one byte too long", lambda s: [{**x, "sig": x["sig"] + "00"} for x in s], refused),
            ("in capitals", lambda s: [{**x, "sig": x["sig"].upper()} for x in s], taken),
            ("with white space", lambda s: [{**x, "sig": x["sig"][:2] + " " + x["sig"][2:]} for x in s], refused),
            ("with 0x", lambda s: [{**x, "sig": "0x" + x["sig"]} for x in s], refused),
            ("under another keyid", lambda s: [{**x, "keyid": foreign.public_key.keyid} for x in s], refused),
            ("of which one has no keyid", lambda s: s + [{"sig": valid(s)}], refused),
            ("of which one has no sig", lambda s: s + [{"keyid": "x"}], refused),
            ("of which one is null", lambda s: s + [{"keyid": "x", "sig": None}], refused),
            ("twice", lambda s: s + [s[0]], refused),
            ("twice, first empty", lambda s: [{**s[0], "sig": ""}] + s, refused),
            ("twice, then invalid", lambda s: s + [{**s[0], "sig": "00" * 64}], refused),
            ("with a stranger's twice", lambda s: s + [{"keyid": "x", "sig": "00"}] * 2, refused),
            ("with a stranger's", lambda s: s + [{"keyid": "x", "sig": "00"}], taken),
            ("with a stranger's that is no hexadecimal", lambda s: [{"keyid": "x", "sig": "?"}] + s, taken),
            ("with unknown fields", lambda s: [{**x, "method": "y"} for x in s], taken),
        ]:
            result(cases, f"{role}: signatures {name}", change_list(change))

        def by(signers, role=role):
            def change(repository):
                if role == "root":
                    repository.root_signers = [signers]
                else:
                    repository.signers[role] = signers
            return change
        refused(cases, f"{role}: signed by a stranger", by([foreign]))
        def lists(signers, threshold, signing=None, role=role):
            """The role has these keys beside its own, and these sign."""
            def change(repository):
                for signer in signers:
                    repository.add_key(signer, role)
                repository.roots[0]["roles"][role]["threshold"] = threshold
                own = repository.root_signers[0][:1] if role == "root" else repository.signers[role]
                by(own + (signers if signing is None else signing))(repository)
            return change
        second, third = ed25519("second"), ed25519("third")
        taken(cases, f"{role}: two of three", lists([second, third], 2, [third]))
        refused(cases, f"{role}: one of two", lists([second], 2, []))
        refused(cases, f"{role}: one of two, with a stranger", lists([second], 2, [foreign]))
        refused(cases, f"{role}: more needed than there are", lists([second], 9))
        own = ed25519(role)
        refused(cases, f"{role}: one key under two keyids", lists([renamed(own, "alias")], 2))
        taken(cases, f"{role}: one key under two keyids, one needed", lists([renamed(own, "alias")], 1))
        point = own.public_key.keyval["public"]
        capitals = {"public": point.upper()}
        refused(cases, f"{role}: one key in two spellings", lists([renamed(own, "alias", keyval=capitals)], 2))
        der = own._private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        refused(cases, f"{role}: one key as hex and as PEM", lists([renamed(own, "alias", keyval={"public": der})], 2))
        def repeated(repository, role=role):
            keyids = repository.roots[0]["roles"][role]["keyids"]
            keyids.append(keyids[0])
        refused(cases, f"{role}: a keyid listed twice", repeated)
        def threshold(value, role=role):
            return lambda r: r.roots[0]["roles"][role].update(threshold=value)
        for value in (0, -1, "1", None, True):
            refused(cases, f"{role}: threshold {json.dumps(value)}", threshold(value))
        taken(cases, f"{role}: a keyid without a key", lambda r, role=role: r.roots[0]["roles"][role]["keyids"].append("x"))
        for name, key in [
            ("of an unknown type", {"keytype": "x", "scheme": "y", "keyval": {"public": "z"}}),
            ("of an unknown scheme", {"keytype": "ed25519", "scheme": "y", "keyval": {"public": point}}),
            ("that is nonsense", {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "z"}}),
            ("without a value", {"keytype": "ed25519", "scheme": "ed25519"}),
            ("with an empty value", {"keytype": "ed25519", "scheme": "ed25519", "keyval": {}}),
            ("of OpenPGP", {"keytype": "rsa", "scheme": "pgp+rsa-pkcsv1.5", "keyval": {"public": "z"}}),
        ]:
            def with_key(repository, role=role, key=key):
                repository.roots[0]["keys"]["odd"] = key
                repository.roots[0]["roles"][role]["keyids"].append("odd")
            taken(cases, f"{role}: another key {name}", with_key)
        def bare(repository, role=role):
            repository.roots[0]["keys"]["odd"] = "x"
        refused(cases, f"{role}: a key that is text", bare)

    for name, signer in [
        ("Ed25519 as PEM", lambda own: renamed(own, "pem", keyval={"public": own._private_key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()})),
        ("Ed25519 in capitals", lambda own: renamed(own, "capitals", keyval={"public": own.public_key.keyval["public"].upper()})),
    ]:
        def spelt(repository, signer=signer):
            other = signer(ed25519("targets"))
            repository.roots[0]["roles"]["targets"]["keyids"] = []
            repository.add_key(other, "targets")
            repository.signers["targets"] = [other]
        taken(cases, f"keys: {name}", spelt)
    ecdsa = CryptoSigner.generate_ecdsa(scheme="ecdsa-sha2-nistp256")
    point = ecdsa._private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    text = ecdsa.public_key.keyval["public"]
    for name, changes, result in [
        ("ECDSA as PEM", {}, taken),
        ("ECDSA as hex of the point", {"keyval": {"public": point}, "keytype": "ecdsa-sha2-nistp256"}, taken),
        ("ECDSA with carriage returns", {"keyval": {"public": text.replace("\n", "\r\n")}}, taken),
        ("ECDSA without the last line feed", {"keyval": {"public": text.rstrip()}}, taken),
        ("ECDSA behind white space", {"keyval": {"public": "\n  " + text}}, taken),
        ("ECDSA called Ed25519", {"keytype": "ed25519", "scheme": "ed25519"}, refused),
        ("ECDSA on P-256 called P-384", {"scheme": "ecdsa-sha2-nistp384"}, refused),
    ]:
        def spelt(repository, changes=changes):
            other = renamed(ecdsa, "ecdsa", **changes)
            repository.roots[0]["roles"]["targets"]["keyids"] = []
            repository.add_key(other, "targets")
            repository.signers["targets"] = [other]
        result(cases, f"keys: {name}", spelt)


def delegations(cases):
    """Who may name which target."""
    ask = ["file.txt", "dir/a.txt", "dir/b.txt", "other.txt", "absent.txt"]
    def rule(words, result=taken, ask=ask, **values):
        def change(repository):
            role = repository.delegated("one")
            role.update(values)
            for field in [field for field, value in values.items() if value is ...]:
                del role[field]
        result(cases, f"delegation: {words}", change, ask=ask)

    rule("ends the search", terminating=True)
    rule("no paths", result=refused, paths=...)
    rule("paths and prefixes", result=refused, path_hash_prefixes=["0"])
    rule("paths null", result=refused, paths=None)
    rule("paths of numbers", result=refused, paths=[1])
    rule("empty paths", paths=[])
    rule("no terminating", result=refused, terminating=...)
    rule("terminating 1", result=refused, terminating=1)
    rule("no keyids", result=refused, keyids=...)
    rule("no name", result=refused, name=...)
    rule("threshold 0", result=refused, threshold=0)
    rule("threshold 2", threshold=2)
    rule("a keyid that is listed twice", result=refused, keyids=[ed25519("one").public_key.keyid] * 2)
    rule("a keyid without a key", keyids=["x"])
    for name in ("root", "timestamp", "snapshot", "targets", ""):
        rule(f"to a role called {json.dumps(name)}", result=refused, name=name)
    rule("to one role twice", result=refused, name="two")
    rule("prefixes in capitals", paths=..., path_hash_prefixes=list("ABCDEF"))
    rule("prefixes longer than a hash", paths=..., path_hash_prefixes=["0" * 65])
    rule("prefixes that are whole hashes", paths=..., path_hash_prefixes=[hashlib.sha256(b"dir/a.txt").hexdigest()])

    # Which paths a pattern covers: `one` names them all, nobody else does.
    paths = ["a.txt", "b.txt", "ab.txt", "-.txt", "]x", "[x", "^a", "d/a.txt", "d/e/a.txt", "*", "{a,b}", ".hidden", "A.txt"]
    for pattern in ["*", "**", "*.txt", "?.txt", "d/*", "d/*/a.txt", "*/*", "**/a.txt", "d/**", "[ab].txt", "[!a].txt", "[^a]*",
                    "[a-b].txt", "[b-a].txt", "[!b-a].txt", "[a-].txt", "[-a].txt", "[]]x", "[!]]x", "[x", "[", "[]", "[!]", "{a,b}",
                    "\\*", ".*", "a.TXT", "", "/", "d", "d/", "*a*", "a*b*.txt", "***", "[*]", "[?].txt", "[[]x", "a**", "[!", "[a/b]x",
                    "d?a.txt", "d[/]a.txt", "[a-b-c].txt"]:
        def covering(repository, pattern=pattern):
            repository.documents["targets"]["delegations"]["roles"] = [repository.delegated("one") | {"paths": [pattern]}]
            repository.documents.pop("two")
            for path in paths:
                repository.files[path] = path.encode()
                repository.name("one", path)
        taken(cases, f"pattern: {pattern}", covering, ask=paths)

    def keys_of(change):
        return lambda r: change(r.documents["targets"]["delegations"]["keys"])
    one = ed25519("one").public_key.keyid
    taken(cases, "delegation: an unknown type of key beside", keys_of(lambda k: k.update(x={"keytype": "x", "scheme": "y", "keyval": {"public": "z"}})), ask=ask)
    taken(cases, "delegation: a keyid that means another key elsewhere", keys_of(lambda k: k.update({one: ed25519("another").public_key.to_dict()})), ask=ask)
    def same_keyid(repository):
        """The keyid of the targets role, for a key of the delegation's own."""
        keyid = ed25519("targets").public_key.keyid
        other = renamed(ed25519("one"), keyid)
        repository.documents["targets"]["delegations"]["keys"][keyid] = other.public_key.to_dict()
        repository.delegated("one")["keyids"] = [keyid]
        repository.signers["one"] = [other]
    taken(cases, "delegation: a keyid of the delegator for a key of its own", same_keyid, ask=ask)
    def two_names(repository):
        alias = renamed(ed25519("one"), "alias")
        repository.documents["targets"]["delegations"]["keys"]["alias"] = alias.public_key.to_dict()
        repository.delegated("one").update(keyids=[one, "alias"], threshold=2)
        repository.signers["one"].append(alias)
    taken(cases, "delegation: one key under two keyids", two_names, ask=ask)
    taken(cases, "delegation: signed by a stranger", lambda r: r.signers.update(one=[ed25519("foreign")]), ask=ask)
    taken(cases, "delegation: expired", lambda r: r.documents["one"].update(expires=TIME), ask=ask)
    taken(cases, "delegation: the file is missing", lambda r: r.spoilt.update(one=lambda data: None), ask=ask)
    taken(cases, "delegation: of another type", lambda r: r.documents["one"].update(_type="snapshot"), ask=ask)
    taken(cases, "delegation: another role's document", lambda r: r.spoilt.update(one=lambda data: r.build().metadata["1.two.json"] if r.spoilt.pop("one") else data), ask=ask)
    taken(cases, "delegation: a target outside the paths", lambda r: r.name("one", "other.txt"), ask=ask)
    taken(cases, "delegation: the first one wins", lambda r: r.documents["one"]["targets"].update({"dir/b.txt": {"length": 1, "hashes": {"sha256": "0" * 64}}}), ask=ask)

    def nested(depth, loop=False):
        """A chain of roles below `one`, whose last names the target; or leads back to the first."""
        def change(repository):
            keyid = ed25519("one").public_key.keyid
            key = {keyid: ed25519("one").public_key.to_dict()}
            role = {"keyids": [keyid], "threshold": 1, "terminating": False, "paths": ["deep.txt"]}
            repository.files["deep.txt"] = b"deep"
            repository.documents["targets"]["delegations"]["roles"] = [{**role, "name": "role-1"}]
            for number in range(1, depth + 1):
                document = copy.deepcopy(repository.documents["one"])
                document["targets"] = {}
                if number < depth or loop:
                    next_name = "role-1" if number == depth else f"role-{number + 1}"
                    document["delegations"] = {"keys": key, "roles": [{**role, "name": next_name}]}
                repository.documents[f"role-{number}"] = document
                repository.signers[f"role-{number}"] = [ed25519("one")]
            if not loop:
                repository.name(f"role-{depth}", "deep.txt")
        return change
    for depth in (1, 5, 31, 32, 33, 40):
        taken(cases, f"delegations: {depth} deep", nested(depth), ask=["file.txt", "deep.txt"])
    taken(cases, "delegations: in a circle", nested(3, loop=True), ask=["deep.txt"])

    def two_delegators(key_of_second):
        """`one` and `two` both delegate to `shared`, which only one of them gives the right key."""
        def change(repository):
            shared = ed25519("shared")
            repository.documents["shared"] = copy.deepcopy(repository.documents["one"])
            repository.signers["shared"] = [shared]
            repository.documents["shared"]["targets"] = {}
            repository.files["s.txt"] = b"s"
            repository.name("shared", "s.txt")
            repository.delegated("one")["paths"] = ["q.txt", "s.txt"]
            for role, signer in (("one", shared), ("two", ed25519(key_of_second))):
                keyid = signer.public_key.keyid
                repository.documents[role]["delegations"] = {
                    "keys": {keyid: signer.public_key.to_dict()},
                    "roles": [{"name": "shared", "keyids": [keyid], "threshold": 1, "terminating": False,
                               "paths": ["s.txt"] if role == "one" else ["t.txt"]}],
                }
            repository.files["t.txt"] = b"t"
            repository.name("shared", "t.txt")
        return change
    taken(cases, "delegations: to one role from two", two_delegators("shared"), ask=["s.txt", "t.txt"])
    taken(cases, "delegations: to one role from two, one with a wrong key", two_delegators("foreign"), ask=["s.txt", "t.txt"])

    def bins(**values):
        def change(repository):
            keyid = ed25519("one").public_key.keyid
            rule = {"keyids": [keyid], "threshold": 1, "bit_length": 1, "name_prefix": "bin"} | values
            for name in ("one", "two"):
                del repository.documents[name]
            for name in ("bin-0", "bin-1"):
                repository.documents[name] = Targets(expires=EXPIRES).to_dict()
                repository.signers[name] = [ed25519("one")]
                for path in ("dir/a.txt", "dir/b.txt"):
                    repository.name(name, path)
            delegations = repository.documents["targets"]["delegations"]
            delegations["succinct_roles"] = {field: value for field, value in rule.items() if value is not ...}
            del delegations["roles"]
        return change
    taken(cases, "bins: two", bins(), ask=ask)
    taken(cases, "bins: with a role like its prefix only", bins(name_prefix="bin-"), ask=ask)
    for name, values in [("no bits", {"bit_length": 0}), ("33 bits", {"bit_length": 33}), ("no bit length", {"bit_length": ...}),
                         ("a bit length that is text", {"bit_length": "1"}), ("no prefix", {"name_prefix": ...}), ("threshold 0", {"threshold": 0})]:
        refused(cases, f"bins: {name}", bins(**values), ask=ask)
    def both(repository):
        keyid = ed25519("one").public_key.keyid
        repository.documents["targets"]["delegations"]["succinct_roles"] = {"keyids": [keyid], "threshold": 1, "bit_length": 1, "name_prefix": "bin"}
    refused(cases, "bins: and roles", both, ask=ask)
    def neither(repository):
        del repository.documents["targets"]["delegations"]["roles"]
    refused(cases, "bins: nor roles", neither, ask=ask)

    # Names of targets.
    for path in ["a b.txt", "100%", "%41", "a?b#c", "\u00e9.txt", "\U0001f37a", "a//b", "/a", "a/", "a\\b", "...", "a+b&c=d;e", "x" * 200]:
        def named(repository, path=path):
            repository.files[path] = b"content"
            repository.name("targets", path)
        taken(cases, f"target called {path}", named, ask=[path, "file.txt"])


def roots(cases):
    """From one root to the next."""
    def chained(name, change, ours):
        repository = Repository()
        change(repository)
        cases.add("tampered", f"next root: {name}", repository, ours=ours)

    def rotated(signing):
        def change(repository):
            new = ed25519("new root")
            root = repository.next_root()
            root["roles"]["root"]["keyids"] = []
            repository.add_key(new, "root")
            signers = {"old": repository.root_signers[0], "new": [new]}
            repository.root_signers[1] = [signer for which in signing for signer in signers[which]]
        return change
    chained("by old and new keys", rotated(["old", "new"]), "taken")
    chained("by old keys only", rotated(["old"]), "refused")
    chained("by new keys only", rotated(["new"]), "refused")
    chained("by nobody", rotated([]), "refused")
    def version(number):
        return lambda r: r.next_root().update(version=number)
    chained("of the same version", version(1), "refused")
    chained("of the version after next", version(3), "refused")
    chained("expired", lambda r: r.next_root().update(expires=TIME), "refused")
    chained("is not JSON", lambda r: (r.next_root(), r.spoilt.update(root=lambda data: b"<html>")), "refused")
    chained("is empty", lambda r: (r.next_root(), r.spoilt.update(root=lambda data: b"")), "refused")
    chained("is a timestamp", lambda r: (r.next_root(), r.spoilt.update(root=lambda data: r.build().metadata["timestamp.json"] if r.spoilt.pop("root") else data)), "refused")
    def expired_between(repository):
        repository.next_root()["expires"] = "2001-01-01T00:00:00Z"
        repository.next_root()["expires"] = "2035-01-01T00:00:00Z"
    chained("expired, and one more that is not", expired_between, "taken")
    def threshold(number):
        def change(repository):
            repository.next_root()["roles"]["root"]["threshold"] = number
        return change
    chained("asks for both keys", threshold(2), "taken")
    chained("asks for more keys than there are", threshold(3), "refused")
    def lowered(repository):
        repository.roots[0]["roles"]["root"]["threshold"] = 2
        repository.next_root()["roles"]["root"]["threshold"] = 1
        repository.root_signers[1] = repository.root_signers[0][:1]
    chained("lowers the threshold by itself", lowered, "refused")
    for count in (32, 33, 40, 257, 258):
        def many(repository, count=count):
            for _ in range(count - 1):
                repository.next_root()
        chained(f"and so on up to {count}", many, "refused" if count > 257 else "taken")
    def padded(length):
        return lambda r: r.next_root().update(x="y" * length)
    chained("of 500 kB", padded(500_000), "taken")
    chained("of 513 kB", padded(513_000), "refused")
    for role, length in (("timestamp", 66_000), ("snapshot", 2_100_000), ("targets", 5_100_000)):
        refused(cases, f"{role}: too large", lambda r, role=role, length=length: r.documents[role].update(x="y" * length))
    repository = Repository(pinned=True)
    repository.documents["snapshot"]["x"] = "y" * 2_100_000
    cases.add("tampered", "snapshot: large, as the timestamp says", repository, ours="taken")


def over_time(cases):
    """What a client that has been there before makes of what it sees next."""
    def then(name, first, second, ours, times=(), third=None, ask=None):
        steps = [first, second] + ([third] if third else [])
        cases.add("tampered", f"then: {name}", *steps, ours=ours, times=times, ask=ask)

    for pinned in (True, False):
        words = "with hashes" if pinned else "without hashes"
        base = Repository(pinned)
        second = base.newer("targets", "one")
        third = second.newer("targets")
        then(f"two updates, {words}", base, second, "taken", third=third)
        then(f"everything is old again, {words}", third, base, "refused")

        older = copy.deepcopy(second)
        older.documents["timestamp"]["version"] = 9
        older_snapshot = copy.deepcopy(base)
        older_snapshot.documents["timestamp"]["version"] = 10
        then(f"an older snapshot, {words}", older, older_snapshot, "refused")

        older_targets = copy.deepcopy(base)
        older_targets.documents["timestamp"]["version"] = 10
        older_targets.documents["snapshot"]["version"] = 10
        then(f"older targets, {words}", older, older_targets, "refused")

        older_delegated = copy.deepcopy(older)
        older_delegated.documents["one"]["version"] = 1
        for role in ("timestamp", "snapshot"):
            older_delegated.documents[role]["version"] += 1
        then(f"an older delegated role, {words}", older, older_delegated, "refused")

        dropped = second.newer()
        dropped.documents.pop("one")
        then(f"a role is dropped, {words}", second, dropped, "refused")

        other = copy.deepcopy(base)
        other.documents["timestamp"]["x"] = 1
        then(f"another timestamp of the same version, {words}", base, other, "taken")
        unsigned = copy.deepcopy(base)
        unsigned.signers["timestamp"] = [ed25519("foreign")]
        then(f"a timestamp of the same version that nobody signed, {words}", base, unsigned, "refused")
        expired = copy.deepcopy(base)
        expired.documents["timestamp"]["expires"] = "2029-01-01T00:00:00Z"
        then(f"an expired timestamp of the same version, {words}", base, expired, "taken")

        hidden = second.newer("targets")
        hidden.documents["snapshot"]["version"] = second.documents["snapshot"]["version"]
        then(f"another snapshot of the same version, {words}", second, hidden, "taken")
        hidden = second.newer("targets")
        hidden.documents["targets"]["version"] = second.documents["targets"]["version"]
        hidden.documents["targets"]["x"] = 1
        hidden.documents["targets"]["targets"].pop("file.txt")
        then(f"other targets of the same version, {words}", second, hidden, "taken")

        then(f"time passes, {words}", base, base, "refused", times=[TIME, "2036-01-01T00:00:00Z"])
        short = copy.deepcopy(base)
        short.documents["timestamp"]["expires"] = "2031-01-01T00:00:00Z"
        then(f"only the timestamp expires, {words}", short, short, "refused", times=[TIME, "2032-01-01T00:00:00Z"])
        then(f"the timestamp expires and a new one comes, {words}", short, short.newer("targets"), "refused", times=[TIME, "2032-01-01T00:00:00Z"])
        fresh = short.newer("targets")
        fresh.documents["timestamp"]["expires"] = "2035-01-01T00:00:00Z"
        then(f"a late timestamp replaces an expired one, {words}", short, fresh, "taken", times=[TIME, "2032-01-01T00:00:00Z"])
        then(f"an expired timestamp still is a floor, {words}", fresh, short, "refused", times=[TIME, "2036-01-01T00:00:00Z"])
        short_snapshot = copy.deepcopy(base)
        short_snapshot.documents["snapshot"]["expires"] = "2031-01-01T00:00:00Z"
        then(f"only the snapshot expires, {words}", short_snapshot, short_snapshot, "refused", times=[TIME, "2032-01-01T00:00:00Z"])
        then(f"time runs backwards, {words}", base, base.newer("targets"), "taken", times=["2032-01-01T00:00:00Z", TIME])

        for role in ("timestamp", "snapshot", "targets"):
            ahead = copy.deepcopy(base)
            ahead.documents[role]["version"] = 1_000_000
            if role == "snapshot":
                ahead.documents["timestamp"]["version"] = 5
            if role == "targets":
                ahead.documents["timestamp"]["version"] = 5
                ahead.documents["snapshot"]["version"] = 5
            def recovered(rotate, role=role):
                after = copy.deepcopy(base)
                root = after.next_root()
                for which in ("timestamp", "snapshot"):
                    new = ed25519(f"new {which}")
                    if rotate == "replaced":
                        root["roles"][which]["keyids"] = []
                        after.signers[which] = [new]
                    after.add_key(new, which)
                for document in ("timestamp", "snapshot", "targets"):
                    after.documents[document]["version"] = 6
                return after
            then(f"{role} ran ahead and the keys are replaced, {words}", ahead, recovered("replaced"), "taken")
            then(f"{role} ran ahead and keys are added, {words}", ahead, recovered("added"), "refused")

        rotated = base.newer("targets")
        rotated.next_root()["roles"]["targets"]["keyids"] = []
        rotated.add_key(ed25519("new targets"), "targets")
        rotated.signers["targets"] = [ed25519("new targets")]
        then(f"the targets key is replaced, {words}", base, rotated, "taken")
        stale = copy.deepcopy(rotated)
        stale.signers["targets"] = [ed25519("targets")]
        then(f"the targets key is replaced and the old one signs, {words}", base, stale, "refused")
        unchanged = copy.deepcopy(base)
        unchanged.next_root()["roles"]["targets"]["keyids"] = []
        unchanged.add_key(ed25519("new targets"), "targets")
        then(f"the targets key is replaced and nothing is signed anew, {words}", base, unchanged, "refused")

        missing = second.newer("targets")
        missing.spoilt["snapshot"] = lambda data: None
        then(f"the snapshot is missing, {words}", second, missing, "refused")
        then(f"the snapshot was missing, {words}", second, missing, "taken", third=second.newer("targets"))
        halfway = second.newer("targets")
        halfway.spoilt["targets"] = lambda data: None
        then(f"the targets are missing, then all is old again, {words}", second, halfway, "refused", third=second)


def flipped_bits(cases):
    """One bit of one file is wrong."""
    for pinned in (True, False):
        base = Repository(pinned).build()
        for file, data in base.metadata.items():
            # Steps without a factor in common with the length, so that every part of the file has its turn.
            for turn in range(24):
                position = (turn * 2_654_435_761 + len(file)) % (len(data) * 8)
                flipped = bytearray(data)
                flipped[position // 8] ^= 1 << (position % 8)
                cases.add("flipped", f"{file}, hashes: {pinned}, bit {position}",
                          Built({**base.metadata, file: bytes(flipped)}, base.targets))


def main():
    cases = Cases()
    kinds_of_keys(cases)
    good_changes(cases)
    text_of_json(cases)
    fields(cases)
    signatures(cases)
    delegations(cases)
    roots(cases)
    over_time(cases)
    flipped_bits(cases)
    titles = [case["title"] for case in cases.cases]
    assert len(titles) == len(set(titles)), sorted(title for title in titles if titles.count(title) > 1)
    with open(sys.argv[1], "w", encoding="utf-8") as output:
        json.dump({"kinds": list(KINDS), "blobs": cases.blobs, "cases": cases.cases}, output)


if __name__ == "__main__":
    main()
