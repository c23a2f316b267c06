"""Graphs: what is checked when one is loaded, provider truth, and pose graphs on every kind of input."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.fixtures.graphs import SIZE, detector_graph, joint_gain, pose_graph, pose_metadata, write_mode
from vipose.runtime import providers
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.graphs import MAX_BATCH, PoseGraph, Workers, load_graph
from vipose.runtime.metadata import KEY, Codec, weights_sha256
from vipose.runtime.onnxfile import read_metadata, read_onnx
from vipose.runtime.providers import ProviderReport, combine_reports

WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mode(tmp_path_factory.mktemp("graphs"))


def crops(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, HEIGHT, WIDTH, 3), dtype=np.uint8)


def expected_heatmaps(images: np.ndarray) -> np.ndarray:
    """What the tiny graphs compute, in numpy."""
    grey = images.astype(np.float64) @ [0.5, 0.3, 0.2] / 255
    pooled = grey.reshape(len(images), HEIGHT // 4, 4, WIDTH // 4, 4).mean((2, 4))
    return pooled[:, None] * joint_gain(17)[:, None, None]


# --- loading -----------------------------------------------------------------------------------------------------------


def test_loading_reads_metadata_hash_and_provider(folder: Path) -> None:
    graph = load_graph(folder / "tiny-t-2.onnx", device="cpu")
    assert (graph.name, graph.metadata.task, graph.metadata.phase) == ("tiny-t-2", "pose-temporal", 2)
    assert graph.provider == ProviderReport("cpu", "cpu")
    assert graph.sha256 == hashlib.sha256((folder / "tiny-t-2.onnx").read_bytes()).hexdigest()


def test_graph_without_metadata_says_how_to_add_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="vipose models import plain.onnx"):
        load_graph(pose_graph(tmp_path / "plain.onnx", embed=False))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no graph .*nowhere.onnx"):
        load_graph(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x08\x12\x04test", bytes(range(256))])
def test_files_that_are_no_graphs(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    for read in (load_graph, read_onnx):
        with pytest.raises(ModelError, match="broken.onnx") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_truncated_graph_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "tiny-s.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cut.onnx"):
        load_graph(path)


def _reprop(source: Path, target: Path, text: str) -> Path:
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {KEY: text})
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 99}, "schema 99"),
        ({"task": "segment"}, "unknown task"),
        ({"skeleton": "dog"}, "unknown skeleton"),
        ({"surprise": 1}, "unknown fields"),
        ({"codec": None}, "needs a codec"),
        ({"input": {"width": "wide"}}, "cannot be read"),
    ],
)
def test_wrong_metadata_is_refused(change: dict[str, Any], reason: str, folder: Path, tmp_path: Path) -> None:
    data = asdict(pose_metadata()) | change
    path = _reprop(folder / "tiny-s.onnx", tmp_path / "wrong.onnx", json.dumps(data))
    with pytest.raises(ModelError, match=reason):
        load_graph(path)
    with pytest.raises(ModelError, match=reason):
        read_metadata(path)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (pose_metadata(dtype="float32"), "tensor\\(uint8\\), its metadata says tensor\\(float\\)"),
        (pose_metadata(layout="NCHW"), "input 'image' has shape"),
        (replace(pose_metadata(), input=replace(pose_metadata().input, width=64)), "input 'image' has shape"),
        (replace(pose_metadata(), codec=Codec(stride=2)), "output 'heatmaps' has shape"),
        (pose_metadata(skeleton="mpii16"), "output 'heatmaps' has shape"),
        (pose_metadata(phase=1), "has the inputs \\['image', 'previous'\\]"),
    ],
)
def test_metadata_that_contradicts_the_graph(metadata: Any, reason: str, folder: Path, tmp_path: Path) -> None:
    path = _reprop(folder / "tiny-s.onnx", tmp_path / "lies.onnx", metadata.to_json())
    with pytest.raises(ModelError, match=reason):
        load_graph(path)


def test_wrong_output_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has the outputs \\['heatmaps'\\], this one has \\['maps'\\]"):
        load_graph(pose_graph(tmp_path / "x.onnx", output="maps"))


def test_wrong_shape_behind_symbolic_dimensions(tmp_path: Path) -> None:
    path = pose_graph(tmp_path / "x.onnx", cells=8)
    model = onnx.load(path)
    for value, axes in ((model.graph.input[0], (1, 2)), (model.graph.output[0], (2, 3))):
        for axis in axes:
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}{axis}"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="come out as \\[1, 17, 8, 6\\]"):
        load_graph(path)


def test_output_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not finite"):
        load_graph(pose_graph(tmp_path / "x.onnx", scale=float("inf")))


# --- provider truth ----------------------------------------------------------------------------------------------------


def test_unknown_device(folder: Path) -> None:
    with pytest.raises(UsageError, match="device 'tpu'"):
        load_graph(folder / "tiny-s.onnx", device="tpu")  # type: ignore[arg-type]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that lists CUDA, as broken GPU installations do."""
    monkeypatch.setattr(providers, "listed_providers", lambda: [providers.CUDA, providers.CPU])


