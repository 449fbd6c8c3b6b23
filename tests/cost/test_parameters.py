"""The number of parameters, against the published model and against what is really initialised."""

import jax
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.config import ArchConfig, TrmConfig
from trm_scaling.cost import count_parameters, count_puzzle_emb
from trm_scaling.models.init import init_params
from trm_scaling.models.layers import PUZZLE_EMB


def test_the_published_baseline() -> None:
    arch = TrmConfig()
    assert count_parameters(arch, vocab_size=11, seq_len=81) == 5_028_866
    assert count_puzzle_emb(arch, num_puzzle_ids=1) == 512  # together 5,029,378


archs = st.builds(
    ArchConfig,
    L_layers=st.integers(1, 3),
    hidden_size=st.sampled_from([8, 24, 48]),
    num_heads=st.sampled_from([1, 2, 4]),
    expansion=st.sampled_from([0.5, 2.0, 4.0, 20.0]),
    mlp_t=st.booleans(),
    pos_encodings=st.just("learned"),
    puzzle_emb_len=st.integers(0, 2),
    puzzle_emb_ndim=st.sampled_from([0, 3, 8]),
) | st.builds(
    ArchConfig,
    hidden_size=st.sampled_from([8, 24]),
    num_heads=st.just(2),
    mlp_t=st.just(False),
    pos_encodings=st.just("rope"),
    puzzle_emb_ndim=st.integers(0, 20),
)


@settings(max_examples=30)
@given(archs, st.integers(4, 11), st.sampled_from([16, 36]), st.integers(1, 5))
def test_as_many_as_are_initialised(arch: ArchConfig, vocab: int, cells: int, ids: int) -> None:
    params = jax.eval_shape(lambda: init_params(jax.random.key(0), arch, vocab, cells, ids))
    table = params.pop(PUZZLE_EMB, None)
    assert count_parameters(arch, vocab, cells) == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count_puzzle_emb(arch, ids) == (0 if table is None else table.size)
