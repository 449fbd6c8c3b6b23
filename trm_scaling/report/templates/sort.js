"use strict";
// Tables sort by a column when its heading is pressed, upwards and then downwards. Missing values stay last.
(() => {
  const compare = (numeric) => (a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);

  const sort = (table, index, heading) => {
    const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => [row.cells[index].dataset.sort, row]);
    const present = keyed.filter(([key]) => key !== "");
    const missing = keyed.filter(([key]) => key === "");
    // A column of numbers that holds a word somewhere is a column of words.
    const numeric = present.every(([key]) => !Number.isNaN(Number(key)));
    const order = compare(numeric);
    const sign = direction === "ascending" ? 1 : -1;
    present.sort(([a], [b]) => sign * order(a, b));
    body.append(...[...present, ...missing].map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach((heading, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, index, heading));
    });
  }

  // A link to a folded part opens it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    for (let part = target && target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  // What is folded on a screen belongs on paper.
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
})();