def test_cuda_that_is_not_there_falls_back_visibly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "listed_providers", lambda: [providers.CPU])
    report = load_graph(folder / "tiny-s.onnx", device="cuda").provider
    assert report.running == "cpu" and report.fell_back and "onnxruntime-gpu" in str(report)
    assert load_graph(folder / "tiny-s.onnx", device="auto").provider == ProviderReport("auto", "cpu")


def _pretend_cuda(monkeypatch: pytest.MonkeyPatch, session: Any) -> None:
    real = providers.create_session

    def create(path: Path, threads: int, wanted: Any = (providers.CPU,)) -> Any:
        return real(path, threads) if tuple(wanted) == (providers.CPU,) else session(real(path, threads))

    monkeypatch.setattr(providers, "create_session", create)


class _Cuda:
    """A session that claims CUDA and computes on the CPU."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def get_providers(self) -> list[str]:
        return [providers.CUDA, providers.CPU]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class _SilentFallback(_Cuda):
    def get_providers(self) -> list[str]:
        return [providers.CPU]


class _FailsAtFirstRun(_Cuda):
    def run(self, *_: Any) -> Any:
        raise RuntimeError("CUDNN_STATUS_NOT_INITIALIZED\nsecond line")


class _WrongNumbers(_Cuda):
    def run(self, *args: Any) -> Any:
        return [2 * output for output in self.session.run(*args)]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("session", "reason"),
    [
        (_SilentFallback, "did not start"),
        (_FailsAtFirstRun, "CUDA failed: CUDNN_STATUS_NOT_INITIALIZED"),
        (_WrongNumbers, "other 'heatmaps' than the CPU"),
    ],
)
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_broken_cuda_ends_on_the_cpu(
    session: Any, reason: str, device: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_cuda(monkeypatch, session)
    graph = PoseGraph(folder / "tiny-s.onnx", device=device)
    assert graph.provider.running == "cpu" and reason in graph.provider.reason
    assert "\n" not in str(graph.provider)
    np.testing.assert_allclose(graph(crops(1)), expected_heatmaps(crops(1)), atol=1e-5)


@pytest.mark.usefixtures("listed")
def test_cuda_that_fails_at_creation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("libcublas.so.12: cannot open shared object file")

    _pretend_cuda(monkeypatch, fail)
    assert "libcublas" in load_graph(folder / "tiny-s.onnx").provider.reason


@pytest.mark.usefixtures("listed")
def test_cuda_that_works_is_used_with_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_cuda(monkeypatch, _Cuda)
    graph = PoseGraph(folder / "tiny-s.onnx")
    assert graph.provider == ProviderReport("auto", "cuda") and graph.batch == MAX_BATCH
    np.testing.assert_allclose(graph(crops(9)), expected_heatmaps(crops(9)), atol=1e-5)


def test_reports_of_several_graphs() -> None:
    fast, slow = ProviderReport("auto", "cuda"), ProviderReport("auto", "cpu", "out of memory")
    assert combine_reports([fast, fast]) == fast
    assert str(combine_reports([fast, slow])) == "CUDA+CPU (out of memory)"


# --- pose graphs -------------------------------------------------------------------------------------------------------

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_kind_of_input_sees_the_same_picture(colour: str, layout: str, dtype: str, tmp_path: Path) -> None:
    mean, std = (MEAN, STD) if colour == "RGB" else (MEAN[::-1], STD[::-1])
    metadata = pose_metadata(colour=colour, layout=layout, dtype=dtype, mean=mean, std=std)
    graph = PoseGraph(pose_graph(tmp_path / "x.onnx", metadata))
    out = graph(crops(2))
    assert out.shape == (2, 17, 16, 12) and out.dtype == np.float32
    np.testing.assert_allclose(out, expected_heatmaps(crops(2)), atol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 4, 5, 9])
def test_any_number_of_people(n: int, folder: Path) -> None:
    graph = PoseGraph(folder / "tiny-s.onnx", batch=4)
    np.testing.assert_allclose(graph(crops(n)), expected_heatmaps(crops(n)), atol=1e-5)
    assert (graph.size, graph.heatmap_size) == ((48, 64), (12, 16))


def test_temporal_graph_uses_the_heatmaps(folder: Path) -> None:
    graph = PoseGraph(folder / "tiny-t-1.onnx")
    previous = np.random.default_rng(1).random((3, 17, 16, 12), dtype=np.float32)
    np.testing.assert_allclose(graph(crops(3), previous), (expected_heatmaps(crops(3)) + previous) / 2, atol=1e-5)
    assert graph(crops(0), previous[:0]).shape == (0, 17, 16, 12)


def test_results_do_not_depend_on_the_workers(folder: Path) -> None:
    images = crops(7)
    alone = PoseGraph(folder / "tiny-s.onnx")(images)
    for threads in (2, 3, 6):
        with Workers(threads) as workers:
            assert PoseGraph(folder / "tiny-s.onnx", workers=workers)(images).tobytes() == alone.tobytes()
    single = np.concatenate([PoseGraph(folder / "tiny-s.onnx")(images[i: i + 1]) for i in range(7)])
    assert single.tobytes() == alone.tobytes()


def test_one_graph_serves_many_threads(folder: Path) -> None:
    graph = load_graph(folder / "tiny-s.onnx", sessions=2)
    images = crops(40)
    wanted = expected_heatmaps(images)
    wrong: list[int] = []

    def work(start: int) -> None:
        for i in range(start, 40, 4):
            if not np.allclose(graph.run({"image": images[i: i + 1]})["heatmaps"], wanted[i: i + 1], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("batch", "n"), [(1, 3), (2, 3), (2, 4), (3, 1)])
def test_a_graph_with_a_fixed_batch(batch: int, n: int, tmp_path: Path) -> None:
    graph = PoseGraph(pose_graph(tmp_path / "x.onnx", batch=batch))
    assert graph.batch == batch
    np.testing.assert_allclose(graph(crops(n)), expected_heatmaps(crops(n)), atol=1e-5)


def test_wrong_calls_are_named(folder: Path) -> None:
    spatial, temporal = PoseGraph(folder / "tiny-s.onnx"), PoseGraph(folder / "tiny-t-1.onnx")
    maps = np.zeros((1, 17, 16, 12), np.float32)
    with pytest.raises(ValueError, match="want uint8"):
        spatial(crops(1).astype(np.float32))
    with pytest.raises(ValueError, match="want uint8"):
        spatial(crops(1)[:, :-1])
    with pytest.raises(ValueError, match="temporal graphs only"):
        spatial(crops(1), maps)
    with pytest.raises(ValueError, match="temporal graphs only"):
        temporal(crops(1))
    with pytest.raises(ValueError, match="want float32"):
        temporal(crops(2), maps)


def test_a_detector_is_no_pose_graph(folder: Path) -> None:
    with pytest.raises(ModelError, match="is a detector"):
        PoseGraph(folder / "tiny-detector.onnx")


def test_an_exception_in_a_worker_comes_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(2) as workers:
        graph = PoseGraph(folder / "tiny-s.onnx", workers=workers)
        monkeypatch.setattr(graph.graph, "_outputs", ["nonsense"])
        with pytest.raises(ModelError, match="failed while running"):
            graph(crops(4))


# --- the file without a session ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny-s.onnx", "tiny-t-1.onnx", "tiny-detector.onnx"])
def test_files_are_read_as_onnx_reads_them(name: str, folder: Path) -> None:
    file = read_onnx(folder / name)
    model = onnx.load(folder / name)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert {k: (t.dims, t.raw) for k, t in file.initialisers.items()} == {
        k: (w.shape, w.tobytes()) for k, w in weights.items()
    }
    assert file.properties == {p.key: p.value for p in model.metadata_props}
    assert file.metadata.sha256 == weights_sha256({k: t.raw for k, t in file.initialisers.items()})
    assert file.parameters == sum(w.size for w in weights.values() if w.dtype.kind == "f")


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        (onnx.TensorProto.FLOAT, [1.5, -2.0], "<f4"),
        (onnx.TensorProto.INT64, [-1, 3, 1 << 40], "<i8"),
        (onnx.TensorProto.INT32, [-7, 7], "<i4"),
        (onnx.TensorProto.UINT8, [0, 255], "u1"),
        (onnx.TensorProto.DOUBLE, [0.1], "<f8"),
        (onnx.TensorProto.FLOAT16, [0.5, -1.0], "<f2"),
    ],
)
def test_values_stored_in_typed_fields(kind: int, values: list[float], dtype: str, tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor("t", kind, [len(values)], values)
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor]))
    path = tmp_path / "x.onnx"
    path.write_bytes(model.SerializeToString())
    assert not tensor.HasField("raw_data")
    assert read_onnx(path).initialisers["t"].raw == np.array(values).astype(dtype).tobytes()


def test_detector_graph_of_any_size(tmp_path: Path) -> None:
    assert load_graph(detector_graph(tmp_path / "d.onnx")).metadata.task == "detect"
