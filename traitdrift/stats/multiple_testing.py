"""Tables of tests turned into findings: corrected for all that was looked at, ranked, nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas

from traitdrift.core.files import rounded
from traitdrift.stats.resampling import holm

# A shift is a trait's own only if few vectors that mean nothing move as far.
NULLS = ("random_p", "permuted_p")


def corrected(table: pandas.DataFrame, alpha: float) -> pandas.DataFrame:
    """The table with `p_holm`, its column `p` corrected over all rows, and `moved`, 1 or 0.

    Where not even the least p that a row's prompts and permutations allow would do, `moved` is
    undecided. Where it holds places among nulls, `specific` says whether both are at most `alpha`.
    """
    if not len(table):
        return table
    table = table.assign(p_holm=[rounded(p) for p in holm(table["p"].to_numpy())])
    undecided = table["p_least"] * len(table) > alpha
    table["moved"] = (table["p_holm"] <= alpha).astype("Int64").mask(undecided)
    if set(NULLS) <= set(table.columns):
        table["specific"] = (table[list(NULLS)] <= alpha).all(axis=1).astype(int)
    return table


def ranked(table: pandas.DataFrame) -> pandas.DataFrame:
    """`variant, auroc, random_z, ...`, within a variant the farthest AUROC from one half first.

    Ties, as where AUROC is 1, go by the shift in standard deviations of the random vectors.
    """
    if not len(table):
        return table
    order = table.assign(
        far=(table["auroc"] - 0.5).abs(),
        z=table["random_z"].abs(),
        place=table["variant"].map({v: i for i, v in enumerate(table["variant"].unique())}),
    ).sort_values(["place", "far", "z"], ascending=[True, False, False], kind="stable")
    found = order.drop(columns=["far", "z", "place"]).reset_index(drop=True)
    found.insert(1, "rank", found.groupby("variant", sort=False).cumcount() + 1)
    return found


def moved_table(shifts: pandas.DataFrame, alpha: float) -> dict[str, Any]:
    """Per variant, trait, choice and class the shift at the vector's own layer, with its tests.

    `layers_moved` counts the layers in which the corrected p holds, `layers_specific` those in
    which the shift moreover stands out from both kinds of null; the family is all rows.
    """
    # The hyphen keeps this key apart from any variant's id.
    record: dict[str, Any] = {"family-wise": {"alpha": alpha, "tests": len(shifts)}}
    if not len(shifts):
        return record
    keys = ["variant", "trait", "choice", "class"]
    record |= nested(shifts[shifts["chosen"] == 1], keys)
    for names, rows in shifts.groupby(keys, sort=False):
        place = record
        for name in names:
            place = place[name]
        place["layers"] = len(rows)
        place["layers_moved"] = int(rows["moved"].sum())
        place["layers_specific"] = int(((rows["moved"] == 1) & (rows["specific"] == 1)).sum())
    return record


def nested(table: pandas.DataFrame, keys: list[str]) -> dict[str, Any]:
    """A table as nested dicts by its key columns; a row's undefined figures are None."""
    record: dict[str, Any] = {}
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        place = record
        for key in keys:
            place = place.setdefault(row.pop(key), {})
        place.update(row)
    return record


def verdict(record: Mapping[str, Any]) -> str:
    """What a shift's tests say, as `corrected` gives them; a record without a test is undecided."""
    moved = record.get("moved")
    if moved is None or moved != moved:  # NaN, in a table
        return "undecided"
    if not moved:
        return "not shown"
    return "moved, specific" if record.get("specific") else "moved, not specific"
