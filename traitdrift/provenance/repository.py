"""A DVC repository as it stands, or as a revision holds it: files by the digests DVC gives them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

# DVC takes a second to import and stages import this module's neighbours: only when it is used.
if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.obj import HashFile


@contextmanager
def opened(root: Path = Path("."), rev: str | None = None) -> Iterator[Place]:
    """The repository around a folder, or one of its commits, branches, tags or experiments.

    Raises ValueError, here and for whatever DVC finds wrong while it is open.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import RevError, resolve_rev

    try:
        with Repo(str(root)) as repo:
            if rev is None:
                yield Place(repo)
                return
            try:
                commit = resolve_rev(repo.scm, rev)
            except RevError:
                raise ValueError(
                    f"{rev}: no commit, branch, tag or experiment of that name; see `git log` "
                    "and `dvc exp list --all-commits`, or fetch it with `dvc exp pull`"
                )
            with Repo(repo.root_dir, rev=commit) as past:
                yield Place(past, rev, commit)
    except NotDvcRepoError:
        if rev is not None:
            raise ValueError(f"{rev}: no DVC repository yet at that revision; name a later one")
        raise ValueError(f"{root}: not in a DVC repository; go to the folder that holds dvc.yaml")
    except DvcException as error:
        at = f" at {rev}" if rev else ""
        raise ValueError(f"DVC says{at}: {error}; see `dvc status`")


class Place:
    """The workspace or a revision; what it does not hold may be in the cache."""

    def __init__(self, repo: Repo, rev: str | None = None, commit: str | None = None):
        self.repo, self.rev, self.commit = repo, rev, commit
        self._built: dict[str, HashFile | None] = {}

    def __str__(self) -> str:
        return "here" if self.rev is None else f"at {self.rev}"

    @cached_property
    def stages(self) -> dict[str, PipelineStage]:
        """The stages of dvc.yaml by name, cells written out, in the file's order."""
        return {stage.name: stage for stage in self.repo.index.stages if stage.cmd}

    @cached_property
    def outputs(self) -> dict[str, Output]:
        """What the stages make and `.dvc` files bring in, by path."""
        return {self.path_of(out): out for out in self.repo.index.outs}

    def path_of(self, entry: Output) -> str:
        """The path of a stage's dependency or output from the root, wherever the caller stands."""
        return "/".join(self.repo.fs.relparts(entry.fs_path, self.repo.root_dir))

    def path_from(self, root: Path, path: str) -> str:
        """A path as given from a folder of the workspace, from the root."""
        return Path(os.path.relpath(Path(root) / path, self.repo.root_dir)).as_posix()

    def _at(self, path: str) -> str:
        return self.repo.fs.join(self.repo.root_dir, path)

    def text(self, path: str) -> str | None:
        """A text file's content, None where there is none."""
        if not self.repo.fs.exists(self._at(path)):
            return None
        with self.repo.fs.open(self._at(path), "r", encoding="utf-8") as file:
            return file.read()

    def _object(self, path: str) -> HashFile | None:
        from dvc_data.hashfile.build import build

        if path not in self._built:
            try:
                *_, self._built[path] = build(
                    self.repo.cache.local,
                    self._at(path),
                    self.repo.fs,
                    "md5",
                    ignore=self.repo.dvcignore if self.rev is None else None,
                    dry_run=True,
                )
            except FileNotFoundError:
                self._built[path] = None
        return self._built[path]

    def digest(self, path: str) -> str | None:
        """The digest of the file or folder that stands at a path, None where none does."""
        found = self._object(path)
        return None if found is None else found.oid

    def tree(self, path: str, digest: str) -> HashFile | None:
        """What a folder of that digest holds, by the folder here or the cache's list of it.

        A `Tree`; of a file that is here, the file itself.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree
        from dvc_objects.errors import ObjectFormatError

        if self.digest(path) == digest:
            return self._object(path)
        try:
            return Tree.load(self.repo.cache.local, HashInfo("md5", digest))
        except (FileNotFoundError, ObjectFormatError):
            return None

    def inside(self, folder: str, digest: str, path: str) -> str | None:
        """The digest that a path has in a folder of that digest.

        None where the folder's list is neither here nor in the cache, "" where it lacks the path.
        """
        from dvc_data.hashfile.tree import Tree

        tree = self.tree(folder, digest)
        if tree is None:
            return None
        if not isinstance(tree, Tree):
            return ""
        # dvc_data says a tuple of one, and means one of any length.
        parts = cast("tuple[str]", Path(path).relative_to(folder).parts)
        found = tree.get_obj(self.repo.cache.local, parts)
        return (found and found.oid) or ""

    def cached(self, digest: str) -> bool:
        """Whether this machine's cache holds a file or the list of a folder."""
        return self.repo.cache.local.exists(digest)

    def keeps(self, path: str, digest: str) -> bool:
        """Whether bytes that are not at a path need not be: DVC keeps them, not git."""
        outs = [
            out
            for one, out in self.outputs.items()
            if one == path or one.startswith(f"{path}/") or path.startswith(f"{one}/")
        ]
        source = next((out for out in outs if not out.stage.cmd), None)
        if source is not None:  # a .dvc file, which has a digest of its own
            return source.hash_info.value == digest
        return self.cached(digest) or bool(outs and all(out.use_cache for out in outs))

    def imported(self, path: str) -> str:
        """Where `dvc import` or `dvc import-url` brought a file from, "" where neither did."""
        out = self.outputs.get(path)
        if out is None or not out.stage.is_import:
            return ""
        source = out.stage.deps[0]
        repository = getattr(source, "def_repo", None)
        if repository is None:
            return f"from {source.def_path}"
        return f"from {source.def_path} of {repository['url']} at {repository['rev_lock'][:7]}"

    def parameter(self, name: str) -> tuple[Any] | None:
        """The value of params.yaml under a dotted name, None where there is none."""
        from dvc.dependency.param import read_param_file

        if self.text("params.yaml") is None:
            return None
        found = read_param_file(self.repo.fs, self._at("params.yaml"), [name], flatten=True)
        return (found[name],) if name in found else None

    def content(self, path: str, digest: str) -> BinaryIO | None:
        """A file of that digest, from here or the cache."""
        if self.digest(path) == digest:
            return self.repo.fs.open(self._at(path), "rb")
        if self.cached(digest):
            return open(self.repo.cache.local.oid_to_path(digest), "rb")
        return None

    def contents(self, path: str, digest: str, ends: tuple[str, ...]) -> Iterator[BinaryIO]:
        """The file of that digest, or those in the folder, whose names end so and that are kept."""
        from dvc_data.hashfile.tree import Tree

        files = {path: digest}
        if digest.endswith(".dir"):
            tree = self.tree(path, digest)
            listed = tree if isinstance(tree, Tree) else ()
            files = {"/".join([path, *parts]): info.value for parts, _, info in listed}
        for name, one in files.items():
            if name.endswith(ends) and (file := self.content(name, one)):
                yield file
