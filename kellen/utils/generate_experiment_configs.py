"""The 67 experiments as one table, those beside them, and the program that writes their YAML from it.

    python kellen/utils/generate_experiment_configs.py           # write what is missing or out of date
    python kellen/utils/generate_experiment_configs.py --check   # only say what it would write

A new experiment is one more `Family`, or one more value in one. Each is the baseline
(kellen/configs/baseline.yaml, kellen/configs/arch_config/trm_baseline.yaml) with the named fields
changed; fields of `arch.` go to an architecture file of the experiment's own.
"""

from math import sqrt
from typing import Any

from trm_scaling.experiments import Family, lettered, main, numbered

PUZZLES = [100, 250, 500, 1000, 2000, 5000]
AUGMENTATIONS = [10, 100, 500, 1000, 2000]
BATCHES = [1536, 3072, 6144, 12288, 24576, 49152]
# Equal noise a step, to first order; decay grows along, so that lr x decay x steps is equal for all.
BATCH_LRS = [1e-4 * sqrt(batch / 6144) for batch in BATCHES]
BATCH_DECAYS = [sqrt(batch / 6144) for batch in BATCHES]
PUBLIC_BATCHES = [768, *BATCHES]  # the same rule, from what was published
PUBLIC_LRS = [1e-4 * sqrt(batch / 768) for batch in PUBLIC_BATCHES]
PUBLIC_DECAYS = [sqrt(batch / 768) for batch in PUBLIC_BATCHES]
LRS = [3e-5, 1e-4, 3e-4, 1e-4, 1e-4]
WIDTHS = {"arch.hidden_size": [256, 384, 512, 768, 1024, 1536], "arch.num_heads": [4, 6, 8, 8, 8, 8]}
SUPERVISION_STEPS = [4, 8, 12, 16, 24, 32]

