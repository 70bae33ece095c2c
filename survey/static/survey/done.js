"use strict";
// Nothing of a session that is over stays in the browser.
try { localStorage.removeItem(`outbox:${document.body.dataset.study}`); } catch { /* none */ }
