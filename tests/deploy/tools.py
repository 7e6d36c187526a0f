"""Tools that read what `deploy/` holds, where they are installed: without one its tests are skipped."""

import os
import shutil
import sys
from pathlib import Path

_PLACES = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
PROMTOOL = shutil.which("promtool", path=_PLACES)
"""Prometheus' own checker; `make promtool` puts it beside the interpreter."""