FAMILIES = [
    Family(
        key="exp01",
        title="Model size",
        goal="Find the width beyond which more parameters stop paying.",
        expects=(
            "Accuracy rises with width and flattens between 512 and 1024. Wider networks learn 1,000 "
            "puzzles by heart sooner: published runs of width 512 peak near 12,000 steps and decline, so "
            "the peak on validation is what counts."
        ),
        names=lettered("exp01", 6),
        asks="scaling",
        axis="params",
        values=WIDTHS,
    ),
    Family(
        key="exp02a",
        title="L_cycles",
        goal="Find how many latent updates a cycle are worth their time.",
        expects=(
            "More latent updates help up to about 6 and little beyond, at a cost in proportion. Published "
            "for T = 3, n = 6: 87.4 %; for T = 4, n = 8: 84.2 %."
        ),
        names=numbered("exp02a", 6),
        asks="scaling",
        axis="L_cycles",
        values={"arch.L_cycles": [2, 4, 6, 8, 10, 12]},
    ),
    Family(
        key="exp02b",
        title="H_cycles",
        goal="Find how many reasoning cycles a supervision step are worth their time.",
        expects=(
            "One cycle, which has gradients through all of it, falls far behind; three are enough. "
            "Published for T = 2, n = 4: 81.9 %; for T = 3, n = 6: 87.4 %."
        ),
        names=numbered("exp02b", 5),
        asks="scaling",
        axis="H_cycles",
        values={"arch.H_cycles": [1, 2, 3, 4, 5]},
    ),
    Family(
        key="exp03",
        title="Depth against recursion",
        goal="Find whether layers or recursions buy more, at an equal product of the two.",
        expects=(
            "Recursion beats layers at an equal product: two layers do best, six worst. Published for "
            "four layers with n = 3, which is exp03d: 79.5 %."
        ),
        names=lettered("exp03", 5),
        asks="tradeoff",
        axis="L_layers",
        values={"arch.L_layers": [1, 2, 3, 4, 6], "arch.L_cycles": [12, 6, 4, 3, 2]},
    ),
    Family(
        key="exp04a",
        title="Training puzzles",
        goal="Find how accuracy grows with distinct puzzles, at equal samples.",
        expects=(
            "Accuracy rises with the logarithm of the number of puzzles and has not flattened at 5,000: "
            "the gap between training and test closes last."
        ),
        names=tuple(f"exp04a_{puzzles}" for puzzles in PUZZLES),
        asks="scaling",
        axis="train_size",
        values={"data.train_size": PUZZLES},
    ),
    Family(
        key="exp04b",
        title="Augmentations",
        goal="Find how far augmentation of 1,000 puzzles stands in for more of them.",
        expects="Returns diminish from 100 on; a thousand stand in for a few times as many puzzles.",
        names=tuple(f"exp04b_{augmentations:04}" for augmentations in AUGMENTATIONS),
        asks="scaling",
        axis="num_aug",
        values={"data.num_aug": AUGMENTATIONS},
    ),
    Family(
        key="exp05",
        title="Supervision steps",
        goal="Find the budget of supervision steps beyond which answers stop improving.",
        expects="Eight come close to 16; beyond 16 training gains under two points, test time more.",
        names=lettered("exp05_", 6),
        asks="scaling",
        axis="halt_max_steps",
        values={"arch.halt_max_steps": SUPERVISION_STEPS},
    ),
    Family(
        key="exp06",
        title="Batch size",
        goal="Find the largest batch that still learns as much from each puzzle.",
        expects=(
            "Batches up to 6,144 learn as much from each puzzle; at 49,152 the run has 1,017 steps, too "
            "few, and loses several points."
        ),
        names=lettered("exp06_", 6),
        asks="batch",
        axis="global_batch_size",
        values={
            "global_batch_size": BATCHES,
            "lr": BATCH_LRS,
            "puzzle_emb_lr": BATCH_LRS,
            "weight_decay": BATCH_DECAYS,
            "puzzle_emb_weight_decay": BATCH_DECAYS,
        },
    ),
    Family(
        key="exp07",
        title="Precision",
        goal="Find whether bfloat16 costs accuracy, and what it saves.",
        expects=(
            "bfloat16 loses nothing that three seeds could show, at several times the speed of float32 on "
            "a TPU; float16 needs its loss scaled and gains nothing over it."
        ),
        names=lettered("exp07", 3),
        measure="throughput",
        values={"arch.forward_dtype": ["float32", "bfloat16", "float16"]},
    ),
    Family(
        key="exp08",
        title="Moving average",
        goal="Find whether averaging the weights helps, and over how many steps.",
        expects="None loses several points (published: 79.9 % against 87.4 %); 0.999 and 0.9995 are alike.",
        names=lettered("exp08", 5),
        values={"ema": [False, True, True, True, True], "ema_rate": [0.999, 0.99, 0.995, 0.999, 0.9995]},
    ),
    Family(
        key="exp09",
        title="Optimizer",
        goal="Find the optimizer that this recursion learns best with.",
        expects=(
            "AdamATan2 and AdamW with beta2 0.95 are alike; a beta2 of 0.999 is slower to forget and a "
            "little worse; Lion lags at this learning rate, which was tuned for Adam."
        ),
        names=lettered("exp09", 5),
        values={
            "optimizer": ["adam_atan2", "adamw", "adamw", "adamw", "lion"],
            "beta1": [0.9, 0.9, 0.9, 0.9, 0.9],
            "beta2": [0.95, 0.95, 0.99, 0.999, 0.99],
        },
    ),
    Family(
        key="exp10",
        title="Learning rate",
        goal="Find the learning rate, and whether letting it fall helps.",
        expects=("1e-4 is near the best of the constants; letting it fall gains a point or two at the end."),
        names=lettered("exp10", 5),
        values={"lr": LRS, "puzzle_emb_lr": LRS, "lr_min_ratio": [1.0, 1.0, 1.0, 0.1, 0.01]},
    ),
    Family(
        key="contrib01",
        title="Curriculum recursion",
        goal="Find whether recursing less at first reaches the same accuracy for fewer FLOPs.",
        expects=(
            "The curriculum ends within two points of the fixed recursion for less training. A published "
            "one of depth (CGAR, 2511.08653) reached 86.0 % in 6.4 h against 10.9 h."
        ),
        names=("contrib01_baseline", "contrib01_curriculum"),
        measure="training_flops",
        values={
            "curriculum.until_epoch": [0, 10000],
            "curriculum.L_cycles": [2, 2],
            "curriculum.H_cycles": [1, 1],
        },
    ),
    Family(
        key="contrib02",
        title="Adaptive halting",
        goal="Find whether exploring more at first makes the halting rule answer in fewer steps.",
        expects=(
            "Annealed exploration halts earlier by a tenth of the steps, at equal accuracy: the head has "
            "met more of late steps by the time it decides."
        ),
        names=("contrib02_baseline", "contrib02_adaptive"),
        measure="halting_mean_steps",
        values={"arch.halt_exploration_prob": [0.1, 0.3], "arch.halt_exploration_prob_end": [None, 0.05]},
    ),
]

