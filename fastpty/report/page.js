"use strict";
// Zoom, pan and sliders of the figures. Without it the page shows one image of each stack.
(() => {
  const LARGEST = 16;
  const STEP = 1.4;
  document.documentElement.classList.add("script");
  const ready = new WeakMap(); // frame -> what shows it as its slider and zoom say
  setUpAll();
  // A page that follows a run changes what the frames hold, and says so.
  document.addEventListener("renewed", setUpAll);

  function setUpAll() {
    document.querySelectorAll(".frame").forEach((frame) => {
      if (!ready.has(frame)) ready.set(frame, setUp(frame));
      ready.get(frame)();
    });
  }

  function setUp(frame) {
    const view = frame.querySelector(".view");
    const sheet = frame.querySelector(".sheet");
    let zoom = 1, x = 0, y = 0; // the sheet's left top corner in the view, px

    function show() {
      const width = view.clientWidth, height = view.clientHeight;
      x = Math.min(0, Math.max(x, width * (1 - zoom)));
      y = Math.min(0, Math.max(y, height * (1 - zoom)));
      sheet.style.transform = zoom > 1 ? `translate(${x}px, ${y}px) scale(${zoom})` : "";
      view.classList.toggle("zoomed", zoom > 1);
      const bar = view.querySelector(".bar");
      if (bar) measure(bar, zoom);
    }
    // The point (px, py) of the view stays where it is; without one, its middle.
    function zoomBy(factor, px = view.clientWidth / 2, py = view.clientHeight / 2) {
      const next = Math.min(LARGEST, Math.max(1, zoom * factor));
      x = px - ((px - x) * next) / zoom;
      y = py - ((py - y) * next) / zoom;
      zoom = next;
      show();
    }
    function whole() {
      zoom = 1;
      show();
    }
    function place(event) {
      const box = view.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    const actions = {
      in: () => zoomBy(STEP),
      out: () => zoomBy(1 / STEP),
      whole,
      full: () => (document.fullscreenElement ? document.exitFullscreen() : frame.requestFullscreen()),
    };
    frame.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) actions[button.dataset.do]();
    });

    const keys = { "+": actions.in, "=": actions.in, "-": actions.out, 0: whole };
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    view.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = arrows[event.key];
      if (keys[event.key]) keys[event.key]();
      else if (arrow && zoom > 1) {
        x += (arrow[0] * view.clientWidth) / 8;
        y += (arrow[1] * view.clientHeight) / 8;
        show();
      } else return;
      event.preventDefault();
    });

    // The wheel alone scrolls the page, as everywhere else.
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / 300), ...place(event));
    }, { passive: false });
    view.addEventListener("dblclick", (event) => zoomBy(zoom > 1 ? 1 / zoom : 2 * STEP, ...place(event)));
    view.addEventListener("pointerdown", (event) => {
      if (zoom === 1 || event.button !== 0) return;
      view.setPointerCapture(event.pointerId);
      view.classList.add("held");
    });
    view.addEventListener("pointermove", (event) => {
      if (!view.classList.contains("held")) return;
      x += event.movementX;
      y += event.movementY;
      show();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      view.addEventListener(kind, () => view.classList.remove("held"));
    }
    new ResizeObserver(show).observe(view);

    function leaf() {
      const slider = frame.querySelector("input[type=range]");
      if (!slider) return;
      const images = [...sheet.querySelectorAll("img")];
      images.forEach((image, i) => { image.hidden = i !== slider.value - 1; });
      const label = images[slider.value - 1].dataset.label;
      frame.querySelector("output").textContent = label;
      slider.setAttribute("aria-valuetext", label);
    }
    frame.addEventListener("input", (event) => {
      leaf();
      frame.closest(".linked")?.querySelectorAll(".frame").forEach((other) => {
        if (other === frame) return;
        other.querySelector("input[type=range]").value = event.target.value;
        ready.get(other)();
      });
    });
    const slider = frame.querySelector("input[type=range]");
    if (slider) slider.value = slider.defaultValue; // a reload would keep the old place
    return () => { leaf(); show(); };
  }

  // A bar of 1, 2 or 5 x 10^n that is at most 40 % of what is to be seen.
  function measure(bar, zoom) {
    const extent = Number(bar.dataset.extent) / zoom;
    const decade = 10 ** Math.floor(Math.log10(0.4 * extent));
    const length = [5, 2, 1].map((m) => m * decade).find((l) => l <= 0.4 * extent) ?? decade / 2;
    const unit = bar.dataset.unit;
    const tidy = (value) => Number(value.toPrecision(3));
    bar.textContent = unit === "Å" && length >= 100 ? `${tidy(length / 10)} nm` : `${tidy(length)} ${unit}`;
    bar.style.width = `${(100 * length) / extent}%`;
  }
})();
