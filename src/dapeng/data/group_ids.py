"""Columns that say which person or thing a row is about: rows of one belong on one side of a split."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from dapeng.data.facts import CODE, Facts
from dapeng.data.table import Cells

FEWEST_GROUPS, LEAST_EACH = 20, 1.5
GROUP_NAME = re.compile(
    r"(^|[_\s.-])(patient|user|subject|participant|customer|client|speaker|session|device|account|member|player|person|household"
    r"|student|driver|visitor|worker|employee|donor|sensor|machine)(?P<id>[_\s.-]?(id|no|nr|num|number|code|key|uuid|hash))?$"
    r"|(账号|账户|患者|病人|用户|客户|会员|被试|受试者|说话人|会话|设备|学生|员工)(?P<id2>编号|号|ID|id|_id)?$",
    re.IGNORECASE,
)


def like_group(name: str, cells: Cells) -> str:
    """Why a column seems to say which person or thing a row is about; "" if it doesn't. Its rows belong on one side of a split."""
    facts = Facts(name, cells, ".")
    found = group_of(facts)
    return found[1] if found else ""


def group_of(facts: Facts) -> tuple[str, str] | None:
    """Role and reason of a column whose name and values say that it names a person or a thing that has several rows.

    Plain categories are none: their labels are few, or words.
    """
    named = GROUP_NAME.search(facts.name)
    if named is None or facts.binary or facts.nested or facts.distinct < FEWEST_GROUPS:
        return None
    each = facts.present / facts.distinct
    if each < LEAST_EACH or facts.distinct < facts.present**0.5 / 4:
        return None
    codes = (
        facts.whole()
        if facts.numeric() == 1
        else pc.mean(pc.match_substring_regex(facts.cells, CODE).cast(pa.int8())).as_py() >= 0.95
    )
    if not codes and not (named.group("id") or named.group("id2")):
        return None
    what = f"{facts.distinct:,} different ones with about {each:.2g} rows each, and the name of an id"
    return "group", f"{what}: the split keeps rows of one together, and it is not read"
