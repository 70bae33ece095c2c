"use strict";
// Keys, response time and care for a picture that does not load. Without this script
// the page is radio buttons and Next.
(() => {
  const LATE_KEY_MS = 250; // a key meant for the picture before must not answer this one
  const form = document.getElementById("answer");
  const picture = document.getElementById("picture");
  const missing = document.getElementById("missing");
  const stage = picture.parentElement;
  let shownAt = 0;
  let sent = false;

  form.client_id.value = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
    byte.toString(16).padStart(2, "0")).join("");

  const hide = (broken) => {
    shownAt = 0;
    form.hidden = true;
    missing.hidden = !broken;
    stage.hidden = broken; // while it loads, its place is kept
  };
  const show = async () => {
    try {
      await picture.decode();
    } catch {
      return hide(true);
    }
    missing.hidden = true;
    stage.hidden = form.hidden = false;
    // A picture wider than the window is scrolled by keyboard too; Safari has to be told.
    if (stage.scrollWidth > stage.clientWidth) stage.tabIndex = 0;
    // Two frames: the clock starts when the decoded picture has been painted.
    requestAnimationFrame(() => requestAnimationFrame((now) => { shownAt = now; }));
  };

  document.getElementById("keys").hidden = false;
  picture.addEventListener("load", show);
  picture.addEventListener("error", () => hide(true));
  document.getElementById("again").addEventListener("click", () => {
    hide(false);
    const address = new URL(picture.src);
    address.searchParams.set("again", Date.now());
    picture.src = address;
  });
  if (picture.complete && picture.naturalWidth) show();
  else hide(picture.complete);

  const ready = () => shownAt && performance.now() - shownAt > LATE_KEY_MS;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || form.hidden) return;
    const choice = form.querySelector(`input[name=rating][value="${CSS.escape(event.key)}"]`);
    if (choice) {
      event.preventDefault();
      if (ready() && !event.repeat) {
        choice.checked = true;
        choice.focus();
      }
    } else if (event.key === "Enter" && event.target.matches("body, .stage, input[type=radio]")) {
      event.preventDefault();
      if (ready() && !event.repeat) form.requestSubmit();
    }
  });
  form.addEventListener("submit", (event) => {
    if (sent) return event.preventDefault();
    sent = true;
    form.response_ms.value = shownAt ? String(Math.round(performance.now() - shownAt)) : "";
    form.querySelector("button").setAttribute("aria-disabled", "true");
  });
  // A page restored by Back must be able to send again; the server decides what counts.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
