"""Kernels and their bytes, read from the text of programs: written by hand, and compiled here."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from trm_scaling.cost.hlo import Program, arrays_in
from trm_scaling.cost.kernels import Collective, Kernel, bound, by_kind, collectives, kernels

GPU = """\
HloModule jit_call, is_scheduled=true

%fused_gate (g: bf16[8,16], u: bf16[8,16]) -> bf16[8,16] {
  %g = bf16[8,16]{1,0} parameter(0)
  %u = bf16[8,16]{1,0} parameter(1)
  %exp = bf16[8,16]{1,0} exponential(%g), metadata={op_name="jit(call)/jvp(gate)/jit(silu)/exp"}
  ROOT %mul = bf16[8,16]{1,0} multiply(%exp, %u)
}

%gemm_computation (a: bf16[8,4], b: bf16[4,16]) -> bf16[8,16] {
  %a = bf16[8,4]{1,0} parameter(0)
  %b = bf16[4,16]{1,0} parameter(1)
  ROOT %dot.1 = bf16[8,16]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%fused_norm (x: bf16[8,16]) -> f32[8] {
  %x = bf16[8,16]{1,0} parameter(0)
  %wide = f32[8,16]{1,0} convert(%x)
  ROOT %sum = f32[8]{0} reduce(%wide, %zero), dimensions={1}, to_apply=%add
}

%fused_log (log: f32[10], step: s32[], value: f32[]) -> f32[10] {
  %log = f32[10]{0} parameter(0)
  %step = s32[] parameter(1)
  %value = f32[] parameter(2)
  %row = f32[1]{0} bitcast(%value)
  ROOT %put = f32[10]{0} dynamic-update-slice(%log, %row, %step)
}

%fused_take (feed: u8[10,32], step: s32[]) -> u8[1,32] {
  %feed = u8[10,32]{1,0} parameter(0)
  %step = s32[] parameter(1)
  ROOT %taken = u8[1,32]{1,0} dynamic-slice(%feed, %step, %step), dynamic_slice_sizes={1,32}
}

%inner_condition (p: (s32[])) -> pred[] {
  %limit = s32[] constant(6)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%inner_body (p: (s32[], bf16[8,4])) -> (s32[], bf16[8,4]) {
  %x = bf16[8,4]{1,0} parameter(0)
  %w = bf16[4,16]{1,0} parameter(1)
  %gemm.1 = bf16[8,16]{1,0} fusion(%x, %w), kind=kCustom, calls=%gemm_computation
  %gate.1 = bf16[8,16]{1,0} fusion(%gemm.1, /*index=1*/%gemm.1), kind=kLoop, calls=%fused_gate
  %norm.1 = f32[8]{0} fusion(%gate.1), kind=kInput, calls=%fused_norm
}

%step_condition (p: (s32[], s32[])) -> pred[] {
  ROOT %lt.2 = pred[] compare(%i, %count), direction=LT
}

%step_body (p: (s32[], f32[10])) -> (s32[], f32[10]) {
  %log.1 = f32[10]{0} parameter(0)
  %step.1 = s32[] parameter(1)
  %value.1 = f32[] parameter(2)
  %feed.1 = u8[10,32]{1,0} parameter(3)
  %loop = (s32[], bf16[8,4]) while(%start), condition=%inner_condition, body=%inner_body
  %put.1 = f32[10]{0} fusion(%log.1, %step.1, %value.1), kind=kLoop, calls=%fused_log
  %take.1 = u8[1,32]{1,0} fusion(%feed.1, %step.1), kind=kLoop, calls=%fused_take
  %turned = u8[32,1]{0,1} copy(%take.1)
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %steps = (s32[], f32[10]) while(%first), condition=%step_condition, body=%step_body
}
"""

TPU = """\
HloModule jit_call

%fused_product (w: bf16[16,32], x: bf16[8,16]) -> bf16[8,32] {
  %w = bf16[16,32]{1,0:T(8,128)(2,1)S(3)} parameter(0)
  %x = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(1)
  %share = bf16[8,16]{1,0:T(8,128)(2,1)} tanh(%x)
  ROOT %c = bf16[8,32]{1,0:T(8,128)(2,1)S(3)} convolution(%share, %w), dim_labels=bf_io->bf
}

ENTRY %main (w: bf16[16,32], x: bf16[8,16]) -> bf16[8,32] {
  %w.1 = bf16[16,32]{1,0:T(8,128)(2,1)} parameter(0)
  %x.1 = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(1)
  %begun = (bf16[16,32]{1,0:S(3)}, bf16[16,32]{1,0}, u32[]{:S(2)}) copy-start(%w.1)
  %piece = ((bf16[16,32]{1,0}), bf16[4,32]{1,0:S(3)}, s32[]{:S(2)}) slice-start(%w.1), slice={[0:4], [0:32]}
  %near = bf16[16,32]{1,0:T(8,128)(2,1)S(3)} copy-done(%begun)
  ROOT %f = bf16[8,32]{1,0:T(8,128)(2,1)S(3)} fusion(%near, %x.1), kind=kOutput, calls=%fused_product
}
"""


def found(text: str) -> dict[str, Kernel]:
    return {each.name: each for each in kernels(text)}


def test_kinds_times_and_products_of_a_gpus_program() -> None:
    seen = {name: (each.kind, each.times, each.flops) for name, each in found(GPU).items()}
    assert seen == {
        "gemm.1": ("products", 6, 2 * 8 * 16 * 4),
        "gate.1": ("gates", 6, 0),
        "norm.1": ("norms", 6, 0),
        "put.1": ("copies", 1, 0),
        "take.1": ("copies", 1, 0),
        "turned": ("copies", 1, 0),
    }


def test_bytes_are_those_that_are_touched() -> None:
    seen = {name: each.bytes for name, each in found(GPU).items()}
    assert seen == {
        "gemm.1": 2 * (8 * 4 + 4 * 16 + 8 * 16),
        "gate.1": 2 * 3 * 8 * 16,
        "norm.1": 2 * 8 * 16 + 4 * 8,
        # In place: the value, the number of the step, and the row that is written.
        "put.1": 4 + 4 + 4,
        "take.1": 32 + 4 + 32,
        "turned": 64,
    }


def test_what_lies_on_a_tpu_chip_is_counted_by_its_copy() -> None:
    seen = found(TPU)
    assert {name: each.bytes for name, each in seen.items()} == {
        "begun": 2 * 16 * 32,
        "piece": 2 * 4 * 32,
        "f": 2 * 8 * 16,
    }
    assert [name for name, each in seen.items() if each.is_asynchronous] == ["begun", "piece"]
    assert (seen["f"].kind, seen["f"].flops) == ("products", 2 * 8 * 32 * 16)


def test_sums_and_bounds() -> None:
    product = Kernel("a", "products", 3, bytes=100, flops=1000, is_asynchronous=False)
    gate = Kernel("b", "gates", 2, bytes=50, flops=0, is_asynchronous=False)
    copy = Kernel("c", "copies", 1, bytes=900, flops=0, is_asynchronous=True)
    kinds = by_kind([gate, product, copy])
    assert [(each.kind, each.kernels, each.bytes, each.flops) for each in kinds] == [
        ("products", 3, 300, 3000),
        ("gates", 2, 100, 0),
        ("copies", 1, 900, 0),
    ]
    slow_memory = bound([product, gate, copy], flops_per_s=1000, bytes_per_s=100)
    assert (slow_memory.products_s, slow_memory.traffic_s) == (3.0, 13.0)
    # The copy runs beside the others, and still all bytes have to pass.
    assert slow_memory.least_s == 13.0
    assert bound([product, gate], flops_per_s=1000, bytes_per_s=50).least_s == 3 * 2.0 + 2 * 1.0


def test_products_inside_a_hand_written_kernel_are_told_by_arithmetic() -> None:
    product = Kernel("a", "products", 1, bytes=100, flops=1000, is_asynchronous=False)
    written = Kernel("b", "products", 2, bytes=50, flops=0, is_asynchronous=False)
    found = bound([product, written], flops_per_s=1000, bytes_per_s=100, flops=5000)
    assert (found.products_s, found.traffic_s, found.least_s) == (5.0, 2.0, 1.0 + 4.0)
    # One that does nothing else is bound by its bytes.
    assert bound([product, written], flops_per_s=1000, bytes_per_s=100, flops=1000).least_s == 1.0 + 1.0


@pytest.mark.parametrize(
    ("text", "bytes_"), [("bf16[97,512]{1,0}", 99328), ("(f32[], pred[3], s4[5])", 4 + 3 + 3), ("token[]", 0)]
)
def test_sizes_of_types(text: str, bytes_: int) -> None:
    assert sum(each.bytes for each in arrays_in(text)) == bytes_


def test_a_text_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the text of an HLO module"):
        Program.read("ERROR: no such file")


def test_products_of_a_loop_as_compiled_here() -> None:
    weights = jnp.ones((5, 16, 16))

    def call(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]

    text = jax.jit(call).lower(jnp.ones((8, 16))).compile().as_text()
    assert text is not None
    assert sum(each.times * each.flops for each in kernels(text)) == 5 * 2 * 8 * 16 * 16


PROGRAM = """\
HloModule jit_call, is_scheduled=true

%add.1 (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%slice_condition (p: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(8)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%slice_body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %grads = (f32[11,512]{1,0:T(8,128)S(3)}, bf16[2]{0}) all-reduce(%a, %b), channel_id=1, to_apply=%add.1
  ROOT %tuple = (s32[], f32[4]) tuple(%i, %g)
}

%step_condition (p: (s32[], s32[])) -> pred[] {
  ROOT %lt.2 = pred[] compare(%i, %count), direction=LT
}

%step_body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %loop = (s32[], f32[4]) while(%start), condition=%slice_condition, body=%slice_body, metadata={}
  %begun = (u8[3], u8[96]) all-gather-start(%flags), channel_id=2
  %flags.2 = u8[96]{0} all-gather-done(%begun)
  %any = pred[] all-reduce(%halted), channel_id=3, to_apply=%add.1
  ROOT %tuple.2 = (s32[], f32[4]) tuple(%i, %g)
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %steps = (s32[], f32[4]) while(%first), condition=%step_condition, body=%step_body
  ROOT %out = f32[4] get-tuple-element(%steps), index=1
}
"""


def test_loops_of_constant_length_are_counted_through() -> None:
    assert collectives(PROGRAM) == (
        Collective("all-reduce", ("f32", "bf16"), 4 * 11 * 512 + 4, times=8),
        Collective("all-gather", ("u8",), 96, times=1),
        Collective("all-reduce", ("pred",), 1, times=1),
    )


ON_FOUR_DEVICES = """
import jax, jax.numpy as jnp
from functools import partial
from jax.sharding import PartitionSpec as P
from trm_scaling.cost.kernels import collectives
from trm_scaling.parallel.mesh import DATA, device_mesh

mesh = device_mesh(jax.devices())

def slices(x):
    total, _ = jax.lax.scan(lambda s, row: (s + jax.lax.psum(row, DATA), None), jnp.zeros(5), x)
    return total

def call(x, count):
    one = jax.shard_map(slices, mesh=mesh, in_specs=P(None, None), out_specs=P(None), check_vma=False)
    return jax.lax.fori_loop(0, count, lambda _, s: s + one(x), jnp.zeros(5))

text = jax.jit(call).lower(jnp.ones((6, 5)), 3).compile().as_text()
found = collectives(text)
print([(each.kind, each.dtypes, each.bytes, each.times) for each in found])
"""


def test_as_compiled_for_four_devices() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_FOUR_DEVICES],
        capture_output=True,
        text=True,
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('all-reduce', ('f32',), 20, 6)]"
