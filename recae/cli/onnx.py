"""Write a model as ONNX, to rank histories where recae and torch are not installed.

OUT ends in .onnx; the item ids are written beside it, as NAME.items.json, and weights of more than
2 GB as NAME.onnx.data. The file is compared with the model. Needs pip install "recae[onnx]".

example:
  recae onnx model model.onnx
"""

from __future__ import annotations

import argparse

import recae
from recae.cli.options import add_output_options
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_places
from recae.recommend.onnx.saving import ENDINGS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae onnx`."""
    parser.add_argument("model", metavar="MODEL", help="a directory that `recae fit` wrote")
    parser.add_argument("out", metavar="OUT", help="the .onnx file to write")
    add_overwrite_option(parser, "the file and those beside it")
    add_output_options(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Loads and writes."""
    check_places(args, files=[(args.out, ENDINGS)], inputs=[args.model])
    model = recae.load(args.model, recae.Recommender)
    path = model.to_onnx(args.out, overwrite=args.overwrite)
    written = {"path": args.out, "bytes": path.stat().st_size, "n_items": len(model.items_)}
    output.done(f"wrote {args.out}, {written['bytes'] / 1e6:,.1f} MB", written)
