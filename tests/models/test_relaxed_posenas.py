"""The relaxed PoseNAS and its spaces: what is shared, what it costs, what is derived, and that nothing is lost on the way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.networks.cells import OPERATIONS, GenotypeCell
from vipose.models.networks.posenas import POSENAS_L18_C48, POSENAS_L18_C64, POSENAS_SMALL, PoseNAS, PoseNASArch
from vipose.models.search import listing
from vipose.models.search.cost import cost, count
from vipose.models.search.measure import Measurer
from vipose.models.search.parts import Shape, trace
from vipose.models.search.relaxed_posenas import NONE, MixedCell, RelaxedPoseNAS
from vipose.models.search.space import Choice
from vipose.models.search.spaces import SPACES, elastic_space
from vipose.models.search.spaces_posenas import CELLS, FAST_POSENAS, PAPER_POSENAS, genotype_space, posenas_choice
from vipose.models.training import benchmark, supernet
from vipose.runtime.errors import InputError

ENCODER = ("skip_connect", "max_pool_3x3", "std_conv_1x1", "std_conv_3x3")
FUSION = ("skip_connect", "avg_pool_3x3", "se_connect", "std_conv_3x3")
SKELETON = PoseNASArch(channels=8, stem=4, cells=(2, 1, 1, 1), refine=(1, 1, 1, 1), refine_width=2)
TINY = genotype_space("tiny", SKELETON, ENCODER, FUSION)  # type: ignore[arg-type]
SIZE = (64, 96)


def macs(module: nn.Module, shapes: tuple[Shape, ...]) -> float:
    return count(lambda: copy.deepcopy(module).to("meta"), *shapes).macs


def choose(relaxed: RelaxedPoseNAS, choice: Choice) -> None:
    """Make all but certain that a choice is derived: what it does not hold becomes ``none``."""
    with torch.no_grad():
        for name, candidates in relaxed.choices.items():
            relaxed.alpha(name).fill_(0.0)[candidates.index(NONE)] = 30.0
        for cell in CELLS:
            for number in range(2, 6):
                for slot, source in enumerate(str(choice[f"{cell}.{number}.sources"]).split(",")):
                    name = f"{cell}.{source}-{number}"
                    alpha = relaxed.alpha(name)
                    alpha.fill_(0.0)[relaxed.choices[name].index(str(choice[f"{cell}.{number}.{slot}"]))] = 14.0 - slot


def derived(choice: Choice, relaxed: RelaxedPoseNAS) -> Iterator[tuple[str, int]]:
    """Choice of every kept edge, and the place of its operation among the candidates."""
    for cell in CELLS:
        for number in range(2, 6):
            for slot, source in enumerate(str(choice[f"{cell}.{number}.sources"]).split(",")):
                name = f"{cell}.{source}-{number}"
                yield name, relaxed.choices[name].index(str(choice[f"{cell}.{number}.{slot}"]))


@pytest.fixture
def relaxed() -> RelaxedPoseNAS:
    torch.manual_seed(0)
    return RelaxedPoseNAS(TINY)


def test_five_sets_of_fourteen_edges_are_shared_by_all_cells(relaxed: RelaxedPoseNAS) -> None:
    assert len(relaxed.choices) == 5 * 14 == len(list(relaxed.architecture.parameters()))
    assert relaxed.choices["reduction.1-5"] == (NONE, *ENCODER) and relaxed.choices["fusion2.0-2"] == (NONE, *FUSION)
    cells = [m for m in relaxed.network.modules() if isinstance(m, MixedCell)]
    names = [cell.place.name for cell in cells]
    assert names.count("normal") == 3 and names.count("reduction") == 6
    assert all(names.count(f"fusion{level}") == 2 for level in range(3)), "both decoder stages"
    weights = [p for cell in cells for p in cell.parameters()]
    assert len({id(p) for p in weights}) == len(weights), "weights are never shared"
    assert float(relaxed.alpha("normal.0-2").detach().abs().max()) < 0.01


def test_norms_of_candidates_have_no_scale(relaxed: RelaxedPoseNAS) -> None:
    cells = [m for m in relaxed.network.modules() if isinstance(m, MixedCell)]
    inside = [m for cell in cells for m in cell.edges.modules() if isinstance(m, nn.BatchNorm2d)]
    outside = [
        m for m in relaxed.network.modules() if isinstance(m, nn.BatchNorm2d) and all(m is not x for x in inside)
    ]
    assert inside and not any(m.affine for m in inside)
    assert outside and all(m.affine for m in outside)


def test_gradients_reach_every_choice_and_all_weights_from_both_stages(relaxed: RelaxedPoseNAS) -> None:
    outputs = relaxed.train()(torch.randn(2, 3, 64, 64))
    assert [tuple(out.shape) for out in outputs] == [(2, 17, 16, 16)] * 2
    torch.stack([(out - 1).square().mean() for out in outputs]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in relaxed.architecture.parameters())
    assert all(p.grad is not None for p in relaxed.weights())
    ids = {id(p) for p in relaxed.weights()} | {id(p) for p in relaxed.architecture.parameters()}
    assert ids == {id(p) for p in relaxed.parameters()}


def test_dropped_paths_do_not_run(relaxed: RelaxedPoseNAS) -> None:
    ran: set[str] = set()
    for path, module in relaxed.network.named_modules():
        if path.rpartition(".")[0].endswith(".candidates"):
            module.register_forward_hook(lambda *_, path=path: ran.add(path))  # type: ignore[misc]
    relaxed.draw(2, np.random.default_rng(0))
    outputs = relaxed(torch.randn(1, 3, 64, 64))
    torch.autograd.backward(torch.stack([out.mean() for out in outputs]).sum())
    cells = sum(isinstance(m, MixedCell) for m in relaxed.network.modules())
    assert len(ran) == 2 * 14 * cells
    gradients = [p.grad for p in relaxed.architecture.parameters()]
    assert all(g is not None and 0 < int((g != 0).sum()) <= 2 for g in gradients)


def test_the_lookup_table_adds_up_to_the_cost_of_what_is_derived(relaxed: RelaxedPoseNAS) -> None:
    costs = relaxed.costs(macs, "MACs", SIZE)
    assert costs.unit == "MACs" and costs.by_choice.keys() == relaxed.choices.keys()
    rng = np.random.default_rng(0)
    for choice in (TINY.smallest, TINY.biggest, TINY.sample(rng)):
        total = costs.fixed + sum(costs.by_choice[name][place] for name, place in derived(choice, relaxed))
        assert total == cost(TINY.architecture(choice), SIZE).macs
        choose(relaxed, choice)
        assert float(costs.expected(relaxed.probabilities()).detach()) == pytest.approx(total, rel=1e-4)
    # Three normal cells: two at stride 4 and one in front of the second stage.
    conv = costs.by_choice["normal.0-2"][relaxed.choices["normal.0-2"].index("std_conv_3x3")]
    assert conv == 9 * 24 * 16 * (2 * 4 * 4 + 2 * 2)
    free = [costs.by_choice["normal.0-2"][relaxed.choices["normal.0-2"].index(name)] for name in (NONE, "skip_connect")]
    assert free == [0.0, 0.0]


def test_the_expected_cost_is_about_that_of_a_network_and_teaches(relaxed: RelaxedPoseNAS) -> None:
    costs = relaxed.costs(macs, "MACs", SIZE)
    with torch.no_grad():
        for name in relaxed.choices:
            relaxed.alpha(name).zero_()
    expected = costs.expected(relaxed.probabilities())
    rng = np.random.default_rng(0)
    drawn = [cost(TINY.architecture(TINY.sample(rng)), SIZE).macs for _ in range(20)]
    assert float(expected.detach()) == pytest.approx(np.mean(drawn), rel=0.06)
    expected.backward()
    gradient = dict(zip(relaxed.choices["normal.0-2"], relaxed.architecture["normal/0-2"].grad.tolist(), strict=True))
    assert gradient["std_conv_3x3"] > gradient["std_conv_1x1"] > gradient["skip_connect"]
    with torch.no_grad():
        relaxed.alpha("normal.0-2")[0] = 200.0  # no room is left for the others
    assert bool(torch.isfinite(costs.expected(relaxed.probabilities())))


def test_none_is_never_derived_and_the_surest_edges_are_kept(relaxed: RelaxedPoseNAS) -> None:
    with torch.no_grad():
        for name in relaxed.choices:
            relaxed.alpha(name).zero_()[0] = 3.0  # none is the most probable everywhere
        relaxed.alpha("normal.1-4")[relaxed.choices["normal.1-4"].index("std_conv_1x1")] = 2.0
        relaxed.alpha("normal.3-4")[relaxed.choices["normal.3-4"].index("max_pool_3x3")] = 2.5
    choice = relaxed.derive()
    TINY.check(choice)
    assert NONE not in choice.values()
    assert choice["normal.4.sources"] == "3,1"
    assert (choice["normal.4.0"], choice["normal.4.1"]) == ("max_pool_3x3", "std_conv_1x1")


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_extracted_computes_what_was_searched(relaxed: RelaxedPoseNAS, seed: int) -> None:
    choice = TINY.sample(np.random.default_rng(seed))
    choose(relaxed, choice)
    relaxed.train()
    for _ in range(2):  # statistics that are not those of the start
        relaxed(torch.randn(2, 3, 64, 64))
    relaxed.eval()
    network = relaxed.extract()
    assert relaxed.derive() == choice and network.arch == relaxed.described(choice) and not network.training
    assert isinstance(network, PoseNAS) and any(isinstance(m, GenotypeCell) for m in network.modules())
    image = torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        for mine, theirs in zip(relaxed(image), network.outputs(image), strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    mine = {p.data_ptr() for p in relaxed.parameters()}
    assert not any(p.data_ptr() in mine for p in network.parameters()), "its weights are its own"


def test_output_and_joints_are_as_asked() -> None:
    network = RelaxedPoseNAS(TINY, output="logits", joints=16).extract()
    assert (network.arch.output, network.arch.joints) == ("logits", 16)
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 16, 16, 16)


def test_copies_and_checkpoints_are_whole(relaxed: RelaxedPoseNAS) -> None:
    other = copy.deepcopy(relaxed).eval()
    with torch.no_grad():
        other.alpha("normal.0-2")[0] = 9.0
    assert float(relaxed.alpha("normal.0-2").detach()[0]) < 1
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.equal(other(image)[-1], relaxed.eval()(image)[-1]), "the copy mixes by its own parameters"
        relaxed.load_state_dict(other.state_dict())
        assert torch.equal(other(image)[-1], relaxed(image)[-1])


def test_the_published_genotypes_lie_in_the_paper_space() -> None:
    for arch in (POSENAS_L18_C48, POSENAS_L18_C64):
        made = PAPER_POSENAS.architecture(posenas_choice(arch, PAPER_POSENAS))
        assert isinstance(made, PoseNASArch)
        assert (made.normal, made.reduction, made.fusion_cells) == (arch.normal, arch.reduction, arch.fusion_cells)
        assert (made.channels, made.cells) == (32, (3, 3, 3, 3))
    assert FAST_POSENAS.architecture(posenas_choice(POSENAS_SMALL, FAST_POSENAS)) == POSENAS_SMALL
    with pytest.raises(InputError, match="outside of the space 'fast-posenas'"):
        posenas_choice(POSENAS_L18_C48, FAST_POSENAS)


@pytest.mark.parametrize("space", [PAPER_POSENAS, FAST_POSENAS, TINY], ids=lambda s: s.name)
def test_every_draw_is_a_network_and_sources_differ(space: object) -> None:
    from vipose.models.search.space import Space

    assert isinstance(space, Space) and not space.elastic
    rng = np.random.default_rng(0)
    for choice in (space.smallest, space.biggest, *(space.sample(rng) for _ in range(50))):
        arch = space.architecture(choice)
        assert isinstance(arch, PoseNASArch) and posenas_choice(arch, space) == choice
        for cell in (arch.normal, arch.reduction, *arch.fusion_cells):
            assert all(one.source != other.source for one, other in cell.nodes)
    assert cost(space.architecture(space.smallest), SIZE).macs < cost(space.architecture(space.biggest), SIZE).macs


def test_encoders_are_searched_without_gates() -> None:
    choices = {d.name: d.choices for d in PAPER_POSENAS}
    assert set(OPERATIONS) - set(map(str, choices["reduction.3.1"])) == {"se_connect"}
    assert set(choices["fusion0.5.0"]) == set(OPERATIONS)


def test_what_needs_slices_refuses_these_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "networks of the search space 'fast-posenas' share no weights by slicing, .* 'vipose search differentiable'"
    with pytest.raises(InputError, match=said):
        elastic_space("fast-posenas")
    words = ["--pack", str(tmp_path), "--space", "fast-posenas"]
    with pytest.raises(InputError, match=said):
        supernet.main([*words, "--out", str(tmp_path / "run")])
    with pytest.raises(InputError, match=said):
        benchmark.main(words)
    assert not (tmp_path / "run").exists()
    listing.main([])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() == SPACES.keys()
    assert all(("no super-network" in line) != SPACES[name].elastic for name, line in lines.items())


def test_parts_run_in_onnx_runtime_and_cells_share_them() -> None:
    pytest.importorskip("onnx")
    parts = trace(PAPER_POSENAS.architecture(PAPER_POSENAS.biggest), (32, 32))
    assert len({p.signature for p in parts}) < len(parts) / 3
    arch = TINY.architecture(TINY.sample(np.random.default_rng(0)))
    different = {p.signature: p for p in trace(arch, (32, 32))}
    by_kind = {(type(p.module), repr(p.module)): p for p in different.values()}
    timed = Measurer(rounds=1).parts([(p.module, p.shapes) for p in by_kind.values()])
    assert len(timed.ms) == len(by_kind) > 10
