"""A shared cache held against this clone's records: what it lost or broke, sent again.

`dvc push` takes a folder whose list is on the remote to be there as a whole, and never reads what
it once sent: a file that went missing or bad there is not noticed, and not sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from traitdrift.core.progress import progress

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB


def recorded(repo: Repo, remote: HashFileDB) -> dict[str, str]:
    """The path of every cached file that dvc.lock names, by digest; of folders, each file in them.

    A folder's list comes from this cache or, where it is not here, from the remote.
    """
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    paths: dict[str, str] = {}
    for out in repo.index.outs:
        # What `dvc push` sends: not what an import brings from its own source.
        if not (out.use_cache and out.hash_info and out.can_push) or out.stage.is_repo_import:
            continue
        paths[out.hash_info.value] = str(out)
        if out.hash_info.isdir:
            for store in (repo.cache.local, remote):
                try:
                    listed = Tree.load(store, out.hash_info)
                except (FileNotFoundError, ObjectFormatError):
                    continue
                paths |= {entry.value: "/".join((str(out), *key)) for key, _, entry in listed}
                break
    return paths


def faults(store: HashFileDB, digests: Mapping[str, str], read: bool) -> dict[str, str]:
    """What is `missing` in a store or, if all is to be read, `broken`, by digest."""
    from dvc_data.hashfile.hash import file_md5

    there = set(store.oids_exist(list(digests)))
    found = {digest: "missing" for digest in digests if digest not in there}
    if read and there:
        with progress("reading", len(there)) as advance:
            for digest in sorted(there):
                if file_md5(store.oid_to_path(digest), store.fs) != digest.removesuffix(".dir"):
                    found[digest] = "broken"
                advance(1)
    return found


def send(cache: HashFileDB, remote: HashFileDB, digests: set[str]) -> set[str]:
    """Send files over what the remote has of them; those of which this cache has a good copy."""
    lost = faults(cache, dict.fromkeys(digests, ""), read=True)
    good = sorted(digests - set(lost), key=lambda digest: digest.endswith(".dir"))  # lists last
    if good:
        remote.add([cache.oid_to_path(d) for d in good], cache.fs, good, check_exists=False)
    return set(good)
