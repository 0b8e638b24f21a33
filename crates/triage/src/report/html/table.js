"use strict";
(() => {
  const columns = ["Dump", "Verdict", "Issue", "Kernel", "Crashed", "Group", "Host"];
  const classes = { confirmed: "bad", probable: "bad", none: "good" };
  const page = 200;
  const byId = (id) => document.getElementById(id);
  const lines = JSON.parse(byId("data").textContent)
    .map(([cells, why, page]) => ({ cells, why, page, text: [...cells, why || ""].join("\n").toLowerCase() }));
  const head = byId("rows").tHead.insertRow();
  const body = byId("rows").tBodies[0];
  let limit = page, sorted = 4, down = true, found = lines;

  const element = (name, text, kind) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const row = ({ cells, why, page }) => {
    const line = document.createElement("tr");
    cells.forEach((text, column) => {
      const cell = document.createElement("td");
      if (column === 0) cell.className = "path";
      if (column === 1) cell.className = classes[text] || "doubtful";
      if (column > 2) cell.classList.add("number");
      const address = column === 0 ? page : column === 5 && byId("g-" + text) ? "#g-" + text : null;
      if (address) {
        const link = element("a", text);
        link.href = address;
        cell.append(link);
      } else {
        cell.textContent = text;
      }
      if (column === 2 && why) cell.append(element("span", why, "dim"));
      line.append(cell);
    });
    return line;
  };
  const show = () => {
    body.replaceChildren(...found.slice(0, limit).map(row));
    byId("shown").textContent = `${Math.min(limit, found.length)} of ${found.length}`;
    byId("more").hidden = found.length <= limit;
    [...head.cells].forEach((cell, at) => cell.setAttribute("aria-sort", at !== sorted ? "none" : down ? "descending" : "ascending"));
  };
  const find = () => {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    found = lines.filter(({ text }) => words.every((word) => text.includes(word)));
    const way = down ? -1 : 1;
    found.sort((a, b) => (a.cells[sorted] < b.cells[sorted] ? -way : a.cells[sorted] > b.cells[sorted] ? way : 0));
    limit = page;
    show();
  };

  columns.forEach((name, at) => {
    const cell = document.createElement("th");
    const button = element("button", name);
    button.type = "button";
    button.addEventListener("click", () => {
      down = sorted === at ? !down : false;
      sorted = at;
      find();
    });
    cell.scope = "col";
    cell.append(button);
    head.append(cell);
  });
  byId("filter").addEventListener("input", find);
  byId("more").addEventListener("click", () => { limit += page; show(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== byId("filter")) {
      event.preventDefault();
      byId("filter").focus();
    }
  });
  byId("table").hidden = false;
  find();
})();
