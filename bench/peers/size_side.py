"""What is installed beside the interpreter that runs this file, as JSON: GB on disk, and numbers of packages.

The CUDA libraries that come with torch are counted apart: Dapeng runs on a build of torch without them.
"""

import importlib.metadata
import json
import os
import sysconfig

CUDA = ("nvidia", "triton", "cuda")


def disk(path: str) -> int:
    """Bytes on disk of a file, or of all files in a folder."""
    files = [os.path.join(at, f) for at, _, names in os.walk(path) for f in names] if os.path.isdir(path) else [path]
    return sum(os.lstat(f).st_blocks * 512 for f in files)


def main() -> None:
    folder = sysconfig.get_paths()["purelib"]
    sizes = {top: disk(os.path.join(folder, top)) / 1e9 for top in os.listdir(folder) if not top.startswith("pip")}
    names = {d.metadata["Name"].lower().replace("_", "-") for d in importlib.metadata.distributions()} - {"pip"}
    found = {
        "gb": sum(sizes.values()),
        "cuda": sum(s for n, s in sizes.items() if n.startswith(CUDA)),
        "torch": sizes["torch"],
        "packages": len(names),
        "of_cuda": sum(n.startswith(CUDA) for n in names),
        "torch_version": importlib.metadata.version("torch"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
