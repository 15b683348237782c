// Sorting by column, but not by one that only describes. The page is complete without it; the ceiling stays on top.
"use strict";

// The order of the values, which is not that of their losses where higher is better.
const opposite = { ascending: "descending", descending: "ascending", other: "other" };

for (const table of document.querySelectorAll("table.scores")) {
  const body = table.querySelector("tbody.others");
  const original = [...body.rows];
  const heads = [...table.querySelectorAll("th.metric")];

  heads.forEach((head, index) => {
    if (head.classList.contains("describes")) return;
    const title = head.querySelector(".title");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => sort(head, index + 1));
  });

  function sort(head, place) {
    const next = { undefined: "best", best: "worst" }[head.dataset.order];
    heads.forEach((each) => {
      each.removeAttribute("aria-sort");
      delete each.dataset.order;
    });
    if (next === undefined) {
      body.append(...original);
      return;
    }
    head.dataset.order = next;
    head.setAttribute("aria-sort", next === "best" ? head.dataset.best : opposite[head.dataset.best]);
    const sign = next === "best" ? 1 : -1;
    body.append(...[...original].sort((one, other) => compare(loss(one, place), loss(other, place), sign)));
  }
}

// How far from best; NaN where nothing was measured.
function loss(row, place) {
  return Number.parseFloat(row.cells[place].dataset.loss);
}

function compare(one, other, sign) {
  if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
  return sign * (one - other);
}
