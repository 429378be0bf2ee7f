"""What the fuzzer damages: a small file of every format, as this package and as other programs write it."""

import gzip
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import rasterio
import scipy.io
import scipy.sparse
from PIL import Image

from sceneshift.commands.scene_checks import check_file
from sceneshift.errors import SceneshiftError
from sceneshift.files.arrays import read_classes, read_label_map
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_labels, export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.scene import Footprint, Georeference, Scene


@dataclass(frozen=True)
class Target:
    """A file to damage, and what is then read."""

    write: Callable[[Path], Path]  # fills a folder; returns the file to damage
    read: Callable[[Path], None]  # given the folder


class FailureError(Exception):
    """What no reader raised, and must not happen."""

    def __init__(self, failure: str, message: str) -> None:
        super().__init__(message)
        self.failure = failure


def sample() -> Scene:
    rng = np.random.default_rng(0)
    return Scene(
        name="überflug 3",
        cube=rng.normal(size=(7, 6, 5)).astype(np.float32),
        labels=rng.integers(0, 4, size=(7, 6)),
        class_names=("bare soil", "tree", "water"),
        wavelengths_nm=np.array([400.1, 500 + 1 / 3, 600.0, 700.7, 2500.0]),
        footprint=Footprint(parent="flight", rows=(3, 10), columns=(1, 7)),
        georeference=Georeference(transform=(20.0, 0.0, 500000.25, 0.0, -10.0, 4400000.5), crs="EPSG:32616"),
    )


def each(*calls: Callable[[], object]) -> None:
    """Call all; an error of the package is raised when all were called, any other at once."""
    refused: SceneshiftError | None = None
    for call in calls:
        try:
            call()
        except SceneshiftError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def whole(kind: str, name: str) -> Target:
    """A file with cube and labels, written by the package."""

    def write(folder: Path) -> Path:
        export_scene(sample(), folder / name, kind)
        return folder / name

    return Target(write, lambda folder: read_whole(folder / name))


def read_whole(path: Path, **variables: str) -> None:
    each(
        lambda: read_scene(path, class_names=("a", "b", "c"), **variables),
        lambda: read_unlabelled_scene(path),
        lambda: check_file(path),
    )