# The law (kellen/law): widths, held-out ones last, and the rates that its stage 0 chooses from.
LAW_WIDTHS = {"a": 192, "b": 256, "c": 384, "d": 512, "e": 768}
LAW_RATES = [2.5e-5, 5e-5, 1e-4, 2e-4]
LAW_HELD_OUT = {"f": (1024, 50000), "d_long": (512, 100000), "b_long": (256, 200000), "g": (1280, 25000)}
LAW_RUNS = {**{name: (width, 50000) for name, width in LAW_WIDTHS.items()}, **LAW_HELD_OUT}
# (H, L at full size, of which the profile takes half): H at one L and L at one H, so that each has its own
# exponent. The one that is missing, h3l3, are law_b, law_d and law_e.
KINDS = [(1, 6), (2, 6), (4, 6), (3, 2), (3, 4), (3, 10)]
LAW_RECURSION = {f"h{H}l{L // 2}": (H, L) for H, L in KINDS}
LAW_PUZZLES = [100, 300, 3000]
LAW_RATE = 5e-5  # of every width: the best of four at widths 24, 48 and 96 (kellen/law, stage rate)


def law(widths: list[int], **changed: list[Any]) -> dict[str, list[Any]]:
    """Values of runs of the law, all of its length and rate but for what is `changed`."""
    same = {"epochs": 50000, "lr": LAW_RATE, "ema_rate": 0.995}  # an average of 200 steps (docs/LOG.md)
    every = {name: [value] * len(widths) for name, value in same.items()}
    return {"arch.hidden_size": widths} | every | changed


# What is expected on mazes of the families that are repeated there.
MAZE_EXPECTS = {
    "exp01": "A path of 110 moves asks for reach, not width: accuracy flattens sooner than on Sudoku.",
    "exp02a": "Paths are long, so more latent updates help for longer than on Sudoku.",
    "exp02b": "As on Sudoku: one falls far behind, three are enough.",
    "exp05": "Steps lengthen the path that can be followed, so 16 are not the end of it.",
}

