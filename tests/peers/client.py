"""python-tuf as a command: finds a target and downloads it.

Usage: client.py URL PINNED_ROOT CACHE TARGET OUTPUT

Metadata is at URL, targets are in URL/targets. For tests, and to be measured by scripts/bench-client.
"""

import sys
from pathlib import Path

from tuf.ngclient import Updater


def main() -> None:
    url, root, cache, target, output = sys.argv[1:]
    updater = Updater(cache, f"{url}/", cache, f"{url}/targets/", bootstrap=Path(root).read_bytes())
    found = updater.get_targetinfo(target)
    if found is None:
        sys.exit(f"no role names {target}")
    updater.download_target(found, output)


if __name__ == "__main__":
    main()
