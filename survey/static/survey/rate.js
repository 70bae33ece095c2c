"use strict";
// Sends answers in place, keeps what cannot be sent, preloads the next picture, takes
// keys and measures time. Without this script the page is radio buttons and Next.
(() => {
  const LATE_MS = 250; // a key or tap meant for the picture before must not answer this one
  const TEN_MS = 700; // between the two keys of 10
  const WAITS_MS = [1000, 2000, 5000, 10000, 30000];
  const GIVE_UP_MS = 20000;
  const PAIR_KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
  const REACH_AFTER = 3; // failures of a picture, before the page says whom to tell
  const unsent = document.getElementById("unsent");
  const BOX = `outbox:${document.body.dataset.study}:${unsent.dataset.person}`;

  let trial, form, token, pictures, shownAt, failures, pointed, oneAt, sending = null;

  // The outbox: one answer at most, for nothing goes on before the server has it.
  const box = {
    put(body) { try { localStorage.setItem(BOX, body); } catch { /* memory has it */ } },
    get() { try { return localStorage.getItem(BOX); } catch { return null; } },
    // Another tab may have kept another answer since.
    clear(body) { if (box.get() === body) localStorage.removeItem(BOX); },
  };

  // One picture or two ----------------------------------------------------------------

  const begin = () => {
    trial = document.getElementById("trial");
    form = trial.querySelector("form");
    pictures = [...trial.querySelectorAll(".stage img")];
    token = form.csrfmiddlewaretoken.value;
    shownAt = 0;
    pointed = null;
    oneAt = -Infinity;
    document.title = trial.dataset.title;
    if (form.id !== "answer") return;
    failures = Number(trial.dataset.failures);
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
    document.getElementById("reach").hidden = failures < REACH_AFTER;
    trial.querySelector(".stage").hidden = broken; // while it loads, its place is kept
  };

  const show = async () => {
    const mine = trial;
    try {
      await Promise.all(pictures.map((picture) => picture.decode()));
    } catch {
      if (mine !== trial) return;
      failures += 1;
      report().catch(() => { /* the answer says it */ });
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

  // Who never sees the picture never answers, and nobody would hear of it. The number is
  // of all failures so far, so that the answer, which says it too, counts none twice.
  const report = async () => {
    const mine = trial;
    const body = { csrfmiddlewaretoken: token, trial: form.trial.value, missing: "1", load_failures: failures };
    const got = await ask({ method: "POST", body: new URLSearchParams(body), headers: { "X-Survey": "fetch" } });
    // Pictures are for those who take part: who went on in another browser gets none here.
    if (got && got.said === "elsewhere" && mine === trial && !sending) arrive(got);
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
    if (sending || !form.reportValidity()) return;
    if (form.id === "answer") {
      form.response_ms.value = shownAt ? String(Math.round(performance.now() - shownAt)) : "";
      form.displayed_scale.value = scale().toFixed(4);
      form.load_failures.value = String(failures);
    }
    const filled = new URLSearchParams(new FormData(form));
    filled.delete("csrfmiddlewaretoken"); // it may be another one by then
    if (form.id === "answer") filled.set("kept_at", String(Date.now())); // for done.js
    const body = filled.toString();
    if (form.id === "answer") box.put(body);
    dispatch(body);
  };

  const dispatch = (body) => {
    sending = { body, attempt: 0, timer: 0, busy: false };
    form.querySelector("button").setAttribute("aria-disabled", "true");
    for (const asked of form.querySelectorAll("fieldset")) asked.disabled = true;
    deliver();
  };

  // One request at a time: a second one's reply would come when another picture is shown.
  const deliver = () => {
    if (!sending || sending.busy) return;
    const { body } = sending;
    clearTimeout(sending.timer);
    sending.busy = true;
    post(body).catch(() => submitPlainly(body));
  };

  const withToken = (body) => {
    const sent = new URLSearchParams(body);
    sent.set("csrfmiddlewaretoken", token);
    return sent;
  };

  // {reply, text, said}, or null where the network fails. Only the lab's own replies say
  // what they are; what a network's sign-in page or a proxy replies does not.
  const ask = async (options) => {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), GIVE_UP_MS);
    try {
      const reply = await fetch(form.action, { ...options, signal: patience.signal });
      return { reply, text: await reply.text(), said: reply.headers.get("X-Survey") };
    } catch (error) {
      if (error instanceof TypeError || error.name === "AbortError") return null;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };

  const post = async (body) => {
    const got = await ask({ method: "POST", body: withToken(body), headers: { "X-Survey": "fetch" } });
    const busy = got && (got.reply.status >= 500 || got.reply.status === 429);
    if (got && got.said && !busy) {
      sending = null;
      unsent.hidden = true;
      if (!got.reply.redirected && got.said !== "kept") box.clear(body);
      return arrive(got);
    }
    const renewed = got && got.reply.status === 403 && await renewToken();
    const atOnce = renewed && sending.attempt === 0;
    document.getElementById("foreign").hidden = !got || busy;
    unsent.hidden = atOnce;
    const wait = atOnce ? 0 : WAITS_MS[Math.min(sending.attempt, WAITS_MS.length - 1)];
    sending.attempt += 1;
    sending.busy = false;
    sending.timer = setTimeout(deliver, wait);
  };

  // The page was open for longer than its cookie lived: the form of a fresh one counts.
  const renewToken = async () => {
    const got = await ask({});
    if (!got || !got.said) return false;
    if (got.reply.redirected) location.assign(got.reply.url);
    const field = new DOMParser().parseFromString(got.text, "text/html")
      .querySelector("#trial [name=csrfmiddlewaretoken]");
    if (field) token = field.value;
    return Boolean(field);
  };

  // Where this script fails, the browser posts the answer as it does without one. Not
  // kept any longer, lest the next page fails with it again.
  const submitPlainly = (body) => {
    box.clear(body);
    const plain = document.createElement("form");
    plain.method = "post";
    for (const [name, value] of withToken(body)) {
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name, value });
      plain.append(field);
    }
    document.body.append(plain);
    plain.submit();
  };

  const arrive = ({ reply, text, said }) => {
    if (reply.status === 204) return location.assign(said);
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

  addEventListener("online", deliver);
  document.getElementById("resend").addEventListener("click", deliver);

  document.addEventListener("submit", (event) => {
    if (event.target !== form) return;
    event.preventDefault();
    send();
  });
  // Arrow keys walk through the choices with clicks of their own, of no pointer (detail
  // 0), as does the one that a label passes on to its field: only what was pointed at
  // answers at once. Who walks by keys confirms by Enter or Next.
  document.addEventListener("click", (event) => {
    if (!form || !("oneTouch" in form.dataset)) return;
    if (event.detail > 0) pointed = event.target.closest(".choice");
    if (!event.target.matches("input[type=radio]")) return;
    const meant = pointed && pointed.contains(event.target);
    pointed = null;
    if (!meant) return;
    if (ready()) send();
    else event.target.checked = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !form || form.hidden) return;
    if (event.target.matches("input:not([type=radio]), textarea, button, a")) return;
    if (form.id === "answer" && press(event)) return event.preventDefault();
    if (event.key === "Enter") {
      event.preventDefault();
      if (!event.repeat && (form.id !== "answer" || ready())) send();
    }
  });

  // Whether the key belongs to a choice of the question that is being answered.
  const press = (event) => {
    const asked = [...form.querySelectorAll("fieldset")];
    const current = asked.find((it) => it.contains(document.activeElement))
      || asked.find((it) => !it.querySelector(":checked")) || asked[0];
    const of = (value) => current.querySelector(`input[value="${CSS.escape(value)}"]`);
    const ten = event.key === "0" && Date.now() - oneAt < TEN_MS && of("10");
    const choice = ten || of(PAIR_KEYS[event.key] || event.key);
    oneAt = event.key === "1" ? Date.now() : -Infinity;
    if (!choice) return false;
    if (ready() && !event.repeat) {
      choice.checked = true;
      choice.focus();
      if ("oneTouch" in form.dataset && !(event.key in PAIR_KEYS)) send();
      const following = asked[asked.indexOf(current) + 1];
      if (following && !following.querySelector(":checked")) following.querySelector("input").focus();
    }
    return true;
  };

  // A page restored by Back shows what the server says now.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  begin();
  const kept = box.get();
  if (kept) dispatch(kept); // an answer from before a reload, a crash or a lost network
})();
