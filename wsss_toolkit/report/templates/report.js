"use strict";
// Sorting, filtering and enlarging the gallery. Without this script the page shows all of it, in the order of its scores.
(() => {
  const list = document.getElementById("items");
  if (!list) return;
  const items = [...list.children];
  const controls = document.getElementById("controls");
  const status = document.getElementById("status");
  const buttons = [...controls.querySelectorAll("button[data-sort]")];
  const filter = document.getElementById("filter");
  const maps = document.getElementById("maps");
  controls.hidden = false;

  const say = (text) => { status.textContent = text; };

  const sortBy = (button) => {
    const again = button.getAttribute("aria-pressed") === "true";
    const name = button.dataset.sort;
    const down = again ? button.dataset.direction === "ascending" : button.dataset.first === "descending";
    buttons.forEach((other) => {
      other.setAttribute("aria-pressed", String(other === button));
      other.querySelector("span").textContent = other === button ? (down ? " ↓" : " ↑") : "";
    });
    button.dataset.direction = down ? "descending" : "ascending";
    const sign = down ? -1 : 1;
    const compare = (a, b) => {
      if (name === "key") return sign * (a.dataset.key < b.dataset.key ? -1 : a.dataset.key > b.dataset.key ? 1 : 0);
      const [x, y] = [a.dataset[name], b.dataset[name]];
      if (x === "" || y === "") return (x === "") - (y === ""); // images without a score come last
      return sign * (Number(x) - Number(y)) || a.dataset.rank - b.dataset.rank;
    };
    items.sort(compare);
    list.append(...items);
    say(`Sorted by ${button.dataset.title}, ${down ? "descending" : "ascending"}.`);
  };
  buttons.forEach((button) => button.addEventListener("click", () => sortBy(button)));

  filter?.addEventListener("change", () => {
    let shown = 0;
    items.forEach((item) => {
      item.hidden = filter.value !== "" && !item.dataset.classes.split(" ").includes(filter.value);
      shown += !item.hidden;
    });
    say(`${shown} of ${items.length} images shown.`);
  });

  maps?.addEventListener("click", () => {
    const shown = maps.getAttribute("aria-pressed") !== "true";
    maps.setAttribute("aria-pressed", String(shown));
    list.classList.toggle("without-maps", !shown);
    say(shown ? "Class maps shown." : "Class maps hidden.");
  });

  const dialog = document.getElementById("large");
  const words = dialog.querySelector("p");
  const large = dialog.insertBefore(document.createElement("img"), words);
  let current = null;
  const visible = () => [...list.querySelectorAll(".panel button")].filter((button) => button.offsetParent !== null);
  const show = (button) => {
    const small = button.querySelector("img");
    current = button;
    large.className = small.className;
    large.src = small.src;
    large.alt = small.alt;
    words.textContent = small.alt;
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const all = visible();
    const next = all[all.indexOf(current) + by];
    if (next) show(next);
  };
  list.addEventListener("click", (event) => {
    const button = event.target.closest(".panel button");
    if (button) show(button);
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else return;
    event.preventDefault();
  });
  dialog.querySelector("[data-step='-1']").addEventListener("click", () => step(-1));
  dialog.querySelector("[data-step='1']").addEventListener("click", () => step(1));
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => current?.focus());

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
})();
