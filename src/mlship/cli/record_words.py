"""What commands say of files of records."""

from __future__ import annotations

from typing import Annotated

import typer

Copybook = Annotated[str, typer.Argument(metavar="COPYBOOK", help="A file that describes a record.")]
By = Annotated[
    str, typer.Option("--copybook", metavar="FILE", help="The copybook of the records.", show_default=False)
]
Record = Annotated[
    str,
    typer.Option("--record", metavar="NAME", help="Its level 01, where it has several.", show_default=False),
]
CodePage = Annotated[
    str | None,
    typer.Option(
        "--code-page",
        metavar="NAME",
        help="cp037, cp1047, cp273, ... or ascii. Without it: that of [records], else cp037.",
        show_default=False,
    ),
]
Recfm = Annotated[
    str | None,
    typer.Option(
        "--recfm",
        metavar="FORM",
        help="fb, vb or vb-blocks. Without it: that of [records], else fb.",
        show_default=False,
    ),
]
Lrecl = Annotated[
    int,
    typer.Option("--lrecl", metavar="N", min=0, help="Bytes of an fb record, if more than the copybook's."),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="What the schema calls a field; again for others.",
        show_default=False,
    ),
]