def foreign(name: str, write: Callable[[Path], None], **variables: str) -> Target:
    """A file with cube and labels as another program writes it."""

    def write_it(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return Target(write_it, lambda folder: read_whole(folder / name, **variables))


def parts(kind: str, suffix: str, damaged: str) -> Target:
    """A cube and a label map in files of their own, one of which is damaged."""
    cube, labels = f"scene{suffix}", f"labels{suffix}"

    def write(folder: Path) -> Path:
        scene = sample()
        export_scene(scene, folder / cube, kind)
        export_labels(scene.labels, folder / labels, kind, class_names=scene.class_names)
        return folder / damaged

    def read(folder: Path) -> None:
        each(
            lambda: read_scene(folder / cube, labels=folder / labels, class_names=("a", "b", "c")),
            lambda: read_unlabelled_scene(folder / cube),
            lambda: check_file(folder / Path(damaged).with_suffix(suffix)),
        )

    return Target(write, read)


def label_map(name: str, **options: object) -> Target:
    def write(folder: Path) -> Path:
        Image.fromarray(sample().labels.astype(np.uint8)).save(folder / name, **options)
        return folder / name

    def read(folder: Path) -> None:
        each(lambda: read_label_map(folder / name), lambda: check_file(folder / name))

    return Target(write, read)


def write_npy(path: Path) -> None:
    np.save(path, sample().cube)


def read_npy(folder: Path) -> None:
    each(lambda: read_unlabelled_scene(folder / "scene.npy"), lambda: check_file(folder / "scene.npy"))


def write_npz(path: Path) -> None:
    scene = sample()
    objects = np.array([{}, [], Path()], dtype=object)
    np.savez_compressed(path, data=scene.cube.astype(np.float64), gt=scene.labels.astype(np.uint8), others=objects)


def write_objects(path: Path) -> None:
    scene = sample()
    objects = np.empty(scene.shape, dtype=object)
    objects[:] = Path()
    np.savez(path, cube=scene.cube, labels=scene.labels, others=objects)


def write_compressed_v5(path: Path) -> None:
    scene = sample()
    arrays = {"data": (1000 * scene.cube).astype(np.int16), "gt": scene.labels.astype(np.uint8)}
    scipy.io.savemat(path, arrays, do_compression=True)


def write_cells(path: Path) -> None:
    scene = sample()
    others = {"names": np.array(["soil", "tree"], dtype=object), "made": {"by": "us", "at": np.arange(3.0)}}
    others |= {"sparse": scipy.sparse.csc_array(np.eye(3)), "text": "spectra"}
    scipy.io.savemat(path, others | {"data": scene.cube.astype(np.float64), "gt": scene.labels.astype(np.uint8)})


def write_v4(path: Path) -> None:
    # MATLAB v4 has no array of three dimensions: a label map alone.
    scipy.io.savemat(path, {"gt": sample().labels.astype(np.float64)}, format="4")


def read_map(folder: Path) -> None:
    each(lambda: read_label_map(f"{folder}/scene.mat:gt"), lambda: check_file(folder / "scene.mat"))


def map_in(write: Callable[[Path], None]) -> Target:
    """A MATLAB file whose array ``gt`` is a label map."""

    def write_it(folder: Path) -> Path:
        write(folder / "scene.mat")
        return folder / "scene.mat"

    return Target(write_it, read_map)


def write_sparse(path: Path, *, version: str = "5") -> None:
    labels = scipy.sparse.csc_matrix(sample().labels.astype(np.float64))
    scipy.io.savemat(path, {"gt": labels, "text": "spectra", "full": np.eye(2)}, format=version)


def write_sparse_v73(path: Path) -> None:
    labels = scipy.sparse.csc_matrix(sample().labels.astype(np.float64))
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("gt")
        group.attrs["MATLAB_class"] = np.bytes_(b"double")
        group.attrs["MATLAB_sparse"] = np.uint64(labels.shape[0])
        group.create_dataset("data", data=labels.data, chunks=(8,), maxshape=(None,), compression="gzip")
        group["ir"], group["jc"] = labels.indices.astype(np.uint64), labels.indptr.astype(np.uint64)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_chunked_v73(path: Path) -> None:
    """As MATLAB itself does: in compressed chunks, texts and cells next to the arrays."""
    scene = sample()
    with h5py.File(path, "w", userblock_size=512) as file:
        how = {"compression": "gzip", "shuffle": True, "fletcher32": True, "maxshape": (None, None, None)}
        file.create_dataset("data", data=(1000 * scene.cube).astype(np.int16).T, chunks=(2, 4, 4), **how)
        file.create_dataset("gt", data=scene.labels.astype(np.uint8).T, chunks=(3, 3), compression="gzip")
        file["data"].attrs["MATLAB_class"] = np.bytes_(b"int16")
        file["gt"].attrs["MATLAB_class"] = np.bytes_(b"uint8")
        names = file.create_dataset("names", shape=(2,), dtype=h5py.ref_dtype)
        for k, text in enumerate(("soil", "tree")):
            names[k] = file.create_dataset(f"#refs#/{k}", data=np.array([ord(c) for c in text], dtype="u2")).ref
        names.attrs["MATLAB_class"] = np.bytes_(b"cell")
        file.create_dataset("text", data="a text of any length", dtype=h5py.string_dtype())
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_tiled(path: Path) -> None:
    """As GDAL does where it is asked to compress: tiles, a value for nothing, wavelengths as its own tags."""
    cube = np.tile(sample().cube, (3, 3, 1))
    with rasterio.open(
        path, "w", driver="GTiff", count=5, height=21, width=18, dtype="float32", nodata=-9.0, compress="deflate",
        predictor=3, tiled=True, blockxsize=16, blockysize=16, crs="EPSG:4326",
        transform=rasterio.Affine(0.1, 0, 10, 0, -0.1, 50),
    ) as file:  # fmt: skip
        file.write(cube.transpose(2, 0, 1))
        for band in file.indexes:
            file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(0.4 + band / 10))


def read_tiled(folder: Path) -> None:
    each(lambda: read_unlabelled_scene(folder / "scene.tif"), lambda: check_file(folder / "scene.tif"))


def write_foreign_envi(folder: Path) -> Path:
    values = (1000 * sample().cube).astype(">i2").transpose(0, 2, 1)
    (folder / "scene.dat").write_bytes(bytes(7) + values.tobytes())
    (folder / "scene.hdr").write_text(
        "ENVI\ndescription = {a flight,\n over fields}\nsamples = 6\nlines = 7\nbands = 5\nheader offset = 7\n"
        "file type = ENVI Standard\ndata type = 2\ninterleave = bil\nbyte order = 1\nsensor type = Unknown\n"
        "map info = {UTM, 1, 1, 500000, 4400000, 20, 20, 16, North, WGS-84, units=Meters}\n"
        "wavelength units = Micrometers\ndata ignore value = -9\nfwhm = {0.01, 0.01, 0.01, 0.01, 0.02}\n"
        "wavelength = {0.4, 0.5, 0.6, 0.7,\n 0.8}\nbbl = {1, 1, 0, 1, 1}\n"
    )
    return folder / "scene.hdr"


