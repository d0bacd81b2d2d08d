"""Where compiled kernels are kept: one folder per state of the sources.

numba notices an edited kernel, but not an edited kernel that another file's kernel calls: the old
result came back. So the folder's name holds a digest of every source that kernels can reach.
"""

import hashlib
import os
import shutil
from pathlib import Path

ROOMS = ("schemas", "operators", "models", "console", "venues/lob/engine")
KEPT = 8  # folders, the newest; a folder is about 20 MB


def use_kernel_cache() -> None:
    """Point numba at the folder; called once, before numba is imported.

    The base is NUMBA_CACHE_DIR where it is set, else `.cache/numba` of the checkout, or of the
    user where the checkout cannot be written.
    """
    root = Path(__file__).resolve().parents[1]
    home = root if os.access(root, os.W_OK) else Path.home()
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or home / ".cache" / "numba")
    if base.name.startswith("kernels-"):  # inherited from a parent process, which did this
        return
    folder = base / f"kernels-{_digest(root)}"
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for old in sorted(base.glob("kernels-*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


def _digest(root: Path) -> str:
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]
