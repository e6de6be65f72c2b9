"""models/adapters/<variant>/: an adapter trained elsewhere, checked against the base."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import SCHEMA_VERSION, write_json
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.loading import VARIANT_RECORD, base_record
from traitdrift.sources.adapters import check_adapter, fetch_adapter
from traitdrift.sources.settings import Imported

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")


def main(variant: str) -> None:
    wanted = section(Imported, f"imported.{variant}")
    record = base_record(BASE)
    revision = wanted.revision if wanted.source == "hub" else ""
    folder, origin = fetch_adapter(wanted.source, wanted.id, revision)
    config, adapted = check_adapter(folder, BASE, record)
    digest = keep_adapter(folder, ADAPTERS / variant, record["id"], config)
    write_json(
        ADAPTERS / variant / VARIANT_RECORD,
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "import",
            "base_digest": record["digest"],
            "adapter_digest": digest,
            "source": wanted.source,
            **origin,
            "base_name": config.get("base_model_name_or_path"),
            "adapted": adapted,
        },
    )


if __name__ == "__main__":
    run(main)
