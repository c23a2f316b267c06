"""T-ViPNets and their super-network over several frames: what every plan runs, that losses fall, resume, export."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_people import moving_clip
from tests.models.test_training import TINY, tiny_pack
from vipose.models.export import DeployedPose
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.search.space import Choice, Dimension, Space, Value
from vipose.models.search.spaces import SPACES
from vipose.models.search.temporal_space import JointSpace, choice_of, frame_space
from vipose.models.training import temporal, temporal_supernet
from vipose.models.training.propagation import (
    SequenceStream,
    blend,
    key_frame,
    load_spatial,
    propagate_backward,
)
from vipose.models.training.session import Session
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import EXIT_USAGE, InputError, UsageError
from vipose.runtime.geometry import warp_heatmaps
from vipose.runtime.graphs import PoseGraph


def _build(choice: Mapping[str, Value]) -> FusedArch:
    last, depth = int(choice["stage4.width"]), int(choice["stage3.depth"])
    return replace(TINY, widths=(8, 8, 16, last), depths=(0, 0, depth, 0), head=int(choice["head.width"]))


TINY_SPACE = Space(
    "tiny",
    (
        Dimension("stage4.width", (8, 16, 24)),
        Dimension("stage3.depth", (0, 1, 2)),
        Dimension("head.width", (8, 16)),
    ),
    _build,
    size=(96, 128),
)
CROPS, PRIOR = np.full((1, 128, 96, 3), 90, np.uint8), np.full((1, 17, 32, 24), 0.5, np.float32)
FOUND: Choice = {"stage4.width": 16, "stage3.depth": 1, "head.width": 16}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Many small convolutions: threads would wait for each other most of the time."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_space(monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setitem(SPACES, "tiny", TINY_SPACE)
    return TINY_SPACE


def spatial_network(folder: Path) -> Path:
    """An untrained S-ViPNet of the tiny space, as a run would leave it."""
    torch.manual_seed(0)
    network = build(_build(FOUND))
    torch.save({"state_dict": network.state_dict(), "arch": network.arch.to_json(), "recipe": {}}, folder / "s.pt")
    return folder / "s.pt"


def supernet_recipe(minutes: float, **changes: object) -> temporal_supernet.TemporalSupernetRecipe:
    made = temporal_supernet.TemporalSupernetRecipe(
        space="tiny", T=2, sizes=((64, 96),), minutes=(minutes,), batches=(2,), rates=(2e-2,)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_space_of_a_frame_lies_within_the_found_network() -> None:
    frame = frame_space(TINY_SPACE, FOUND)
    rng = np.random.default_rng(0)
    drawn = [frame.architecture(frame.sample(rng)) for _ in range(60)]
    assert all(isinstance(a, FusedArch) and a.fusion and a.widths[3] <= 16 and a.depths[2] <= 1 for a in drawn)
    assert {a.fusion for a in drawn} == {Fusion(s, o) for s in (1, 2, 3, 4) for o in ("add", "mul", "cat")}  # type: ignore[arg-type]
    assert replace(frame.architecture(frame.biggest), fusion=None) == _build(FOUND)


def test_joint_choices_split_join_and_stay_valid() -> None:
    frame = frame_space(TINY_SPACE, FOUND)
    frame = replace(frame, valid=lambda c: not (c["stage4.width"] == 8 and c["head.width"] == 16))
    joint, rng = JointSpace.of(frame, 3), np.random.default_rng(1)
    one, other = joint.sample(rng), joint.sample(rng)
    assert joint.join(joint.split(one)) == one and len(joint.architectures(one)) == 3
    assert len(set(joint.architectures(one))) > 1
    for _ in range(20):
        for part in joint.split(joint.mutate(joint.cross(one, other, rng), 0.3, rng)):
            frame.check(part)
    shared = JointSpace.of(frame, 3, shared=True)
    assert len(set(shared.architectures(shared.sample(rng)))) == 1
    with pytest.raises(InputError, match="joint-3"):
        joint.architectures({**one, "4.head.width": 8})
    with pytest.raises(UsageError, match="T = 0"):
        JointSpace.of(frame, 0)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_the_choice_of_a_description_is_found_again(space: Space) -> None:
    arch = space.architecture(space.sample(np.random.default_rng(2)))
    assert space.architecture(choice_of(space, arch)) == arch


def test_a_network_of_no_choice_is_refused() -> None:
    space = TINY_SPACE
    with pytest.raises(InputError, match="does not lie in the space"):
        choice_of(space, replace(space.architecture(space.biggest), joints=5))


def test_plans_of_a_batch_follow_the_sandwich_rule() -> None:
    frame = frame_space(TINY_SPACE, FOUND)
    rng = np.random.default_rng(0)
    drawn = [temporal_supernet.plans(frame, 3, 2, rng) for _ in range(30)]
    assert all(len(plans) == 4 and all(len(plan) == 3 for plan in plans) for plans in drawn)
    for number, end in enumerate((frame.biggest, frame.smallest)):
        bare = replace(frame.architecture(end), fusion=None)
        assert all(replace(arch, fusion=None) == bare for plans in drawn for arch in plans[number])
        assert {arch.fusion for plans in drawn for arch in plans[number]} == {
            Fusion(s, o) for s in (1, 2, 3, 4) for o in ("add", "mul", "cat")  # type: ignore[arg-type]
        }  # fmt: skip
    by_frame = [len({replace(a, fusion=None) for a in plan}) for plans in drawn for plan in plans[2:]]
    assert max(by_frame) == 3 and np.mean(by_frame) > 1.5


@pytest.mark.usefixtures("tiny_space")
def test_a_frame_gets_the_heatmaps_of_the_last_one_as_the_runtime_warps_them(tmp_path: Path) -> None:
    clips = moving_clip(tmp_path)
    stream = SequenceStream(clips, clips, supernet_recipe(1, clip_share=1.0), 0)
    batch = next(iter(stream))
    batch = batch._replace(shift=torch.zeros_like(batch.shift), keep=torch.ones_like(batch.keep))
    key = load_spatial(spatial_network(tmp_path))
    frames = key_frame(key, batch, 2.0)
    seen: list[torch.Tensor] = []
    out = torch.randn(2, 17, 24, 16, requires_grad=True)

    def run(t: int, image: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        seen.append(prior)
        assert not prior.requires_grad and image.shape == (2, 3, 96, 64)
        return out

    arch = replace(TINY, fusion=Fusion(1, "add"))
    loss, answers = propagate_backward((arch, arch), run, frames, frames.answers, 0.5)
    heatmaps = torch.softmax(out.detach().flatten(2), -1).view_as(out) * (2 * np.pi * frames.sigma**2)
    expected = warp_heatmaps(heatmaps[0].numpy(), batch.warp[0, 1].numpy())
    assert np.abs(seen[1][0].numpy() - expected).max() < 1e-6
    assert np.isfinite(loss) and answers.shape == (2, 3, 17, 24, 16)
    assert out.grad is not None and out.grad.abs().sum() > 0


def test_what_nobody_knows_is_taught_by_the_other_network_alone() -> None:
    label, answer = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    mixed = blend(label, answer, torch.tensor([[1.0, 0.05]]), 0.5)
    assert torch.equal(mixed[0, 0], torch.full((2, 2), 0.5)) and torch.equal(mixed[0, 1], torch.ones(2, 2))


@pytest.mark.usefixtures("counting_clock", "tiny_space")
def test_the_temporal_supernet_starts_from_s_learns_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(tmp_path)
    pack, key = tmp_path / "clips", spatial_network(tmp_path)  # nobody in it is held out
    made = temporal_supernet.supernet_of(load_spatial(key)).eval()
    own = load_spatial(key)
    image = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        assert torch.allclose(made(image, arch=own.arch), own(image), atol=1e-5)

    plans: list[list[temporal_supernet.Plan]] = []
    losses: list[float] = []
    whole = temporal_supernet.sandwich_backward

    def recorded(network: object, drawn: list[temporal_supernet.Plan], *rest: object) -> float:
        plans.append(drawn)
        losses.append(whole(network, drawn, *rest))  # type: ignore[arg-type]
        if len(losses) == 5:
            signal.raise_signal(signal.SIGINT)
        return losses[-1]

    monkeypatch.setattr(temporal_supernet, "sandwich_backward", recorded)
    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        temporal_supernet.train(supernet_recipe(0.009), [key], [pack], [tmp_path / "clips"], run, Session(workers=0))
    assert len(losses) == 5 and not torch.load(run / "last.pt", weights_only=False)["stage"]
    temporal_supernet.train(supernet_recipe(0.009), [key], [pack], [tmp_path / "clips"], run, Session(workers=0))
    assert plans[5] != plans[0]  # the draw of plans goes on too
    assert len(losses) > 12 and np.mean(losses[-4:]) < 0.98 * np.mean(losses[:4])
    assert len({plan for drawn in plans for plan in drawn}) > len(plans)
    state = torch.load(run / "best.pt", weights_only=True)
    assert state["found"] == FOUND and state["space"] == "tiny" and state["T"] == 2
    assert set(state["spatial"]["state_dict"]) == set(own.state_dict())
    done = len(losses)
    temporal_supernet.train(supernet_recipe(0.009), [key], [pack], [tmp_path / "clips"], run, Session(workers=0))
    assert len(losses) == done  # finished: nothing is left to do
    last = torch.load(run / "last.pt", weights_only=False)["model"]
    assert any(not torch.equal(v, made.state_dict()[k]) for k, v in last.items() if k.startswith("fusions"))


@pytest.mark.usefixtures("tiny_space")
def test_every_plan_reaches_its_weights_and_none_of_the_key_frames(tmp_path: Path) -> None:
    clips = moving_clip(tmp_path)
    batch = next(iter(SequenceStream(clips, clips, supernet_recipe(1), 0)))
    key = load_spatial(spatial_network(tmp_path))
    whole = temporal_supernet.supernet_of(key).train()
    small: Architecture = replace(_build({**FOUND, "stage4.width": 8}), fusion=Fusion(4, "mul"))
    temporal_supernet.sandwich_backward(whole, [(small, small)], key, batch, supernet_recipe(1))
    weight = dict(whole.network.named_parameters())["stages.3.0.0.weight"].grad
    assert weight is not None and weight[:8].abs().sum() > 0 and weight[8:].abs().sum() == 0
    used = {name for name, p in whole.fusions.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert used and all(name.startswith("4-mul.") for name in used)
    assert all(p.grad is None for p in key.parameters())


@pytest.mark.usefixtures("counting_clock")
def test_temporal_training_splits_one_network_into_one_a_frame_and_exports_them(tmp_path: Path) -> None:
    pack, key = tiny_pack(tmp_path), spatial_network(tmp_path)
    moving_clip(tmp_path)
    small = temporal.TemporalRecipe(
        archs=(replace(TINY, fusion=Fusion(1, "cat")),), T=2, sizes=((96, 128), (96, 128)), minutes=(0.02, 0.02), batches=(2, 2)
    )
    temporal.train(small, [key], [pack], [tmp_path / "clips"], tmp_path / "trun", Session(workers=0))
    shared = torch.load(tmp_path / "trun" / "shared" / "best.pt", weights_only=False)
    assert len(shared["archs"]) == 1 and {k.split(".")[0] for k in shared["state_dict"]} == {"0"}
    assert vipose(["export", str(tmp_path / "trun" / "best.pt"), "-o", str(tmp_path / "graphs")]) == 0
    outputs = graphs_of(tmp_path / "graphs", 2)
    assert not np.array_equal(*outputs)


def graphs_of(folder: Path, T: int) -> list[np.ndarray]:
    """Outputs of the exported graphs of all phases on the same input."""
    outputs = []
    for phase in range(1, T + 1):
        graph = PoseGraph(folder / f"t-vipnas-{phase}.onnx")
        assert (graph.metadata.T, graph.metadata.phase) == (T, phase)
        outputs.append(graph(CROPS, PRIOR))
    return outputs


@pytest.mark.usefixtures("counting_clock")
def test_found_networks_of_different_architectures_go_on_and_export(tmp_path: Path) -> None:
    pack, key = tiny_pack(tmp_path), spatial_network(tmp_path)
    made = ((16, Fusion(1, "cat")), (8, Fusion(3, "mul")))
    archs = [replace(_build({**FOUND, "stage4.width": width}), fusion=fusion) for width, fusion in made]
    networks = torch.nn.ModuleList([build(arch) for arch in archs])
    state = {"state_dict": networks.state_dict(), "recipe": {"sizes": [[96, 128]], "T": 2}}
    torch.save({"archs": [arch.to_json() for arch in archs], **state}, tmp_path / "found.pt")
    assert vipose(["export", str(tmp_path / "found.pt"), "-o", str(tmp_path / "before")]) == 0
    for network, out in zip(networks, graphs_of(tmp_path / "before", 2), strict=True):
        with torch.inference_mode():
            expected = DeployedPose(network.eval(), 1.0)(torch.from_numpy(CROPS), torch.from_numpy(PRIOR))
        assert np.abs(out - expected.numpy()).max() < 2e-2 * expected.max()
    tuned = replace(temporal.TemporalRecipe(), sizes=((96, 128),), minutes=(0.01,), batches=(2,), rates=(1e-3,))
    temporal.train(tuned, [key], [pack], [], tmp_path / "run", Session(workers=0), start=tmp_path / "found.pt")
    assert [network.arch for network in temporal.load_networks(tmp_path / "run" / "best.pt")] == archs
    assert vipose(["export", str(tmp_path / "run" / "best.pt"), "-o", str(tmp_path / "after")]) == 0
    after = PoseGraph(tmp_path / "after" / "t-vipnas-2.onnx").metadata.architecture
    assert architecture_from_json(after) == archs[1]


def test_frames_take_over_networks_fusion_moves_and_everything_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, key = str(tiny_pack(tmp_path)), str(spatial_network(tmp_path))
    made = ((16, Fusion(4, "add")), (24, Fusion(1, "add")))
    archs = [replace(_build({**FOUND, "stage4.width": width}), fusion=fusion) for width, fusion in made]
    networks = torch.nn.ModuleList([build(arch) for arch in archs])
    content = {"archs": [arch.to_json() for arch in archs], "state_dict": networks.state_dict(), "recipe": {}}
    torch.save(content, tmp_path / "found.pt")
    rest = ["--spatial", key, "--pack", pack, "--threads", "1", "--workers", "0"]
    moved = ["--start", str(tmp_path / "found.pt"), "--fusion", "1-cat", "--frames", "2", "1", "2", "--rate", "1e-9", "--epochs", "0.5"]
    assert vipose(["train", "t-vipnas", *moved, *rest, "--out", str(tmp_path / "run")]) == 0
    after = temporal.load_networks(tmp_path / "run" / "best.pt")
    begun = [1, 0, 1]
    assert [network.arch for network in after] == [replace(archs[i], fusion=Fusion(1, "cat")) for i in begun]
    for network, before in zip(after, [networks[i] for i in begun], strict=True):
        assert torch.allclose(network.first_convolution().weight, before.first_convolution().weight, atol=1e-6)
    capsys.readouterr()
    assert vipose(["train", "t-vipnas", *moved[2:4], *rest, "--out", str(tmp_path / "other")]) == EXIT_USAGE
    assert "give that too" in capsys.readouterr().err
    too_far = [*moved[:2], "--frames", "3", *rest, "--out", str(tmp_path / "other")]
    assert vipose(["train", "t-vipnas", *too_far]) == EXIT_USAGE
    assert "it has 2 networks" in capsys.readouterr().err
    assert vipose(["train", "t-vipnas", "--fusion", "5-cat", *rest, "--out", str(tmp_path / "other")]) == EXIT_USAGE
    assert "1-cat" in capsys.readouterr().err


def test_what_is_no_temporal_network_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = spatial_network(tmp_path)
    pack = str(tiny_pack(tmp_path))
    rest = ["--spatial", str(key), "--pack", pack, "--out", str(tmp_path / "run"), "--threads", "1"]
    assert vipose(["train", "t-vipnas", "--start", str(tmp_path / "no.pt"), *rest]) == 3
    assert vipose(["train", "t-vipnas", "--start", str(key), *rest]) == 3
    assert vipose(["train", "t-supernet", *rest]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("vipose: ") for line in lines)
    assert "fast-fused" in lines[2] and "in no search space" in lines[2]


def test_networks_that_regress_heatmaps_propagate_too(tmp_path: Path) -> None:
    space, clips = SPACES["paper-mobilenetv3"], moving_clip(tmp_path)
    found = space.sample(np.random.default_rng(0))
    torch.manual_seed(0)
    key = build(space.architecture(found)).eval().requires_grad_(False)
    assert key.arch.output == "heatmaps"
    batch = next(iter(SequenceStream(clips, clips, supernet_recipe(1), 0)))
    whole, frame = temporal_supernet.supernet_of(key).train(), frame_space(space, found)
    drawn = temporal_supernet.plans(frame, 2, 1, np.random.default_rng(1))
    loss = temporal_supernet.sandwich_backward(whole, drawn, key, batch, supernet_recipe(1))
    assert 0 < loss < 10 and any(p.grad is not None and p.grad.abs().sum() > 0 for p in whole.fusions.parameters())
