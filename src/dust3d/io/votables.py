"""What a VOTable says of its size before its rows come."""

import io
import math
import re
from xml.parsers import expat

from dust3d.io.limits import check_expansion

_BLOCK = 1 << 16


class _HeaderEndsError(Exception):
    """Raised to stop the parser: the header has been read."""


def check_claims(file: io.BufferedIOBase, stored_bytes: int) -> None:
    """Refuse a table whose header asks for more rows, or for longer values, than a file holds.

    Parameters
    ----------
    file
        The XML text, from its beginning.
    stored_bytes
        Size of the file.

    Raises
    ------
    ValueError
        With both sizes.
    expat.ExpatError
        If the header is no XML.
    """
    rows, widths = [0], [8]

    def start(name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2].upper()
        if tag in ("DATA", "TR"):
            raise _HeaderEndsError
        if tag in ("FIELD", "PARAM"):
            lengths = re.findall(r"\d+", attributes.get("arraysize", ""))
            widths.append(8 * math.prod(map(int, lengths)))
        number = attributes.get("nrows", "").strip()
        if tag == "TABLE" and number.isdecimal():
            rows.append(int(number))
        check_expansion(max(1, *rows) * sum(widths), stored_bytes)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    # an entity may stand for megabytes, and tables need none
    parser.EntityDeclHandler = _refuse_entity
    try:
        while block := file.read(_BLOCK):
            parser.Parse(block, False)
    except _HeaderEndsError:
        return


def _refuse_entity(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {name!r}, which a table does not need")
