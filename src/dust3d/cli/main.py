"""The command `dust3d`: what is handy outside the workflow."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from dust3d import __version__
from dust3d.errors import Dust3dError


def _check(arguments: argparse.Namespace) -> None:
    from dust3d.config.run import load

    config = load(arguments.config)
    kind = "mock" if config.is_mock else "real stars"
    print(f"{arguments.config}: run {config.run} ({kind}), fits: {', '.join(config.fit_names())}")
    for sentence in config.missing_files():
        print(f"note: {sentence}")


def _name(arguments: argparse.Namespace) -> None:
    from dust3d.config.run import load

    print(load(arguments.config).run)


def _products(arguments: argparse.Namespace) -> None:
    from dust3d.config.run import load

    folder = Path("results") / load(arguments.config).run
    if not folder.is_dir():
        raise Dust3dError(
            f"{folder}: no such run in {Path.cwd()}; go to the project's root, or make it: "
            f"make report CONFIG={arguments.config}"
        )
    figures = sorted((folder / "figures").glob("compare-*.png"))
    print("\nTo look at:")
    for path in (folder / "report.html", *figures, folder / "comparison.csv"):
        if path.is_file():
            print(f"  {path}")
    print(f"All figures: {folder / 'figures'}; maps: {folder / 'maps'}")


def _data(arguments: argparse.Namespace) -> None:
    from dust3d.stages.data import fill

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    added = fill(arguments.folder)
    print(f"{arguments.folder}: complete ({len(added)} files added)")


def _config_docs(arguments: argparse.Namespace) -> None:
    from dust3d.config.document import readme
    from dust3d.files import atomic_path

    with atomic_path(arguments.output) as aside:
        aside.write_text(readme(), encoding="utf-8")
    print(f"{arguments.output}: written")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dust3d", description=__doc__)
    parser.add_argument("--version", action="version", version=f"dust3d {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check a configuration file")
    check.add_argument("config", type=Path)
    check.set_defaults(run=_check)

    name = commands.add_parser("name", help="print the name of a configuration's run")
    name.add_argument("config", type=Path)
    name.set_defaults(run=_name)

    products = commands.add_parser("products", help="name the report and the figures of a run")
    products.add_argument("config", type=Path)
    products.set_defaults(run=_products)

    data = commands.add_parser(
        "data", help="fill data/ with the real catalogues, from DUST3D_DATA or by download"
    )
    data.add_argument("--folder", type=Path, default=Path("data"))
    data.set_defaults(run=_data)

    docs = commands.add_parser("config-docs", help="write config/README.md from the models")
    docs.add_argument("--output", type=Path, default=Path("config/README.md"))
    docs.set_defaults(run=_config_docs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the input becomes one plain sentence."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except Dust3dError as error:
        print(f"dust3d: {error}", file=sys.stderr)
        return 1
    return 0