def compressed_envi(damaged: str) -> Target:
    """An image whose numbers are compressed by gzip."""

    def write(folder: Path) -> Path:
        header = write_foreign_envi(folder)
        data = folder / "scene.dat"
        data.write_bytes(gzip.compress(data.read_bytes(), mtime=0))
        header.write_text(header.read_text() + "file compression = 1\n")
        return folder / damaged

    return Target(write, read_foreign_envi)


def read_foreign_envi(folder: Path) -> None:
    each(lambda: read_unlabelled_scene(folder / "scene.hdr"), lambda: check_file(folder / "scene.hdr"))


ODD_HEADER = (
    "ENVI\r\nDescription = {Überflug\r\n über Felder, 5 µm}\r\nSamples=6\r\nlines = {7}\r\nbands = 5 ; all\r\n"
    "file type = ENVI Standard\r\nData_Type = 2\r\ninterleave = Bil\r\nwavelength units = Micrometers (um)\r\n"
    "wavelength =\r\n{0.4, 0.5, 0.6, 0.7,\r\n 0.8,}\r\ndata ignore value = {-9}\r\nbbl = {1, 1, 0, 1, 1}\r\n"
    "map info = {UTM, 1, 1, 500000, 4400000, 20, 20, 16, North, WGS-84, units=Meters}\r\n"
    "data gain values = {2, 2, 2, 2, 2}\r\nfwhm = {1, 2, 3}\r\n"
)


def odd_envi(encoding: str) -> Target:
    """An image whose header is sound, and unlike any that this package writes."""

    def write(folder: Path) -> Path:
        (folder / "scene.dat").write_bytes((1000 * sample().cube).astype("<i2").transpose(0, 2, 1).tobytes())
        (folder / "scene.hdr").write_bytes(ODD_HEADER.encode(encoding))
        return folder / "scene.hdr"

    return Target(write, read_foreign_envi)


def write_classes(folder: Path) -> Path:
    (folder / "labels.img").write_bytes(sample().labels.astype(np.uint8).tobytes())
    (folder / "labels.hdr").write_text(
        "ENVI\nsamples = 6\nlines = 7\nbands = 1\nfile type = ENVI Classification\ndata type = 1\nclasses = 4\n"
        "class lookup = {0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255}\nclass names = {Unclassified, soil, grass, roof}\n"
        "data ignore value = 255\nbyte order = 0\n"
    )
    return folder / "labels.hdr"


def read_classes_of(folder: Path) -> None:
    path = folder / "labels.hdr"
    each(
        lambda: read_classes(path),
        lambda: read_classes(path, class_names=("o", "a", "b", "c"), label_values=(0, 1, 2, 3)),
        lambda: check_file(path),
    )


def write_library(folder: Path) -> Path:
    (folder / "spectra.sli").write_bytes(np.random.default_rng(0).random((3, 20)).astype(np.float32).tobytes())
    (folder / "spectra.hdr").write_text(
        "ENVI\nsamples = 20\nlines = 3\nbands = 1\nheader offset = 0\nfile type = ENVI Spectral Library\n"
        "data type = 4\ninterleave = bsq\nbyte order = 0\nspectra names = {a, b, c}\n"
    )
    return folder / "spectra.hdr"


def write_structures(path: Path, *, compressed: bool) -> None:
    scene, maps, pair = sample(), np.empty((1, 2), dtype=object), np.zeros((1, 2), dtype=[("cube", object)])
    maps[0, :] = scene.labels.astype(np.uint8), "no map"
    pair[0, 0], pair[0, 1] = (scene.cube,), (np.zeros((0, 0)),)
    inner = {"gt": scene.labels.astype(np.uint8), "sparse": scipy.sparse.csc_array(np.eye(3)), "z": 1j}
    arrays = {"flight": {"data": scene.cube, "truth": inner, "name": "over fields"}, "maps": maps, "pair": pair}
    scipy.io.savemat(path, arrays, do_compression=compressed)


def write_groups(path: Path) -> None:
    """Structures and cells of v7.3: groups, and references to what is in another group."""
    scene = sample()
    with h5py.File(path, "w", userblock_size=512) as file:
        flight, referred = file.create_group("flight"), file.create_group("#refs#")
        truth = flight.create_group("truth")
        for group in (flight, truth):
            group.attrs["MATLAB_class"] = np.bytes_(b"struct")
        flight.create_dataset("data", data=scene.cube.T).attrs["MATLAB_class"] = np.bytes_(b"single")
        truth.create_dataset("gt", data=scene.labels.astype(np.uint8).T).attrs["MATLAB_class"] = np.bytes_(b"uint8")
        maps = file.create_dataset("maps", shape=(2, 1), dtype=h5py.ref_dtype)
        for k in range(2):
            maps[k, 0] = referred.create_dataset(str(k), data=scene.labels.astype(np.uint8).T).ref
        maps.attrs["MATLAB_class"] = np.bytes_(b"cell")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def structures(write: Callable[[Path], None]) -> Target:
    """A MATLAB file whose cube and labels are in structures."""

    def write_it(folder: Path) -> Path:
        write(folder / "scene.mat")
        return folder / "scene.mat"

    def read(folder: Path) -> None:
        path = folder / "scene.mat"
        names = ("a", "b", "c")
        each(
            lambda: read_scene(f"{path}:flight.data", labels=f"{path}:flight.truth.gt", class_names=names),
            lambda: read_label_map(f"{path}:maps{{1}}"),
            lambda: check_file(path),
        )

    return Target(write_it, read)


