"use strict";
// Nothing of a session that is over stays in the browser, whosever it was.
try {
  const own = `outbox:${document.body.dataset.study}:`;
  for (const key of Object.keys(localStorage)) if (key.startsWith(own)) localStorage.removeItem(key);
} catch { /* none */ }
