"use strict";
// Sends answers in place, keeps what cannot be sent, preloads the next picture, takes
// keys and measures time. Without this script the page is radio buttons and Next.
(() => {
  const LATE_MS = 250; // a key or tap meant for the picture before must not answer this one
  const WAITS_MS = [1000, 2000, 5000, 10000, 30000];
  const GIVE_UP_MS = 20000;
  const PAIR_KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
  const BOX = `outbox:${document.body.dataset.study}`;
  const unsent = document.getElementById("unsent");

  let trial, form, pictures, shownAt, failures, waiting = null;

  // The outbox: one answer at most, for nothing goes on before the server has it.
  const box = {
    put(body) { try { localStorage.setItem(BOX, body); } catch { /* memory has it */ } },
    get() { try { return localStorage.getItem(BOX); } catch { return null; } },
    clear() { try { localStorage.removeItem(BOX); } catch { /* nothing was kept */ } },
  };

  // One picture or two ----------------------------------------------------------------

  const begin = () => {
    trial = document.getElementById("trial");
    form = trial.querySelector("form");
    pictures = [...trial.querySelectorAll(".stage img")];
    shownAt = failures = 0;
    document.title = trial.dataset.title;
    if (form.id !== "answer") return;
    form.client_id.value = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
      byte.toString(16).padStart(2, "0")).join("");
    document.getElementById("keys").hidden = false;
    document.getElementById("again").addEventListener("click", loadAgain);
    hide(false);
    show();
  };

  const hide = (broken) => {
    shownAt = 0;
    form.hidden = true;
    document.getElementById("missing").hidden = !broken;
    trial.querySelector(".stage").hidden = broken; // while it loads, its place is kept
  };

  const show = async () => {
    const mine = trial;
    try {
      await Promise.all(pictures.map((picture) => picture.decode()));
    } catch {
      if (mine !== trial) return;
      failures += 1;
      return hide(true);
    }
    if (mine !== trial) return;
    const stage = trial.querySelector(".stage");
    document.getElementById("missing").hidden = true;
    stage.hidden = form.hidden = false;
    // A picture wider than the window is scrolled by keyboard too; Safari has to be told.
    if (stage.scrollWidth > stage.clientWidth) stage.tabIndex = 0;
    // Two frames: the clock starts when the decoded picture has been painted.
    requestAnimationFrame(() => requestAnimationFrame((now) => { if (mine === trial) shownAt = now; }));
    for (const link of trial.querySelectorAll("[data-ahead]")) new Image().src = link.href;
  };

  const loadAgain = () => {
    hide(false);
    for (const picture of pictures) {
      const address = new URL(picture.src);
      address.searchParams.set("again", Date.now());
      picture.src = address;
    }
    show();
  };

  // Answering -------------------------------------------------------------------------

  const ready = () => shownAt && performance.now() - shownAt > LATE_MS;
  const scale = () => Math.min(...pictures.map((it) => it.clientWidth / it.naturalWidth));

  const send = () => {
    if (waiting || !form.reportValidity()) return;
    if (form.id === "answer") {
      form.response_ms.value = shownAt ? String(Math.round(performance.now() - shownAt)) : "";
      form.displayed_scale.value = scale().toFixed(4);
      form.load_failures.value = String(failures);
    }
    const body = new URLSearchParams(new FormData(form)).toString();
    if (form.id === "answer") box.put(body);
    deliver(body, 0);
  };

  const deliver = async (body, attempt) => {
    clearTimeout(waiting?.timer);
    waiting = { body, timer: 0 };
    form.querySelector("button").setAttribute("aria-disabled", "true");
    for (const asked of form.querySelectorAll("fieldset")) asked.disabled = true;
    let reply, text;
    try {
      reply = await fetch(form.action, {
        method: "POST",
        body: new URLSearchParams(body),
        headers: { "X-Survey": "fetch" },
        signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      if (reply.status >= 500 || reply.status === 429) throw new Error(reply.status);
      text = await reply.text();
    } catch {
      unsent.hidden = false;
      const wait = WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)];
      waiting = { body, timer: setTimeout(() => deliver(body, attempt + 1), wait) };
      return;
    }
    waiting = null;
    unsent.hidden = true;
    box.clear();
    arrive(reply, text);
  };

  const arrive = (reply, text) => {
    const elsewhere = reply.headers.get("X-Survey");
    if (elsewhere) return location.assign(elsewhere);
    if (reply.redirected) return location.assign(reply.url);
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.getElementById("trial");
    if (!next || page.querySelector("main")) { // a page that says why it was refused
      document.querySelector("main").replaceWith(page.querySelector("main"));
      document.body.className = page.body.className;
      document.title = page.title;
      form = null;
      const heading = document.querySelector("main h1");
      heading.tabIndex = -1;
      return heading.focus();
    }
    trial.replaceWith(next);
    begin();
    scrollTo(0, 0);
    trial.querySelector("h1").focus({ preventScroll: true });
  };

  const resend = () => { if (waiting) deliver(waiting.body, 0); };
  addEventListener("online", resend);
  document.getElementById("resend").addEventListener("click", resend);

  document.addEventListener("submit", (event) => {
    if (event.target !== form) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("click", (event) => {
    if (!form || !("oneTouch" in form.dataset) || !event.target.matches("input[type=radio]")) return;
    if (ready()) send();
    else event.target.checked = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !form || form.hidden) return;
    if (event.target.matches("input:not([type=radio]), textarea, button, a")) return;
    if (form.id === "answer" && press(event)) return event.preventDefault();
    if (event.key === "Enter") {
      event.preventDefault();
      if (form.id !== "answer" || (ready() && !event.repeat)) send();
    }
  });

  // Whether the key belongs to a choice of the question that is being answered.
  const press = (event) => {
    const asked = [...form.querySelectorAll("fieldset")];
    const current = asked.find((it) => it.contains(document.activeElement))
      || asked.find((it) => !it.querySelector(":checked")) || asked[0];
    const value = PAIR_KEYS[event.key] || event.key;
    const choice = current.querySelector(`input[value="${CSS.escape(value)}"]`);
    if (!choice) return false;
    if (ready() && !event.repeat) {
      choice.checked = true;
      choice.focus();
      if ("oneTouch" in form.dataset) send();
      const following = asked[asked.indexOf(current) + 1];
      if (following && !following.querySelector(":checked")) following.querySelector("input").focus();
    }
    return true;
  };

  // A page restored by Back shows what the server says now.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  begin();
  const kept = box.get();
  if (kept) { // an answer from before a reload, a crash or a lost network
    const body = new URLSearchParams(kept);
    body.set("csrfmiddlewaretoken", form.csrfmiddlewaretoken.value);
    deliver(body.toString(), 0);
  }
})();
