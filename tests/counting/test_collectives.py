"""Operations between devices, read from the text of programs: written by hand, and compiled here."""

import subprocess
import sys

from trm_scaling.counting.kernels import Collective, collectives

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
from trm_scaling.counting.kernels import collectives
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
