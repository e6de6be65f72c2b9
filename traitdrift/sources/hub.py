"""Files of a model hub, through its own cache; what cannot be had is one line that says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def fetched(name: str, revision: str, patterns: Sequence[str]) -> Path:
    """The folder in the hub's cache with the files of a repository that match the patterns.

    With HF_HUB_OFFLINE=1 nothing is fetched, the cache must hold them. Raises ValueError where
    the repository, the revision or the network is missing, or its terms are not accepted.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError:
        why = "gated; accept its terms on its page there, then `hf auth login` or set HF_TOKEN"
    except RevisionNotFoundError:
        why = "no such revision; give a branch, a tag or a commit as `revision`"
    except RepositoryNotFoundError:
        why = "no such repository, or a private one; mend the `id`, or `hf auth login`"
    except LocalEntryNotFoundError:
        why = f"the hub is not reached and its cache lacks it; {how_to_provide(name, revision)}"
    except (HfHubHTTPError, OSError) as error:
        why = str(error).strip().splitlines()[0]
    raise ValueError(f"{name} at {revision}: not to be had from the hub: {why}")


def how_to_provide(name: str, revision: str) -> str:
    """What to do where the hub is not reached."""
    folder = "models--" + name.replace("/", "--")
    return (
        f"where it is reached, `hf download {name} --revision {revision}`, then bring "
        f"$HF_HOME/hub/{folder} from there"
    )
