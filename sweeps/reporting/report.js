// Draws the figures that stand in the page as JSON, in the reader's colours, and again for print; saves them as files.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure > .plot")];

  function colours(onPaper) {
    const night = dark.matches && !onPaper;
    return { ink: night ? "#e6e8eb" : "#1d2329", grid: night ? "#3a3f47" : "#dfe3e8" };
  }

  function styled(layout, onPaper) {
    const { ink, grid } = colours(onPaper);
    const paper = "rgba(0,0,0,0)";
    const made = { ...layout, paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink, size: 12 }, autosize: true };
    const axes = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))]);
    for (const axis of axes) made[axis] = { automargin: true, ...layout[axis], gridcolor: grid, zerolinecolor: grid, linecolor: grid };
    return made;
  }

  function draw(box, printing) {
    const { data, layout } = JSON.parse(box.nextElementSibling.textContent);
    const made = styled(layout, printing);
    if (printing) made.width = box.closest(".grid > :not(.wide)") ? 310 : 640; // pixels of a page with its margins
    return Plotly.react(box, data, made, { responsive: true, displayModeBar: false });
  }

  // A figure as it is shown now, in the colours of paper, whatever the reader's are.
  function save(box, format) {
    const name = box.closest("figure").querySelector("figcaption > span").textContent;
    const layout = { ...styled(box.layout, true), paper_bgcolor: "#fff", plot_bgcolor: "#fff" };
    const size = { width: box.clientWidth, height: box.layout.height };
    const filename = `${document.title.slice(0, 60)} ${name.slice(0, 60)}`.replace(/[^A-Za-z0-9.@-]+/g, "_");
    return Plotly.downloadImage({ data: box.data, layout }, { format, filename, ...size, scale: format === "png" ? 2 : 1 });
  }

  function offer(box) {
    const buttons = document.createElement("span");
    buttons.className = "save";
    for (const format of ["png", "svg"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format.toUpperCase();
      button.title = `Save this figure as ${format.toUpperCase()}`;
      button.addEventListener("click", () => save(box, format));
      buttons.append(button);
    }
    box.closest("figure").querySelector("figcaption").append(buttons);
  }

  const all = (printing) => Promise.all(figures.map((box) => draw(box, printing)));
  figures.forEach(offer);
  all(false).then(() => { document.documentElement.dataset.drawn = figures.length; });
  dark.addEventListener("change", () => all(false));
  addEventListener("beforeprint", () => all(true));
  addEventListener("afterprint", () => all(false));
})();
