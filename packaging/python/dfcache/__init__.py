"""The program dfcache, the cache client of Dragonfly: ``dfcache`` on the command line, ``python -m dfcache``."""

import os
import shutil
import sys
import sysconfig

__all__ = ["executable"]


def executable() -> str:
    """Where the program is: beside this Python, where the wheel put it, or on the PATH."""
    scripts = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    found = shutil.which("dfcache", path=os.pathsep.join(scripts)) or shutil.which("dfcache")
    if found is None:
        raise FileNotFoundError(f"dfcache is neither beside {sys.executable} nor on the PATH")
    return found
