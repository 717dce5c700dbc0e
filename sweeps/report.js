// Draws the figures that stand in the page as JSON, in the reader's colours, and again for print.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure > .plot")];

  function colours(printing) {
    const night = dark.matches && !printing;
    const grid = night ? "#3a3f47" : "#dfe3e8";
    return { ink: night ? "#e6e8eb" : "#1d2329", grid, paper: "rgba(0,0,0,0)" };
  }

  function styled(layout, printing, narrow) {
    const { ink, grid, paper } = colours(printing);
    const made = { ...layout, paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink, size: 12 }, autosize: true };
    const axes = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))]);
    for (const axis of axes) made[axis] = { automargin: true, ...layout[axis], gridcolor: grid, zerolinecolor: grid, linecolor: grid };
    if (printing) made.width = narrow ? 310 : 640; // pixels of a page with its margins
    return made;
  }

  function draw(box, printing) {
    const figure = JSON.parse(box.nextElementSibling.textContent);
    return Plotly.react(box, figure.data, styled(figure.layout, printing, box.closest(".grid") !== null), { responsive: true, displayModeBar: false });
  }

  const all = (printing) => Promise.all(figures.map((box) => draw(box, printing)));
  all(false).then(() => { document.documentElement.dataset.drawn = figures.length; });
  dark.addEventListener("change", () => all(false));
  addEventListener("beforeprint", () => all(true));
  addEventListener("afterprint", () => all(false));
})();
