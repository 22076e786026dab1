"""Judges repositories with python-tuf's client.

Usage: judge.py CASES

CASES is what build.py wrote. Prints one JSON object: for each case, by its title, what each step led to, in the words
that judges.rs uses.
"""

import base64
import hashlib
import json
import logging
import sys
import tempfile
import warnings
from datetime import datetime
from urllib.parse import unquote

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

METADATA = "https://repository.test/metadata/"
TARGETS = "https://repository.test/targets/"


class Served(FetcherInterface):
    """Answers with the files of one step."""

    def __init__(self, step, blobs):
        self.metadata, self.targets, self.blobs = step["metadata"], step["targets"], blobs

    def _fetch(self, url):
        if url.startswith(METADATA):
            blob = self.metadata.get(unquote(url.removeprefix(METADATA)))
        else:
            # Target paths are asked for as they are, not encoded.
            blob = self.targets.get(url.removeprefix(TARGETS))
        if blob is None:
            raise DownloadHTTPError("absent", 404)
        return iter([self.blobs[blob]])


def step(case, step, blobs, directory):
    try:
        updater = Updater(
            directory,
            METADATA,
            directory,
            TARGETS,
            fetcher=Served(step, blobs),
            bootstrap=blobs[case["root"]],
        )
        trusted = updater._trusted_set
        trusted.reference_time = datetime.fromisoformat(step["time"].replace("Z", "+00:00"))
        updater.refresh()
    except Exception:
        return "refused"
    versions = " ".join(f"{role} {trusted[role].version}" for role in ("root", "timestamp", "snapshot", "targets"))
    return ", ".join([versions] + [f"{path} {target(updater, path, directory)}" for path in case["ask"]])


def target(updater, path, directory):
    try:
        found = updater.get_targetinfo(path)
        if found is None:
            return "absent"
        with open(updater.download_target(found, f"{directory}/target"), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:8]
    except Exception:
        return "refused"


def main():
    warnings.simplefilter("ignore")
    logging.disable()
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    blobs = {name: base64.b64decode(data) for name, data in cases["blobs"].items()}
    verdicts = {}
    for case in cases["cases"]:
        with tempfile.TemporaryDirectory() as directory:
            verdict = [step(case, at, blobs, directory) for at in case["steps"]]
        verdicts[case["title"]] = verdict
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
