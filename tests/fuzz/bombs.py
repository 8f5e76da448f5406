"""Small files that claim to be large, point elsewhere, or would run something if they could."""

import bz2
import gzip
import json
import lzma
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from astropy.io import fits
from tests.fuzz.products import table, write_catalogue

HUGE = 10**9
FLAG = "executed"
"""A file of this name beside the input would show that something in it was executed."""


class Trap:
    """Writes the flag when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (self.folder / FLAG,)


def _packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write_catalogue(path, table())
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(write(content))

    return make


def _zipped(content: bytes) -> bytes:
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("stars", content)
    return out.getvalue()


def _members(path: Path, first: bytes, block: bytes, number: int) -> None:
    """A gzipped file of many members, each of which is the same block."""
    member = gzip.compress(block)
    path.write_bytes(gzip.compress(first) + number * member)


def _zeros(path: Path) -> None:
    """600 MB of NUL in 600 kB."""
    _members(path, b"", bytes(1 << 20), 600)


def _same_rows(path: Path) -> None:
    """A valid table of the same row, millions of times."""
    header = b"source_id,ra,dec,extinction,extinction_error\n"
    _members(path, header, b"1,10,20,0.5,0.1\n" * 200_000, 60)


def _text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write_catalogue(path, table())
        path.write_text(change(path.read_text()))

    return make


def _fits(change: Callable[[fits.Header], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write_catalogue(path, table())
        with fits.open(path) as units:
            header = units[1].header.copy()
            start = units[1].fileinfo()["hdrLoc"]
            end = units[1].fileinfo()["datLoc"]
        change(header)
        content = path.read_bytes()
        made = header.tostring(padding=True).encode()
        path.write_bytes(content[:start] + made + content[end:])

    return make


def _set(**values) -> Callable[[fits.Header], None]:
    def change(header: fits.Header) -> None:
        for key, value in values.items():
            header[key] = value

    return change


def _hdf5(make: Callable[[h5py.File, Path], None]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            make(file, path)

    return write


TYPE = np.dtype([("source_id", "i8"), ("ra", "f8"), ("dec", "f8"), ("extinction", "f8")])


def _deep(file: h5py.File, _: Path) -> None:
    group = file
    for _ in range(3000):
        group = group.create_group("g")
    group.create_dataset("stars", (3,), TYPE)


def _circular(file: h5py.File, _: Path) -> None:
    group = file.create_group("g")
    group["h"] = file["g"]
    group["i"] = file["g"]
    file.create_dataset("stars", (3,), TYPE)


def _external(file: h5py.File, path: Path) -> None:
    space = [("/dev/zero", 0, 3 * TYPE.itemsize)]
    file.create_dataset("stars", (3,), TYPE, external=space)
    del path


def _virtual(file: h5py.File, _: Path) -> None:
    layout = h5py.VirtualLayout((HUGE,), TYPE)
    layout[:3] = h5py.VirtualSource("elsewhere.h5", "stars", (3,), TYPE)
    file.create_virtual_dataset("stars", layout)


def _references(file: h5py.File, _: Path) -> None:
    kinds = np.dtype([("source_id", "i8"), ("ra", h5py.ref_dtype)])
    file.create_dataset("stars", (3,), kinds)


def _chunk(file: h5py.File, _: Path) -> None:
    """A chunk of 24 kB that unpacks to 1 GB."""
    made = file.create_dataset("stars", (1000,), TYPE, chunks=(1000,), compression="gzip")
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(1 << 10)) + packer.flush()
    made.id.write_direct_chunk((0,), packed)


def _parquet_runs(path: Path) -> None:
    """Millions of equal rows in a few kB."""
    number = 20_000_000
    columns = {name: pa.nulls(number, pa.float64()) for name in ("ra", "dec", "extinction")}
    pa.parquet.write_table(pa.table(columns), path)


def _yaml_laughs(text: str) -> str:
    lines = ["# meta:", "#   a0: &a0 [x]"]
    for i in range(1, 40):
        lines.append(f"#   a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    return text.replace("# schema: astropy-2.0", "\n".join([*lines, "# schema: astropy-2.0"]))


def _with_class(text: str, name: str) -> str:
    made = (
        "# meta:\n#   __serialized_columns__:\n#     ra:\n#       __class__: " + name + "\n"
        "#       value: !astropy.table.SerializedColumn {name: dec}\n"
    )
    return text.replace("# schema: astropy-2.0", made + "# schema: astropy-2.0")


def _entities(text: str) -> str:
    lines = ['<!ENTITY a0 "xxxxxxxxxx">']
    for i in range(1, 12):
        lines.append(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">')
    declared = "<!DOCTYPE VOTABLE [\n" + "\n".join(lines) + "\n]>"
    head, _, rest = text.partition("?>")
    return head + "?>\n" + declared + rest.replace("<TD>A</TD>", "<TD>&a11;</TD>")


def _outside(text: str) -> str:
    head, _, rest = text.partition("?>")
    declared = '<!DOCTYPE VOTABLE [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    return head + "?>\n" + declared + rest.replace("<TD>A</TD>", "<TD>&a;</TD>")


CATALOGUES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "zip": ("stars.csv", _packed(_zipped)),
    "bzip2": ("stars.csv", _packed(bz2.compress)),
    "xz FITS": ("plain.fits", _packed(lzma.compress)),
    "xz VOTable": ("stars.vot", _packed(lzma.compress)),
    "gzip in gzip": ("stars.csv.gz", _packed(gzip.compress)),
    "zeros": ("stars.csv.gz", _zeros),
    "zeros FITS": ("stars.fits.gz", _zeros),
    "equal rows": ("stars.csv.gz", _same_rows),
    "FITS rows": ("plain.fits", _fits(_set(NAXIS2=HUGE))),
    "FITS negative rows": ("plain.fits", _fits(_set(NAXIS2=-5))),
    "FITS width": ("plain.fits", _fits(_set(NAXIS1=HUGE, TFORM2=f"{HUGE}D"))),
    "FITS heap": ("plain.fits", _fits(_set(PCOUNT=HUGE * 100))),
    "FITS columns": ("plain.fits", _fits(_set(TFIELDS=999))),
    "FITS form": ("plain.fits", _fits(_set(TFORM2="Q"))),
    "FITS unit": ("plain.fits", _fits(_set(TUNIT2="d e g"))),
    "FITS scale": ("plain.fits", _fits(_set(TZERO2=1e300, TSCAL2=1e300))),
    "FITS dimensions": ("plain.fits", _fits(_set(TDIM2=f"({HUGE},{HUGE})"))),
    "HDF5 rows": (
        "stars.h5",
        _hdf5(lambda f, _: f.create_dataset("stars", (HUGE,), TYPE, chunks=(1000,))),
    ),
    "HDF5 rows packed": (
        "stars.h5",
        _hdf5(
            lambda f, _: f.create_dataset(
                "stars", (HUGE,), TYPE, chunks=(1000,), compression="gzip"
            )
        ),
    ),
    "HDF5 chunk": ("stars.h5", _hdf5(_chunk)),
    "HDF5 deep": ("stars.h5", _hdf5(_deep)),
    "HDF5 circular": ("stars.h5", _hdf5(_circular)),
    "HDF5 external": ("stars.h5", _hdf5(_external)),
    "HDF5 virtual": ("stars.h5", _hdf5(_virtual)),
    "HDF5 references": ("stars.h5", _hdf5(_references)),
    "HDF5 external link": (
        "stars.h5",
        _hdf5(lambda f, _: f.__setitem__("stars", h5py.ExternalLink("other.h5", "stars"))),
    ),
    "HDF5 soft loop": (
        "stars.h5",
        _hdf5(lambda f, _: f.__setitem__("stars", h5py.SoftLink("/stars"))),
    ),
    "Parquet runs": ("stars.parquet", _parquet_runs),
    "ECSV laughs": ("stars.ecsv", _text(_yaml_laughs)),
    "ECSV brackets": (
        "stars.ecsv",
        _text(lambda t: t.replace("# schema", "# meta: " + "[" * 50_000 + "\n# schema")),
    ),
    "ECSV class": ("stars.ecsv", _text(lambda t: _with_class(t, "os.system"))),
    "ECSV object": (
        "stars.ecsv",
        _text(lambda t: t.replace("# schema", "# meta: !!python/name:os.abort\n# schema")),
    ),
    "ECSV shape": (
        "stars.ecsv",
        _text(lambda t: t.replace("datatype: float64}", f"datatype: float64[{HUGE}]}}", 1)),
    ),
    "VOTable rows": (
        "stars.vot",
        _text(lambda t: t.replace("<TABLE", f'<TABLE nrows="{HUGE * 100}"')),
    ),
    "VOTable cells": (
        "stars.vot",
        _text(lambda t: t.replace("<FIELD", f'<FIELD arraysize="{HUGE}"', 1)),
    ),
    "VOTable entities": ("stars.vot", _text(_entities)),
    "VOTable outside": ("stars.vot", _text(_outside)),
    "VOTable deep": (
        "stars.vot",
        _text(lambda t: t.replace("<RES", "<RESOURCE>" * 20_000 + "<RES")),
    ),
    "CSV columns": ("stars.csv", lambda p: p.write_text(",".join(["ra"] * 200_000) + "\n1\n")),
    "CSV quotes": ("stars.csv", _text(lambda t: t.replace("\n", '\n"', 1))),
    "CSV one line": ("stars.csv", lambda p: p.write_bytes(b"1" * 20_000_000 + b"\n")),
    "pickle": ("stars.h5", lambda p: p.write_bytes(pickle.dumps(Trap(p.parent)))),
    "pickle as CSV": ("stars.csv", lambda p: p.write_bytes(pickle.dumps(Trap(p.parent)))),
}
"""Name -> the name of the file, and what writes it. None can be used, but for these:"""
HARMLESS = {"FITS dimensions", "ECSV laughs"}

# --- fields ------------------------------------------------------------------------------------


def _edited(change: Callable[[h5py.File, Path], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path / "field.h5", "a") as file:
            change(file, path)

    return make


def _part(file: h5py.File) -> h5py.Group:
    return file["field/parts/0"]


def _replaced_by(what: str, make: Callable[[h5py.Group], None]) -> Callable[[Path], None]:
    def change(file: h5py.File, _: Path) -> None:
        del _part(file)[what]
        make(_part(file))

    return _edited(change)


FIELDS: dict[str, Callable[[Path], None]] = {
    "order": _edited(lambda f, _: _part(f).attrs.__setitem__("order", f"[{HUGE}, {HUGE}]")),
    "order of words": _edited(lambda f, _: _part(f).attrs.__setitem__("order", '["a", "b"]')),
    "order negative": _edited(lambda f, _: _part(f).attrs.__setitem__("order", "[-2, 2]")),
    "order deep": _edited(
        lambda f, _: _part(f).attrs.__setitem__("order", "[" * 20_000 + "]" * 20_000)
    ),
    "order no JSON": _edited(lambda f, _: _part(f).attrs.__setitem__("order", "__import__('os')")),
    "box of text": _edited(lambda f, _: f.attrs.__setitem__("half_widths_kpc", "wide")),
    "box of one": _edited(lambda f, _: f.attrs.__setitem__("half_widths_kpc", 1.0)),
    "box infinite": _edited(lambda f, _: f.attrs.__setitem__("half_widths_kpc", "[Infinity, 1]")),
    "box of arrays": _edited(lambda f, _: f.attrs.__setitem__("half_widths_kpc", np.zeros((2, 2)))),
    "huge coefficients": _replaced_by(
        "cos", lambda g: g.create_dataset("cos", (HUGE * 10,), "f8", chunks=(1000,))
    ),
    "coefficients of text": _replaced_by("cos", lambda g: g.create_dataset("cos", data=["a", "b"])),
    "coefficients NaN": _edited(lambda f, _: _part(f)["cos"].__setitem__(slice(None), np.nan)),
    "coefficients 1e300": _edited(lambda f, _: _part(f)["cos"].__setitem__(slice(None), 1e300)),
    "coefficients complex": _replaced_by(
        "cos", lambda g: g.create_dataset("cos", data=np.full(6, 1j))
    ),
    "references": _replaced_by("cos", lambda g: g.create_dataset("cos", (6,), h5py.ref_dtype)),
    "external link": _replaced_by(
        "cos", lambda g: g.__setitem__("cos", h5py.ExternalLink("other.h5", "cos"))
    ),
    "circle": _replaced_by("cos", lambda g: g.__setitem__("cos", g)),
    "class of Python": _edited(lambda f, _: _part(f).attrs.__setitem__("class", "os.system")),
    "pickle": _edited(
        lambda f, p: _part(f).attrs.__setitem__("order", np.void(pickle.dumps(Trap(p))))
    ),
    "no parts": _edited(lambda f, _: f["field"].__delitem__("parts")),
}
"""What is done to a fit's folder; none leaves a field."""

