"use strict";
// Nothing of a session that is over stays in the browser. An unsent answer of another one
// does, as long as a cookie lives: who comes back to that session sends it.
try {
  const DAYS_30 = 30 * 24 * 3600 * 1000;
  const own = `outbox:${document.body.dataset.study}:`;
  const over = own + document.currentScript.dataset.over;
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(own)) continue;
    const kept_at = Number(new URLSearchParams(localStorage.getItem(key)).get("kept_at"));
    if (key === over || Date.now() - kept_at > DAYS_30) localStorage.removeItem(key);
  }
} catch { /* none */ }