BESIDE = [
    Family(
        key="law_rate",
        title="Learning rate by width",
        goal="Find the learning rate of each width of the law, before anything is fitted.",
        expects="The best rate falls with width, roughly as its root.",
        names=tuple(f"law_rate_{width}{rate}" for width in LAW_WIDTHS for rate in range(1, 5)),
        axis="lr",
        values={
            "arch.hidden_size": [width for width in LAW_WIDTHS.values() for _ in LAW_RATES],
            "lr": LAW_RATES * len(LAW_WIDTHS),
            "epochs": [25000] * len(LAW_RATES) * len(LAW_WIDTHS),  # half of the law's samples
        },
    ),
    Family(
        key="law",
        title="The law",
        goal="Find how errors fall with parameters and samples, and whether that predicts larger runs.",
        expects="Errors wait for a take-off, then fall to a level that falls with size; other runs follow.",
        names=tuple(f"law_{name}" for name in LAW_RUNS),
        asks="scaling",
        axis="params",
        values=law(
            [width for width, _ in LAW_RUNS.values()], epochs=[epochs for _, epochs in LAW_RUNS.values()]
        ),
    ),
    Family(
        key="law_recursion",
        title="Recursion in the law",
        goal="Find what recursion is worth in parameters, outer and inner cycles apart.",
        expects="Either is worth less than as many parameters (0 < phi < 1); width 96 follows 32 and 64.",
        names=tuple(f"law_{width}_{cycles}" for width in "bde" for cycles in LAW_RECURSION),
        measure="training_flops",
        values=law(
            [LAW_WIDTHS[width] for width in "bde" for _ in LAW_RECURSION],
            **{"arch.H_cycles": [H for H, _ in LAW_RECURSION.values()] * 3},
            **{"arch.L_cycles": [L for _, L in LAW_RECURSION.values()] * 3},
        ),
    ),
    Family(
        key="law_data",
        title="Training puzzles in the law",
        goal="Find from how few training puzzles on the law's networks learn them by heart, by width.",
        expects="100 puzzles are learned by heart at every width, sooner by the wider; 3,000 change nothing.",
        names=tuple(f"law_{width}_data{puzzles}" for width in "bd" for puzzles in LAW_PUZZLES),
        values=law(
            [LAW_WIDTHS[width] for width in "bd" for _ in LAW_PUZZLES],
            **{"data.train_size": LAW_PUZZLES * 2},
        ),
    ),
    Family(
        key="law_attention",
        title="Attention in the law",
        goal="Find whether errors fall alike when positions are mixed by attention.",
        expects="It takes off later and falls as steeply (published: attention 74.7 %, mixing 87.4 %).",
        names=tuple(f"law_{width}_attention" for width in "abc"),
        values=law(
            [LAW_WIDTHS[width] for width in "abc"],
            **{"arch.mlp_t": [False] * 3, "arch.pos_encodings": ["rope"] * 3, "arch.num_heads": [3, 4, 6]},
        ),
    ),
    Family(
        key="public",
        title="The published recipe",
        goal="Find whether published accuracy is reached, and up to which batch it is.",
        expects=(
            "public peaks near 12,000 of its 65,104 steps and declines (published: 87.4 %). The baseline "
            "takes an eighth of its updates at the same learning rate; rates by the square root of the batch "
            "make up for that up to a few thousand puzzles."
        ),
        names=("public", *(f"public_{batch}" for batch in BATCHES)),
        asks="batch",
        axis="global_batch_size",
        values={
            "global_batch_size": PUBLIC_BATCHES,
            "lr": PUBLIC_LRS,
            "puzzle_emb_lr": PUBLIC_LRS,
            "weight_decay": PUBLIC_DECAYS,
            "puzzle_emb_weight_decay": PUBLIC_DECAYS,
            "lr_warmup_steps": [2000] * 7,
            "schedule": ["as_written"] + ["matched"] * 6,
            "reference_batch_size": [768] * 7,
            "eval_interval": [500] * 7,  # epochs: 651 steps of 768, dense enough to find the peak
        },
    ),
    Family(
        key="recurrent",
        title="No hierarchy",
        goal="Find what two states in nested cycles buy over one state and one pass a supervision step.",
        expects=(
            "One state falls behind TRM at equal parameters (two layers), which it applies once a step, not "
            "21 times, and is still behind at equal FLOPs (23 layers), which learn 1,000 puzzles by heart. "
            "recurrent_transformer is the shape of the public code's transformers_baseline."
        ),
        names=tuple(f"recurrent_{shape}" for shape in ("trm", "02", "08", "23", "transformer")),
        measure="training_flops",
        values={
            "arch.model": ["trm", *["recurrent"] * 4],
            "arch.L_layers": [2, 2, 8, 23, 8],
            "arch.mlp_t": [True, True, True, True, False],
            "arch.pos_encodings": ["none", "none", "none", "none", "rope"],
        },
    ),
    Family(
        key="ttc",
        title="Training for test-time compute",
        goal="Find which of EqR's ingredients makes more steps and trajectories at test time worth more.",
        expects=(
            "Each is evaluated by its surface (trm eval --surface), not by its accuracy as trained. Initial "
            "states drawn anew widen what trajectories find; damping and noise settle them. Published for "
            "all three: 86.4 % with 16 steps, 93.0 % with 64, 99.8 % with 64 and 128 trajectories."
        ),
        names=("ttc_baseline", "ttc_damping", "ttc_noise", "ttc_init", "ttc_all"),
        values={
            "arch.damping": [1.0, 0.95, 1.0, 1.0, 0.95],
            "arch.call_noise": [0.0, 0.0, 0.01, 0.0, 0.01],
            "arch.init_states": ["fixed", "fixed", "fixed", "random", "random"],
        },
    ),
    Family(
        key="maze",
        title="Mazes",
        goal="Find what the published recipe reaches on mazes.",
        expects="Maze-Hard at paper: published 85.3 % exact; independent runs have 75 to 84 %.",
        names=("maze_baseline",),
        base="maze",
        values={},
    ),
    *(
        Family(
            key=f"maze_{family.key}",
            title=f"{family.title} on mazes",
            goal=family.goal,
            expects=MAZE_EXPECTS[family.key],
            names=tuple(f"maze_{name}" for name in family.names),
            asks=family.asks,
            axis=family.axis,
            base="maze",
            values=family.values,
        )
        for family in FAMILIES
        if family.key in MAZE_EXPECTS
    ),
    *(
        Family(
            key=f"arc{number}",
            title=f"ARC-AGI-{number}",
            goal=f"Find what the published recipe reaches on ARC-AGI-{number}, trained transductively.",
            expects=f"Published {published} % pass@2 of the evaluation tasks; an independent run {other} %.",
            names=(f"arc{number}_baseline",),
            base=f"arc{number}",
            values={},
        )
        for number, published, other in ((1, 44.6, "41.0"), (2, 7.8, "3.3"))
    ),
]
"""Families that the study's first document does not have: its 67 stay 67."""

if __name__ == "__main__":
    main(__file__, [*FAMILIES, *BESIDE])