# --- maps --------------------------------------------------------------------------------------


def _metadata(array: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        place = path / array / "zarr.json" if array else path / "zarr.json"
        content = json.loads(place.read_text())
        change(content)
        place.write_text(json.dumps(content))

    return make


def _v2(path: Path) -> None:
    """A store of version 2 whose values are pickles."""
    shutil.rmtree(path)
    (path / "density").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text('{"format": "dust3d-map", "format_version": 1}')
    about = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "|O",
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "pickle"}],
    }
    (path / "density" / ".zarray").write_text(json.dumps(about))
    (path / "density" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["x"]}')
    (path / "density" / "0").write_bytes(pickle.dumps(Trap(path.parent)))


def _frame(path: Path) -> None:
    """A chunk of a few bytes that says that it unpacks to 100 GB."""
    chunk = next(p for p in (path / "density" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(struct.pack("<IBQ", 0xFD2FB528, 0xE0, 10**11) + b"\x01\x00\x00")


def _runs(path: Path) -> None:
    """A chunk of 30 kB that unpacks to 1 GB, block by block of one repeated byte."""
    from numcodecs import Zstd

    chunk = next(p for p in (path / "density" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(Zstd().encode(bytes(1 << 29)))


def _shape(content: dict) -> None:
    content["shape"] = [HUGE, *content["shape"][1:]]


def _fine_chunks(content: dict) -> None:
    content["shape"] = [10_000, 10_000, 1]
    content["chunk_grid"]["configuration"]["chunk_shape"] = [1, 1, 1]


def _codec(name: str) -> Callable[[dict], None]:
    return lambda content: content["codecs"].append({"name": name, "configuration": {}})


def _attribute(key: str, value: object) -> Callable[[dict], None]:
    return lambda content: content["attributes"].__setitem__(key, value)


MAPS: dict[str, Callable[[Path], None]] = {
    "shape": _metadata("density", _shape),
    "shape of x": _metadata("x", lambda c: c.__setitem__("shape", [HUGE])),
    "chunks": _metadata("density", _fine_chunks),
    "shape negative": _metadata("density", lambda c: c.__setitem__("shape", [-1, 20, 1])),
    "shape of words": _metadata("density", lambda c: c.__setitem__("shape", "large")),
    "type": _metadata("density", lambda c: c.__setitem__("data_type", "object")),
    "type float64": _metadata("density", lambda c: c.__setitem__("data_type", "float64")),
    "pickle codec": _metadata("density", _codec("pickle")),
    "numcodecs pickle": _metadata("density", _codec("numcodecs.pickle")),
    "version 2": _v2,
    "frame": _frame,
    "runs": _runs,
    "wide box": _metadata("", _attribute("half_widths_kpc", [10.0, 1.0])),
    "box of text": _metadata("", _attribute("half_widths_kpc", "wide")),
    "no box": _metadata("", lambda c: c["attributes"].__delitem__("half_widths_kpc")),
    "unit": _metadata("density", _attribute("units", "mag / pc")),
    "estimator": _metadata("", _attribute("estimator", "truth")),
    "dimensions": _metadata("density", lambda c: c.__setitem__("dimension_names", ["a", "b", "c"])),
    "no density": lambda path: shutil.rmtree(path / "density"),
    "deep": lambda path: (path / "zarr.json").write_text("[" * 50_000),
    "large": lambda path: (path / "zarr.json").write_text(" " * 20_000_000 + "{}"),
}
"""What is done to a map; none may be read."""
