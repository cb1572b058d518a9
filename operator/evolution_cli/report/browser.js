// The question browser: filters on the left, one question with its frames on the right. Texts are set as text, never as HTML.
(() => {
  const PAGE = 200;
  const questions = JSON.parse(document.getElementById("questions").textContent);
  const frames = JSON.parse(document.getElementById("frames").textContent);
  const list = document.getElementById("list"), detail = document.getElementById("detail"), found = document.getElementById("found");
  const controls = Object.fromEntries(["round", "kind", "label", "search"].map(id => [id, document.getElementById(id)]));
  const element = (tag, text, className) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (className) e.className = className;
    return e;
  };
  const words = name => name.replaceAll("_", " ");
  const fill = (select, values, say) => values.forEach(v => { const o = element("option", say(v)); o.value = v; select.append(o); });
  const distinct = key => [...new Set(questions.map(q => q[key]).filter(v => v !== null))].sort();
  fill(controls.round, distinct("round"), v => `round ${v}`);
  fill(controls.kind, distinct("kind"), words);
  fill(controls.label, distinct("label"), words);

  function matching() {
    const text = controls.search.value.toLowerCase();
    return questions.filter(q =>
      (!controls.round.value || String(q.round) === controls.round.value) &&
      (!controls.kind.value || q.kind === controls.kind.value) &&
      (!controls.label.value || q.label === controls.label.value) &&
      (!text || `${q.text} ${q.scene} ${q.id} ${q.answer}`.toLowerCase().includes(text)));
  }
  function renderList() {
    const matches = matching();
    found.textContent = `${matches.length} questions` + (matches.length > PAGE ? `, the first ${PAGE} listed` : "");
    list.replaceChildren(...matches.slice(0, PAGE).map(q => {
      const button = element("button");
      button.setAttribute("role", "option");
      button.dataset.id = q.id;
      button.append(element("span", undefined, `dot ${q.label ?? ""}`), element("span", q.text, "text"), element("span", q.p === null ? "" : q.p.toFixed(2), "soft"));
      button.onclick = () => show(q);
      return button;
    }));
    if (matches.length) show(matches[0]); else detail.replaceChildren(element("p", "No question fits these filters.", "soft"));
  }
  function show(q) {
    list.querySelectorAll("button").forEach(b => b.setAttribute("aria-selected", b.dataset.id === q.id));
    const pictures = element("div", undefined, "frames");
    (frames[q.scene] ?? []).forEach(([number, src]) => {
      const figure = element("figure"), image = element("img");
      image.src = src; image.alt = `frame ${number} of ${q.scene}`;
      figure.append(image, element("figcaption", `frame ${number}`));
      pictures.append(figure);
    });
    if (!pictures.children.length) pictures.append(element("p", "The frames of this scene are not in the report.", "soft"));
    const facts = element("dl");
    const fact = (name, value) => { if (value !== null && value !== undefined && value !== "") facts.append(element("dt", name), element("dd", value)); };
    fact("answer", q.unit ? `${q.answer} ${q.unit}` : q.answer);
    fact("options", q.options.join(" · "));
    fact("kind", `${words(q.kind)}, level ${q.level}`);
    fact("confidence", q.p === null ? "not probed" : `${q.p}` + (q.elsewhere === null ? "" : `, with another scene's frames ${q.elsewhere}`));
    fact("trained in step", q.steps.length ? q.steps.join(", ") : "not trained on");
    fact("scene", q.scene);
    fact("asked by", `${q.proposer}, round ${q.round}`);
    fact("id", q.id);
    const heading = element("p"); heading.append(element("b", q.text));
    if (q.label) { heading.append(" "); heading.append(element("span", q.label, `chip ${q.label}`)); }
    detail.replaceChildren(heading, pictures, facts, element("div", "program", "soft"), element("pre", q.program));
  }
  Object.values(controls).forEach(c => c.addEventListener("input", renderList));
  renderList();
})();
