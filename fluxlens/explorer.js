// Makes every explorer on the page live that is not yet so; each carries its own copy of this.
(function () {
  "use strict";

  function make(tag, parent, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text) node.textContent = text;
    parent.append(node);
    return node;
  }

  function chooser(parent, title) {
    const label = make("label", parent, "", title);
    const select = make("select", label);
    function fill(names, wanted) {
      select.replaceChildren(...names.map((name) => new Option(name)));
      if (names.includes(wanted)) select.value = wanted;
      label.hidden = names.length === 1;
    }
    return { select, fill };
  }

  const distinct = (values) => Array.from(new Set(values));

  function bring(root) {
    const table = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const stored = Array.from(root.querySelectorAll(".fluxlens-all img"), (img) => img.src);

    const panel = document.createElement("div");
    const choices = make("div", panel, "fluxlens-choices");
    choices.setAttribute("role", "group");
    choices.setAttribute("aria-label", "Explorer of " + table.model);
    const task = chooser(choices, "task");
    const recipe = chooser(choices, "recipe");
    const label = make("label", choices, "fluxlens-setting");
    const name = make("span", label);
    const range = make("input", label);
    range.type = "range";
    range.min = 0;
    const scale = make("div", choices, "fluxlens-scale");
    scale.setAttribute("aria-hidden", "true");
    const shown = make("div", panel, "fluxlens-shown");
    const said = make("p", panel, "fluxlens-said");
    said.setAttribute("aria-live", "polite");

    const some = (task, recipe) =>
      table.frames.filter((f) => f.task === task).filter((f) => !recipe || f.recipe === recipe);
    let frames = [];

    function setScale() {
      scale.replaceChildren();
      const ticks = make("div", scale, "fluxlens-ticks");
      frames.forEach((frame, n) => {
        const tick = make("span", ticks, frame.marked ? "fluxlens-mark" : "", frame.marked ? "▲" : "");
        tick.style.left = (100 * n) / Math.max(frames.length - 1, 1) + "%";
      });
      const ends = make("div", scale, "fluxlens-ends");
      const marked = frames.filter((frame) => frame.marked).map((frame) => frame.setting);
      make("span", ends, "", frames[0].setting);
      if (marked.length) make("span", ends, "fluxlens-mark", "▲ binding block " + marked.join(", "));
      make("span", ends, "", frames.length === 1 ? "" : frames[frames.length - 1].setting);
    }

    function show() {
      const frame = frames[range.value];
      const setting = frame.over + " " + frame.setting + (frame.marked ? " (binding block)" : "");
      name.textContent = setting;
      range.setAttribute("aria-valuetext", setting);
      said.textContent = [table.model, frame.task, frame.recipe, setting].join(" · ");
      while (shown.childElementCount > frame.pictures.length) shown.lastChild.remove();
      frame.pictures.forEach(([title, n], k) => {
        const cell = shown.children[k] || make("div", shown);
        const img = cell.querySelector("img") || make("img", cell);
        const words = cell.querySelector("span") || make("span", cell);
        img.src = stored[n];
        img.alt = title + ": " + frame.task + "; " + frame.recipe + ", " + setting;
        words.textContent = title;
      });
    }

    // A setting that the next recipe has too stays; else its binding block, else its first.
    function setFrames() {
      const before = frames.length ? frames[range.value].setting : null;
      frames = some(task.select.value, recipe.select.value);
      const places = [frames.findIndex((f) => f.setting === before), frames.findIndex((f) => f.marked)];
      range.max = frames.length - 1;
      range.value = places.find((n) => n >= 0) || 0;
      range.disabled = frames.length === 1;
      setScale();
      show();
    }

    function setRecipes() {
      recipe.fill(distinct(some(task.select.value).map((f) => f.recipe)), recipe.select.value);
      setFrames();
    }

    task.fill(distinct(table.frames.map((f) => f.task)));
    task.select.addEventListener("change", setRecipes);
    recipe.select.addEventListener("change", setFrames);
    range.addEventListener("input", show);
    setRecipes();
    root.prepend(panel);
    root.dataset.live = "";
  }

  document.querySelectorAll(".fluxlens-explorer:not([data-live])").forEach(bring);
})();
