"""A notebook as a program: its code cells run in order in one namespace, without a kernel.

python -m tests.whole.notebook docs/notebook.ipynb     # run it and keep what its cells show
"""

import ast
import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def run_cells(cells: list[Cell]) -> list[list[dict[str, Any]]]:
    """Run the code cells of a notebook. Returns what each shows, as nbformat's outputs.

    What a cell raises is raised: a notebook whose cell fails is a failed notebook.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_outputs(source_of(cell), namespace) for cell in cells if cell["cell_type"] == "code"]


def source_of(cell: Cell) -> str:
    """The text of a cell, which a notebook holds as a list of lines."""
    return "".join(cell["source"])


def _outputs(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    for number in plt.get_fignums():
        image = io.BytesIO()
        plt.figure(number).savefig(image, format="png", dpi=80, bbox_inches="tight")
        data = {"image/png": base64.b64encode(image.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
        plt.close(number)
    if value is not None and not outputs:
        shown = {"text/plain": _lines(repr(value))}
        for kind, method in (("text/html", "_repr_html_"), ("image/svg+xml", "_repr_svg_")):
            if hasattr(value, method):
                shown[kind] = _lines(getattr(value, method)())
        outputs.append(
            {"output_type": "execute_result", "metadata": {}, "data": shown, "execution_count": None}
        )
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(path: Path) -> None:
    """Run the notebook at `path` and write what its cells show into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(code, run_cells(code), strict=True), start=1):
        cell["execution_count"] = number
        cell["outputs"] = [
            each | ({"execution_count": number} if each["output_type"] == "execute_result" else {})
            for each in outputs
        ]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
