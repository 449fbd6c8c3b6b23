"""`trm batch --list`: every experiment, what it is for, what it changes, how its newest run stands."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trm_scaling.experiments.catalogue import Catalogue
    from trm_scaling.io.study import Study
    from trm_scaling.results.run_names import RunNames
    from trm_scaling.results.state import State


def listing(study: "Study", catalogue: "Catalogue", names: Sequence[str], profile: str | None) -> str:
    """`names` by families, each on a line of its own; states under `profile` (None: under every
    profile that has runs). Composes nothing.
    """
    from trm_scaling.results.run_names import RunNames
    from trm_scaling.results.scan import profiles_with_runs

    profiles = profiles_with_runs(study) if profile is None else [profile]
    called = RunNames(study, catalogue)
    states = {each: newest_states(study, each, called) for each in profiles}
    said = {name: _state(name, catalogue, states) for name in names}
    name_width, state_width = (max(map(len, column)) for column in (names, said.values()))
    lines: list[str] = []
    family = None
    for name in names:
        own = catalogue.family_of(name)
        if own is not family:
            family = own
            lines += ["", f"{own.title}: {own.goal}" if own else "Without a family:"]
        changes = catalogue.describe(name) or (
            "what the others are compared with" if name == "baseline" else ""
        )
        columns = [f"  {name:<{name_width}}", f"{said[name]:<{state_width}}", changes]
        lines.append("  ".join([*columns, _alias(catalogue, name, profiles)]).rstrip())
    return "\n".join([*lines, "", _summary(catalogue, names, states)])


def newest_states(study: "Study", profile: str, called: "RunNames") -> "dict[str, State]":
    """How the newest run of each experiment stands, by every name that it has; not of one with overrides."""
    from trm_scaling.results.scan import scan_runs
    from trm_scaling.results.state import standing

    newest: dict[str, State] = {}
    runs = sorted(scan_runs(study, [profile]), key=lambda run: run.touched)
    for run in runs:
        newest |= dict.fromkeys(called(run), standing(run.folder).state)
    return newest


def _alias(catalogue: "Catalogue", name: str, profiles: Sequence[str]) -> str:
    """Under which profiles the name is another's configuration; the paper's counts where none was used."""
    asked = list(profiles) or ["paper"]
    shared = [each for each in asked if catalogue.alias_of(name, each)]
    if not shared:
        return ""
    everywhere = len(shared) == len(asked)
    return f"= {catalogue.alias_of(name, shared[0])}" + ("" if everywhere else f" ({', '.join(shared)})")


def _state(name: str, catalogue: "Catalogue", states: "dict[str, dict[str, State]]") -> str:
    """`finished`, or `laptop finished, smoke failed` where several profiles were used."""
    said = []
    for profile, known in states.items():
        shared = catalogue.alias_of(name, profile)
        state = known.get(name) or (known.get(shared) if shared else None)
        if state is not None:
            said.append(state if len(states) == 1 else f"{profile} {state}")
    return ", ".join(said) or "new"


def _summary(catalogue: "Catalogue", names: Sequence[str], states: "dict[str, dict[str, State]]") -> str:
    lines = [f"{len(names)} names"]
    for profile, known in states.items():
        # Each configuration once: aliases are counted with the name whose run they share.
        owners = dict.fromkeys(catalogue.alias_of(name, profile) or name for name in names)
        counts = Counter(known.get(name, "new") for name in owners)
        said = ", ".join(f"{number} {state}" for state, number in counts.most_common())
        lines.append(f"{profile}: {len(owners)} configurations: {said}")
    return "\n".join(lines)
