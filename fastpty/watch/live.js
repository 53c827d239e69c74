// Asks for what is new, and puts it in place of what is there: sliders, zoom, place on the page and
// what is open stay as the reader has them, and what has not changed is not touched.
(() => {
  const SECOND = 1000;
  const pulse = document.getElementById("pulse");
  const state = { ...pulse.dataset };
  let said = {}; // what is on the page, by part: nothing is known of it at first
  tell(state.note);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  let timer = setTimeout(ask, 0);

  async function ask() {
    clearTimeout(timer);
    try {
      const answer = await fetch("update", { headers: { "If-None-Match": `"${state.version}"` } });
      if (answer.status === 200) renew(await answer.json());
      else if (answer.status !== 304) throw new Error(answer.statusText);
      tell(state.note || overdue(Date.parse(answer.headers.get("Date")) / SECOND));
    } catch {
      tell("fastpty watch does not answer: the page shows what it said last.");
    }
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, SECOND);
  }

  // A run that is killed says nothing more.
  function overdue(now) {
    const silent = now - state.written;
    if (!state.written || silent < state.patience) return "";
    return `No word of the run for ${Math.round(silent / 60)} min: it may have been killed.`;
  }

  function tell(text = "") {
    if (pulse.textContent !== text) pulse.textContent = text;
  }

  function renew(news) {
    document.title = news.title;
    replace("header", document.querySelector("header"), news.header);
    replace("contents", document.querySelector("nav"), news.contents);
    const main = document.querySelector("main");
    const wanted = Object.keys(news.sections);
    main.querySelectorAll(":scope > section").forEach((section) => {
      if (!wanted.includes(section.id)) section.remove();
    });
    wanted.forEach((id, place) => {
      const old = document.getElementById(id);
      if (old) replace(id, old, news.sections[id]);
      else main.insertBefore(parsed(news.sections[id]), main.children[place] ?? null);
    });
    said = { header: news.header, contents: news.contents, ...news.sections };
    Object.assign(state, news);
    document.dispatchEvent(new Event("renewed"));
  }

  function replace(part, old, text) {
    if (said[part] !== text) morph(old, parsed(text));
  }

  function parsed(text) {
    const template = document.createElement("template");
    template.innerHTML = text;
    return template.content.firstElementChild;
  }

  // Make an element what another is, and keep those below it that are of the same kind.
  function morph(old, fresh) {
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    const follows = old.type === "range" && old.value === old.defaultValue;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !isReaders(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !isReaders(old, name)) old.setAttribute(name, value);
    }
    if (follows) old.value = old.defaultValue;
    const present = [...old.childNodes], coming = [...fresh.childNodes];
    present.slice(coming.length).forEach((node) => node.remove());
    coming.forEach((node, i) => {
      if (i < present.length) morph(present[i], node);
      else old.append(node);
    });
  }

  // What the reader does with the page changes these.
  function isReaders(element, name) {
    return name === "open" || (name === "class" && element.matches(".view"))
      || (name === "style" && element.matches(".sheet"));
  }
})();
