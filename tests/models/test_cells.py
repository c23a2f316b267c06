"""Cells of PoseNAS: genotypes that are refused, operations by hand, and how nodes and outputs are put together."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from vipose.models.networks.cells import (
    OPERATIONS,
    Cell,
    CellPlace,
    Edge,
    GenotypeCell,
    make_operation,
    preprocessing,
)

NODES = (
    "std_conv_1x1:0 skip_connect:1",
    "skip_connect:2 skip_connect:0",
    "skip_connect:1 skip_connect:3",
    "skip_connect:0 skip_connect:4",
)
PLACE = CellPlace("normal", (6, 5), 4)


def _settle(module: nn.Module) -> nn.Module:
    """Statistics and scales that are not all alike, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            with torch.no_grad():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if "var" in name else -0.3))
    return module.eval()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_keep_channels_and_leave_their_input_alone(name: str, stride: int) -> None:
    if name == "se_connect" and stride == 2:
        with pytest.raises(ValueError, match="'se_connect' cannot halve the resolution"):
            make_operation(name, 8, stride)
        return
    x = torch.randn(2, 8, 10, 6)
    before = x.clone()
    out = make_operation(name, 8, stride)(x)  # type: ignore[arg-type]
    assert out.shape == (2, 8, 10 // stride, 6 // stride) and torch.equal(x, before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_in_a_search_norms_have_no_scale(name: str) -> None:
    for stride in (1, 2) if name != "se_connect" else (1,):
        plain = make_operation(name, 8, stride, affine=False)  # type: ignore[arg-type]
        norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(not norm.affine for norm in norms)
        affine = make_operation(name, 8, stride).state_dict()  # type: ignore[arg-type]
        missing = affine.keys() - plain.state_dict().keys()
        assert len(missing) == 2 * len(norms)


def test_an_average_at_the_border_is_over_real_pixels() -> None:
    pool = make_operation("avg_pool_3x3", 2).eval()
    assert torch.allclose(pool(torch.ones(1, 2, 4, 4)), torch.ones(1, 2, 4, 4), atol=1e-4)


def test_the_dilated_convolution_is_dense_and_looks_two_pixels_away() -> None:
    operation = make_operation("dil_conv_3x3_2", 2).eval()
    conv = next(m for m in operation.modules() if isinstance(m, nn.Conv2d))
    assert conv.groups == 1 and conv.dilation == (2, 2)
    x = torch.zeros(1, 2, 9, 9)
    x[0, :, 4, 4] = 1
    touched = operation(x)[0].abs().sum(0).nonzero().tolist()
    assert touched == [[r, c] for r in (2, 4, 6) for c in (2, 4, 6)]


def test_the_second_half_of_a_reduction_comes_from_the_next_pixels() -> None:
    reduce = make_operation("skip_connect", 4, 2).eval()
    x = torch.zeros(1, 4, 4, 4)
    x[0, :, 1, 1] = 1
    out = reduce(x)[0].abs().sum((1, 2))
    assert not out[:2].any() and out[2:].all()
    assert not reduce(-torch.ones(1, 4, 4, 4)).any(), "a ReLU comes first"


def test_the_gate_is_between_nothing_and_all() -> None:
    gate = make_operation("se_connect", 3)
    with torch.no_grad():
        for name, value in (("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 0), ("fc2.bias", 0)):
            gate.get_parameter(name).fill_(value)
    x = torch.randn(1, 3, 5, 5)
    assert torch.allclose(gate(x), x / 2), "negative values pass: no ReLU before"


def test_nodes_add_two_edges_and_the_output_has_all_nodes() -> None:
    cell = _settle(GenotypeCell(Cell.of(*NODES), PLACE))
    first, second = torch.randn(1, 6, 3, 3), torch.randn(1, 5, 3, 3)
    a, b = cell.get_submodule("preprocess0")(first), cell.get_submodule("preprocess1")(second)
    two: Tensor = cell.get_submodule("_ops.0")(a) + b
    three = two + a
    four = b + three
    assert torch.allclose(cell(first, second), torch.cat([two, three, four, a + four], 1))
    assert [name for name, _ in cell.parts()] == ["preprocess0", "preprocess1", "_ops.0"]  # type: ignore[operator]


def test_only_inputs_of_a_reduction_are_read_in_strides() -> None:
    place = CellPlace("reduction", (6, 6), 4)
    assert [place.stride(source) for source in range(5)] == [2, 2, 1, 1, 1]
    nodes = (
        "std_conv_3x3:0 skip_connect:1",
        "skip_connect:2 max_pool_3x3:1",
        "std_conv_1x1:3 skip_connect:2",
        "skip_connect:4 skip_connect:0",
    )
    cell = GenotypeCell(Cell.of(*nodes), place)
    assert cell(torch.randn(1, 6, 8, 4), torch.randn(1, 6, 8, 4)).shape == (1, 16, 4, 2)


@pytest.mark.parametrize("training", [False, True])
def test_projecting_before_up_sampling_is_the_same_function(training: bool) -> None:
    late, early = (preprocessing(CellPlace("fusion", (6, 5), 4, project_first=p))[0] for p in (False, True))
    _settle(late).train(training)
    early.train(training).load_state_dict(late.state_dict())
    x = torch.randn(2, 6, 5, 3)
    assert torch.allclose(late(x), early(x), atol=1e-6) and late(x).shape == (2, 4, 10, 6)
    assert repr(late) != repr(early), "their times differ"


def test_after_a_reduction_the_first_input_is_halved() -> None:
    first, second = preprocessing(CellPlace("normal", (6, 8), 4, after_reduction=True))
    assert first(torch.randn(1, 6, 8, 8)).shape == second(torch.randn(1, 8, 4, 4)).shape


def test_genotypes_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"operation 'none' is unknown; there are skip_connect, .*std_conv_3x3"):
        Edge("none", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a cell of 3 nodes; want 4"):
        Cell.of(*NODES[:3])
    with pytest.raises(ValueError, match="node 3 of a cell takes state 3; want one of 0 to 2"):
        Cell.of(NODES[0], "skip_connect:3 skip_connect:0", *NODES[2:])
    with pytest.raises(ValueError, match="has 1 edges; want 2"):
        Cell.of("skip_connect:0", *NODES[1:])
    with pytest.raises(ValueError, match="edge 'skip_connect' has no source"):
        Cell.of("skip_connect skip_connect:0", *NODES[1:])
