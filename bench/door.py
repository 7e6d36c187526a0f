"""The console scripts: first, what Python finds under the names of our packages is looked at, not imported.

Those names are common. The distribution `node` on PyPI takes that one at each start of the interpreter, by a
.pth file; where ours is not installed beside it (an editable install), every command would end in a
traceback, and so would `isthmus doctor`, which is there to say so. So the door stands in this room, above all
others, and not in the one whose name is taken.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions

CONFIGURATION = 5
"""The exit code. It is `Exit.CONFIGURATION`, which cannot be read where it is needed here."""
_SIGNS = {"consensus": "safety", "p2p": "network", "node": "cli", "bench": "main"}
"""Package -> a module by which ours is known."""


def main() -> None:
    """`isthmus`. Exits with 5 where another package stands in the place of one of ours."""
    _enter(("consensus", "p2p", "node"), "node.cli.main")


def bench() -> None:
    """`isthmus-bench`, likewise."""
    _enter(("consensus", "p2p", "node", "bench"), "bench.main")


def _enter(packages: tuple[str, ...], module: str) -> None:
    for package in packages:
        if not _is_ours(package):
            sys.stderr.write(_refusal(package))
            sys.exit(CONFIGURATION)
    importlib.import_module(module).main()


def _is_ours(package: str) -> bool:
    if package in sys.modules:
        places = getattr(sys.modules[package], "__path__", ())
    else:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            return False
        places = spec.submodule_search_locations
    return PathFinder.find_spec(f"{package}.{_SIGNS[package]}", list(places)) is not None


def _refusal(package: str) -> str:
    owners = [name for name in packages_distributions().get(package, ()) if name != "isthmus"]
    whose = f": it is brought by {', '.join(owners)}" if owners else ""
    remedy = f"remove it (pip uninstall {owners[0]})" if owners else "look at PYTHONPATH"
    return (
        f"isthmus: the package {package!r} that Python finds is not Isthmus's own{whose}\n"
        f"  {remedy}, or install isthmus into an environment of its own\n"
    )