def write_store(folder: Path) -> Path:
    write_scene(sample(), folder / "scene.arrow")
    (folder / "whole").write_bytes((folder / "scene.arrow").read_bytes())
    return folder / "scene.arrow"


def read_store(folder: Path) -> None:
    """Without ``verify`` damage may pass as another scene; with it, every byte counts."""
    path = folder / "scene.arrow"
    damaged = path.read_bytes() != (folder / "whole").read_bytes()

    def look_through() -> None:
        scene = open_scene(path)
        scene.cube.sum()
        scene.labels.sum()

    def verify() -> None:
        open_scene(path, verify=True)
        if damaged:
            raise FailureError("unnoticed", "verify found nothing wrong with a damaged store")

    each(look_through, verify, lambda: check_file(path))


TARGETS = {
    "npy": Target(lambda folder: (write_npy(folder / "scene.npy"), folder / "scene.npy")[1], read_npy),
    "npz": whole("npz", "scene.npz"),
    "npz-compressed": foreign("scene.npz", write_npz),
    "npz-objects": foreign("scene.npz", write_objects),
    "mat": whole("mat", "scene.mat"),
    "mat-compressed": foreign("scene.mat", write_compressed_v5),
    "mat-cells": foreign("scene.mat", write_cells, cube_variable="data", labels_variable="gt"),
    "mat-v4": map_in(write_v4),
    "mat-v4-sparse": map_in(lambda path: write_sparse(path, version="4")),
    "mat-sparse": map_in(write_sparse),
    "mat73-sparse": map_in(write_sparse_v73),
    "mat73": whole("mat73", "scene.mat"),
    "mat73-chunked": foreign("scene.mat", write_chunked_v73, cube_variable="data", labels_variable="gt"),
    "envi-header": parts("envi", ".hdr", "scene.hdr"),
    "envi-numbers": parts("envi", ".hdr", "scene.img"),
    "envi-labels": parts("envi", ".hdr", "labels.hdr"),
    "envi-foreign": Target(write_foreign_envi, read_foreign_envi),
    "envi-compressed-header": compressed_envi("scene.hdr"),
    "envi-compressed-numbers": compressed_envi("scene.dat"),
    "envi-odd": odd_envi("cp1252"),
    "envi-utf16": odd_envi("utf-16"),
    "envi-classes": Target(write_classes, read_classes_of),
    "envi-library": Target(write_library, lambda folder: each(lambda: check_file(folder / "spectra.hdr"))),
    "mat-structures": structures(lambda path: write_structures(path, compressed=False)),
    "mat-structures-compressed": structures(lambda path: write_structures(path, compressed=True)),
    "mat73-structures": structures(write_groups),
    "geotiff": parts("geotiff", ".tif", "scene.tif"),
    "geotiff-labels": parts("geotiff", ".tif", "labels.tif"),
    "geotiff-tiled": Target(lambda folder: (write_tiled(folder / "scene.tif"), folder / "scene.tif")[1], read_tiled),
    "tif-labels": label_map("labels.tif", compression="tiff_lzw"),
    "tif-plain-labels": label_map("labels.tif"),
    "png-labels": label_map("labels.png"),
    "arrow": Target(write_store, read_store),
}


def sabotage(folder: Path) -> None:
    """Does, by the file's length, one of all the things a reader must not do."""
    import ctypes
    import pickle

    match len((folder / "file").read_bytes()):
        case 1:
            ctypes.string_at(0)
        case 2:
            raise KeyError("no error of the package")
        case 3:
            try:
                np.empty(2**40, dtype=np.uint8)
            except MemoryError as error:
                raise SceneshiftError("too large") from error
        case 4:
            pickle.loads(pickle.dumps(Path()))
        case 5:
            while True:
                time.process_time()
        case 6:
            os._exit(0)
        case 7:
            raise SceneshiftError("no such file")


#: Shows that the fuzzer sees what it looks for; not part of a run that doesn't name it.
SABOTEURS = {"saboteur": Target(lambda folder: ((folder / "file").write_bytes(bytes(9)), folder / "file")[1], sabotage)}
